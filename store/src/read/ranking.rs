//! `impl Store`: tools and servers, ranked by figures of their calls.
//!
//! The figures of all of them are computed in one pass over the calls of the filter: counts by the database, percentiles
//! from durations that are read as they come. What this takes of memory is reserved, and grows with the tools or servers,
//! not with the calls. Names are read of those alone that come onto the page, or stand beside it with the same figure.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use futures_util::TryStreamExt;
use mcptap_model::CallFilter;
use sea_orm::sea_query::{Alias, CaseStatement, Expr, ExprTrait, Func, Query};
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, StreamTrait};

use crate::read::filter::{IS_ERROR, is_stream};
use crate::read::readers::Reading;
use crate::read::scan::Scan;
use crate::read::stats::Filling;
use crate::read::tally::Tally;
use crate::rows::entity::call;
use crate::{Error, Page, Reservation, Server, Store, Tool};

/// How many names are read together.
const AT_ONCE: usize = 500;
/// For how many tools or servers there is room at first.
const FIRST: usize = 256;
/// The quantile of the normal distribution for a confidence of 95 %.
const CONFIDENCE: f64 = 1.96;

/// What tools and servers are ranked by. Streams count only where the filter names kinds, as in statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// How many calls.
    Calls,
    /// How many of them are errors.
    Errors,
    /// The share of errors that is certain: the lower bound of Wilson's interval for 95 %, so that one failure of one call
    /// does not stand above forty of fifty.
    ErrorRate,
    /// The median duration.
    P50,
    /// The 95th percentile of durations.
    P95,
    /// The 99th percentile of durations.
    P99,
}

impl Figure {
    /// All of them. The order never changes: cursors have them by their numbers.
    pub const ALL: [Self; 6] = [
        Self::Calls,
        Self::Errors,
        Self::ErrorRate,
        Self::P50,
        Self::P95,
        Self::P99,
    ];
}

/// An order: by a figure, then by name. What has no figure (no call with an end) stands last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// The figure that decides.
    pub by: Figure,
    /// Whether the greatest stands first.
    pub descending: bool,
}

/// Something in its place in a ranking. Also its position: where the figure is the same, names decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked<T> {
    /// The figure: a count, a share from 0 to 1, or milliseconds. `None`: it has none.
    pub figure: Option<f64>,
    /// What it is.
    pub item: T,
}

impl Ranking {
    /// Which of two figures stands first.
    fn compare(self, one: Option<f64>, other: Option<f64>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) if self.descending => other.total_cmp(&one),
            (Some(one), Some(other)) => one.total_cmp(&other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        }
    }

    fn is_counted(self) -> bool {
        matches!(self.by, Figure::Calls | Figure::Errors | Figure::ErrorRate)
    }

    fn figure(self, filling: &mut Filling) -> Option<f64> {
        match self.by {
            Figure::Calls => Some(filling.calls as f64),
            Figure::Errors => Some(filling.errors as f64),
            Figure::ErrorRate => error_rate(filling.errors, filling.calls),
            Figure::P50 => filling.percentile(0.50),
            Figure::P95 => filling.percentile(0.95),
            Figure::P99 => filling.percentile(0.99),
        }
    }
}

/// The lower bound of Wilson's interval; `None` without calls.
fn error_rate(errors: u64, calls: u64) -> Option<f64> {
    if calls == 0 {
        return None;
    }
    let (count, square) = (calls as f64, CONFIDENCE * CONFIDENCE);
    let share = errors as f64 / count;
    let middle = share + square / (2.0 * count);
    let spread = CONFIDENCE * (share * (1.0 - share) / count + square / (4.0 * count * count)).sqrt();
    Some(((middle - spread) / (1.0 + square / count)).max(0.0))
}

/// What is ranked: something that calls belong to, by its numbers, and by its names in their order.
trait Of: Copy + Eq + Hash + Send + Sync + 'static {
    /// What has its names.
    type Item: Ord + Send + Sync;
    /// The columns that its numbers stand in.
    const COLUMNS: &'static [call::Column];

    fn of_call(tally: &Tally) -> Option<Self>;
    /// From the values of the columns.
    fn of_row(values: &[i64]) -> Option<Self>;
    fn ids(self) -> impl Iterator<Item = i64>;
    fn named(self, name: impl Fn(i64) -> Option<String>) -> Option<Self::Item>;
}

/// A tool of a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ToolOf {
    tool: i64,
    server: i64,
}

impl Of for ToolOf {
    type Item = Tool;
    const COLUMNS: &'static [call::Column] = &[call::Column::Tool, call::Column::Server];

    fn of_call(tally: &Tally) -> Option<Self> {
        let server = tally.server;
        tally.tool.map(|tool| Self { tool, server })
    }

    fn of_row(values: &[i64]) -> Option<Self> {
        let [tool, server] = *values else { return None };
        Some(Self { tool, server })
    }

    fn ids(self) -> impl Iterator<Item = i64> {
        [self.tool, self.server].into_iter()
    }

    fn named(self, name: impl Fn(i64) -> Option<String>) -> Option<Tool> {
        Some(Tool {
            name: name(self.tool)?,
            server: name(self.server)?,
        })
    }
}

/// A server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ServerOf(i64);

impl Of for ServerOf {
    type Item = String;
    const COLUMNS: &'static [call::Column] = &[call::Column::Server];

    fn of_call(tally: &Tally) -> Option<Self> {
        Some(Self(tally.server))
    }

    fn of_row(values: &[i64]) -> Option<Self> {
        values.first().copied().map(Self)
    }

    fn ids(self) -> impl Iterator<Item = i64> {
        std::iter::once(self.0)
    }

    fn named(self, name: impl Fn(i64) -> Option<String>) -> Option<String> {
        name(self.0)
    }
}

impl Store {
    /// Tools with calls of the filter in the order of a ranking: `first` of them, from 1 to 500, after a position.
    pub async fn ranked_tools(
        &self,
        filter: &CallFilter,
        ranking: Ranking,
        first: usize,
        after: Option<Ranked<Tool>>,
    ) -> Result<Page<Ranked<Tool>>, Error> {
        let tx = self.snapshot(Reading::Scan).await?;
        let page = self
            .rank::<ToolOf>(&tx, filter, ranking, first, after.as_ref())
            .await?;
        tx.commit().await?;
        Ok(page)
    }

    /// Those of these servers that have calls, or all when none is named, in the order of a ranking: `first` of them, from
    /// 1 to 500, after a position.
    pub async fn ranked_servers(
        &self,
        among: &[String],
        ranking: Ranking,
        first: usize,
        after: Option<Ranked<String>>,
    ) -> Result<Page<Ranked<Server>>, Error> {
        let filter = CallFilter {
            servers: among.to_vec(),
            ..CallFilter::default()
        };
        let tx = self.snapshot(Reading::Scan).await?;
        let page = self
            .rank::<ServerOf>(&tx, &filter, ranking, first, after.as_ref())
            .await?;
        let names: Vec<String> = page.items.iter().map(|ranked| ranked.item.clone()).collect();
        let mut seen: HashMap<String, Server> = HashMap::new();
        if !names.is_empty() {
            let servers = self.servers_named(&tx, &names).await?;
            seen.extend(servers.into_iter().map(|server| (server.name.clone(), server)));
        }
        tx.commit().await?;
        let items = page.items.into_iter().filter_map(|ranked| {
            Some(Ranked {
                figure: ranked.figure,
                item: seen.remove(&ranked.item)?,
            })
        });
        Ok(Page {
            items: items.collect(),
            has_next: page.has_next,
            has_previous: page.has_previous,
        })
    }

    async fn rank<K: Of>(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        ranking: Ranking,
        first: usize,
        after: Option<&Ranked<K::Item>>,
    ) -> Result<Page<Ranked<K::Item>>, Error> {
        let size = first.clamp(1, 500);
        let scan = Scan::new(self, tx, filter).await?;
        let mut held = self.inner.memory.hold_nothing();
        let mut figures = if scan.exact() && ranking.is_counted() {
            counted::<K>(tx, &scan, ranking, &mut held).await?
        } else {
            summed::<K>(&scan, ranking, &mut held).await?
        };
        let reached = after.map(|after| after.figure);
        let sorting = self.inner.cpu.run(move |_| {
            if let Some(reached) = reached {
                figures.retain(|(_, figure)| ranking.compare(*figure, reached).is_ge());
            }
            figures.sort_unstable_by(|(_, one), (_, other)| ranking.compare(*one, *other));
            figures
        });
        let figures = sorting.await.map_err(Error::of_work)?;
        let mut items: Vec<Ranked<K::Item>> = Vec::new();
        let mut rest = figures.as_slice();
        while let Some((_, figure)) = rest.first().copied() {
            let same = rest.iter();
            let same = same.take_while(|(_, other)| ranking.compare(*other, figure).is_eq());
            let (alike, others) = rest.split_at(same.count());
            rest = others;
            let passed = after
                .filter(|after| ranking.compare(figure, after.figure).is_eq())
                .map(|after| &after.item);
            let wanted = size + 1 - items.len();
            let mut named: BTreeSet<K::Item> = BTreeSet::new();
            for some in alike.chunks(AT_ONCE) {
                let ids: Vec<i64> = some.iter().flat_map(|(key, _)| key.ids()).collect();
                let names = self.inner.dictionary.names(tx, ids.into_iter()).await?;
                let of = |key: K| key.named(|id| names.get(&id).map(|text| text.as_ref().to_owned()));
                let beyond = some.iter().filter_map(|(key, _)| of(*key));
                named.extend(beyond.filter(|item| passed.is_none_or(|passed| item > passed)));
                while named.len() > wanted {
                    named.pop_last();
                }
            }
            items.extend(named.into_iter().map(|item| Ranked { figure, item }));
            if items.len() > size {
                break;
            }
        }
        let has_next = items.len() > size;
        items.truncate(size);
        Ok(Page {
            items,
            has_next,
            has_previous: after.is_some(),
        })
    }
}

/// Counts, by the database: a row for each that has calls.
async fn counted<K: Of>(
    tx: &DatabaseTransaction,
    scan: &Scan<'_>,
    ranking: Ranking,
    held: &mut Reservation,
) -> Result<Vec<(K, Option<f64>)>, Error> {
    let number = |holds: Condition| {
        let one = CaseStatement::new().case(holds, Expr::cust("1"));
        Func::count(Expr::Case(Box::new(one)))
    };
    let of_requests = || {
        let any_kind = !scan.filter.kinds.is_empty();
        Condition::all().add_option((!any_kind).then(|| is_stream().not()))
    };
    let mut select = Query::select();
    for column in K::COLUMNS {
        select
            .expr(Expr::col(*column).cast_as(Alias::new("bigint")))
            .and_where(column.is_not_null());
    }
    select
        .expr(number(of_requests().add(Expr::cust("1 = 1"))))
        .expr(number(of_requests().add(Expr::cust(IS_ERROR))))
        .from(call::Entity)
        .cond_where(scan.condition())
        .group_by_columns(K::COLUMNS.iter().copied());
    let mut rows = tx.stream(&select).await?;
    let mut figures = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let columns = K::COLUMNS.len();
        let value = |index| row.try_get_by_index::<i64>(index);
        let values = (0..columns).map(value).collect::<Result<Vec<i64>, _>>()?;
        let count = |index| Ok::<_, Error>(u64::try_from(value(index)?).unwrap_or_default());
        let mut filling = Filling::counted(count(columns)?, count(columns + 1)?);
        if let Some(key) = K::of_row(&values) {
            push(&mut figures, (key, ranking.figure(&mut filling)), held)?;
        }
    }
    Ok(figures)
}

/// Figures of calls that are read one by one, because durations matter, or texts decide which calls are meant.
async fn summed<K: Of>(
    scan: &Scan<'_>,
    ranking: Ranking,
    held: &mut Reservation,
) -> Result<Vec<(K, Option<f64>)>, Error> {
    let any_kind = !scan.filter.kinds.is_empty();
    let mut fillings: HashMap<K, Filling> = HashMap::new();
    scan.tally(|tally| {
        let Some(key) = K::of_call(&tally) else {
            return Ok(());
        };
        if fillings.len() == fillings.capacity() && !fillings.contains_key(&key) {
            // The table while it grows, and the list that is made of it.
            let more = fillings.capacity().max(FIRST);
            held.grow(more * (2 * size_of::<(K, Filling)>() + size_of::<(K, Option<f64>)>()))?;
            fillings.reserve(more);
        }
        let filling = fillings.entry(key).or_default();
        if any_kind || !tally.is_stream() {
            filling.add(&tally, held)?;
        }
        Ok(())
    })
    .await?;
    // Percentiles sort what they are of.
    let figure = move |(key, mut filling): (K, Filling)| (key, ranking.figure(&mut filling));
    let cpu = &scan.store.inner.cpu;
    let figures = cpu.run(move |_| fillings.into_iter().map(figure).collect());
    figures.await.map_err(Error::of_work)
}

fn push<T>(list: &mut Vec<T>, item: T, held: &mut Reservation) -> Result<(), Error> {
    if list.len() == list.capacity() {
        let more = list.capacity().max(FIRST);
        held.grow(more * size_of::<T>())?;
        list.reserve_exact(more);
    }
    list.push(item);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_few_calls_is_not_certain() {
        assert_eq!(error_rate(0, 0), None);
        assert_eq!(error_rate(0, 7), Some(0.0));
        let (one, forty) = (error_rate(1, 1).unwrap(), error_rate(40, 50).unwrap());
        assert!(one < 0.21 && forty > 0.66, "{one} {forty}");
        assert!(error_rate(90, 100) < error_rate(900, 1_000));
    }

    #[test]
    fn what_has_no_figure_stands_last() {
        for descending in [false, true] {
            let ranking = Ranking {
                by: Figure::P95,
                descending,
            };
            let mut figures = [None, Some(1.0), Some(3.0), Some(2.0), None];
            figures.sort_by(|one, other| ranking.compare(*one, *other));
            let (numbers, nones) = figures.split_at(3);
            assert_eq!(nones, [None, None]);
            let sorted = [Some(1.0), Some(2.0), Some(3.0)];
            let expected: Vec<_> = if descending {
                sorted.iter().rev().copied().collect()
            } else {
                sorted.to_vec()
            };
            assert_eq!(numbers, expected);
        }
    }
}
