//! Multi-row statements, never a statement per row: fixed-size `VALUES` lists on SQLite, `UNNEST` of arrays on
//! PostgreSQL. Below sea-orm's builders, on its pools: binding goes straight from a row to the driver.

pub(crate) mod postgres;
pub(crate) mod sqlite;

/// How a column travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As a 64-bit integer, whatever the width of the column.
    Integer,
    /// As text.
    Text,
    /// As bytes.
    Bytes,
    /// As text: keys of the index of words, with a space between.
    Keys,
}

/// A table as a statement writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// The columns that are given, in the order of [`Record::bind`].
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// What follows the rows: what to do on conflict, what to return.
    pub(crate) conflict: &'static str,
}

impl Table {
    /// The columns' names, as a list in SQL. Quoted: some are words of SQL.
    fn names(&self) -> String {
        self.columns
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// A row to write.
pub(crate) trait Record: Send {
    /// Where it goes.
    const TABLE: Table;

    /// Gives every column of the table, in order.
    fn bind(self, sink: &mut impl Sink);
}

/// Takes the columns of a row.
pub(crate) trait Sink {
    /// The next column, an integer.
    fn integer(&mut self, value: Option<i64>);
    /// The next column, a text.
    fn text(&mut self, value: Option<String>);
    /// The next column, bytes.
    fn bytes(&mut self, value: Option<Vec<u8>>);
}

/// PostgreSQL's text cannot hold NUL, and SQLite's functions stop at it: it becomes U+FFFD in both.
pub(crate) fn without_nul(text: String) -> String {
    if text.as_bytes().contains(&0) {
        text.replace('\0', "\u{FFFD}")
    } else {
        text
    }
}
