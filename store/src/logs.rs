//! `impl Store`: the console output of calls.

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_model::{LogLine, UnixNanos};
use sea_orm::sea_query::{
    Alias, Asterisk, Expr, ExprTrait, Func, IntoCondition, JoinType, Order, Query, SimpleExpr,
    WindowStatement,
};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, FromQueryResult};

use crate::entity::{call, log_line};
use crate::metrics::Counters;
use crate::readers::Reading;
use crate::{Error, LogPosition, Page, PageRequest, Store, dictionary};

/// How many bytes the lines of one page have at most, unless its first line alone has more.
const PAGE_BYTES: i64 = 4 << 20;

impl Store {
    /// The console output of the calls in these rows, oldest first: the same page of each, in one query. Every row
    /// asked for has an entry. A page has fewer lines than asked for, and says that there are more, where they would
    /// have more than 4 MiB together.
    pub async fn logs(
        &self,
        rows: &[i64],
        page: PageRequest<LogPosition>,
    ) -> Result<HashMap<i64, Page<(LogPosition, LogLine)>>, Error> {
        let bounds = page.bounds();
        let order = if bounds.backward { Order::Desc } else { Order::Asc };
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
        let bytes = || length(log_line::Column::Body).add(length(log_line::Column::Attributes));
        let (size, number, running) = (Alias::new("size"), Alias::new("number"), Alias::new("running"));
        // Lengths come first: the windows of SQLite would copy the texts themselves, those of all lines of a call.
        let sized = Query::select()
            .columns([
                log_line::Column::Call,
                log_line::Column::Time,
                log_line::Column::Fingerprint,
            ])
            .expr_as(bytes(), size.clone())
            .from(log_line::Entity)
            .cond_where(log_line::Column::Call.in_subquery(kept))
            .cond_where(
                Condition::all()
                    .add_option(page.after.map(|after| beyond(after, true)))
                    .add_option(page.before.map(|before| beyond(before, false))),
            )
            .take();
        let numbered = Query::select()
            .column(Asterisk)
            .expr_window_as(Func::cust("ROW_NUMBER"), in_order(), number.clone())
            // The bytes of a line and of all before it.
            .expr_window_as(Func::sum(Expr::col(size.clone())), in_order(), running.clone())
            .from_subquery(sized, Alias::new("sized"))
            .take();
        let table = Alias::new("numbered");
        let same =
            |column: log_line::Column| Expr::col((table.clone(), column)).equals((log_line::Entity, column));
        // One more than wanted tells whether there are more.
        let select = Query::select()
            .column((log_line::Entity, Asterisk))
            .from_subquery(numbered, table.clone())
            .join(
                JoinType::InnerJoin,
                log_line::Entity,
                same(log_line::Column::Call)
                    .and(same(log_line::Column::Time))
                    .and(same(log_line::Column::Fingerprint)),
            )
            // PostgreSQL may join by another way than the key: then it reads no lines of other calls.
            .and_where(log_line::Column::Call.is_in(rows.iter().copied()))
            .and_where(Expr::col(number.clone()).lte(bounds.size as i64 + 1))
            .and_where(
                // The first line comes whatever its size, and the second tells that there are more.
                Expr::col(running)
                    .sub(Expr::col(size))
                    .lte(PAGE_BYTES)
                    .or(Expr::col(number.clone()).lte(2)),
            )
            .order_by(number, Order::Asc)
            .take();
        let tx = self.snapshot(Reading::Light).await?;
        let found = tx.query_all(&select).await?;
        tx.commit().await?;
        // Lines of several calls may have 32 MiB together.
        let counters = Arc::clone(&self.inner.counters);
        let decoding = self.inner.cpu.run(move |cancelled| {
            let rows = found.into_iter().take_while(|_| !cancelled.get());
            rows.map(|row| Ok(Read::of(log_line::Model::from_query_result(&row, "")?, &counters)))
                .collect::<Result<Vec<_>, Error>>()
        });
        let lines = decoding.await.map_err(Error::of_work)??;
        let mut lines_of: HashMap<i64, Vec<Read>> = rows.iter().map(|row| (*row, Vec::new())).collect();
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
            (row, page)
        });
        Ok(pages.collect())
    }
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
