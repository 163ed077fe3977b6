//! A group of batches made ready for its transaction, while the last one runs.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{Call, Origin, SpanRef};

use crate::db::database::Database;
use crate::metrics::Counters;
use crate::rows::dictionary::{Dictionary, heavy};
use crate::rows::intern::Interner;
use crate::rows::row::{CallRow, DetailRow, LogRow, Waiting, as_listed, log_fingerprint};
use crate::write::fold::{self, Folding, Gathered, Neighbourhood, Parted, Served, Target, Told, Whole};
use crate::write::footprint::{Reads, Writes};
use crate::write::incoming::Incoming;
use crate::write::neighbourhood;
use crate::write::neighbourhood::{Held, Near};
use crate::{CpuPool, Error, MemoryBudget, clock};

/// Everything that one transaction writes.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// How often memory had been dropped when it was begun.
    pub(crate) generation: u64,
    /// The last change that the neighbourhood knew of.
    pub(crate) head: i64,
    /// The footprint of what the neighbourhood was read from.
    pub(crate) reads: Reads,
    /// The footprint of the changes.
    pub(crate) writes: Arc<Writes>,
    /// Shared values, to be turned into ids.
    pub(crate) interner: Interner,
    /// New calls.
    pub(crate) added: Vec<CallRow>,
    /// Their details, by index into `added`.
    pub(crate) added_details: Vec<(usize, DetailRow)>,
    /// Calls that are more complete now, by row.
    pub(crate) completed: Vec<(i64, CallRow)>,
    /// The new calls and then the completed ones, as followers get them.
    pub(crate) listed: Vec<Arc<Call>>,
    /// Clients (server, key) of which a completed call moved in time or went to another session.
    pub(crate) moved: Vec<(String, String)>,
    /// Their details, by row.
    pub(crate) completed_details: Vec<(i64, DetailRow)>,
    /// Completed calls that have no details any more, by row.
    pub(crate) bare: Vec<i64>,
    /// Calls that are part of another, or of nothing.
    pub(crate) removed: Vec<(i64, Option<Target>)>,
    /// Spans that are part of a call, or of nothing.
    pub(crate) aliases: Vec<(SpanRef, Option<Target>)>,
    /// Log lines of calls.
    pub(crate) logs: Vec<(Target, LogRow)>,
    /// Log lines that no longer wait.
    pub(crate) arrived: Vec<i64>,
    /// Log lines that leave this call, by fingerprint.
    pub(crate) left: Vec<(Target, i64)>,
    /// Log lines that wait for a better place than this.
    pub(crate) placed: Vec<(i64, Target)>,
    /// Calls whose parts are kept no more as they were, by row.
    pub(crate) no_parts: Vec<i64>,
    /// Calls whose parts are of different requests.
    pub(crate) parted: Vec<Parted>,
    /// Rows that wait for their calls.
    pub(crate) waiting: Vec<Waiting>,
    /// Spans that are left out: their ids are those of another sender's span.
    pub(crate) foreign: HashSet<Told>,
    /// The memory that it takes of the budget, until it is written.
    pub(crate) held: Option<Held>,
}

impl Prepared {
    /// How many changes it makes.
    pub(crate) fn changes(&self) -> i64 {
        i64::try_from(self.added.len() + self.completed.len()).unwrap_or(i64::MAX)
    }

    /// How many numbers of the sequence it takes. Never none: whoever prepares beside it must notice it. The first one
    /// stays without a change where calls are removed: no row tells other processes of that, so they must see a gap.
    pub(crate) fn numbers(&self) -> i64 {
        let gap = i64::from(!self.removed.is_empty());
        self.changes().saturating_add(gap).max(1)
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.completed.is_empty()
            && self.removed.is_empty()
            && self.aliases.is_empty()
            && self.logs.is_empty()
            && self.arrived.is_empty()
            && self.left.is_empty()
            && self.placed.is_empty()
            && self.no_parts.is_empty()
            && self.parted.is_empty()
            && self.waiting.is_empty()
    }
}

/// How far a group is when its neighbourhood is read.
enum Clustered {
    Whole(Folding),
    /// Watchers of these requests are to be read first.
    Lacking(Gathered, Vec<Served>),
}

/// How much was read of the database.
struct Counts {
    statements: u64,
    read: u64,
    cut: u64,
}

impl Counts {
    fn of(near: &Near) -> Self {
        Self {
            statements: near.statements,
            read: near.read,
            cut: near.cut,
        }
    }

    fn add(&mut self, near: &Near) {
        self.statements += near.statements;
        self.read += near.read;
        self.cut += near.cut;
    }
}

/// Makes batches ready. What is stored near them is read from the last committed state.
#[derive(Clone, Debug)]
pub(crate) struct Preparation {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) join_window: Duration,
    /// For folding. Only the two tasks that prepare groups use it, and the one that tries whether writes work, so there is
    /// always a place.
    pub(crate) cpu: CpuPool,
    pub(crate) counters: Arc<Counters>,
    /// Holds what a group reads of the database.
    pub(crate) memory: MemoryBudget,
}

impl Preparation {
    /// Reads the neighbourhood, folds, and makes rows.
    pub(crate) async fn prepare(&self, batch: Incoming) -> Result<Prepared, Error> {
        let generation = self.database.lineage().generation();
        let mut held = Held::new(&self.memory, batch.len())?;
        let mut reads = Reads::of(&batch);
        let snapshot = self.database.near_snapshot().await?;
        let (head, near) = neighbourhood::load(
            &snapshot,
            &self.dictionary,
            &batch,
            &reads.ranges,
            self.join_window,
            &mut held,
        )
        .await?;
        let mut counts = Counts::of(&near);
        reads.rows = near.rows;
        let mut origins = near.undecoded.origins();
        let undecoded = near.undecoded;
        let counters = Arc::clone(&self.counters);
        let clustered = self
            .compute(move || {
                let gathered = Gathered::new(undecoded.decode(&counters), batch);
                let served = gathered.served_in_lent_sessions();
                Ok(if served.is_empty() {
                    Clustered::Whole(gathered.fold(Neighbourhood::default()))
                } else {
                    Clustered::Lacking(gathered, served)
                })
            })
            .await?;
        let folding = match clustered {
            Clustered::Whole(folding) => folding,
            Clustered::Lacking(gathered, served) => {
                let near = neighbourhood::load_watchers(
                    &snapshot,
                    &self.dictionary,
                    &served,
                    self.join_window,
                    &mut held,
                )
                .await?;
                counts.add(&near);
                reads.traces.extend(served.iter().map(|served| served.key));
                reads.rows.extend(&near.rows);
                origins.extend(near.undecoded.origins());
                let undecoded = near.undecoded;
                let counters = Arc::clone(&self.counters);
                self.compute(move || Ok(gathered.fold(undecoded.decode(&counters))))
                    .await?
            }
        };
        let found = neighbourhood::read_details(&snapshot, &folding.wanted(), &mut held).await?;
        snapshot.commit().await?;
        let (detailed, too_large) = (found.rows.len(), found.unread.len() as u64);
        let counters = Arc::clone(&self.counters);
        let (mut prepared, compared, cut) = self
            .compute(move || {
                let mut unread = found.unread;
                let mut details = HashMap::with_capacity(found.rows.len());
                for row in found.rows {
                    let call = row.call;
                    match heavy(row) {
                        Ok(heavy) => drop(details.insert(call, heavy)),
                        Err(error) => {
                            counters.damaged(&error);
                            unread.insert(call);
                        }
                    }
                }
                let changes = folding.finish(details, &unread);
                let (compared, cut) = (changes.compared, changes.cut);
                Ok((rows(head, reads, origins, changes), compared, cut))
            })
            .await?;
        prepared.held = Some(held);
        prepared.generation = generation;
        self.counters.joined(
            counts.statements,
            counts.read,
            detailed,
            compared,
            counts.cut + too_large + cut,
        );
        Ok(prepared)
    }

    /// Runs work that keeps a core busy on a thread of its own.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.cpu.run(|_| work()).await.map_err(Error::Work)?
    }
}

fn rows(head: i64, reads: Reads, origins: Vec<(i64, Arc<Origin>)>, changes: fold::Changes) -> Prepared {
    let now = clock::now().0;
    let writes = Arc::new(Writes::of(&reads, &changes));
    let mut interner = Interner::knowing(origins);
    let mut added = Vec::with_capacity(changes.added.len());
    let mut added_details = Vec::with_capacity(changes.added.len());
    let mut listed = Vec::with_capacity(changes.added.len() + changes.completed.len());
    for (index, Whole { call, bodies }) in changes.added.into_iter().enumerate() {
        listed.push(Arc::new(as_listed(&call)));
        let (row, details) = CallRow::new(call, bodies, &mut interner);
        added.push(row);
        added_details.extend(details.map(|details| (index, details)));
    }
    let mut completed = Vec::with_capacity(changes.completed.len());
    let mut completed_details = Vec::new();
    let mut bare = Vec::new();
    for (id, Whole { call, bodies }) in changes.completed {
        listed.push(Arc::new(as_listed(&call)));
        let (row, details) = CallRow::new(call, bodies, &mut interner);
        completed.push((id, row));
        match details {
            _ if changes.undetailed.contains(&id) => {}
            Some(details) => completed_details.push((id, details)),
            None => bare.push(id),
        }
    }
    let mut waiting = Vec::with_capacity(changes.waiting_https.len() + changes.waiting_logs.len());
    waiting.extend(
        changes
            .waiting_https
            .into_iter()
            .map(|span| Waiting::http(span, &mut interner, now)),
    );
    let lines = changes.waiting_logs.iter();
    waiting.extend(lines.map(|(line, call)| Waiting::log(line, *call, now)));
    let views = changes.waiting_views.into_iter();
    waiting
        .extend(views.map(|(above, origin, call)| Waiting::view(above, &origin, call, &mut interner, now)));
    waiting.extend(
        changes
            .waiting_links
            .into_iter()
            .map(|(target, call)| Waiting::link(target, call, now)),
    );
    let joined = changes.joined_links.into_iter();
    waiting.extend(joined.map(|(target, call)| Waiting::joined(target, call, now)));
    let watchers = changes.waiting_watchers.iter();
    waiting.extend(
        watchers.flat_map(|(watcher, call, in_trace)| Waiting::watcher(watcher, *call, *in_trace, now)),
    );
    let parts = changes.parts.iter();
    waiting.extend(parts.map(|(parts, call)| Waiting::parts(parts, *call, now)));
    let (logs, left) = (changes.logs.into_iter(), changes.left.iter());
    Prepared {
        generation: 0,
        head,
        reads,
        writes,
        interner,
        added,
        added_details,
        completed,
        moved: changes.moved,
        listed,
        completed_details,
        bare,
        removed: changes.removed,
        aliases: changes.aliases,
        logs: logs.map(|(target, line)| (target, LogRow::new(line))).collect(),
        arrived: changes.arrived,
        left: left.map(|(row, line)| (*row, log_fingerprint(line))).collect(),
        placed: changes.placed,
        no_parts: changes.no_parts,
        parted: changes.parted,
        waiting,
        foreign: changes.foreign,
        held: None,
    }
}
