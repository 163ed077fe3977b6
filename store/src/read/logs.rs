//! `impl Store`: the console output of calls.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use mcptap_model::{LogLine, UnixNanos};
use sea_orm::sea_query::{
    Alias, Asterisk, Expr, ExprTrait, Func, IntoCondition, JoinType, Order, Query, SelectStatement,
    SimpleExpr, WindowStatement,
};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, FromQueryResult, QueryResult};

use crate::metrics::Counters;
use crate::read::readers::Reading;
use crate::rows::dictionary;
use crate::rows::entity::{call, log_line};
use crate::{Error, LogPosition, Page, PageRequest, Store};

/// How many bytes the lines of one page have at most, unless its first line alone has more.
const PAGE_BYTES: i64 = 4 << 20;

/// Names of what is computed of a line: its bytes, its number among those of its call, and the bytes up to it.
const SIZE: &str = "size";
const NUMBER: &str = "number";
const RUNNING: &str = "running";

impl Store {
    /// The console output of the calls in these rows, oldest first: the same page of each, in one query. Every row
    /// asked for has an entry. A page has fewer lines than asked for, and says that there are more, where they would
    /// have more than 4 MiB together.
    pub async fn logs(
        &self,
        rows: &[i64],
        page: PageRequest<LogPosition>,
    ) -> Result<HashMap<i64, Page<(LogPosition, LogLine)>>, Error> {
        let pages = self.logs_that_fit(rows, page, |_| Ok::<_, Infallible>(()));
        let pages = pages.await?.into_iter();
        Ok(pages
            .map(|(row, page)| {
                let Ok(page) = page;
                (row, page)
            })
            .collect())
    }

    /// The same, as far as there is room. `fits` is told how many bytes the page of the next call takes in memory, in the
    /// order of the rows and before any line is read; what does not fit is left where it is, and the refusal given in its
    /// place.
    pub async fn logs_that_fit<E: Send>(
        &self,
        rows: &[i64],
        page: PageRequest<LogPosition>,
        mut fits: impl FnMut(usize) -> Result<(), E> + Send,
    ) -> Result<HashMap<i64, Result<Page<(LogPosition, LogLine)>, E>>, Error> {
        let bounds = page.bounds();
        let tx = self.snapshot(Reading::Light).await?;
        let weights = tx.query_all(&self.weights(rows, &page)).await?;
        let weights: HashMap<i64, usize> = weights.iter().map(weight).collect::<Result<_, _>>()?;
        let (mut wanted, mut refused) = (Vec::with_capacity(rows.len()), HashMap::new());
        for row in rows {
            match weights.get(row).map_or(Ok(()), |bytes| fits(*bytes)) {
                Ok(()) => wanted.push(*row),
                Err(refusal) => drop(refused.insert(*row, refusal)),
            }
        }
        let found = tx.query_all(&self.lines(&wanted, &page)).await?;
        tx.commit().await?;
        // Lines of several calls may have 32 MiB together.
        let counters = Arc::clone(&self.inner.counters);
        let decoding = self.inner.cpu.run(move |cancelled| {
            let rows = found.into_iter().take_while(|_| !cancelled.get());
            rows.map(|row| Ok(Read::of(log_line::Model::from_query_result(&row, "")?, &counters)))
                .collect::<Result<Vec<_>, Error>>()
        });
        let lines = decoding.await.map_err(Error::of_work)??;
        let mut lines_of: HashMap<i64, Vec<Read>> = wanted.iter().map(|row| (*row, Vec::new())).collect();
        for line in lines {
            if let Some(of_call) = lines_of.get_mut(&line.call) {
                of_call.push(line);
            }
        }
        let pages = lines_of.into_iter().map(|(row, mut lines)| {
            let fitting = fitting(&lines, bounds.size);
            let cut = lines.len() > fitting;
            lines.truncate(fitting);
            if bounds.backward {
                lines.reverse();
            }
            // A position given was that of a line, which stands on the other side.
            let (has_next, has_previous) = if bounds.backward {
                (page.before.is_some(), cut)
            } else {
                (cut, page.after.is_some())
            };
            let items = lines.into_iter();
            let items = items.filter_map(|read| Some((read.position, read.line?)));
            let page = Page {
                items: items.collect(),
                has_next,
                has_previous,
            };
            (row, Ok(page))
        });
        let refused = refused.into_iter().map(|(row, refusal)| (row, Err(refusal)));
        Ok(pages.chain(refused).collect())
    }

    /// Selects how many bytes the page of each call has, and how many lines.
    fn weights(&self, rows: &[i64], page: &PageRequest<LogPosition>) -> SelectStatement {
        let sum = Func::sum(Expr::col(Alias::new(SIZE)));
        Query::select()
            .column(log_line::Column::Call)
            .expr(SimpleExpr::from(sum).cast_as("bigint"))
            .expr(Expr::col(Asterisk).count())
            .from_subquery(self.numbered(rows, page), Alias::new("numbered"))
            .cond_where(on_page(page))
            .group_by_col(log_line::Column::Call)
            .take()
    }

    /// Selects the lines of the page of each call, and one more where there are more.
    fn lines(&self, rows: &[i64], page: &PageRequest<LogPosition>) -> SelectStatement {
        let table = Alias::new("numbered");
        let same =
            |column: log_line::Column| Expr::col((table.clone(), column)).equals((log_line::Entity, column));
        Query::select()
            .column((log_line::Entity, Asterisk))
            .from_subquery(self.numbered(rows, page), table.clone())
            .join(
                JoinType::InnerJoin,
                log_line::Entity,
                same(log_line::Column::Call)
                    .and(same(log_line::Column::Time))
                    .and(same(log_line::Column::Fingerprint)),
            )
            // PostgreSQL may join by another way than the key: then it reads no lines of other calls.
            .and_where(log_line::Column::Call.is_in(rows.iter().copied()))
            .cond_where(on_page(page))
            .order_by(Alias::new(NUMBER), Order::Asc)
            .take()
    }

    /// Selects the keys of the lines of calls, each with its size, its number, and the bytes up to it.
    fn numbered(&self, rows: &[i64], page: &PageRequest<LogPosition>) -> SelectStatement {
        let backward = page.bounds().backward;
        let order = if backward { Order::Desc } else { Order::Asc };
        let kept = Query::select()
            .column(call::Column::Id)
            .from(call::Entity)
            .cond_where(call::Column::Id.is_in(rows.iter().copied()))
            .cond_where(self.kept())
            .take();
        let in_order = || {
            let mut window = WindowStatement::partition_by(log_line::Column::Call);
            window
                .order_by(log_line::Column::Time, order.clone())
                .order_by(log_line::Column::Fingerprint, order.clone());
            window
        };
        let length = |column: log_line::Column| {
            let length = Func::cust("LENGTH").arg(Expr::col(column));
            SimpleExpr::from(Func::coalesce([length.into(), Expr::val(0)]))
        };
        let bytes = length(log_line::Column::Body).add(length(log_line::Column::Attributes));
        // Lengths come first: the windows of SQLite would copy the texts themselves, those of all lines of a call.
        let sized = Query::select()
            .columns([
                log_line::Column::Call,
                log_line::Column::Time,
                log_line::Column::Fingerprint,
            ])
            .expr_as(bytes, Alias::new(SIZE))
            .from(log_line::Entity)
            .cond_where(log_line::Column::Call.in_subquery(kept))
            .cond_where(
                Condition::all()
                    .add_option(page.after.map(|after| beyond(after, true)))
                    .add_option(page.before.map(|before| beyond(before, false))),
            )
            .take();
        Query::select()
            .column(Asterisk)
            .expr_window_as(Func::cust("ROW_NUMBER"), in_order(), Alias::new(NUMBER))
            // The bytes of a line and of all before it.
            .expr_window_as(
                Func::sum(Expr::col(Alias::new(SIZE))),
                in_order(),
                Alias::new(RUNNING),
            )
            .from_subquery(sized, Alias::new("sized"))
            .take()
    }
}

/// That a numbered line is on the page, or the first after it: that tells whether there are more.
fn on_page(page: &PageRequest<LogPosition>) -> Condition {
    let number = || Expr::col(Alias::new(NUMBER));
    let before = Expr::col(Alias::new(RUNNING)).sub(Expr::col(Alias::new(SIZE)));
    Condition::all()
        .add(number().lte(page.bounds().size as i64 + 1))
        // The first line comes whatever its size, and the second tells that there are more.
        .add(before.lte(PAGE_BYTES).or(number().lte(2)))
}

/// A row of [`Store::weights`]: the call, and about how many bytes its lines take in memory.
fn weight(row: &QueryResult) -> Result<(i64, usize), DbErr> {
    let [call, bytes, lines] = [0, 1, 2].map(|column| row.try_get_by_index::<i64>(column));
    let bytes = usize::try_from(bytes?).unwrap_or(usize::MAX);
    let lines = usize::try_from(lines?).unwrap_or(usize::MAX);
    Ok((
        call?,
        bytes.saturating_add(lines.saturating_mul(size_of::<LogLine>())),
    ))
}

/// A line as it was read.
struct Read {
    call: i64,
    position: LogPosition,
    /// As the statement counts them: body and attributes, as they are stored.
    bytes: i64,
    /// Nothing where it cannot be read; it has its place among the others all the same.
    line: Option<LogLine>,
}

impl Read {
    fn of(row: log_line::Model, counters: &Counters) -> Self {
        let bytes = row.body.len() + row.attributes.as_ref().map_or(0, Vec::len);
        Self {
            call: row.call,
            position: LogPosition {
                time: UnixNanos(row.time),
                ordinal: row.fingerprint,
            },
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            line: dictionary::log_line(row, &mut |error| counters.damaged(error)),
        }
    }
}

/// How many of the lines that were read for a page make it up. Those beyond it only tell that there are more, so this is
/// where the statement stopped, by the same numbers.
fn fitting(lines: &[Read], size: usize) -> usize {
    let mut bytes = 0_i64;
    let fitting = lines.iter().take(size).enumerate().take_while(|(number, line)| {
        bytes = bytes.saturating_add(line.bytes);
        *number == 0 || bytes <= PAGE_BYTES
    });
    fitting.count()
}

fn beyond(position: LogPosition, later: bool) -> Condition {
    let (time, ordinal) = (position.time.0, position.ordinal);
    let exact = if later {
        log_line::Column::Time.gt(time).or(log_line::Column::Time
            .eq(time)
            .and(log_line::Column::Fingerprint.gt(ordinal)))
    } else {
        log_line::Column::Time.lt(time).or(log_line::Column::Time
            .eq(time)
            .and(log_line::Column::Fingerprint.lt(ordinal)))
    };
    exact.into_condition()
}
