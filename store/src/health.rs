//! Whether the store can do its work now, and why not.

mod check;
mod finding;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// The damage that was found. It stays: that other pages can be read mends none.
    damage: Option<String>,
    /// Tasks that panicked and have not run for long enough since.
    fallen: Vec<&'static str>,
    panics: u64,
    /// Since when each check fails.
    since: BTreeMap<&'static str, UnixNanos>,
    replaced: bool,
}

/// How a group failed.
#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    /// The code that the database gave.
    code: Option<String>,
    /// Whether the file that was to be written is not at its path any more.
    replaced: bool,
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
                    replaced: matches!(error, Error::Replaced),
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
                    tracing::warn!(task, "the database does not answer; its connection is given up");
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

    /// Damage was found. Gives whether it is the first.
    fn damaged(&self, damage: &str) -> bool {
        let mut state = self.state();
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
