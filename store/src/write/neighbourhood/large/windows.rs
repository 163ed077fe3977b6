//! What a large trace has at the times of a batch: calls, HTTP spans and lines.

use std::collections::{HashMap, HashSet};

use mcptap_model::{TraceId, Vantage};
use sea_orm::ConnectionTrait;

use super::chain::Chain;
use super::{Because, Reading, Traces};
use crate::Error;
use crate::rows::entity::call;
use crate::rows::row::trace_lo;
use crate::write::fold::Reach;
use crate::write::neighbourhood::statement::{arms, each};
use crate::write::neighbourhood::weights::{CALL_BYTES, WAITING_BYTES};

/// How many origins and sides of calls of a trace are told apart within the database.
const GROUPS: usize = 8;

impl Reading<'_> {
    /// What lasted at the times of the batch: calls, HTTP spans and lines.
    pub(super) async fn in_windows(
        &mut self,
        traces: &Traces,
        limit: usize,
        chain: &mut Chain,
    ) -> Result<(), Error> {
        let rows = self.lasting(traces, limit).await?;
        self.count_full(traces, &rows, limit);
        let mut read = self.of(&rows);
        let here: HashSet<TraceId> = traces.iter().map(|(trace, _)| *trace).collect();
        read.parents.retain(|span| here.contains(&span.trace_id));
        self.aliases_of(&read).await?;
        chain.wanted.extend(read.parents);

        if !self.filled.waiting {
            return Ok(());
        }
        let keys: Vec<[i64; 2]> = traces
            .iter()
            .flat_map(|(trace, reach)| {
                let windows = reach.windows.iter();
                windows.map(|(from, _)| [trace_lo(*trace), *from])
            })
            .collect();
        let text = format!(
            "SELECT id, {WAITING_BYTES} AS bytes, arrived_at, trace_lo FROM waiting \
             WHERE trace_lo = ? AND ended_at >= ? ORDER BY ended_at LIMIT {limit}"
        );
        let mut rows = Vec::new();
        for keys in keys.chunks(arms(self.db)) {
            let some = self.snapshot.query_all_raw(each(self.db, &text, keys)).await?;
            self.found.read(some.len(), usize::MAX);
            rows.extend(some);
        }
        let mut of_traces: HashMap<i64, HashSet<i64>> = HashMap::new();
        for row in &rows {
            let of_trace = of_traces.entry(row.try_get_by_index(3)?).or_default();
            of_trace.insert(row.try_get_by_index(0)?);
        }
        let most = of_traces.values().map(HashSet::len).max().unwrap_or_default();
        self.found.stopped(most >= limit);
        let rows = self.current(&rows)?;
        self.take(&rows, chain).await?;
        Ok(())
    }

    /// Counts where a stretch of time has more calls than are read. That one was looked through for nothing but what began
    /// later, as it is when old calls come late, is not counted: what lasts beyond the limit is related by ids.
    fn count_full(&mut self, traces: &Traces, rows: &[i64], limit: usize) {
        let mut calls: HashMap<i64, Vec<&call::Model>> = HashMap::new();
        for call in rows.iter().filter_map(|row| self.found.call(*row)) {
            calls.entry(call.trace_lo).or_default().push(call);
        }
        let is_full = traces.iter().any(|(trace, reach)| {
            let calls = calls.get(&trace_lo(*trace)).map_or(&[][..], Vec::as_slice);
            reach.windows.iter().any(|(from, to)| {
                let lasts = |call: &&&call::Model| {
                    call.started_at <= *to && call.started_at / 2 + call.duration / 2 >= from / 2 - 1
                };
                calls.iter().filter(lasts).count() >= limit
            })
        });
        self.found.stopped(is_full);
    }

    /// Calls that lasted in the stretches of time. Of those that only ids relate to the batch (see [`Reach::alike`]) there
    /// may be very many; they are told apart within the database.
    async fn lasting(&mut self, traces: &Traces, limit: usize) -> Result<Vec<i64>, Error> {
        let mut mixed: Vec<[i64; 3]> = Vec::new();
        let mut alike = Vec::new();
        for (trace, reach) in traces {
            match &reach.alike {
                Some(sender) => alike.push((stretches(*trace, reach), sender)),
                None => mixed.extend(stretches(*trace, reach)),
            }
        }
        let groups = self
            .groups(alike.iter().flat_map(|(keys, _)| keys), limit)
            .await?;
        let of_groups = groups.values().flatten().map(|(origin, _)| *origin);
        let mut grow = |bytes| self.held.grow(bytes);
        let origins = self
            .dictionary
            .origins(self.snapshot, of_groups, &mut grow)
            .await?;
        let mut told_apart: Vec<[i64; 5]> = Vec::new();
        for (keys, (service, scope)) in alike {
            let Some(of_trace) = keys.first().and_then(|[trace, ..]| groups.get(trace)) else {
                continue;
            };
            let mut of_trace = of_trace.clone();
            of_trace.retain(|(origin, vantage)| {
                *vantage == Vantage::Client.code()
                    || origins
                        .get(origin)
                        .is_none_or(|origin| origin.service != *service || origin.scope != *scope)
            });
            if of_trace.len() > GROUPS {
                mixed.extend(keys);
                continue;
            }
            told_apart.extend(keys.iter().flat_map(|[trace, from, to]| {
                let of_trace = of_trace.iter();
                of_trace.map(|(origin, vantage)| [*trace, *from, *to, *origin, i64::from(*vantage)])
            }));
        }

        let columns = format!("id, {CALL_BYTES} AS bytes, started_at, origin, vantage");
        let all = format!("SELECT near.id, near.bytes FROM {}", near(&columns, limit));
        let mut rows = Vec::new();
        for keys in mixed.chunks(arms(self.db)) {
            let statement = each(self.db, &all, keys);
            rows.extend(self.calls_of(statement, Because::Near).await?);
        }
        let text = format!("{all} AND near.origin = ? AND near.vantage = ?");
        for keys in told_apart.chunks(arms(self.db)) {
            let statement = each(self.db, &text, keys);
            rows.extend(self.calls_of(statement, Because::Near).await?);
        }
        Ok(rows)
    }

    /// The origins and sides of the calls that lasted in these stretches of time, by the trace.
    async fn groups(
        &mut self,
        keys: impl Iterator<Item = &[i64; 3]>,
        limit: usize,
    ) -> Result<HashMap<i64, HashSet<(i64, i16)>>, Error> {
        let text = format!(
            "SELECT near.trace_lo, near.origin, near.vantage, COUNT(*) FROM {} \
             GROUP BY near.trace_lo, near.origin, near.vantage",
            near("trace_lo, origin, vantage, started_at", limit)
        );
        let keys: Vec<[i64; 3]> = keys.copied().collect();
        let mut groups: HashMap<i64, HashSet<(i64, i16)>> = HashMap::new();
        let mut most = 0;
        for keys in keys.chunks(arms(self.db)) {
            let mut count = 0;
            for row in self.snapshot.query_all_raw(each(self.db, &text, keys)).await? {
                let group = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
                let of_trace = groups.entry(row.try_get_by_index(0)?).or_default();
                count += usize::from(of_trace.insert(group));
                most = row.try_get_by_index::<i64>(3)?.max(most);
            }
            self.found.read(count, usize::MAX);
        }
        self.found
            .stopped(usize::try_from(most).is_ok_and(|most| most >= limit));
        Ok(groups)
    }
}

/// The stretches of time of a trace. Ends are indexed by halves, so that no sum of a start and a duration is too large.
fn stretches(trace: TraceId, reach: &Reach) -> Vec<[i64; 3]> {
    let windows = reach.windows.iter();
    windows
        .map(|(from, to)| [trace_lo(trace), from / 2 - 1, *to])
        .collect()
}

/// The calls that lasted in a stretch of time of a trace, those that ended first.
fn near(columns: &str, limit: usize) -> String {
    format!(
        "(SELECT {columns} FROM calls WHERE trace_lo = ? AND started_at / 2 + duration / 2 >= ? \
         ORDER BY started_at / 2 + duration / 2 LIMIT {limit}) AS near WHERE near.started_at <= ?"
    )
}
