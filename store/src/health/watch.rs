//! Finding out when a fault is over, and what is damaged from the start.

use std::time::{Duration, Instant};

use crate::db::database::{Backend, Database};
use crate::write::committer::Committer;
use crate::{Error, ErrorKind};

/// How often it is looked whether the fault is over.
const PERIOD: Duration = Duration::from_secs(1);

/// How long trying a write may take.
const TRIAL: Duration = Duration::from_secs(5);

/// How many bytes the disk must have before a full one counts as mended without a group that was stored.
const SPACE: u64 = 8 << 20;

/// How long the pages of a file are checked at most when it is opened. A small file is checked wholly.
const CHECK: Duration = Duration::from_secs(2);

/// How long they are looked through again at most after damage was found. Reading may have failed for a moment only.
const RECHECK: Duration = Duration::from_secs(60);

/// How long it is at least until the next such look, and the share of the time that looks may take.
const AGAIN: Duration = Duration::from_secs(5);
const REST: u32 = 20;

/// How many of SQLite's instructions run between two looks at the clock.
const STEPS: i32 = 50_000;

/// Finds out when a fault is over, without waiting for somebody who writes; and whether the file is where it was.
pub(crate) async fn watch(database: Database, mut committer: Committer) {
    check_pages(&database).await;
    // Whether what is in a log that is not at its path any more is in the file.
    let mut saved = false;
    let mut next_look = Instant::now();
    loop {
        tokio::time::sleep(PERIOD).await;
        let health = database.health();
        let replaced = match database.in_place().await {
            Err(error @ (Error::Replaced | Error::LogReplaced)) => Some(error),
            _ => None,
        };
        let before = std::mem::replace(&mut health.state().replaced, replaced.clone());
        match (&before, &replaced) {
            (None, Some(error)) => tracing::error!("{error}"),
            (Some(_), None) => {
                database.keep();
                health.is_back();
                tracing::info!("the database's file is back; writing goes on");
            }
            _ => {}
        }
        match replaced {
            Some(Error::LogReplaced) => {
                saved = saved || save(&database).await;
                if saved && let Err(error) = database.let_go().await {
                    tracing::warn!(%error, "a connection could not be closed");
                }
            }
            Some(_) => {}
            None => saved = false,
        }
        if let Some(damages) = health.damages()
            && next_look <= Instant::now()
        {
            let begun = Instant::now();
            match quick_check(&database, RECHECK).await {
                Ok(None) if health.is_sound(damages) => {
                    tracing::info!(
                        "all pages of the database can be read: what was found was no damage that lasts"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "whether the database is damaged could not be found out")
                }
            }
            next_look = Instant::now() + AGAIN.max(begun.elapsed() * REST);
        }
        if health.is_failing() {
            let tried = tokio::time::timeout(TRIAL, committer.try_plain_records()).await;
            if let Ok(Ok(())) = tried
                && health.mends(database.has_space(SPACE).await)
            {
                tracing::info!("the database takes writes again");
            }
        }
    }
}

/// Saves what was acknowledged where it is found after a crash too. Nothing more is written meanwhile.
async fn save(database: &Database) -> bool {
    match tokio::time::timeout(TRIAL, database.write_back()).await {
        Ok(Ok(true)) => {
            tracing::warn!(
                "what was acknowledged is in the database's own file, which is opened anew where no other process works on \
                 it and no other log is in its place: otherwise restart mcptap"
            );
            true
        }
        Ok(Ok(false)) | Err(_) => false,
        Ok(Err(error)) => {
            tracing::error!(%error, "the write-ahead log cannot be written back; it is tried again, and at an orderly stop");
            false
        }
    }
}

/// Looks through a file's pages for damage, for a bounded time.
async fn check_pages(database: &Database) {
    match quick_check(database, CHECK).await {
        Ok(None) => {}
        Ok(Some(damage)) => {
            tracing::error!(damage, "the database's file is damaged");
            database.health().damaged(&damage);
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => database.health().noticed(Err(&error)),
        // Not all of it could be checked in time.
        Err(Error::TimedOut) => {}
        Err(error) => tracing::warn!(%error, "the database's pages could not be checked"),
    }
}

/// The first damage in the pages, read by a connection of its own. Of PostgreSQL nobody knows.
async fn quick_check(database: &Database, limit: Duration) -> Result<Option<String>, Error> {
    use sea_orm::sqlx::{self, ConnectOptions, Connection, Row};
    if database.backend() != Backend::Sqlite {
        return Err(Error::TimedOut);
    }
    let pool = database.near().get_sqlite_connection_pool();
    let mut connection = pool.connect_options().connect().await?;
    let begun = Instant::now();
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS, move || begun.elapsed() < limit);
    let row = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(&mut connection)
        .await?;
    let told: String = row.try_get(0)?;
    connection.close().await?;
    Ok((told != "ok").then_some(told))
}
