//! The contents of a database before it is used: nothing, mcptap's tables of some version, or another program's.
//!
//! It is looked at before anything is written, so that a database of another program stays as it is, byte for byte; and
//! again under the lock under which the tables are made, so that of two processes that start at once one makes them and
//! the other finds them.

pub(crate) mod grants;
mod header;

use std::time::Duration;

use mcptap_migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QuerySelect,
    QueryTrait, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::db::database;
use crate::read::scan;
use crate::rows::entity::{
    alias, api_key, audit, call, client, detail, log_line, name, origin, process, session, unindexed, view,
    waiting,
};
use crate::{Error, ErrorKind};

pub(crate) use header::look_into_file;

/// "mcpt": by this number in its header a file of SQLite is known as mcptap's (`PRAGMA application_id`).
const APPLICATION_ID: u32 = 0x6d63_7074;

/// Any number; two processes that migrate the same PostgreSQL database take turns by it.
const MIGRATION_LOCK: i64 = 0x6d63_7074_6170;

/// Where the history of the tables is kept.
const HISTORY: &str = "seaql_migrations";

/// How often it is tried again to change tables that others use, and the pause before each.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// All tables that statements name. On PostgreSQL another program may have tables beside them, but none of these names.
pub(crate) const TABLES: [&str; 16] = [
    "aliases",
    "api_keys",
    "audit",
    "calls",
    "clients",
    "details",
    "log_lines",
    "names",
    "origins",
    "processes",
    "search",
    "sequence",
    "sessions",
    "unindexed",
    "views",
    "waiting",
];

/// The contents of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No tables.
    Nothing,
    /// mcptap's tables, of an older version where steps are `pending`.
    Ours {
        /// How many steps this version has to add.
        pending: usize,
    },
}

/// The changes that may be made to the tables of a database that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    /// They are made, and brought up to date.
    Migrate,
    /// They are made where there are none; older ones are refused.
    Make,
    /// They must be there and up to date, and what they hold is changed.
    Change,
    /// They must be there and up to date, and are only read.
    Leave,
}

impl Upkeep {
    /// How long a connection or a lock is waited for: a server has time, whoever sits before a command has not.
    pub(crate) fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Migrate => 10,
            Self::Make | Self::Change => 5,
            Self::Leave => 2,
        })
    }

    /// Whether the tables have to be made or brought up to date. Fails where that may not be.
    pub(crate) fn asks_for_work(self, found: Found) -> Result<bool, Error> {
        match (found, self) {
            (Found::Ours { pending: 0 }, _) => Ok(false),
            (Found::Ours { .. }, Self::Migrate) | (Found::Nothing, Self::Migrate | Self::Make) => Ok(true),
            (Found::Ours { .. }, Self::Make | Self::Change | Self::Leave) => Err(Error::Outdated),
            (Found::Nothing, Self::Change | Self::Leave) => Err(Error::NoTables),
        }
    }
}

/// The contents of a database. Changes nothing.
pub(crate) async fn inspect(db: &impl ConnectionTrait) -> Result<Found, Error> {
    let backend = db.get_database_backend();
    let tables = match backend {
        DbBackend::Postgres => {
            "SELECT c.relname::text AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace \
             AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1"
        }
        _ => {
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY 1"
        }
    };
    if backend == DbBackend::Postgres {
        let encoding = texts(db, "SELECT current_setting('server_encoding') AS name").await?;
        if let Some(other) = encoding.into_iter().find(|encoding| encoding != "UTF8") {
            return Err(Error::Encoding(other));
        }
    }
    let tables = texts(db, tables).await?;
    let has_history = tables.iter().any(|table| table == HISTORY);
    let done = match has_history {
        true => match texts(db, "SELECT version AS name FROM seaql_migrations ORDER BY 1").await {
            Err(refused @ Error::Refused(_)) => {
                grants::check(db, Upkeep::Migrate, false).await?;
                return Err(refused);
            }
            done => done?,
        },
        false => Vec::new(),
    };
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|step| step.name().to_owned())
        .collect();
    let first = known.first();
    if !done.iter().any(|step| Some(step) == first) {
        return foreign_or_nothing(backend, &tables, has_history);
    }
    if let Some(unknown) = done.iter().find(|step| !known.contains(step)) {
        return Err(Error::Newer(unknown.clone()));
    }
    Ok(Found::Ours {
        pending: known.len().saturating_sub(done.len()),
    })
}

/// A database in which mcptap never was.
fn foreign_or_nothing(backend: DbBackend, tables: &[String], has_history: bool) -> Result<Found, Error> {
    let in_the_way: Vec<&str> = tables
        .iter()
        .map(String::as_str)
        .filter(|table| {
            // A server of PostgreSQL may be shared; a file is one program's.
            backend != DbBackend::Postgres || TABLES.contains(table) || (has_history && *table == HISTORY)
        })
        .take(3)
        .collect();
    if in_the_way.is_empty() {
        return Ok(Found::Nothing);
    }
    Err(Error::Foreign(format!(
        "it has tables that mcptap did not make ({})",
        in_the_way.join(", ")
    )))
}

async fn texts(db: &impl ConnectionTrait, statement: &str) -> Result<Vec<String>, Error> {
    let statement = Statement::from_string(db.get_database_backend(), statement.to_owned());
    let rows = db.query_all_raw(statement).await?;
    let names: Result<_, _> = rows.iter().map(|row| row.try_get("", "name")).collect();
    Ok(names?)
}

/// Makes the tables or brings them up to date, all in one transaction: another process that does the same waits and finds
/// them, and after a failure everything is as it was. Processes of an older version may be at work on these tables meanwhile:
/// where both wait for one another it is tried again.
pub(crate) async fn migrate(write: &DatabaseConnection, upkeep: Upkeep) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        match migrate_once(write, upkeep).await {
            Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => {
                tries += 1;
                tracing::warn!(%error, tries, "the database's tables are in use; they are brought up to date in a moment");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn migrate_once(write: &DatabaseConnection, upkeep: Upkeep) -> Result<(), Error> {
    let tx = begin(write).await?;
    // The contents may have changed since they were read without the lock.
    let found = inspect(&tx).await?;
    let works = upkeep.asks_for_work(found)?;
    if works {
        // Two lines for each step are of no use to anybody.
        Migrator::up(&tx, None)
            .with_subscriber(NoSubscriber::default())
            .await?;
    }
    if tx.get_database_backend() == DbBackend::Sqlite {
        tx.execute_unprepared(&format!("PRAGMA application_id = {APPLICATION_ID}"))
            .await?;
        // By this number in its header a server knows that the file is still that of this database. Zero is none.
        let identity = scan::identity(&tx).await? as i32;
        tx.execute_unprepared(&format!("PRAGMA user_version = {}", identity | 1))
            .await?;
    }
    tx.commit().await?;
    match found {
        Found::Nothing => tracing::info!("made the database's tables"),
        Found::Ours { pending } if works => {
            tracing::info!("brought the database's tables up to date in {pending} steps");
        }
        Found::Ours { .. } => {}
    }
    Ok(())
}

async fn begin(write: &DatabaseConnection) -> Result<DatabaseTransaction, Error> {
    if write.get_database_backend() == DbBackend::Sqlite {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        return database::until_free(Upkeep::Migrate.patience(), || write.begin_with_options(options)).await;
    }
    let tx = write.begin().await?;
    // Another process may need its time, and so may a step over many rows.
    tx.execute_unprepared(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
         SET LOCAL idle_in_transaction_session_timeout = 0",
    )
    .await?;
    tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        .await?;
    Ok(tx)
}

/// Whether every table and column that statements name is there: the reason why not, otherwise.
pub(crate) async fn complete(db: &impl ConnectionTrait) -> Result<(), Error> {
    let backend = db.get_database_backend();
    let mut statements = vec![
        ("calls", call::Entity::find().limit(0).build(backend)),
        ("details", detail::Entity::find().limit(0).build(backend)),
        ("log_lines", log_line::Entity::find().limit(0).build(backend)),
        ("names", name::Entity::find().limit(0).build(backend)),
        ("clients", client::Entity::find().limit(0).build(backend)),
        ("sessions", session::Entity::find().limit(0).build(backend)),
        ("origins", origin::Entity::find().limit(0).build(backend)),
        ("processes", process::Entity::find().limit(0).build(backend)),
        ("aliases", alias::Entity::find().limit(0).build(backend)),
        ("waiting", waiting::Entity::find().limit(0).build(backend)),
        ("unindexed", unindexed::Entity::find().limit(0).build(backend)),
        ("api_keys", api_key::Entity::find().limit(0).build(backend)),
        ("audit", audit::Entity::find().limit(0).build(backend)),
        ("views", view::Entity::find().limit(0).build(backend)),
    ];
    for (name, statement) in [
        (
            "sequence",
            "SELECT id, value, epoch, identity, indexed, deleted, cleaned, lineage, commits, writers FROM sequence LIMIT 0",
        ),
        ("search", "SELECT rowid, words FROM search LIMIT 0"),
    ] {
        statements.push((name, Statement::from_string(backend, statement.to_owned())));
    }
    for (table, statement) in statements {
        if let Err(error) = db.query_all_raw(statement).await {
            return Err(if is_missing(&error) {
                Error::Incomplete { table }
            } else {
                error.into()
            });
        }
    }
    Ok(())
}

/// Whether a table or column is not there.
fn is_missing(error: &DbErr) -> bool {
    let DbErr::Query(RuntimeErr::SqlxError(error)) = error else {
        return false;
    };
    error.as_database_error().is_some_and(|error| {
        // SQLite's SQLITE_ERROR, PostgreSQL's undefined_table and undefined_column.
        matches!(error.code().as_deref(), Some("1" | "42P01" | "42703"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::db::database::Database;

    #[tokio::test]
    async fn all_tables_and_columns_are_named() {
        let sqlite = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE \
            'search\\__%' ESCAPE '\\' AND name <> 'seaql_migrations' ORDER BY 1";
        named("sqlite::memory:", sqlite).await;
        if let Some(url) = crate::db::transaction::tests::of_server("tables").await {
            let postgres = "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = current_schema() \
                AND tablename <> 'seaql_migrations' ORDER BY 1";
            named(&url, postgres).await;
        }
    }

    async fn named(url: &str, tables: &str) {
        let database = Database::connect(url, &Options::default()).await.unwrap();
        let db = database.near();
        assert_eq!(texts(db, tables).await.unwrap(), TABLES);
        complete(db).await.unwrap();
        // Those that have no entity of their own.
        for column in ["deleted", "cleaned", "indexed", "lineage", "commits", "writers"] {
            let rename = format!("ALTER TABLE sequence RENAME COLUMN {column} TO gone");
            database.write().execute_unprepared(&rename).await.unwrap();
            let told = complete(db).await;
            assert!(
                matches!(told, Err(Error::Incomplete { table: "sequence" })),
                "{column}: {told:?}"
            );
            let back = format!("ALTER TABLE sequence RENAME COLUMN gone TO {column}");
            database.write().execute_unprepared(&back).await.unwrap();
        }
        database.close().await;
    }
}
