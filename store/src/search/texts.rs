//! Reading what is searched of calls: a few rows at a time, as many as have a megabyte of bodies together, and each body
//! unpacked alone, on the threads that are there for it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use mcptap_model::Call;
use mcptap_model::search::{Stop, Stopped, TextReader};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect,
};
use tokio::time::timeout_at;

use crate::limits::operation::Operation;
use crate::metrics::Counters;
use crate::rows::body::{flag, unpack, unpacked_size};
use crate::rows::entity::{detail, log_line};
use crate::{CpuPool, Error, MemoryBudget, Stored};

/// How many bytes, as they are stored, are read together, give or take those of one call.
const BATCH: usize = 1 << 20;

/// How many calls are asked about together.
const CALLS: usize = 200;

/// How many log lines are read together at most.
const LINES: u64 = 1_000;

/// Reads texts in one snapshot.
pub(crate) struct Texts<'a> {
    pub(crate) tx: &'a DatabaseTransaction,
    pub(crate) cpu: &'a CpuPool,
    /// What texts take while they are read. Without one they take what one batch may.
    pub(crate) memory: Option<&'a MemoryBudget>,
    pub(crate) operation: Operation,
    /// Where bodies are counted that cannot be read. They are as if they were empty.
    pub(crate) counters: &'a Arc<Counters>,
}

/// A call and what reads its texts.
struct Row<R> {
    row: i64,
    call: Arc<Call>,
    reader: R,
    bodies: Vec<(Vec<u8>, bool)>,
    lines: Vec<Vec<u8>>,
}

/// How many bytes a call's texts have as they are stored.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    bodies: usize,
    lines: usize,
    line_count: usize,
}

#[derive(FromQueryResult)]
struct BodyRow {
    call: i64,
    request: Option<Vec<u8>>,
    response: Option<Vec<u8>>,
    flags: i16,
}

#[derive(FromQueryResult)]
struct LineRow {
    call: i64,
    time: i64,
    fingerprint: i64,
    body: Vec<u8>,
}

impl Texts<'_> {
    /// Shows the texts of each call to a reader of its own, with `bodies` also bodies and log lines, and hands it to
    /// `done`, call by call in their order, until that breaks off.
    pub(crate) async fn read<R: TextReader + Send + 'static>(
        &self,
        calls: &[Stored],
        bodies: bool,
        reader: impl Fn() -> R,
        mut done: impl FnMut(&Stored, R) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        for calls in calls.chunks(CALLS) {
            let sizes = if bodies {
                self.sizes(calls).await?
            } else {
                HashMap::new()
            };
            let size = |stored: &Stored| sizes.get(&stored.row).copied().unwrap_or_default();
            let mut rest = calls;
            while !rest.is_empty() {
                let mut bytes = 0;
                let fitting = rest.iter().take_while(|stored| {
                    let more = bytes < BATCH;
                    let Size { bodies, lines, .. } = size(stored);
                    bytes += bodies + lines.min(BATCH);
                    more
                });
                let (some, others) = rest.split_at(fitting.count());
                rest = others;
                let some_sizes: Vec<Size> = some.iter().map(size).collect();
                let readers = self.read_some(some, &some_sizes, bodies, &reader).await?;
                for (stored, reader) in some.iter().zip(readers) {
                    if done(stored, reader).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn read_some<R: TextReader + Send + 'static>(
        &self,
        calls: &[Stored],
        sizes: &[Size],
        bodies: bool,
        reader: &impl Fn() -> R,
    ) -> Result<Vec<R>, Error> {
        let mut rows: Vec<Row<R>> = calls
            .iter()
            .map(|stored| Row {
                row: stored.row,
                call: Arc::clone(&stored.call),
                reader: reader(),
                bodies: Vec::new(),
                lines: Vec::new(),
            })
            .collect();
        let mut held = None;
        // Those of calls with many log lines are read page by page afterwards.
        let mut paged: Vec<usize> = Vec::new();
        if bodies {
            let place: HashMap<i64, usize> = calls.iter().map(|stored| stored.row).zip(0..).collect();
            let bytes = sizes.iter().map(|size| size.bodies + size.lines.min(BATCH)).sum();
            held = self.memory.map(|memory| memory.try_reserve(bytes)).transpose()?;
            let with_bodies = calls.iter().zip(sizes).filter(|(_, size)| size.bodies > 0);
            let with_bodies: Vec<i64> = with_bodies.map(|(stored, _)| stored.row).collect();
            for row in self.bodies(&with_bodies).await? {
                let Some(entry) = place.get(&row.call).and_then(|at| rows.get_mut(*at)) else {
                    continue;
                };
                let packed = |flag: i16| row.flags & flag != 0;
                entry
                    .bodies
                    .extend(row.request.map(|body| (body, packed(flag::REQUEST_COMPRESSED))));
                entry
                    .bodies
                    .extend(row.response.map(|body| (body, packed(flag::RESPONSE_COMPRESSED))));
            }
            let mut with_lines = Vec::new();
            for (at, (stored, size)) in calls.iter().zip(sizes).enumerate() {
                if size.lines > BATCH {
                    paged.push(at);
                } else if size.line_count > 0 {
                    with_lines.push(stored.row);
                }
            }
            for line in self.lines(&with_lines).await? {
                if let Some(entry) = place.get(&line.call).and_then(|at| rows.get_mut(*at)) {
                    entry.lines.push(line.body);
                }
            }
        }
        let mut readers = self.run(rows).await?;
        drop(held);
        for at in paged {
            let Some(stored) = calls.get(at) else { continue };
            let mut after = None;
            while readers.get(at).is_some_and(|reader| !reader.is_done()) {
                let (fitting, bytes, more) = self.next_lines(stored.row, after).await?;
                let _held = self.memory.map(|memory| memory.try_reserve(bytes)).transpose()?;
                let lines = self.page_of_lines(stored.row, after, fitting).await?;
                after = lines.last().map(|line| (line.time, line.fingerprint)).or(after);
                // The reader goes on with the next lines; a fresh one stands in its place meanwhile.
                let Some(slot) = readers.get_mut(at) else { break };
                let row = Row {
                    row: stored.row,
                    call: Arc::clone(&stored.call),
                    reader: std::mem::replace(slot, reader()),
                    bodies: Vec::new(),
                    lines: lines.into_iter().map(|line| line.body).collect(),
                };
                let read = self.run(vec![row]).await?;
                if let (Some(slot), Some(reader)) = (readers.get_mut(at), read.into_iter().next()) {
                    *slot = reader;
                }
                if !more {
                    break;
                }
            }
        }
        Ok(readers)
    }

    /// Reads on a thread that is there for it.
    async fn run<R: TextReader + Send + 'static>(&self, rows: Vec<Row<R>>) -> Result<Vec<R>, Error> {
        let (operation, memory) = (self.operation.clone(), self.memory.cloned());
        let counters = Arc::clone(self.counters);
        let reading = self.cpu.run(move |cancelled| {
            let stop = || cancelled.get() || operation.is_over();
            rows.into_iter()
                .map(|row| row.read(memory.as_ref(), &counters, &stop))
                .collect::<Result<Vec<R>, Error>>()
        });
        match timeout_at(self.operation.deadline().into(), reading).await {
            Ok(Ok(readers)) => readers,
            Ok(Err(error)) => Err(Error::of_work(error)),
            Err(_) => Err(Error::TimedOut),
        }
    }

    async fn sizes(&self, calls: &[Stored]) -> Result<HashMap<i64, Size>, Error> {
        let ids = || calls.iter().map(|stored| stored.row);
        let length = |column: detail::Column| {
            let length = Func::cust("LENGTH").arg(Expr::col(column));
            Expr::from(Func::coalesce([length.into(), Expr::val(0)])).cast_as(Alias::new("bigint"))
        };
        let bodies = Query::select()
            .column(detail::Column::Call)
            .expr(length(detail::Column::Request))
            .expr(length(detail::Column::Response))
            .from(detail::Entity)
            .and_where(detail::Column::Call.is_in(ids()))
            .take();
        let line = Func::cust("LENGTH").arg(Expr::col(log_line::Column::Body));
        let lines = Query::select()
            .column(log_line::Column::Call)
            .expr(Expr::from(Func::sum(Expr::from(line))).cast_as(Alias::new("bigint")))
            .expr(Func::count(Expr::cust("*")))
            .from(log_line::Entity)
            .and_where(log_line::Column::Call.is_in(ids()))
            .group_by_col(log_line::Column::Call)
            .take();
        let mut sizes: HashMap<i64, Size> = HashMap::new();
        for (call, request, response) in self.numbers(&bodies).await? {
            sizes.entry(call).or_default().bodies = request + response;
        }
        for (call, lines, line_count) in self.numbers(&lines).await? {
            let size = sizes.entry(call).or_default();
            (size.lines, size.line_count) = (lines, line_count);
        }
        Ok(sizes)
    }

    async fn numbers(&self, select: &SelectStatement) -> Result<Vec<(i64, usize, usize)>, Error> {
        let size = |number: Option<i64>| {
            number
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(0)
        };
        let rows = self.tx.query_all(select).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get_by_index(0)?,
                    size(row.try_get_by_index(1)?),
                    size(row.try_get_by_index(2)?),
                ))
            })
            .collect()
    }

    async fn bodies(&self, calls: &[i64]) -> Result<Vec<BodyRow>, Error> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let select = detail::Entity::find().select_only().columns([
            detail::Column::Call,
            detail::Column::Request,
            detail::Column::Response,
            detail::Column::Flags,
        ]);
        let of_calls = select.filter(detail::Column::Call.is_in(calls.iter().copied()));
        Ok(of_calls.into_model().all(self.tx).await?)
    }

    async fn lines(&self, calls: &[i64]) -> Result<Vec<LineRow>, Error> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let of_calls = line_bodies().filter(log_line::Column::Call.is_in(calls.iter().copied()));
        Ok(of_calls.into_model().all(self.tx).await?)
    }

    /// How many of a call's next lines are read together, how many bytes they have, and whether there are more. Lengths
    /// come first: a line may have a thousand times the bytes of the next.
    async fn next_lines(&self, call: i64, after: Option<(i64, i64)>) -> Result<(u64, usize, bool), Error> {
        let length = Func::cust("LENGTH").arg(Expr::col(log_line::Column::Body));
        let lengths = log_line::Entity::find()
            .select_only()
            .expr(Expr::from(length).cast_as(Alias::new("bigint")));
        let lengths: Vec<i64> = page(lengths, call, after, LINES)
            .into_tuple()
            .all(self.tx)
            .await?;
        let lengths = lengths
            .into_iter()
            .map(|bytes| usize::try_from(bytes).unwrap_or_default());
        let (fitting, bytes, more) = fitting(lengths);
        Ok((fitting, bytes, more || fitting == LINES))
    }

    async fn page_of_lines(
        &self,
        call: i64,
        after: Option<(i64, i64)>,
        limit: u64,
    ) -> Result<Vec<LineRow>, Error> {
        let page = page(line_bodies(), call, after, limit);
        Ok(page.into_model().all(self.tx).await?)
    }
}

/// How many of these lengths are one batch, the first in any case, what they sum up to, and whether some are left.
fn fitting(lengths: impl Iterator<Item = usize>) -> (u64, usize, bool) {
    let (mut count, mut bytes) = (0, 0);
    for length in lengths {
        if count > 0 && bytes + length > BATCH {
            return (count, bytes, true);
        }
        count += 1;
        bytes += length;
    }
    (count, bytes, false)
}

/// The lines of a call beyond one, in order.
fn page(
    select: sea_orm::Select<log_line::Entity>,
    call: i64,
    after: Option<(i64, i64)>,
    limit: u64,
) -> sea_orm::Select<log_line::Entity> {
    let beyond = after.map(|(time, fingerprint)| {
        Condition::all().add(log_line::Column::Time.gte(time)).add(
            log_line::Column::Time
                .gt(time)
                .or(log_line::Column::Fingerprint.gt(fingerprint)),
        )
    });
    select
        .filter(log_line::Column::Call.eq(call))
        .filter(Condition::all().add_option(beyond))
        .order_by_asc(log_line::Column::Time)
        .order_by_asc(log_line::Column::Fingerprint)
        .limit(limit)
}

fn line_bodies() -> sea_orm::Select<log_line::Entity> {
    log_line::Entity::find().select_only().columns([
        log_line::Column::Call,
        log_line::Column::Time,
        log_line::Column::Fingerprint,
        log_line::Column::Body,
    ])
}

impl<R: TextReader> Row<R> {
    fn read(
        mut self,
        memory: Option<&MemoryBudget>,
        counters: &Counters,
        stop: Stop<'_>,
    ) -> Result<R, Error> {
        let out_of_time = |Stopped| Error::TimedOut;
        if stop() {
            return Err(Error::TimedOut);
        }
        let reader = &mut self.reader;
        if let Some(target) = self.call.target() {
            reader.target(target, stop).map_err(out_of_time)?;
        }
        if let Some(message) = &self.call.error_message {
            reader.text(message, stop).map_err(out_of_time)?;
        }
        for (body, packed) in self.bodies {
            if reader.is_done() {
                break;
            }
            let _held = memory
                .map(|memory| memory.try_reserve(unpacked_size(&body, packed)))
                .transpose()?;
            let Some(text) = unpack(body, packed) else {
                counters.damaged(&Error::Damaged {
                    table: "details",
                    row: self.row,
                    what: "a body cannot be read",
                });
                continue;
            };
            reader.body(&text, stop).map_err(out_of_time)?;
        }
        for line in self.lines {
            if reader.is_done() {
                break;
            }
            reader
                .text(&String::from_utf8_lossy(&line), stop)
                .map_err(out_of_time)?;
        }
        Ok(self.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_whatever_the_lines() {
        let large = std::iter::repeat_n(BATCH, 3);
        let small = std::iter::repeat_n(10, 100_000);
        assert_eq!(fitting(large.clone().chain(small.clone())), (1, BATCH, true));
        assert_eq!(fitting(small.clone().take(5).chain(large)), (5, 50, true));
        assert_eq!(fitting(small.take(5)), (5, 50, false));
        assert_eq!(fitting(std::iter::once(2 * BATCH)), (1, 2 * BATCH, false));
        assert_eq!(fitting(std::iter::empty()), (0, 0, false));
    }
}
