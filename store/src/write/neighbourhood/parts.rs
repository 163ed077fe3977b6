//! The parts of calls that are one request only as far as is known.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::memory::Held;
use super::{Found, KEYS, statement, weights};
use crate::Error;
use crate::rows::row::kind;

/// Reads the parts of all calls that were found, and their watchers, which hold parts together that are in traces of their own.
/// Those parts that are there and do not fit are told: their calls are one request for good.
pub(super) async fn read(
    snapshot: &DatabaseTransaction,
    found: &mut Found,
    held: &mut Held,
) -> Result<(), Error> {
    let keys: Vec<[i64; 1]> = found.rows().map(|row| [row]).collect();
    let known: HashSet<i64> = found.waiting.iter().map(|waiting| waiting.id).collect();
    let text = format!(
        "WITH k (id) AS ({{keys}}) SELECT w.id, {}, w.call, w.kind FROM k CROSS JOIN waiting AS w \
         WHERE w.call = k.id AND (w.kind = {parts} OR (w.kind = {} \
         AND EXISTS (SELECT 1 FROM waiting AS p WHERE p.call = k.id AND p.kind = {parts})))",
        weights::WAITING_BYTES,
        kind::WATCHER,
        parts = kind::PARTS
    );
    for keys in keys.chunks(KEYS) {
        let statement = statement::keyed(snapshot.get_database_backend(), &text, keys);
        let rows = snapshot.query_all_raw(statement).await?;
        found.read(rows.len(), usize::MAX);
        let mut named = Vec::with_capacity(rows.len());
        let mut calls: HashSet<i64> = HashSet::with_capacity(rows.len());
        for row in rows {
            let id: i64 = row.try_get_by_index(0)?;
            if !known.contains(&id) {
                named.push((id, weights::size(row.try_get_by_index(1)?)));
            }
            if row.try_get_by_index::<i16>(3)? == kind::PARTS {
                calls.insert(row.try_get_by_index(2)?);
            }
        }
        let before = found.read_waiting(snapshot, &named, held).await?;
        let read = found.waiting.iter().skip(before);
        for parts in read.filter(|waiting| waiting.kind == kind::PARTS) {
            calls.remove(&parts.call.unwrap_or_default());
        }
        found.without_parts.extend(calls);
    }
    Ok(())
}
