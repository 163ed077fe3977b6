//! The visits that followers watch: from when to when each lasts. It is read once and then kept up with what is
//! committed, so that no follower asks the database to which visit a new call belongs.
//!
//! A call within the longest pause of a visit belongs to it and may make it longer. Beyond that pause it is a neighbour:
//! of these only the nearest on each side are kept, because a later call in between joins them with the visit. How far
//! a neighbour's own visit goes is not known here, so the extent is read again then, as after a call has left.

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_model::{Call, SessionId, UnixNanos};

use crate::Seq;
use crate::read::sessions::VisitName;
use crate::read::visits::{PAUSE, client_of};

/// How many visits are watched at most; followers of others read the database.
const MOST: usize = 10_000;

/// From when to when a visit lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It must be read.
    Unknown,
    /// No visit has that name now.
    Nowhere,
    /// Its calls are these.
    Lasting(Lasting),
}

/// The starts of a visit's first and last call, and of the nearest calls of the client that are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lasting {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) before: Option<i64>,
    pub(crate) after: Option<i64>,
}

/// From when to when some visits lasted at one moment, and the client of each.
#[derive(Debug, Default)]
pub(super) struct Extents(HashMap<String, (Arc<SessionId>, Extent)>);

impl Extents {
    /// Whether a call is in a session; `None` where only the database tells. No call that began before `oldest` is served,
    /// and once this is true of a visit's first call, it may be named otherwise.
    pub(super) fn has(&self, id: &SessionId, call: &Call, oldest: UnixNanos) -> Option<bool> {
        let Some((client, extent)) = self.0.get(id.as_str()) else {
            return Some(id.has(call));
        };
        match *extent {
            Extent::Unknown if client.has(call) => None,
            Extent::Lasting(Lasting { first, .. }) if first < oldest.0 && client.has(call) => None,
            Extent::Lasting(Lasting { first, last, .. }) => {
                Some((first..=last).contains(&call.started_at.0) && client.has(call))
            }
            Extent::Unknown | Extent::Nowhere => Some(id.has(call)),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Visits {
    watched: HashMap<String, Watched>,
    /// The ids of a client's visits, by the client's key.
    of_client: HashMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Watched {
    followers: usize,
    name: VisitName,
    /// The client, whatever visit a call is in.
    client: Arc<SessionId>,
    extent: Extent,
    /// The last change that the extent takes into account: what was read of an earlier state is outdated.
    changed: Seq,
}

impl Extent {
    /// After one more call of the client; `at` is the time in the visit's name.
    fn with(self, named: i64, call: i64) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            // A call that is near the time in the name has that name.
            Self::Nowhere if call.abs_diff(named) <= PAUSE.unsigned_abs() => Self::Unknown,
            Self::Nowhere => Self::Nowhere,
            Self::Lasting(lasting) => lasting.with(named, call),
        }
    }
}

impl Lasting {
    fn with(mut self, named: i64, call: i64) -> Extent {
        let near = |one: i64, other: i64| one.abs_diff(other) <= PAUSE.unsigned_abs();
        if (self.first <= call || near(self.first, call)) && (call <= self.last || near(self.last, call)) {
            self.first = self.first.min(call);
            self.last = self.last.max(call);
            let joins = |neighbour: Option<i64>, end| neighbour.is_some_and(|neighbour| near(neighbour, end));
            if joins(self.before, self.first) || joins(self.after, self.last) {
                return Extent::Unknown;
            }
        } else if call > self.last {
            // A name of a time after all calls of its visit means the visit after that time, once there is one.
            if named > self.last && named <= call && near(named, call) {
                return Extent::Unknown;
            }
            self.after = Some(self.after.map_or(call, |after| after.min(call)));
        } else {
            self.before = Some(self.before.map_or(call, |before| before.max(call)));
        }
        Extent::Lasting(self)
    }
}

impl Visits {
    /// Watches these for one follower more; false, and nothing is watched, where there are too many. `head` is the last
    /// change that was added.
    pub(super) fn watch(&mut self, ids: &[String], head: Seq) -> bool {
        let names: Option<Vec<VisitName>> = ids.iter().map(|id| VisitName::of(id)).collect();
        let Some(names) = names.filter(|names| self.watched.len() + names.len() <= MOST) else {
            return false;
        };
        for (id, name) in ids.iter().zip(names) {
            if let Some(watched) = self.watched.get_mut(id) {
                watched.followers += 1;
                continue;
            }
            let of_client = self.of_client.entry(name.client.clone()).or_default();
            of_client.push(id.clone());
            self.watched.insert(
                id.clone(),
                Watched {
                    followers: 1,
                    client: Arc::new(SessionId::new(&name.session_of_client)),
                    name,
                    extent: Extent::Unknown,
                    changed: head,
                },
            );
        }
        true
    }

    pub(super) fn unwatch(&mut self, ids: &[String]) {
        for id in ids {
            let Some(watched) = self.watched.get_mut(id) else {
                continue;
            };
            watched.followers -= 1;
            if watched.followers > 0 {
                continue;
            }
            let client = self.watched.remove(id).map(|watched| watched.name.client);
            let client = client.unwrap_or_default();
            if let Some(ids) = self.of_client.get_mut(&client) {
                ids.retain(|other| other != id);
                if ids.is_empty() {
                    self.of_client.remove(&client);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Those of these whose extent must be read.
    pub(super) fn unknown(&self, ids: &[String]) -> Vec<String> {
        let unknown = |id: &&String| {
            let watched = self.watched.get(*id);
            watched.is_none_or(|watched| watched.extent == Extent::Unknown)
        };
        ids.iter().filter(unknown).cloned().collect()
    }

    /// Takes what was read of the state after change `head`, unless more has happened since than that calls were added.
    /// Those must be [added](Self::add) once more.
    pub(super) fn learn(&mut self, id: &str, head: Seq, extent: Extent) {
        if let Some(watched) = self.watched.get_mut(id)
            && watched.extent == Extent::Unknown
            && head >= watched.changed
        {
            watched.extent = extent;
            watched.changed = head;
        }
    }

    /// A call was added by a stretch of changes up to `upto`, or is as it is since then.
    pub(super) fn add(&mut self, call: &Call, upto: Seq) {
        let Some(client) = client_of(call) else { return };
        let at = call.started_at.0;
        self.of(call.server_name(), client, |watched| {
            if upto > watched.changed {
                watched.extent = watched.extent.with(watched.name.at, at);
            }
        });
    }

    /// A call of the client may have left its visit.
    pub(super) fn call_left(&mut self, server: &str, client: &str, upto: Seq) {
        self.of(server, client, |watched| watched.forget(upto));
    }

    /// Any call may have left its visit.
    pub(super) fn any_left(&mut self, upto: Seq) {
        self.watched.values_mut().for_each(|watched| watched.forget(upto));
    }

    /// From when to when these last, as far as they are watched.
    pub(super) fn extents(&self, ids: &[String]) -> Extents {
        let watched = ids.iter().filter_map(|id| {
            let watched = self.watched.get(id)?;
            Some((id.clone(), (Arc::clone(&watched.client), watched.extent)))
        });
        Extents(watched.collect())
    }

    fn of(&mut self, server: &str, client: &str, mut then: impl FnMut(&mut Watched)) {
        for id in self.of_client.get(client).into_iter().flatten() {
            if let Some(watched) = self.watched.get_mut(id)
                && watched.name.server == server
            {
                then(watched);
            }
        }
    }
}

impl Watched {
    fn forget(&mut self, upto: Seq) {
        if upto > self.changed {
            self.changed = upto;
            self.extent = Extent::Unknown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = PAUSE / 30;

    fn lasting(first: i64, last: i64) -> Lasting {
        Lasting {
            first: first * MINUTE,
            last: last * MINUTE,
            before: None,
            after: None,
        }
    }

    fn after(extent: Extent, named: i64, calls: &[i64]) -> Extent {
        calls
            .iter()
            .fold(extent, |extent, at| extent.with(named * MINUTE, at * MINUTE))
    }

    #[test]
    fn calls_within_the_pause_make_a_visit_longer() {
        let visit = Extent::Lasting(lasting(100, 110));
        let longer = after(visit, 100, &[105, 140, 170, 70]);
        assert_eq!(longer, Extent::Lasting(lasting(70, 170)));
        let apart = Lasting {
            before: Some(69 * MINUTE),
            after: Some(141 * MINUTE),
            ..lasting(100, 110)
        };
        assert_eq!(after(visit, 100, &[200, 141, 50, 69]), Extent::Lasting(apart));
        assert_eq!(
            after(visit, 100, &[i64::MIN / MINUTE, i64::MAX / MINUTE]).with(0, 105 * MINUTE),
            {
                let apart = Lasting {
                    before: Some(i64::MIN / MINUTE * MINUTE),
                    after: Some(i64::MAX / MINUTE * MINUTE),
                    ..lasting(100, 110)
                };
                Extent::Lasting(apart)
            }
        );
    }

    #[test]
    fn what_only_the_database_knows_is_read_again() {
        let visit = Extent::Lasting(lasting(100, 110));
        // Both sides of a bridge, in either order.
        assert_eq!(after(visit, 100, &[160, 135]), Extent::Unknown);
        assert_eq!(after(visit, 100, &[60, 80]), Extent::Unknown);
        // The name means what lasts at that time, else what comes after it.
        assert_eq!(after(visit, 130, &[150]), Extent::Unknown);
        assert_eq!(after(Extent::Nowhere, 130, &[99, 161]), Extent::Nowhere);
        assert_eq!(after(Extent::Nowhere, 130, &[100]), Extent::Unknown);
        assert_eq!(after(Extent::Unknown, 130, &[100]), Extent::Unknown);
    }
}
