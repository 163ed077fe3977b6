//! Rows into PostgreSQL: one array per column, one statement per table.

use sea_orm::QueryResult;
use sea_orm::sqlx::{self, Arguments, AssertSqlSafe, PgConnection, postgres::PgArguments};

use super::{Kind, Record, Sink, Table, without_nul};

/// The rows as a table `given`: its columns' values, and where they come from.
fn given(table: Table) -> (Vec<String>, String) {
    let mut arrays = Vec::with_capacity(table.columns.len());
    let mut values = Vec::with_capacity(table.columns.len());
    for (number, (name, kind)) in (1..).zip(table.columns) {
        let (array, value) = match kind {
            Kind::Integer => ("bigint", format!("given.\"{name}\"")),
            Kind::Text => ("text", format!("given.\"{name}\"")),
            Kind::Bytes => ("bytea", format!("given.\"{name}\"")),
            Kind::Keys => (
                "text",
                format!("array_to_tsvector(string_to_array(given.\"{name}\", ' '))"),
            ),
        };
        arrays.push(format!("${number}::{array}[]"));
        values.push(value);
    }
    let from = format!("UNNEST({}) AS given ({})", arrays.join(","), table.names());
    (values, from)
}

fn insertion(table: Table) -> String {
    let (values, from) = given(table);
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {from} {}",
        table.name,
        table.names(),
        values.join(","),
        table.conflict
    )
}

fn overwriting(table: Table) -> String {
    let (values, from) = given(table);
    let mut columns = table.columns.iter().map(|(name, _)| name).zip(values);
    let key = columns.next();
    let sets: Vec<String> = columns
        .map(|(name, value)| format!("\"{name}\" = {value}"))
        .collect();
    let key = key.map(|(name, value)| format!("{}.\"{name}\" = {value}", table.name));
    format!(
        "UPDATE {} SET {} FROM {from} WHERE {}",
        table.name,
        sets.join(","),
        key.unwrap_or_default()
    )
}

enum Column {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

struct Columns {
    columns: Vec<Column>,
    next: usize,
}

impl Columns {
    fn new(table: Table, rows: usize) -> Self {
        let column = |(_, kind): &(&str, Kind)| match kind {
            Kind::Integer => Column::Integers(Vec::with_capacity(rows)),
            Kind::Text | Kind::Keys => Column::Texts(Vec::with_capacity(rows)),
            Kind::Bytes => Column::Bytes(Vec::with_capacity(rows)),
        };
        Self {
            columns: table.columns.iter().map(column).collect(),
            next: 0,
        }
    }

    fn next(&mut self) -> Option<&mut Column> {
        let index = self.next;
        self.next = (index + 1) % self.columns.len().max(1);
        self.columns.get_mut(index)
    }

    fn arguments(self) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for column in self.columns {
            match column {
                Column::Integers(values) => arguments.add(values),
                Column::Texts(values) => arguments.add(values),
                Column::Bytes(values) => arguments.add(values),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}

impl Sink for Columns {
    fn integer(&mut self, value: Option<i64>) {
        if let Some(Column::Integers(values)) = self.next() {
            values.push(value);
        }
    }

    fn text(&mut self, value: Option<String>) {
        if let Some(Column::Texts(values)) = self.next() {
            values.push(value.map(without_nul));
        }
    }

    fn bytes(&mut self, value: Option<Vec<u8>>) {
        if let Some(Column::Bytes(values)) = self.next() {
            values.push(value);
        }
    }
}

fn columns<R: Record>(rows: impl ExactSizeIterator<Item = R>) -> Columns {
    let mut columns = Columns::new(R::TABLE, rows.len());
    for row in rows {
        row.bind(&mut columns);
    }
    columns
}

/// Inserts rows.
pub(crate) async fn insert<R: Record>(
    connection: &mut PgConnection,
    rows: impl ExactSizeIterator<Item = R> + Send,
) -> Result<Vec<QueryResult>, sqlx::Error> {
    if rows.len() == 0 {
        return Ok(Vec::new());
    }
    let arguments = columns(rows).arguments()?;
    let found = sqlx::query_with(AssertSqlSafe(insertion(R::TABLE)), arguments)
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().map(QueryResult::from).collect())
}

/// Overwrites the rows whose first column is given. Gives how many there were.
pub(crate) async fn overwrite<R: Record>(
    connection: &mut PgConnection,
    rows: impl ExactSizeIterator<Item = R> + Send,
) -> Result<u64, sqlx::Error> {
    if rows.len() == 0 {
        return Ok(0);
    }
    let arguments = columns(rows).arguments()?;
    let done = sqlx::query_with(AssertSqlSafe(overwriting(R::TABLE)), arguments)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
