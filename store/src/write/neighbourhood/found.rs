//! The rows of a neighbourhood, as they are found. Each is read once, and its bytes are reserved before.

use std::collections::{HashMap, HashSet};

use sea_orm::{DatabaseTransaction, EntityTrait, QueryFilter};

use super::memory::{CALL, COPIES, Held, ROW};
use super::{KEYS, among};
use crate::Error;
use crate::rows::entity::{alias, call, waiting};

/// Why calls are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// An id names them.
    Named,
    /// They are near, in time or in the tree of spans.
    Near,
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) calls: Vec<call::Model>,
    /// The index of a row's call in that list.
    places: HashMap<i64, usize>,
    pub(super) aliases: Vec<alias::Model>,
    /// The spans of aliases that were read of large traces.
    pub(super) spans: HashSet<(i64, i64, i64)>,
    pub(super) waiting: Vec<waiting::Model>,
    /// The rows of large traces that wait, by number.
    waits: HashSet<i64>,
    /// Calls (their rows) whose parts are kept and were not read.
    pub(super) without_parts: HashSet<i64>,
    /// Large traces and servers of which all calls are here that are in the trace's session.
    pub(super) whole_sessions: HashSet<(i64, i64)>,
    pub(super) rows_read: u64,
    /// How many statements named these rows.
    pub(super) statements: u64,
    pub(super) cut: u64,
}

impl Found {
    pub(super) fn add(&mut self, calls: Vec<call::Model>) {
        for call in calls {
            let place = self.calls.len();
            if let std::collections::hash_map::Entry::Vacant(entry) = self.places.entry(call.id) {
                entry.insert(place);
                self.calls.push(call);
            }
        }
    }

    /// The rows of the calls.
    pub(super) fn rows(&self) -> impl Iterator<Item = i64> + '_ {
        self.places.keys().copied()
    }

    /// The call in a row.
    pub(super) fn call(&self, row: i64) -> Option<&call::Model> {
        self.places.get(&row).and_then(|place| self.calls.get(*place))
    }

    /// Counts a statement that found these rows, of at most `limit`.
    pub(super) fn read(&mut self, rows: usize, limit: usize) {
        self.statements += 1;
        self.rows_read += rows as u64;
        self.stopped(rows >= limit);
    }

    /// Counts that there is more than was read.
    pub(super) fn stopped(&mut self, stopped: bool) {
        self.cut += u64::from(stopped);
    }

    /// Reads the calls in these rows, given with the bytes of their long texts, that are not here yet. For one record
    /// alone, those that fit, the first first.
    pub(super) async fn read_calls(
        &mut self,
        db: &DatabaseTransaction,
        named: &[(i64, usize)],
        because: Because,
        held: &mut Held,
    ) -> Result<(), Error> {
        let new = named.iter().filter(|(row, _)| !self.places.contains_key(row));
        let (rows, cut) = fitting(new, |bytes| {
            let bytes = CALL + bytes * COPIES;
            match because {
                Because::Named => held.take(bytes),
                Because::Near => held.take_near(bytes),
            }
        })?;
        self.stopped(cut);
        for rows in rows.chunks(KEYS) {
            let among = among(db, call::Column::Id, rows);
            let read = call::Entity::find().filter(among).all(db).await?;
            self.add(in_order(read, rows, |call| call.id));
        }
        Ok(())
    }

    /// The same of what waits in a large trace. Gives where in the list the new ones begin.
    pub(super) async fn read_waiting(
        &mut self,
        db: &DatabaseTransaction,
        named: &[(i64, usize)],
        held: &mut Held,
    ) -> Result<usize, Error> {
        let new = named.iter().filter(|(row, _)| !self.waits.contains(row));
        let (rows, cut) = fitting(new, |bytes| held.take_near(ROW + bytes * COPIES))?;
        self.stopped(cut);
        self.waits.extend(rows.iter().copied());
        let before = self.waiting.len();
        for rows in rows.chunks(KEYS) {
            let among = among(db, waiting::Column::Id, rows);
            let read = waiting::Entity::find().filter(among).all(db).await?;
            self.waiting.extend(in_order(read, rows, |waiting| waiting.id));
        }
        Ok(before)
    }

    /// Calls that aliases and links name, of other traces.
    pub(super) fn referred_to(&self) -> Vec<i64> {
        let named = self.aliases.iter().filter_map(|alias| alias.call);
        let waiting = self.waiting.iter().filter_map(|waiting| waiting.call);
        let named: HashSet<i64> = named.chain(waiting).collect();
        let unknown = named.into_iter().filter(|row| !self.places.contains_key(row));
        unknown.collect()
    }
}

/// Of these rows each once, as far as they fit: for one record alone, not all may. Reserves them.
fn fitting<'a>(
    named: impl Iterator<Item = &'a (i64, usize)>,
    mut take: impl FnMut(usize) -> Result<bool, Error>,
) -> Result<(Vec<i64>, bool), Error> {
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for (row, bytes) in named {
        if !seen.insert(*row) {
            continue;
        }
        if !take(*bytes)? {
            return Ok((rows, true));
        }
        rows.push(*row);
    }
    Ok((rows, false))
}

/// Rows in the order in which they were asked for.
fn in_order<M>(read: Vec<M>, rows: &[i64], id: impl Fn(&M) -> i64) -> Vec<M> {
    let mut read: HashMap<i64, M> = read.into_iter().map(|model| (id(&model), model)).collect();
    rows.iter().filter_map(|row| read.remove(row)).collect()
}
