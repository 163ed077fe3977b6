//! Whether the store can do its work now, and why not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcptap_model::UnixNanos;
use sea_orm::ConnectionTrait;
use tokio::time::Instant;

use crate::database::{Backend, Database};
use crate::transaction::Transaction;
use crate::{Error, ErrorKind, Store, clock, scan, schema};

/// How long the answer may take, so that whoever asks hears within a second.
const ANSWER: Duration = Duration::from_millis(900);

/// An answer that is younger is given again: many may ask.
const FRESH: Duration = Duration::from_millis(250);

/// After so long without a write, one is tried before it is said that writes work.
const QUIET: Duration = Duration::from_secs(10);

/// How often it is looked whether the fault is over.
const PERIOD: Duration = Duration::from_secs(1);

/// How long trying a write may take.
const TRIAL: Duration = Duration::from_secs(5);

/// For so long after an answer or a write a check that finds no answer in time is not yet a fault: the machine may be busy.
const GRACE: Duration = Duration::from_secs(2);

/// For so long after a group failed to be stored, only another group shows that the fault is over: a small write may find
/// room where a group does not.
const SETTLED: Duration = Duration::from_secs(15);

/// How many bytes the disk must have before a full one counts as mended without a group that was stored.
const SPACE: u64 = 8 << 20;

/// After so many groups of which the database refused every record, it is not the records' fault.
const REFUSED: u32 = 3;

/// For how long that is told.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// How long the pages of a file are checked at most when it is opened. A small file is checked wholly.
const CHECK: Duration = Duration::from_secs(2);

/// How many of SQLite's instructions run between two looks at the clock.
const STEPS: i32 = 50_000;

/// Why the store is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// The check that failed: `database`, `file`, `schema`, `write` or `task`.
    pub check: &'static str,
    /// Since when it is so, as far as it was noticed.
    pub since: UnixNanos,
    /// What is wrong, in words that tell nothing of what is stored.
    pub reason: String,
    /// What an operator can do.
    pub advice: &'static str,
}

/// A finding, before it is known since when it is so.
struct Finding {
    check: &'static str,
    reason: String,
    advice: &'static str,
}

/// What was noticed of the store's state.
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
    /// Of the last group, if it failed, and when.
    failure: Option<(ErrorKind, Instant)>,
    /// How many groups in a row the database refused wholly, and when the last one.
    refused: Option<(u32, Instant)>,
    /// What is damaged in the file.
    damage: Option<String>,
    /// Tasks that broke and do not stand yet.
    fallen: Vec<&'static str>,
    panics: u64,
    /// Since when each check fails.
    since: BTreeMap<&'static str, UnixNanos>,
    replaced: bool,
}

impl Health {
    /// A group was stored, or was not.
    pub(crate) fn wrote(&self, outcome: Result<(), &Error>) {
        let mut state = self.state();
        let now = Instant::now();
        match outcome {
            Ok(()) => {
                state.wrote = Some(now);
                state.failure = None;
                state.refused = None;
            }
            // A row's fault.
            Err(error) if error.kind() == ErrorKind::Data => {}
            Err(error) => state.failure = Some((error.kind(), now)),
        }
    }

    /// The database refused every record of a group.
    pub(crate) fn refused(&self) {
        let mut state = self.state();
        let before = state.refused.map_or(0, |(groups, _)| groups);
        state.refused = Some((before.saturating_add(1), Instant::now()));
    }

    /// A small transaction was committed. That shows that the database answers, and not that it has room for a group.
    pub(crate) fn committed(&self) {
        let mut state = self.state();
        state.wrote = Some(Instant::now());
        if state
            .failure
            .is_some_and(|(kind, _)| kind.is_transient() || kind == ErrorKind::TimedOut)
        {
            state.failure = None;
        }
    }

    /// A trial of a write went well. Gives whether that ends what was wrong.
    fn mends(&self, has_space: bool) -> bool {
        let mut state = self.state();
        if let Some((kind, at)) = state.failure
            && (at.elapsed() < SETTLED || (kind == ErrorKind::Full && !has_space))
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

    /// What is known without asking the database.
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
        findings.extend(state.failure.map(|(kind, _)| finding("write", kind)));
        if let Some((groups, at)) = state.refused
            && groups >= REFUSED
            && at.elapsed() < REFUSED_FOR
        {
            findings.push(Finding {
                check: "write",
                reason: "the database refuses everything that is to be stored".to_owned(),
                advice: "look at mcptap's log for the reason, and for triggers and rules that mcptap did not make",
            });
        }
        findings.extend(state.damage.as_ref().map(|damage| Finding {
            reason: format!("the database's file is damaged: {damage}"),
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

/// A failure as it is told.
fn finding(check: &'static str, kind: ErrorKind) -> Finding {
    let (reason, advice) = match kind {
        ErrorKind::Full => ("the disk is full", "free some space; writing goes on by itself"),
        ErrorKind::Refused => (
            "the database refuses to write",
            "check permissions, and that it is not read-only",
        ),
        ErrorKind::Corrupt => (
            "the database is damaged",
            "stop mcptap, keep a copy of the files, then restore a backup or recover what is left",
        ),
        ErrorKind::Io => ("the disk fails", "look at the disk and at the system's log"),
        ErrorKind::Resources | ErrorKind::Conflict => (
            "the database has no connection, memory or lock to give",
            "another program may hold its lock; look at the database",
        ),
        ErrorKind::TimedOut | ErrorKind::Unreachable => (
            "the database does not answer",
            "look at the database and the way to it; mcptap goes on by itself when it answers",
        ),
        _ => ("a statement failed", "look at mcptap's log"),
    };
    Finding {
        check,
        reason: reason.to_owned(),
        advice,
    }
}

fn of_error(check: &'static str, error: &Error) -> Finding {
    match error {
        Error::Replaced => Finding {
            check: "file",
            reason: "the database's file was deleted, moved or replaced while it was open".to_owned(),
            advice: "nothing is written any more; put the file back, or restart mcptap to begin with what is there now",
        },
        Error::Incomplete { table } => Finding {
            reason: format!("the database is damaged: table {table} is not as mcptap made it"),
            ..finding("schema", ErrorKind::Corrupt)
        },
        // The checks have a connection of their own: without one, nobody answers.
        error if error.kind() == ErrorKind::Resources => finding(check, ErrorKind::TimedOut),
        error => finding(check, error.kind()),
    }
}

impl Store {
    /// Whether the store can do its work, and if not, why. Answers within a second whatever happens: the checks have a
    /// connection of their own.
    pub async fn ready(&self) -> Result<(), Vec<Unready>> {
        let (database, health) = (&self.inner.database, self.inner.database.health());
        let answer = async {
            let mut asked = health.asked.lock().await;
            if let Some((at, answer)) = asked.as_ref()
                && at.elapsed() < FRESH
            {
                return answer.clone();
            }
            let looked = look(database).await;
            let mut findings = health.known();
            if looked.is_ok() {
                health.answered();
            }
            if let Err(error) = looked
                && !(is_slow(&error) && health.answered_just_now())
            {
                let finding = of_error("database", &error);
                // The same cause is told once.
                if !findings.iter().any(|known| known.reason == finding.reason) {
                    findings.push(finding);
                }
            }
            let answer = health.dated(findings);
            *asked = Some((Instant::now(), answer.clone()));
            answer
        };
        let unready = match tokio::time::timeout(ANSWER, answer).await {
            Ok(unready) => unready,
            Err(_) => {
                let mut findings = health.known();
                if !health.answered_just_now() {
                    findings.push(finding("database", ErrorKind::TimedOut));
                }
                health.dated(findings)
            }
        };
        if unready.is_empty() { Ok(()) } else { Err(unready) }
    }
}

/// Asks the database.
async fn look(database: &Database) -> Result<(), Error> {
    database.in_place().await?;
    scan::head(database.probe()).await?;
    schema::complete(database.probe()).await?;
    if database.health().is_quiet() && database.writer_is_idle() {
        database.try_write().await?;
        database.health().committed();
    }
    Ok(())
}

/// Whether the check found no answer in time, which may be the machine's fault.
fn is_slow(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Resources)
}

/// Finds out when a fault is over, without waiting for somebody who writes; and whether the file is where it was.
pub(crate) async fn watch(database: Database) {
    check_pages(&database).await;
    loop {
        tokio::time::sleep(PERIOD).await;
        let health = database.health();
        let replaced = matches!(database.in_place().await, Err(Error::Replaced));
        if std::mem::replace(&mut health.state().replaced, replaced) != replaced {
            if replaced {
                tracing::error!("{}", Error::Replaced);
            } else {
                tracing::info!("the database's file is back; writing goes on");
            }
        }
        if health.is_failing() {
            let tried = tokio::time::timeout(TRIAL, write_nothing(&database)).await;
            if let Ok(Ok(())) = tried
                && health.mends(database.has_space(SPACE).await)
            {
                tracing::info!("the database takes writes again");
            }
        }
    }
}

/// A transaction like any other, that changes nothing.
async fn write_nothing(database: &Database) -> Result<(), Error> {
    let mut tx = Transaction::begin(database).await?;
    tx.advance(0, 0).await?;
    tx.commit().await
}

/// Looks through a file's pages for damage, for a bounded time.
async fn check_pages(database: &Database) {
    if database.backend() != Backend::Sqlite {
        return;
    }
    match quick_check(database).await {
        Ok(None) => {}
        Ok(Some(damage)) => {
            tracing::error!(damage, "the database's file is damaged");
            database.health().state().damage = Some(damage);
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::error!(%error, "the database's file is damaged");
            database.health().state().damage = Some("a page cannot be read".to_owned());
        }
        // Not all of it could be checked in time.
        Err(Error::TimedOut) => {}
        Err(error) => tracing::warn!(%error, "the database's pages could not be checked"),
    }
}

async fn quick_check(database: &Database) -> Result<Option<String>, Error> {
    use sea_orm::sqlx::{self, ConnectOptions, Connection, Row};
    let pool = database.near().get_sqlite_connection_pool();
    let mut connection = pool.connect_options().connect().await?;
    let begun = std::time::Instant::now();
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS, move || begun.elapsed() < CHECK);
    let row = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(&mut connection)
        .await?;
    let told: String = row.try_get(0)?;
    connection.close().await?;
    Ok((told != "ok").then_some(told))
}

impl Database {
    /// Writes on the connection of the checks. Where another process holds the lock, writes work there.
    async fn try_write(&self) -> Result<(), Error> {
        let statement = match self.backend() {
            Backend::Sqlite => "UPDATE sequence SET value = value WHERE id = 1",
            // Waits for nobody.
            Backend::Postgres => "SELECT id FROM sequence WHERE id = 1 FOR UPDATE SKIP LOCKED",
        };
        match self
            .probe()
            .execute_unprepared(statement)
            .await
            .map_err(Error::from)
        {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            done => done.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;

    fn told(health: &Health) -> Vec<&'static str> {
        health.known().iter().map(|finding| finding.check).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_full_until_a_group_finds_room() {
        let health = Health::default();
        let full = Error::Full(Cause::new(sea_orm::sqlx::Error::PoolClosed));
        health.wrote(Err(&full));
        // Small transactions, and the trial.
        health.committed();
        assert!(!health.mends(true));
        assert_eq!(told(&health), ["write"]);
        tokio::time::advance(SETTLED).await;
        assert!(!health.mends(false));
        assert_eq!(told(&health), ["write"]);
        assert!(health.mends(true));
        health.wrote(Err(&full));
        health.wrote(Ok(()));
        assert_eq!(told(&health), [""; 0]);
        // What did not answer answers.
        health.wrote(Err(&Error::TimedOut));
        assert_eq!(told(&health), ["write"]);
        health.committed();
        assert_eq!(told(&health), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_refuses_everything_is_told_for_a_while() {
        let health = Health::default();
        for _ in 0..REFUSED {
            assert_eq!(told(&health), [""; 0]);
            health.refused();
        }
        assert_eq!(told(&health), ["write"]);
        tokio::time::advance(REFUSED_FOR).await;
        assert_eq!(told(&health), [""; 0]);
        health.refused();
        assert_eq!(told(&health), ["write"]);
        health.wrote(Ok(()));
        assert_eq!(told(&health), [""; 0]);
    }
}
