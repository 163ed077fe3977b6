//! Whether the store can do its work now, and why not.

mod check;
mod finding;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcptap_model::UnixNanos;
use tokio::time::Instant;

use crate::{Error, ErrorKind, clock};
pub use finding::Unready;
use finding::{Finding, finding};
pub(crate) use watch::watch;

/// For so long after an answer or a write a check that finds no answer in time is not yet a fault: the machine may be busy.
const GRACE: Duration = Duration::from_secs(2);

/// After so long without a write, one is tried before it is said that writes work.
const QUIET: Duration = Duration::from_secs(10);

/// For so long after a group failed to be stored, only another group shows that the fault is over: a small write may find
/// room where a group does not.
const SETTLED: Duration = Duration::from_secs(15);

/// How long readiness reports a background task that got no answer, unless it gets one before: not every task asks again
/// soon.
const UNANSWERED: Duration = Duration::from_secs(10);

/// How long a transaction may write until readiness reports that nothing comes of it.
const HANGING: Duration = Duration::from_secs(10);

/// How many rounds of a background task fail in a row until readiness reports it.
const ROUNDS: u32 = 3;

/// The damage that a statement comes upon.
const UNREADABLE: &str = "a page of it cannot be read";

/// The store's state, as far as it was noticed.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
    /// One asks the database at a time; the others are given its answer.
    asked: tokio::sync::Mutex<Option<(Instant, Vec<Unready>)>>,
}

#[derive(Debug, Default)]
struct State {
    /// When a write succeeded last.
    wrote: Option<Instant>,
    /// When the database answered last.
    answered: Option<Instant>,
    /// Of the last group, if it failed.
    failure: Option<Failure>,
    /// Tasks whose last step got no answer in time, and when that was.
    unanswered: BTreeMap<&'static str, Instant>,
    /// The damage that was found. It stays until all pages were looked through: that others can be read mends none.
    damage: Option<String>,
    /// How often some was found.
    damages: u64,
    /// Tasks that panicked and have not run for long enough since.
    fallen: Vec<&'static str>,
    panics: u64,
    /// Since when each check fails.
    since: BTreeMap<&'static str, UnixNanos>,
    /// That a file is not at its path any more, at the last look.
    replaced: Option<Error>,
    /// Since when transactions that write have been running, by their numbers.
    writing: BTreeMap<u64, Instant>,
    written: u64,
    rounds: BTreeMap<&'static str, Rounds>,
}

/// How the rounds of a background task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// When one succeeded last, if any did.
    pub succeeded: Option<UnixNanos>,
    /// How many failed since.
    pub failures: u32,
    /// How the last one failed.
    kind: Option<ErrorKind>,
}

/// A transaction that writes. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Writing {
    number: u64,
    health: Arc<Health>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.health.state().writing.remove(&self.number);
    }
}

/// How a group failed.
#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    /// The code that the database gave.
    code: Option<String>,
    /// That a file that was to be written is not at its path any more.
    replaced: Option<Error>,
    at: Instant,
}

impl Health {
    /// A group was stored, or was not.
    pub(crate) fn wrote(&self, outcome: Result<(), &Error>) {
        self.noticed(outcome);
        let mut state = self.state();
        let now = Instant::now();
        match outcome {
            Ok(()) => {
                state.wrote = Some(now);
                state.failure = None;
            }
            // A row's fault.
            Err(error) if error.kind() == ErrorKind::Data => {}
            Err(error) => {
                state.failure = Some(Failure {
                    // A connection was waited for, and none was given back or made in time.
                    kind: if error.is_without_connection() {
                        ErrorKind::TimedOut
                    } else {
                        error.kind()
                    },
                    code: error.code(),
                    replaced: matches!(error, Error::Replaced | Error::LogReplaced).then(|| error.clone()),
                    at: now,
                });
            }
        }
    }

    /// A step of a task in the background got its answer, or did not.
    pub(crate) fn stepped(&self, task: &'static str, outcome: Result<(), &Error>) {
        self.noticed(outcome);
        let mut state = self.state();
        match outcome {
            Err(error) if matches!(error, Error::TimedOut) || error.is_without_connection() => {
                if state.unanswered.insert(task, Instant::now()).is_none() {
                    tracing::warn!(
                        task,
                        "the database did not answer this background task in time; its connection is closed, and the task \
                         tries again on a new one"
                    );
                }
            }
            _ => {
                state.unanswered.remove(task);
            }
        }
    }

    /// Notes damage that a read or a write came upon.
    pub(crate) fn noticed(&self, outcome: Result<(), &Error>) {
        if let Err(error) = outcome
            && error.kind() == ErrorKind::Corrupt
            && self.damaged(UNREADABLE)
        {
            tracing::error!(%error, "the database is damaged");
        }
    }

    /// A transaction that writes begins.
    pub(crate) fn write(self: &Arc<Self>) -> Writing {
        let mut state = self.state();
        state.written += 1;
        let number = state.written;
        state.writing.insert(number, Instant::now());
        Writing {
            number,
            health: Arc::clone(self),
        }
    }

    /// A round of a background task ended. A stop is no failure.
    pub(crate) fn ended_round(&self, task: &'static str, outcome: Result<(), &Error>) {
        let mut state = self.state();
        let rounds = state.rounds.entry(task).or_insert(Rounds {
            succeeded: None,
            failures: 0,
            kind: None,
        });
        match outcome {
            Ok(()) => {
                *rounds = Rounds {
                    succeeded: Some(clock::now()),
                    failures: 0,
                    kind: None,
                }
            }
            Err(Error::Stopping) => {}
            Err(error) => {
                rounds.failures = rounds.failures.saturating_add(1);
                rounds.kind = Some(error.kind());
            }
        }
    }

    /// How the rounds of each background task ended.
    pub(crate) fn rounds(&self) -> Vec<(&'static str, Rounds)> {
        let state = self.state();
        state
            .rounds
            .iter()
            .map(|(task, rounds)| (*task, rounds.clone()))
            .collect()
    }

    /// How often damage was found, if any was.
    fn damages(&self) -> Option<u64> {
        let state = self.state();
        state.damage.is_some().then_some(state.damages)
    }

    /// The pages were looked through and are sound. Gives whether that ends what was wrong: not where damage was found again
    /// meanwhile.
    fn is_sound(&self, damages: u64) -> bool {
        let mut state = self.state();
        let ends = state.damages == damages;
        if ends {
            state.damage = None;
        }
        ends
    }

    /// Damage was found. Gives whether it is the first.
    fn damaged(&self, damage: &str) -> bool {
        let mut state = self.state();
        state.damages += 1;
        let is_first = state.damage.is_none();
        state.damage.get_or_insert_with(|| damage.to_owned());
        is_first
    }

    /// A small transaction was committed. That shows that the database answers, and not that it has room for a group.
    pub(crate) fn committed(&self) {
        let mut state = self.state();
        state.wrote = Some(Instant::now());
        if state
            .failure
            .as_ref()
            .is_some_and(|Failure { kind, .. }| kind.is_transient() || *kind == ErrorKind::TimedOut)
        {
            state.failure = None;
        }
    }

    /// A trial of a write went well. Gives whether that ends what was wrong.
    fn mends(&self, has_space: bool) -> bool {
        let mut state = self.state();
        if let Some(Failure { kind, at, .. }) = &state.failure
            && (at.elapsed() < SETTLED || (*kind == ErrorKind::Full && !has_space))
        {
            return false;
        }
        state.failure = None;
        true
    }

    /// The files that were away are at their paths again: a group that was refused for that alone can be stored.
    fn is_back(&self) {
        let mut state = self.state();
        if state
            .failure
            .as_ref()
            .is_some_and(|failure| failure.replaced.is_some())
        {
            state.failure = None;
        }
    }

    /// The database answered.
    pub(crate) fn answered(&self) {
        self.state().answered = Some(Instant::now());
    }

    /// Whether the database answered, or took a write, a moment ago.
    fn answered_just_now(&self) -> bool {
        let state = self.state();
        [state.answered, state.wrote]
            .iter()
            .flatten()
            .any(|at| at.elapsed() < GRACE)
    }

    /// A task panicked.
    pub(crate) fn fell(&self, task: &'static str) {
        let mut state = self.state();
        state.panics += 1;
        if !state.fallen.contains(&task) {
            state.fallen.push(task);
        }
    }

    /// A piece of work panicked, and its task went on.
    pub(crate) fn stumbled(&self) {
        self.state().panics += 1;
    }

    /// A task that panicked has run for a while.
    pub(crate) fn stands(&self, task: &'static str) {
        self.state().fallen.retain(|fallen| *fallen != task);
    }

    /// How often a background task panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.state().panics
    }

    #[cfg(test)]
    pub(crate) fn fallen(&self) -> Vec<&'static str> {
        self.state().fallen.clone()
    }

    fn is_failing(&self) -> bool {
        self.state().failure.is_some()
    }

    /// Whether the last write went well, but long ago.
    fn is_quiet(&self) -> bool {
        let state = self.state();
        state.failure.is_none() && state.wrote.is_none_or(|at| at.elapsed() > QUIET)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The findings that need no query.
    fn known(&self) -> Vec<Finding> {
        let state = self.state();
        let mut findings: Vec<Finding> = state
            .fallen
            .iter()
            .map(|task| Finding {
                check: "task",
                reason: format!("the background task {task} broke"),
                advice: "it is started anew where it can be; if this stays, restart mcptap and report what its log says",
            })
            .collect();
        findings.extend(state.failure.as_ref().map(Failure::finding));
        let oldest = state.writing.values().map(Instant::elapsed).max();
        if let Some(waited) = oldest.filter(|waited| *waited > HANGING) {
            findings.push(Finding {
                reason: format!("a transaction has been writing for {} s and does not end", waited.as_secs()),
                advice: "look at the disk, at what else it has to do, and for programs that hold locks of the database; writing \
                         goes on by itself",
                ..finding("write", ErrorKind::TimedOut)
            });
        }
        let failing = state
            .rounds
            .iter()
            .filter(|(_, rounds)| rounds.failures >= ROUNDS);
        findings.extend(failing.map(|(task, rounds)| {
            let told = finding("task", rounds.kind.unwrap_or(ErrorKind::Internal));
            Finding {
                reason: format!(
                    "the background task {task} failed {} times in a row: {}",
                    rounds.failures, told.reason
                ),
                ..told
            }
        }));
        let mut waiting = state.unanswered.iter();
        if let Some((task, _)) = waiting.find(|(_, at)| at.elapsed() < UNANSWERED) {
            findings.push(Finding {
                reason: format!("the database does not answer the background task {task}"),
                ..finding("database", ErrorKind::TimedOut)
            });
        }
        findings.extend(state.damage.as_ref().map(|damage| Finding {
            reason: format!("the database is damaged: {damage}"),
            ..finding("schema", ErrorKind::Corrupt)
        }));
        findings
    }

    /// Notes since when each of these is so; the others are not so any more.
    fn dated(&self, findings: Vec<Finding>) -> Vec<Unready> {
        let now = clock::now();
        let mut state = self.state();
        state
            .since
            .retain(|check, _| findings.iter().any(|finding| finding.check == *check));
        findings
            .into_iter()
            .map(
                |Finding {
                     check,
                     reason,
                     advice,
                 }| Unready {
                    check,
                    since: *state.since.entry(check).or_insert(now),
                    reason,
                    advice,
                },
            )
            .collect()
    }
}
