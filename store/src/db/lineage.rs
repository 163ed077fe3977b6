//! The history of the database that this process's memory is of.
//!
//! A database may be put back while it is open: a standby that lacks the last commits takes over, a backup is restored
//! into the file, another database takes its name. What memory knows by number then stands for something else, and
//! followers are ahead of what is there. Nothing but the contents tells: the head may have passed the old one again.
//!
//! So the row of the sequence is a version vector. Each process writes the number of its last transaction there, in the
//! statement that moves the sequence. What a process has seen must be contained in what it finds, writer by writer. Where
//! it is not, everything in memory is dropped, followers end with [`Error::Rewound`], and the database gets a new
//! `lineage`, so that the other processes drop what they know too, and cursors from before are refused.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::watch;

use crate::{Error, Seq};

/// The member of the vector with what the writer of a statement had there before it.
const BEFORE: &str = "was";

/// The member with the last transaction of all writers that were left out because they were many.
const LEFT_OUT: &str = "left";

/// How many writers are kept, and from how many on some are left out. Each start of a process is one.
const WRITERS: (usize, usize) = (32, 64);

/// The row of the sequence is gone.
const MISSING: Error = Error::Damaged {
    table: "sequence",
    row: 1,
    what: "is missing",
};

/// How many lineages that ended are remembered.
const ENDED: usize = 64;

/// What tells the state of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The number of the database.
    identity: i64,
    /// A number that changes with each loss that was noticed.
    lineage: i64,
    /// The last transaction of each writer.
    writers: HashMap<String, i64>,
}

/// How a state relates to what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It contains that.
    Follows,
    /// It lacks some of that.
    Lacks,
    /// It is of another database, or another process has noticed the loss.
    Other,
}

impl State {
    /// Of the columns of the row of the sequence.
    pub(crate) fn new(identity: i64, lineage: i64, writers: &str) -> Result<Self, Error> {
        let writers: HashMap<String, Option<i64>> =
            serde_json::from_str(writers).map_err(|_| Error::Damaged {
                table: "sequence",
                row: 1,
                what: "its writers cannot be read",
            })?;
        let writers = writers
            .into_iter()
            .filter_map(|(writer, last)| Some((writer, last?)));
        Ok(Self {
            identity,
            lineage,
            writers: writers.collect(),
        })
    }

    /// The number that changes with each loss that was noticed.
    pub(crate) fn lineage(&self) -> i64 {
        self.lineage
    }

    /// Whether it has so many writers that some are left out.
    pub(crate) fn is_long(&self) -> bool {
        self.writers.len() > WRITERS.1
    }

    fn relation_to(&self, seen: Option<&Self>) -> Relation {
        let Some(seen) = seen else {
            return Relation::Follows;
        };
        if (self.identity, self.lineage) != (seen.identity, seen.lineage) {
            return Relation::Other;
        }
        let left_out = self.writers.get(LEFT_OUT).copied().unwrap_or(i64::MIN);
        let contained = seen.writers.iter().all(|(writer, last)| {
            let found = self.writers.get(writer).copied();
            writer == LEFT_OUT || found.unwrap_or(left_out) >= *last
        });
        if contained {
            Relation::Follows
        } else {
            Relation::Lacks
        }
    }

    /// As it was before `writer` wrote what it found.
    fn before(mut self, writer: &str) -> Self {
        match self.writers.remove(BEFORE) {
            Some(before) => self.writers.insert(writer.to_owned(), before),
            None => self.writers.remove(writer),
        };
        self
    }

    /// As it is now that `writer` has written.
    fn after(mut self) -> Self {
        self.writers.remove(BEFORE);
        self
    }
}

/// Drops what memory knows of the database, and goes on from a head.
type Forget = Box<dyn Fn(Seq) + Send + Sync>;

/// What this process has seen of the database.
pub(crate) struct Lineage {
    writer: String,
    /// `None` before the first look.
    seen: Mutex<Option<State>>,
    /// Lineages that were seen to end, the newest at the end. Whatever is of one of them was put back.
    ended: Mutex<VecDeque<i64>>,
    /// How often everything in memory was dropped.
    generation: watch::Sender<u64>,
    forget: OnceLock<Forget>,
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineage")
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

/// A state that was found, and whether memory is of it.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    state: Option<State>,
    /// Of the memory that it was compared with.
    pub(crate) generation: u64,
}

/// What a transaction is to do about a state that it found.
pub(crate) enum Finding {
    /// It goes on.
    Known(Checked),
    /// Memory was dropped already; the transaction ends.
    Dropped,
    /// The database gets this lineage, then memory is [dropped](Lineage::drop_memory).
    Lost(State),
}

impl Lineage {
    pub(crate) fn new() -> Result<Self, Error> {
        let number = getrandom::u64().map_err(|error| Error::Randomness(error.to_string()))?;
        Ok(Self {
            writer: format!("w{number:016x}"),
            seen: Mutex::default(),
            ended: Mutex::default(),
            generation: watch::Sender::new(0),
            forget: OnceLock::new(),
        })
    }

    /// The name of this process among the writers.
    pub(crate) fn writer(&self) -> &str {
        &self.writer
    }

    /// Begins with what is there. `forget` drops what memory knows.
    pub(crate) fn begin(&self, state: State, forget: impl Fn(Seq) + Send + Sync + 'static) {
        *self.seen() = Some(state);
        // It is called once.
        let _ = self.forget.set(Box::new(forget));
    }

    /// A number that tells this database, in its present history, from every other.
    pub(crate) fn identity(&self) -> i64 {
        let seen = self.seen();
        seen.as_ref().map_or(0, |seen| seen.identity ^ seen.lineage)
    }

    /// Whether memory is of the history with this mark, or of none yet.
    pub(crate) fn is_of(&self, (identity, lineage): Mark) -> bool {
        let seen = self.seen();
        seen.as_ref()
            .is_none_or(|seen| (seen.identity, seen.lineage) == (identity, lineage))
    }

    /// How often everything in memory was dropped.
    pub(crate) fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Tells when memory is dropped from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn seen(&self) -> MutexGuard<'_, Option<State>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known before something is read, to be compared with it.
    pub(crate) fn known(&self) -> Checked {
        let seen = self.seen();
        Checked {
            state: seen.clone(),
            generation: self.generation(),
        }
    }

    fn relation(&self, found: &State, known: &Checked) -> Relation {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match found.relation_to(known.state.as_ref()) {
            // Cursors of that lineage are about what came after it then, and would be taken for those of now.
            Relation::Other if ended.contains(&found.lineage) => Relation::Lacks,
            relation => relation,
        }
    }

    /// Compares what a transaction found, while nobody else can write, with what was seen; its own number was written
    /// already, and is to be undone where it is not [`Finding::Known`].
    pub(crate) fn check(&self, found: State, head: Seq) -> Result<Finding, Error> {
        let known = self.known();
        let before = found.clone().before(&self.writer);
        match self.relation(&before, &known) {
            Relation::Follows => Ok(Finding::Known(Checked {
                state: Some(found.after()),
                generation: known.generation,
            })),
            Relation::Other => {
                self.drop_memory(known.generation, before, head);
                Ok(Finding::Dropped)
            }
            Relation::Lacks => {
                let lineage = getrandom::u64().map_err(|error| Error::Randomness(error.to_string()))?;
                Ok(Finding::Lost(State {
                    lineage: lineage as i64,
                    ..found.after()
                }))
            }
        }
    }

    /// The transaction that found a state was committed.
    pub(crate) fn committed(&self, checked: Checked) {
        let mut seen = self.seen();
        if checked.generation != self.generation() {
            return;
        }
        let Some(state) = checked.state else {
            return;
        };
        let seen = seen.get_or_insert_with(|| state.clone());
        if let Some(left_out) = state.writers.get(LEFT_OUT) {
            // It stands for those that are not there any more.
            seen.writers
                .retain(|writer, last| state.writers.contains_key(writer) || *last > *left_out);
        }
        for (writer, last) in state.writers {
            let known = seen.writers.entry(writer).or_insert(last);
            *known = last.max(*known);
        }
    }

    /// Compares a state that was read after `known`. Gives whether a transaction has to look at it.
    pub(crate) fn read(&self, known: Checked, found: State, head: Seq) -> bool {
        match self.relation(&found, &known) {
            Relation::Follows => {
                self.committed(Checked {
                    state: Some(found),
                    ..known
                });
                false
            }
            Relation::Other => {
                self.drop_memory(known.generation, found, head);
                false
            }
            Relation::Lacks => true,
        }
    }

    /// Drops everything in memory that is of `generation`, and goes on with this state.
    pub(crate) fn drop_memory(&self, generation: u64, state: State, head: Seq) {
        let mut seen = self.seen();
        if generation != self.generation() {
            return;
        }
        tracing::error!(
            head = head.0,
            "the database is not the one that it was: it was put back to an earlier state, or another took its place; \
             everything in memory is dropped, and live feeds end"
        );
        if let Some(left) = seen.replace(state) {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if ended.len() == ENDED {
                ended.pop_front();
            }
            ended.push_back(left.lineage);
        }
        if let Some(forget) = self.forget.get() {
            forget(head);
        }
        self.generation.send_modify(|generation| *generation += 1);
    }
}

/// The number of a database, and that of its history since the last loss.
pub(crate) type Mark = (i64, i64);

/// The mark of the history that a snapshot is of.
pub(crate) async fn mark(db: &impl ConnectionTrait) -> Result<Mark, Error> {
    let text = "SELECT identity, lineage FROM sequence WHERE id = 1";
    let row = db
        .query_one_raw(Statement::from_string(db.get_database_backend(), text))
        .await?
        .ok_or(MISSING)?;
    Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
}

/// The head of the database, and its state.
pub(crate) async fn look(db: &impl ConnectionTrait) -> Result<(Seq, State), Error> {
    let text = "SELECT value, identity, lineage, writers FROM sequence WHERE id = 1";
    let row = db
        .query_one_raw(Statement::from_string(db.get_database_backend(), text))
        .await?
        .ok_or(MISSING)?;
    let writers: String = row.try_get_by_index(3)?;
    let state = State::new(row.try_get_by_index(1)?, row.try_get_by_index(2)?, &writers)?;
    Ok((Seq(row.try_get_by_index(0)?), state.after()))
}

/// Leaves out of the vector the writers that wrote longest ago, where there are many. `state` is what is there; where that
/// has changed meanwhile, nothing happens.
pub(crate) async fn shorten(db: &impl ConnectionTrait, state: &State) -> Result<(), Error> {
    if !state.is_long() {
        return Ok(());
    }
    let (kept, _) = WRITERS;
    let text = "SELECT writers FROM sequence WHERE id = 1";
    let row = db
        .query_one_raw(Statement::from_string(db.get_database_backend(), text))
        .await?;
    let Some(row) = row else {
        return Ok(());
    };
    let there: String = row.try_get_by_index(0)?;
    let mut writers: Vec<(String, i64)> = State::new(0, 0, &there)?.after().writers.into_iter().collect();
    writers.sort_unstable_by_key(|(_, last)| std::cmp::Reverse(*last));
    let left_out = writers.split_off(kept.min(writers.len()));
    let last = left_out.iter().map(|(_, last)| *last).max();
    writers.retain(|(writer, _)| writer != LEFT_OUT);
    writers.extend(last.map(|last| (LEFT_OUT.to_owned(), last)));
    let shorter: HashMap<String, i64> = writers.into_iter().collect();
    let shorter = serde_json::to_string(&shorter).unwrap_or_else(|_| there.clone());
    let text = "UPDATE sequence SET writers = $1 WHERE id = 1 AND writers = $2";
    db.execute_raw(Statement::from_sql_and_values(
        db.get_database_backend(),
        text,
        [shorter.into(), there.into()],
    ))
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lineage: i64, writers: &str) -> State {
        State::new(1, lineage, writers).unwrap()
    }

    #[test]
    fn what_was_seen_is_contained_writer_by_writer() {
        let seen = state(0, r#"{"a":5,"b":7}"#);
        for (found, relation) in [
            (state(0, r#"{"a":5,"b":7}"#), Relation::Follows),
            (state(0, r#"{"a":6,"b":7,"c":8}"#), Relation::Follows),
            // One went on from where it does not have the other's last.
            (state(0, r#"{"a":9,"b":6}"#), Relation::Lacks),
            (state(0, r#"{"a":9}"#), Relation::Lacks),
            (state(0, r#"{"a":9,"left":6}"#), Relation::Lacks),
            (state(0, r#"{"a":9,"left":7}"#), Relation::Follows),
            (state(3, r#"{"a":5,"b":7}"#), Relation::Other),
            (
                State {
                    identity: 2,
                    ..seen.clone()
                },
                Relation::Other,
            ),
        ] {
            assert_eq!(found.relation_to(Some(&seen)), relation, "{found:?}");
        }
    }

    #[test]
    fn a_transaction_is_judged_by_what_was_there_before_it() {
        let lineage = Lineage::new().unwrap();
        let own = lineage.writer().to_owned();
        let found = |before: &str, now: i64| state(0, &format!(r#"{{"was":{before},"{own}":{now},"b":7}}"#));
        lineage.begin(state(0, r#"{"b":7}"#), |_| {});
        let Finding::Known(first) = lineage.check(found("null", 8), Seq(1)).unwrap() else {
            panic!("the first one follows");
        };
        lineage.committed(first);
        let Finding::Known(rolled_back) = lineage.check(found("8", 9), Seq(1)).unwrap() else {
            panic!("and so does the next");
        };
        drop(rolled_back);
        assert!(matches!(
            lineage.check(found("8", 9), Seq(1)),
            Ok(Finding::Known(_))
        ));
        assert!(matches!(
            lineage.check(found("null", 8), Seq(1)),
            Ok(Finding::Lost(_))
        ));
        assert_eq!(lineage.generation(), 0);
        let elsewhere = State {
            lineage: 5,
            ..found("8", 9)
        };
        assert!(matches!(lineage.check(elsewhere, Seq(1)), Ok(Finding::Dropped)));
        assert_eq!(lineage.generation(), 1);
        // The same backup is put back once more: what followers know of its lineage is of another history.
        assert!(matches!(
            lineage.check(found("8", 9), Seq(1)),
            Ok(Finding::Lost(_))
        ));
    }
}
