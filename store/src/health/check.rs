//! Asking whether all is well.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use tokio::time::Instant;

use super::finding::{finding, of_error};
use super::{Rounds, UNREADABLE, Unready};
use crate::db::database::{Backend, Database};
use crate::db::schema;
use crate::read::scan;
use crate::{Error, ErrorKind, Store};

/// How long the answer may take, so that whoever asks hears within a second.
const ANSWER: Duration = Duration::from_millis(900);

/// An answer that is younger is given again: many may ask.
const FRESH: Duration = Duration::from_millis(250);

impl Store {
    /// How the rounds of each background task ended, by its name.
    pub fn rounds(&self) -> Vec<(&'static str, Rounds)> {
        self.inner.database.health().rounds()
    }

    /// Whether the store can do its work, and if not, why. Answers within a second whatever happens: the checks have a
    /// connection of their own.
    ///
    /// # Errors
    ///
    /// Every cause that is known. Damage stays one until all pages of the file were found to be sound; on PostgreSQL until the
    /// store is opened again.
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
            health.noticed(looked.as_ref().map(drop));
            let mut findings = health.known();
            match &looked {
                Ok(()) => health.answered(),
                Err(_) => database.renew_probe(),
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
                database.renew_probe();
                let mut findings = health.known();
                if !health.answered_just_now() {
                    findings.push(finding("database", ErrorKind::TimedOut));
                }
                health.dated(findings)
            }
        };
        if unready.is_empty() { Ok(()) } else { Err(unready) }
    }

    /// Notes that a read ended with [`Error::Corrupt`]: the store is not [ready](Self::ready) any more, until all
    /// pages are found to be sound.
    pub fn damage_found(&self) {
        self.inner.database.health().damaged(UNREADABLE);
    }
}

/// Asks the database.
async fn look(database: &Database) -> Result<(), Error> {
    database.in_place().await?;
    scan::head(&database.probe()).await?;
    schema::complete(&database.probe()).await?;
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
