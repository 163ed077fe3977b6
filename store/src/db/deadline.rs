//! How long a query may keep the database busy, and its end when nobody waits for the answer any more.

use std::time::Duration;

use sea_orm::sqlx::sqlite::SqlitePoolOptions;
use sea_orm::sqlx::{Error, SqliteConnection};

use crate::limits::operation::Operation;

/// How many of SQLite's instructions run between two looks at the clock: about a millisecond. Tests count them.
pub(crate) const STEPS: i32 = if cfg!(test) { 10 } else { 50_000 };

/// Readers of SQLite that give up when the time of their query is over, or nobody waits for it; without a query,
/// `limit` after they got the connection. One that is new is used only where `admit` agrees.
pub(crate) fn sqlite(
    pool: SqlitePoolOptions,
    limit: Duration,
    admit: impl Fn() -> Result<(), Error> + Clone + Send + Sync + 'static,
) -> SqlitePoolOptions {
    pool.after_connect(move |connection, _| {
        let admitted = admit();
        Box::pin(async move {
            admitted?;
            bound(connection, limit).await
        })
    })
    .before_acquire(move |connection, _| {
        Box::pin(async move {
            bound(connection, limit).await?;
            Ok(true)
        })
    })
}

async fn bound(connection: &mut SqliteConnection, limit: Duration) -> Result<(), Error> {
    let operation = Operation::reading(limit);
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS, move || {
            #[cfg(test)]
            operation
                .steps()
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            !operation.is_over()
        });
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx::{self, SqlitePool};
    use tokio::time::timeout;

    use super::*;
    use crate::ErrorKind;

    const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    const LONG: Duration = Duration::from_secs(3600);
    /// Without what is tested here the tests would hang.
    const ENOUGH: Duration = Duration::from_secs(30);

    fn operation() -> Operation {
        Operation::new(crate::Asker::Server, LONG)
    }

    async fn one_reader(limit: Duration) -> SqlitePool {
        let pool = sqlite(SqlitePoolOptions::new().max_connections(1), limit, || Ok(()));
        pool.connect("sqlite::memory:").await.unwrap()
    }

    async fn ask(pool: &SqlitePool, question: &'static str) -> Result<i64, Error> {
        timeout(ENOUGH, sqlx::query_scalar(question).fetch_one(pool))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_question_without_end_ends() {
        let pool = one_reader(Duration::from_millis(10)).await;
        // Once on a new connection, once on one that was used before.
        for _ in 0..2 {
            let error = ask(&pool, ENDLESS).await.unwrap_err();
            assert_eq!(ErrorKind::of(&error), ErrorKind::TimedOut, "{error}");
            assert!(matches!(crate::Error::from(error), crate::Error::TimedOut));
        }
        assert_eq!(ask(&pool, "SELECT 1").await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_question_ends_when_nobody_waits_for_it() {
        let pool = one_reader(LONG).await;
        assert_eq!(operation().run(ask(&pool, "SELECT 1")).await.unwrap(), 1);
        for _ in 0..2 {
            let asking = operation().run(ask(&pool, ENDLESS));
            assert!(timeout(Duration::from_millis(50), asking).await.is_err());
            // The only connection is free again.
            assert_eq!(ask(&pool, "SELECT 2").await.unwrap(), 2);
        }
    }
}
