//! Rows into SQLite: `VALUES` lists of a few fixed sizes, so that each statement is prepared once per connection.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::QueryResult;
use sea_orm::sqlx::{self, Arguments, AssertSqlSafe, SqliteConnection, sqlite::SqliteArguments};

use super::{Record, Sink, Table, without_nul};

/// How many rows the largest statement takes.
const CHUNK: usize = 64;

/// What a statement does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verb {
    Insert,
    Overwrite,
}

/// Statement texts by what they do, table and number of rows.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashMap<(Verb, &'static str, &'static str, usize), Arc<str>>);

impl Texts {
    fn of(&mut self, verb: Verb, table: Table, rows: usize) -> Arc<str> {
        let text = self
            .0
            .entry((verb, table.name, table.conflict, rows))
            .or_insert_with(|| text(verb, table, rows).into());
        Arc::clone(text)
    }
}

fn text(verb: Verb, table: Table, rows: usize) -> String {
    let row = format!("({})", vec!["?"; table.columns.len()].join(","));
    let rows = vec![row.as_str(); rows].join(",");
    let (name, names) = (table.name, table.names());
    // A failed statement ends the transaction anyway. Told so, SQLite keeps no copy of every page for
    // undoing a statement alone.
    match verb {
        Verb::Insert => format!(
            "INSERT OR FAIL INTO {name} ({names}) VALUES {rows} {}",
            table.conflict
        ),
        Verb::Overwrite => {
            let mut columns = table.columns.iter().map(|(column, _)| column);
            let key = columns.next().copied().unwrap_or_default();
            let sets: Vec<String> = columns
                .map(|column| format!("\"{column}\" = given.\"{column}\""))
                .collect();
            format!(
                "WITH given ({names}) AS (VALUES {rows}) UPDATE OR FAIL {name} SET {} FROM given \
                 WHERE {name}.\"{key}\" = given.\"{key}\"",
                sets.join(",")
            )
        }
    }
}

#[derive(Default)]
struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    fn add<'q, T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(&mut self, value: T) {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(error);
        }
    }
}

impl Sink for Values {
    fn integer(&mut self, value: Option<i64>) {
        self.add(value);
    }

    fn text(&mut self, value: Option<String>) {
        self.add(value.map(without_nul));
    }

    fn bytes(&mut self, value: Option<Vec<u8>>) {
        self.add(value);
    }
}

/// The next statement: its text and its arguments.
fn statement<R: Record>(
    texts: &mut Texts,
    verb: Verb,
    rows: &mut impl ExactSizeIterator<Item = R>,
) -> Result<Option<(Arc<str>, SqliteArguments)>, sqlx::Error> {
    let left = rows.len();
    if left == 0 {
        return Ok(None);
    }
    // The largest power of two that still fills: a remainder takes a few statements, all of known sizes.
    let size = CHUNK.min(1 << left.ilog2());
    let mut values = Values::default();
    values.arguments.reserve(size * R::TABLE.columns.len(), 0);
    for row in rows.take(size) {
        row.bind(&mut values);
    }
    match values.failed {
        Some(error) => Err(sqlx::Error::Encode(error)),
        None => Ok(Some((texts.of(verb, R::TABLE, size), values.arguments))),
    }
}

/// Inserts rows. While SQLite's own thread runs a statement, the next one is made here.
pub(crate) async fn insert<R: Record>(
    connection: &mut SqliteConnection,
    texts: &mut Texts,
    mut rows: impl ExactSizeIterator<Item = R> + Send,
) -> Result<Vec<QueryResult>, sqlx::Error> {
    let mut returned = Vec::new();
    let mut next = statement(texts, Verb::Insert, &mut rows)?;
    while let Some((text, arguments)) = next {
        let run = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(&mut *connection);
        let (found, following) = tokio::join!(run, async { statement(texts, Verb::Insert, &mut rows) });
        returned.extend(found?.into_iter().map(QueryResult::from));
        next = following?;
    }
    Ok(returned)
}

/// Overwrites the rows whose first column is given. Gives how many there were.
pub(crate) async fn overwrite<R: Record>(
    connection: &mut SqliteConnection,
    texts: &mut Texts,
    mut rows: impl ExactSizeIterator<Item = R> + Send,
) -> Result<u64, sqlx::Error> {
    let mut found = 0;
    let mut next = statement(texts, Verb::Overwrite, &mut rows)?;
    while let Some((text, arguments)) = next {
        let run = sqlx::query_with(AssertSqlSafe(text), arguments).execute(&mut *connection);
        let (done, following) = tokio::join!(run, async { statement(texts, Verb::Overwrite, &mut rows) });
        found += done?.rows_affected();
        next = following?;
    }
    Ok(found)
}
