//! `impl Store`: the values to offer in each filter menu.

use std::collections::{BTreeSet, HashMap};

use mcptap_model::{CallFilter, Outcome};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Order, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryResult, QuerySelect,
};

use crate::read::readers::Reading;
use crate::read::scan::Scan;
use crate::read::tally::{Counter, Tally};
use crate::rows::entity::{call, client};
use crate::rows::hash::secret_hash;
use crate::search::Lookup;
use crate::{Error, Store};

/// How many values a list has at most.
const MOST: usize = 1_000;

/// How many clients are looked up together.
const CLIENTS: usize = 500;

/// A value and how many calls have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The value, as the filter takes it.
    pub value: String,
    /// How many calls have it.
    pub count: u64,
}

/// Which lists of [`Facets`] are asked for; the others stay empty and cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FacetSet {
    /// Server names.
    pub servers: bool,
    /// Tool names.
    pub tools: bool,
    /// MCP methods.
    pub methods: bool,
    /// HTTP statuses.
    pub http_statuses: bool,
    /// Outcomes.
    pub outcomes: bool,
    /// Countries.
    pub countries: bool,
    /// Client names.
    pub clients: bool,
}

impl FacetSet {
    /// All seven.
    pub const ALL: Self = Self {
        servers: true,
        tools: true,
        methods: true,
        http_statuses: true,
        outcomes: true,
        countries: true,
        clients: true,
    };
}

/// The values in use and how many calls have each, most frequent first, then by value. Each list honours every part
/// of the filter but its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Server names.
    pub servers: Vec<Facet>,
    /// Tool names.
    pub tools: Vec<Facet>,
    /// MCP methods.
    pub methods: Vec<Facet>,
    /// HTTP statuses.
    pub http_statuses: Vec<Facet>,
    /// Outcomes, by the contract's names.
    pub outcomes: Vec<Facet>,
    /// Countries.
    pub countries: Vec<Facet>,
    /// Client names.
    pub clients: Vec<Facet>,
    /// Which lists are cut off: there are more values, with no more calls than the last.
    pub more: FacetSet,
}

impl Store {
    /// The menus' values under a filter. Only what `wanted` names is computed.
    pub async fn facets(&self, filter: &CallFilter, wanted: FacetSet) -> Result<Facets, Error> {
        let tx = self.snapshot(Reading::Scan).await?;
        // Every menu asks for the same searches.
        let menu = Menu {
            store: self,
            tx: &tx,
            lookup: Lookup::of(filter, self, &tx).await?,
        };
        let mut facets = Facets::default();
        if wanted.servers {
            let filter = CallFilter {
                servers: Vec::new(),
                ..filter.clone()
            };
            (facets.servers, facets.more.servers) = menu
                .names(&filter, call::Column::Server, |tally| Some(tally.server))
                .await?;
        }
        if wanted.tools {
            let filter = CallFilter {
                tools: Vec::new(),
                ..filter.clone()
            };
            (facets.tools, facets.more.tools) = menu
                .names(&filter, call::Column::Tool, |tally| tally.tool)
                .await?;
        }
        if wanted.methods {
            let filter = CallFilter {
                methods: Vec::new(),
                ..filter.clone()
            };
            (facets.methods, facets.more.methods) = menu
                .names(&filter, call::Column::Method, |tally| Some(tally.method))
                .await?;
        }
        if wanted.http_statuses {
            let filter = CallFilter {
                http_statuses: Vec::new(),
                ..filter.clone()
            };
            (facets.http_statuses, facets.more.http_statuses) = menu
                .codes(
                    &filter,
                    call::Column::HttpStatus,
                    |tally| tally.http_status.map(i64::from),
                    |code| Some(code.to_string()),
                )
                .await?;
        }
        if wanted.outcomes {
            let filter = CallFilter {
                outcomes: Vec::new(),
                ..filter.clone()
            };
            let name = |code| Some(Outcome::from_code(i16::try_from(code).ok()?)?.as_str().to_owned());
            let code = |tally: &Tally| Some(i64::from(tally.outcome));
            (facets.outcomes, facets.more.outcomes) =
                menu.codes(&filter, call::Column::Outcome, code, name).await?;
        }
        if wanted.countries {
            let filter = CallFilter {
                countries: Vec::new(),
                ..filter.clone()
            };
            (facets.countries, facets.more.countries) =
                menu.clients(&filter, client::Column::Country).await?;
        }
        if wanted.clients {
            let filter = CallFilter {
                clients: Vec::new(),
                ..filter.clone()
            };
            (facets.clients, facets.more.clients) = menu.clients(&filter, client::Column::Name).await?;
        }
        tx.commit().await?;
        Ok(facets)
    }
}

/// Counts values in one snapshot.
struct Menu<'a> {
    store: &'a Store,
    tx: &'a DatabaseTransaction,
    lookup: Lookup,
}

impl Menu<'_> {
    /// Values that are names.
    async fn names(
        &self,
        filter: &CallFilter,
        column: call::Column,
        id: impl Fn(&Tally) -> Option<i64>,
    ) -> Result<(Vec<Facet>, bool), Error> {
        let scan = Scan::with(&self.lookup, self.store, self.tx, filter).await?;
        let counts = self.counts(&scan, column, id).await?;
        let names = self
            .store
            .inner
            .dictionary
            .names(self.tx, counts.iter().map(|(id, _)| *id))
            .await?;
        Ok(sorted(counts.into_iter().filter_map(|(id, count)| {
            Some((names.get(&id)?.as_ref().to_owned(), count))
        })))
    }

    /// Values that are numbers.
    async fn codes(
        &self,
        filter: &CallFilter,
        column: call::Column,
        code: impl Fn(&Tally) -> Option<i64>,
        name: impl Fn(i32) -> Option<String>,
    ) -> Result<(Vec<Facet>, bool), Error> {
        let scan = Scan::with(&self.lookup, self.store, self.tx, filter).await?;
        let counts = self.counts(&scan, column, code).await?;
        Ok(sorted(counts.into_iter().filter_map(|(code, count)| {
            Some((name(i32::try_from(code).ok()?)?, count))
        })))
    }

    /// How many calls have each value of a column of `calls`: the most frequent values, and one more than a list has.
    async fn counts(
        &self,
        scan: &Scan<'_>,
        column: call::Column,
        value: impl Fn(&Tally) -> Option<i64>,
    ) -> Result<Vec<(i64, u64)>, Error> {
        if !scan.exact() {
            return Ok(self.counted(scan, value).await?.most_frequent(MOST + 1));
        }
        let number = Expr::col(column).cast_as(Alias::new("bigint"));
        let counted = Query::select()
            .expr_as(number, Alias::new("value"))
            .expr_as(Func::count(Expr::cust("*")), Alias::new("number"))
            .from(call::Entity)
            .cond_where(scan.condition())
            .and_where(column.is_not_null())
            .group_by_col(column)
            .order_by(Alias::new("number"), Order::Desc)
            .order_by(Alias::new("value"), Order::Asc)
            .limit(MOST as u64 + 1)
            .take();
        let rows = self.tx.query_all(&counted).await?;
        rows.iter()
            .map(|row| Ok((row.try_get_by_index(0)?, count_at(row, 1)?)))
            .collect()
    }

    /// The same where texts decide which calls are meant. Only numbers are kept of the values.
    async fn counted(
        &self,
        scan: &Scan<'_>,
        value: impl Fn(&Tally) -> Option<i64>,
    ) -> Result<Counter<i64>, Error> {
        let mut counter = Counter::new(&self.store.inner.memory);
        scan.tally(|tally| Ok(value(&tally).map_or(Ok(()), |value| counter.add(value, 1))?))
            .await?;
        Ok(counter)
    }

    /// Values that stand with the client. Calls are counted by client first: these are few beside the calls.
    async fn clients(
        &self,
        filter: &CallFilter,
        column: client::Column,
    ) -> Result<(Vec<Facet>, bool), Error> {
        let scan = Scan::with(&self.lookup, self.store, self.tx, filter).await?;
        if !scan.exact() {
            return self.clients_by_texts(&scan, column).await;
        }
        let (counted, number) = (Alias::new("counted"), Alias::new("number"));
        let by_client = Query::select()
            .column(call::Column::Client)
            .expr_as(Func::count(Expr::cust("*")), number.clone())
            .from(call::Entity)
            .cond_where(scan.condition())
            .group_by_col(call::Column::Client)
            .take();
        let total = Func::sum(Expr::col((counted.clone(), number))).cast_as(Alias::new("bigint"));
        let select = Query::select()
            .column((client::Entity, column))
            .expr_as(total, Alias::new("total"))
            .from_subquery(by_client, counted.clone())
            .inner_join(
                client::Entity,
                Expr::col((client::Entity, client::Column::Id)).equals((counted, call::Column::Client)),
            )
            .and_where(Expr::col((client::Entity, column)).is_not_null())
            .group_by_col((client::Entity, column))
            .order_by(Alias::new("total"), Order::Desc)
            .order_by((client::Entity, column), Order::Asc)
            .limit(MOST as u64 + 1)
            .take();
        let rows = self.tx.query_all(&select).await?;
        let counts: Result<Vec<(String, u64)>, Error> = rows
            .iter()
            .map(|row| Ok((row.try_get_by_index(0)?, count_at(row, 1)?)))
            .collect();
        Ok(sorted(counts?.into_iter()))
    }

    /// The same where texts decide which calls are meant. Clients are counted by number, and their values by hash: only
    /// the values of the list itself are kept.
    async fn clients_by_texts(
        &self,
        scan: &Scan<'_>,
        column: client::Column,
    ) -> Result<(Vec<Facet>, bool), Error> {
        let clients = self.counted(scan, |tally| Some(tally.client)).await?;
        let mut by_value = Counter::new(&self.store.inner.memory);
        let mut ids = clients.iter().peekable();
        while ids.peek().is_some() {
            let some: HashMap<i64, u64> = ids
                .by_ref()
                .take(CLIENTS)
                .map(|(id, count)| (*id, count))
                .collect();
            for (id, value) in self.client_values(column, some.keys().copied()).await? {
                by_value.add(secret_hash(&value), some.get(&id).copied().unwrap_or_default())?;
            }
        }
        let top = by_value.most_frequent(MOST + 1);
        // Of the values with as many calls as the last of these, the first by text are wanted.
        let least = top.get(MOST).map_or(0, |(_, count)| *count);
        let above = top.iter().filter(|(_, count)| *count > least).count();
        let (mut counts, mut tied): (HashMap<String, u64>, BTreeSet<String>) = Default::default();
        let mut ids = clients.iter().peekable();
        while ids.peek().is_some() {
            let some: Vec<i64> = ids.by_ref().take(CLIENTS).map(|(id, _)| *id).collect();
            for (_, value) in self.client_values(column, some.into_iter()).await? {
                let count = by_value.count(&secret_hash(&value));
                if count > least {
                    counts.insert(value, count);
                } else if count == least {
                    tied.insert(value);
                    if above + tied.len() > MOST + 1 {
                        tied.pop_last();
                    }
                }
            }
        }
        counts.extend(tied.into_iter().map(|value| (value, least)));
        Ok(sorted(counts.into_iter()))
    }

    /// A column of these clients, where it is known.
    async fn client_values(
        &self,
        column: client::Column,
        ids: impl Iterator<Item = i64>,
    ) -> Result<Vec<(i64, String)>, Error> {
        let values = client::Entity::find()
            .select_only()
            .columns([client::Column::Id, column])
            .filter(client::Column::Id.is_in(ids))
            .filter(column.is_not_null());
        Ok(values.into_tuple().all(self.tx).await?)
    }
}

fn count_at(row: &QueryResult, index: usize) -> Result<u64, Error> {
    Ok(u64::try_from(row.try_get_by_index::<i64>(index)?).unwrap_or_default())
}

/// Most frequent first, then by value; and whether there are more than a list has.
fn sorted(counts: impl Iterator<Item = (String, u64)>) -> (Vec<Facet>, bool) {
    let mut facets: Vec<Facet> = counts.map(|(value, count)| Facet { value, count }).collect();
    facets.sort_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| one.value.cmp(&other.value))
    });
    let more = facets.len() > MOST;
    facets.truncate(MOST);
    (facets, more)
}
