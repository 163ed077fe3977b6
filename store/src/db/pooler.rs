//! Connections to PostgreSQL, also through a pooler such as PgBouncer.
//!
//! Limits are set after connecting and not by startup parameters, which PgBouncer refuses. Where it lends a connection of
//! the server for a transaction only (`pool_mode = transaction`), nothing of a session holds: settings and notifications
//! belong to whoever has that connection next, and a statement prepared on one is not there on another. Then every
//! connection taken from the pool here begins a transaction at once and ends it when it comes back, and what it prepares
//! is prepared anew.

mod limits;

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use tokio::time::timeout;

use crate::Error;
use crate::db::database::{RELEASE, is_idle};
pub(crate) use limits::{none_in_time, share, suffice};

/// How long a statement waits for a lock.
const LOCK: Duration = Duration::from_secs(10);

/// A transaction in which nothing happens for this long belongs to a process that is gone, or frozen.
const IDLE: Duration = Duration::from_secs(120);

/// The same of one that may hold the lock for which all processes wait: between two of its statements a group may be
/// prepared again. A group is not written for longer.
const IDLE_WRITER: Duration = Duration::from_secs(30);

/// The isolation of transactions that choose none. One that waits for a lock reads what its holder wrote, and goes on; a role
/// or a database may be set to fail it instead.
const ISOLATION: &str = "READ COMMITTED";

/// The kind of work of a pool's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// They read.
    Reads,
    /// They hold locks.
    Writes,
}

/// The time limit of [`detect`].
const DETECT: Duration = Duration::from_secs(30);

/// How often two connections are compared. A pooler gives the connection that came back last to the next one who asks.
const ROUNDS: usize = 3;

/// Which kind of pooler, if any, is between mcptap and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Nothing, or a pooler that lends a connection for a whole session.
    Session,
    /// A pooler that lends a connection for a transaction.
    Transaction {
        /// Whether it knows which statements its clients have prepared (PgBouncer 1.21 with `max_prepared_statements`).
        prepares: bool,
    },
}

impl Pooling {
    /// Whether a connection remains the same between transactions.
    pub(crate) fn has_sessions(self) -> bool {
        self == Self::Session
    }

    /// How to connect.
    pub(crate) fn fit(self, connect: PgConnectOptions) -> PgConnectOptions {
        let connect = connect
            .application_name("mcptap")
            // PgBouncer refuses this parameter; numbers come as they are stored anyway.
            .extra_float_digits(None)
            .disable_statement_logging();
        match self {
            Self::Transaction { prepares: false } => connect.statement_cache_capacity(0),
            _ => connect,
        }
    }
}

/// Finds out which kind of pooler is in between, by two connections.
pub(crate) async fn detect(connect: &PgConnectOptions, told: bool) -> Result<Pooling, Error> {
    let connect = Pooling::Session.fit(connect.clone());
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(DETECT)
        .connect_lazy_with(connect);
    let compared = timeout(DETECT, async {
        let (mut one, mut other) = (pool.acquire().await?, pool.acquire().await?);
        // First, since it would lose prepared statements too: a pooler that lends a connection for a statement refuses this.
        for statement in ["BEGIN", "COMMIT"] {
            run(&mut one, statement.to_owned()).await?;
        }
        let (mut seen_by_one, mut seen_by_other) = (Vec::new(), Vec::new());
        let mark = mark();
        for _ in 0..ROUNDS {
            seen_by_one.push(backend(&mut one, mark).await?);
            seen_by_other.push(backend(&mut other, mark + 1).await?);
        }
        one.close_on_drop();
        other.close_on_drop();
        Ok((seen_by_one, seen_by_other))
    })
    .await
    .unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let pooling = match compared {
        Err(sqlx::Error::PoolTimedOut) => return Err(none_in_time(DETECT)),
        Ok((one, other)) => {
            let is_foreign = [&one, &other].into_iter().flatten().any(Option::is_none);
            let moved = [&one, &other]
                .into_iter()
                .any(|seen| seen.windows(2).any(|two| two.first() != two.last()));
            let moves = moved || one.iter().any(|pid| other.contains(pid));
            match (is_foreign, moves) {
                (true, _) => Pooling::Transaction { prepares: false },
                (false, true) => Pooling::Transaction { prepares: true },
                // Each had a connection of its own all the time, so nothing is known of what was prepared.
                (false, false) if told => Pooling::Transaction { prepares: false },
                (false, false) => Pooling::Session,
            }
        }
        Err(error) if is_about_preparing(&error) => Pooling::Transaction { prepares: false },
        Err(error) if is_about_transactions(&error) => return Err(Error::Pooler),
        Err(error) => return Err(error.into()),
    };
    if pooling != Pooling::Session {
        tracing::info!(
            "PostgreSQL is reached through a pooler of transactions: what other processes store is looked for four times \
             a second"
        );
    }
    // The connections are closed already.
    drop(pool);
    Ok(pooling)
}

/// A number that no other statement has: those of earlier processes may be prepared there under the same name.
fn mark() -> i64 {
    crate::clock::now().0 & !1
}

/// The number of the server's process; `None` where another statement was run, which somebody else prepared under the same name on
/// the connection of the server that was lent. The statement is prepared, and its name used again.
async fn backend(connection: &mut PgConnection, mark: i64) -> Result<Option<i32>, sqlx::Error> {
    let statement = format!("SELECT pg_backend_pid(), {mark}::int8");
    let row = sqlx::query(AssertSqlSafe(statement))
        .fetch_one(connection)
        .await?;
    let (backend, marked): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((marked == mark).then_some(backend))
}

/// Whether a prepared statement was there already, or not there any more.
fn is_about_preparing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "42P05" || code == "26000")
}

/// Whether transactions are refused, as PgBouncer does with `pool_mode = statement`.
fn is_about_transactions(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("statement pooling"))
}

/// A pool of connections on which no statement takes longer than `limit` (zero: without limit) or waits for a lock for
/// ever.
pub(crate) fn pool(connections: u32, limit: Duration, work: Work, pooling: Pooling) -> PgPoolOptions {
    let options = PgPoolOptions::new().max_connections(connections);
    let limit = if limit.is_zero() {
        0
    } else {
        limit.as_millis().max(1)
    };
    let idle = match work {
        Work::Reads => IDLE,
        Work::Writes => IDLE_WRITER,
    };
    let (lock, idle) = (LOCK.as_millis(), idle.as_millis());
    match pooling {
        Pooling::Session => {
            let settings = format!(
                "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {ISOLATION}; \
                 SET statement_timeout = {limit}; SET lock_timeout = {lock}; \
                 SET idle_in_transaction_session_timeout = {idle}"
            );
            options
                .after_connect(move |connection, _| Box::pin(run(connection, settings.clone())))
                // The driver's own test would take all the time there is for a connection, and then there is none.
                .test_before_acquire(false)
                .before_acquire(|connection, _| {
                    let answered = timeout(RELEASE, connection.ping());
                    Box::pin(async move { Ok(matches!(answered.await, Ok(Ok(())))) })
                })
                .after_release(|connection, _| Box::pin(is_idle(connection)))
        }
        Pooling::Transaction { prepares } => {
            // Names of statements that others left on this connection would stand in the way. In a transaction of its own,
            // since after it the isolation could not be chosen any more.
            let tidy = if prepares {
                ""
            } else {
                "BEGIN; DEALLOCATE ALL; COMMIT; "
            };
            let begin = format!(
                "{tidy}BEGIN ISOLATION LEVEL {ISOLATION}; \
                 SET LOCAL client_min_messages = error; SET LOCAL statement_timeout = {limit}; \
                 SET LOCAL lock_timeout = {lock}; SET LOCAL idle_in_transaction_session_timeout = {idle}"
            );
            let again = begin.clone();
            options
                // Beginning tells whether the connection is good.
                .test_before_acquire(false)
                .after_connect(move |connection, _| Box::pin(run(connection, begin.clone())))
                .before_acquire(move |connection, _| {
                    let begin = again.clone();
                    let begun = timeout(RELEASE, run(connection, begin));
                    Box::pin(async move { Ok(matches!(begun.await, Ok(Ok(())))) })
                })
                // Whether a transaction is open or not, none is after this, and nothing is warned of. A server that does not
                // answer is not waited for.
                .after_release(|connection, _| {
                    let ended = timeout(RELEASE, run(connection, "BEGIN; COMMIT".to_owned()));
                    Box::pin(async move { Ok(matches!(ended.await, Ok(Ok(())))) })
                })
        }
    }
}

async fn run(connection: &mut PgConnection, statements: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    const STEP: Duration = Duration::from_secs(60);

    /// How to connect to the server of the tests.
    pub(crate) fn server() -> Option<PgConnectOptions> {
        let Ok(url) = std::env::var("TEST_DATABASE_URL") else {
            assert!(
                std::env::var("MCPTAP_REQUIRE_POSTGRES").is_err(),
                "TEST_DATABASE_URL is not set"
            );
            return None;
        };
        Some(PgConnectOptions::from_str(&url).unwrap())
    }

    #[tokio::test]
    async fn statements_end_in_time() {
        let Some(connect) = server() else { return };
        assert_eq!(detect(&connect, false).await.unwrap(), Pooling::Session);
        let strict = connect
            .clone()
            .options([("default_transaction_isolation", "serializable")]);
        // As behind a pooler, too: every connection in a transaction of its own.
        for pooling in [Pooling::Session, Pooling::Transaction { prepares: false }] {
            let pool = pool(1, Duration::from_millis(50), Work::Reads, pooling);
            let pool = pool.connect_with(pooling.fit(connect.clone())).await.unwrap();
            // Once on a new connection, once on one that failed, or one after it.
            for _ in 0..2 {
                let slept = sqlx::query("SELECT pg_sleep(60)").execute(&pool).await;
                assert!(matches!(Error::from(slept.unwrap_err()), Error::TimedOut));
                let one = sqlx::query("SELECT 1").fetch_one(&pool).await.unwrap();
                assert_eq!(one.try_get::<i32, _>(0).unwrap(), 1);
            }
            let pool = super::pool(1, STEP, Work::Writes, pooling);
            let pool = pool.connect_with(pooling.fit(strict.clone())).await.unwrap();
            let shown = sqlx::query("SHOW transaction_isolation").fetch_one(&pool).await;
            assert_eq!(shown.unwrap().try_get::<String, _>(0).unwrap(), "read committed");
        }
    }
}
