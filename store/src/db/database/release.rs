//! Connections that are given back: each goes back to its pool outside of any transaction, or is closed.
//!
//! A statement that failed outside of a transaction leaves nothing behind: both databases undo it alone. One that failed
//! inside of one ends it, and its connection is closed where its ROLLBACK does not succeed.

use std::future::Future;
use std::time::{Duration, Instant};

use sea_orm::sqlx::{self, Connection, PgPool};
use tokio::time::timeout;

use crate::{Error, ErrorKind};

/// How long a connection that comes back may take to answer.
pub(crate) const RELEASE: Duration = Duration::from_secs(2);

/// How long to wait before connecting again to a file that is locked.
const AGAIN: Duration = Duration::from_millis(25);

/// Begins a transaction of PostgreSQL to the end, also when nobody waits for it any more, but for no longer than `limit`. If
/// it were left half-way, sqlx would give the connection to the next one inside a transaction that nobody ends
/// (transact-rs/sqlx#4393). A server that has not answered by then does not answer the question whether the connection is
/// idle either, and the connection is closed. A pool that is closed gives it to nobody, and does not wait for it.
pub(super) async fn whole<T, E>(
    pool: &PgPool,
    limit: Duration,
    beginning: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, Error>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    let mut closed = pool.close_event();
    let beginning = async move { closed.do_until(beginning).await };
    match tokio::spawn(timeout(limit, beginning)).await {
        Ok(Ok(Ok(begun))) => Ok(begun?),
        Ok(Ok(Err(_))) => Err(Error::Stopping),
        Ok(Err(_)) => Err(Error::TimedOut),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down.
            Err(_) => Err(Error::Stopping),
        },
    }
}

/// Whether a connection that comes back to its pool is outside of any transaction. If it is not, its ROLLBACK failed, and
/// the pool closes it: SQLite rolls back by itself when the disk is full, and sqlx then counts that transaction as open
/// for as long as the connection lives.
pub(crate) async fn is_idle<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    // The ROLLBACK of a dropped transaction is queued; the connection answers this after it. A server that does not answer
    // would keep the connection for ever.
    match timeout(RELEASE, connection.ping()).await {
        Ok(answered) => answered?,
        Err(_) => return Ok(false),
    }
    Ok(!connection.is_in_transaction())
}

/// Connects to SQLite again while another process holds the lock: SQLite does not wait for it where it changes to WAL mode.
pub(crate) async fn until_free<T, F, E>(wait: Duration, connect: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>>,
    Error: From<E>,
{
    let started = Instant::now();
    loop {
        match connect().await.map_err(Error::from) {
            // SQLITE_BUSY, SQLITE_LOCKED.
            Err(error) if error.kind() == ErrorKind::Conflict && started.elapsed() < wait => {
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}
