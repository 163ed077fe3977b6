//! Finding out when a fault is over, and what is damaged from the start.

use std::time::Duration;

use crate::committer::Committer;
use crate::database::{Backend, Database};
use crate::{Error, ErrorKind};

/// How often it is looked whether the fault is over.
const PERIOD: Duration = Duration::from_secs(1);

/// How long trying a write may take.
const TRIAL: Duration = Duration::from_secs(5);

/// How many bytes the disk must have before a full one counts as mended without a group that was stored.
const SPACE: u64 = 8 << 20;

/// How long the pages of a file are checked at most when it is opened. A small file is checked wholly.
const CHECK: Duration = Duration::from_secs(2);

/// How many of SQLite's instructions run between two looks at the clock.
const STEPS: i32 = 50_000;

/// Finds out when a fault is over, without waiting for somebody who writes; and whether the file is where it was.
pub(crate) async fn watch(database: Database, mut committer: Committer) {
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
            let tried = tokio::time::timeout(TRIAL, committer.try_plain_records()).await;
            if let Ok(Ok(())) = tried
                && health.mends(database.has_space(SPACE).await)
            {
                tracing::info!("the database takes writes again");
            }
        }
    }
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
            database.health().damaged(&damage);
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => database.health().noticed(Err(&error)),
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
