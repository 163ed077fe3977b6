//! How much there is of something, asked before it is read.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use super::KEYS;
use super::large::Filled;
use super::memory::{CALL, COPIES, ROW};
use super::statement::keyed;
use crate::Error;
use crate::rows::row::kind;

/// A trace that takes more bytes than this is not read as a whole.
pub(super) const WHOLE: usize = 4 << 20;

/// The bytes of the long texts of a row of `calls`.
pub(crate) const CALL_BYTES: &str = "CAST(COALESCE(OCTET_LENGTH(error_message), 0) + \
     COALESCE(OCTET_LENGTH(resource_uri), 0) + COALESCE(OCTET_LENGTH(request_id), 0) AS BIGINT)";

/// The bytes of a row of `waiting`.
pub(super) const WAITING_BYTES: &str = "CAST(OCTET_LENGTH(data) AS BIGINT)";

/// How much one trace has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) calls: usize,
    pub(super) aliases: usize,
    pub(super) waiting: usize,
    /// The bytes of long texts, as they are stored.
    texts: usize,
}

impl Weight {
    /// About how many bytes all of it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.calls * CALL + (self.aliases + self.waiting) * ROW + self.texts * COPIES
    }
}

/// The part of a weight that a table is summed into.
type Part = fn(&mut Weight) -> &mut usize;

/// How much these traces have; those that have nothing are left out.
pub(super) async fn of_traces(
    db: &DatabaseTransaction,
    traces: &[i64],
    filled: Filled,
    since: i64,
) -> Result<HashMap<i64, Weight>, Error> {
    // On SQLite a CROSS JOIN keeps its order: from the keys to the rows. There the lengths are taken before they are
    // grouped, too: grouping sorts, and what is sorted would be the texts themselves.
    let counts = |table: &str, bytes: &str, filter: &str| {
        format!(
            "WITH k (trace) AS ({{keys}}), sized (trace, bytes) AS MATERIALIZED (\
             SELECT k.trace, {bytes} FROM (SELECT DISTINCT trace FROM k) AS k CROSS JOIN {table} AS t \
             WHERE t.trace_lo = k.trace{filter}) \
             SELECT trace, COUNT(*), CAST(SUM(bytes) AS BIGINT) FROM sized GROUP BY trace"
        )
    };
    let filter = format!(
        " AND arrived_at >= {since} AND kind NOT IN ({}, {})",
        kind::JOINED,
        kind::PARTS
    );
    let tables: [(bool, String, Part); 3] = [
        (filled.calls, counts("calls", CALL_BYTES, ""), |weight| {
            &mut weight.calls
        }),
        (filled.aliases, counts("aliases", "0", ""), |weight| {
            &mut weight.aliases
        }),
        (
            filled.waiting,
            counts("waiting", WAITING_BYTES, &filter),
            |weight| &mut weight.waiting,
        ),
    ];
    let mut weights: HashMap<i64, Weight> = HashMap::new();
    for traces in traces.chunks(KEYS) {
        let keys: Vec<[i64; 1]> = traces.iter().map(|trace| [*trace]).collect();
        for (_, text, count) in tables.iter().filter(|(filled, ..)| *filled) {
            let statement = keyed(db.get_database_backend(), text, &keys);
            for row in db.query_all_raw(statement).await? {
                let weight = weights.entry(row.try_get_by_index(0)?).or_default();
                *count(weight) = size(row.try_get_by_index(1)?);
                weight.texts += size(row.try_get_by_index(2)?);
            }
        }
    }
    Ok(weights)
}

/// The calls in these rows with the bytes of their long texts.
pub(super) async fn of_calls(db: &DatabaseTransaction, rows: &[i64]) -> Result<Vec<(i64, usize)>, Error> {
    let keys: Vec<[i64; 1]> = rows.iter().map(|row| [*row]).collect();
    let text = format!(
        "WITH k (call) AS ({{keys}}) SELECT c.id, {CALL_BYTES} FROM k CROSS JOIN calls AS c WHERE c.id = k.call"
    );
    named(db, keyed(db.get_database_backend(), &text, &keys)).await
}

/// Rows and their bytes, as a statement gives them.
pub(super) async fn named(
    db: &DatabaseTransaction,
    statement: Statement,
) -> Result<Vec<(i64, usize)>, Error> {
    let rows = db.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, size(row.try_get_by_index(1)?))))
        .collect()
}

/// A count of bytes or rows, as a database gives it.
pub(super) fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}
