//! A pool of one connection, for work that waits for nobody else's.
//!
//! sqlx asks a connection that comes back to its pool for an answer, and waits for it without a limit. Where a firewall
//! forgets the connection in that moment, its place is taken until the system gives the connection up, a quarter of an hour
//! later. In a pool of several the others go on; here nothing would, so the pool is made anew.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{PgPool, SqlitePool};
use sea_orm::{DatabaseConnection, DbBackend, SqlxPostgresConnector, SqlxSqliteConnector};

/// A pool is used for at least so long: of a server that is only slow, few connections are wanted.
const LEAST: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });

/// The pool. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Single(Arc<RwLock<Current>>);

#[derive(Debug)]
struct Current {
    pool: DatabaseConnection,
    made: Instant,
}

impl Single {
    pub(super) fn sqlite(pool: SqlitePool) -> Self {
        Self::new(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
    }

    pub(super) fn postgres(pool: PgPoolOptions, connect: PgConnectOptions) -> Self {
        let pool = pool.max_connections(1).connect_lazy_with(connect);
        Self::new(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
    }

    /// A pool of PostgreSQL that has other uses too.
    pub(super) fn shared(pool: &PgPool) -> Self {
        Self::new(SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()))
    }

    fn new(pool: DatabaseConnection) -> Self {
        let made = Instant::now();
        Self(Arc::new(RwLock::new(Current { pool, made })))
    }

    /// The pool of today.
    pub(super) fn get(&self) -> DatabaseConnection {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.pool.clone()
    }

    /// Makes a pool of PostgreSQL anew where its connection is not there although whoever used it has given up. One that is
    /// still in use elsewhere is used to its end, and closed.
    pub(super) fn renew_if_lent(&self) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if current.pool.get_database_backend() != DbBackend::Postgres || current.made.elapsed() < LEAST {
            return;
        }
        let pool = current.pool.get_postgres_connection_pool();
        if pool.size() > 0 && pool.num_idle() == 0 && !pool.is_closed() {
            let connect = PgConnectOptions::clone(&pool.connect_options());
            let pool = pool.options().clone().connect_lazy_with(connect);
            *current = Current {
                pool: SqlxPostgresConnector::from_sqlx_postgres_pool(pool),
                made: Instant::now(),
            };
        }
    }
}
