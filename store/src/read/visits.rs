//! Visits: the sessions of source CLIENT. Rows of `sessions` say who called; where one visit ends and the next begins
//! follows from the pauses between calls and is read, not stored, so a late call extends or joins visits by being there.
//!
//! A visit is named after its client and the start of its first call. The name goes on to find it when an earlier call
//! turns up, or when a late one joins it with another visit: it means the visit that lasts at that time.
//!
//! The ends are found in steps of up to one pause along the index (session, started_at): each step is one seek to the
//! furthest call within the pause, so a visit of a day costs some fifty seeks, however many calls it has.

use std::collections::HashMap;

use mcptap_model::{Call, SessionSource};
use sea_orm::sea_query::{ArrayType, Value};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement};

use crate::Error;

/// The longest pause within a visit, from the start of one call to the start of the next, in nanoseconds.
pub(crate) const PAUSE: i64 = 30 * 60 * 1_000_000_000;

/// No call began at a time further from 1970 than this, in nanoseconds, and sums with it stay in range.
const FURTHEST: i64 = i64::MAX / 4 * 3;

/// How many rows one statement takes.
const AT_ONCE: usize = 500;

/// The key of a visit as [`mcptap_model::NodeId::Session`] carries it.
pub(crate) fn key(client: &str, started_at: i64) -> String {
    format!("{client}@{started_at}")
}

/// The client and the time of a visit's key.
pub(crate) fn parse(key: &str) -> Option<(&str, i64)> {
    let (client, started_at) = key.rsplit_once('@')?;
    let at: i64 = started_at.parse().ok()?;
    (-FURTHEST..=FURTHEST).contains(&at).then_some((client, at))
}

/// The key of the client whose visits a call belongs to.
pub(crate) fn client_of(call: &Call) -> Option<&str> {
    let session = call.session.as_ref()?;
    (session.source == SessionSource::Client).then_some(session.key.as_str())
}

/// Whether a call is at the same time in the same session as before, so that no visit lost it.
pub(crate) fn is_in_place(before: &Call, now: &Call) -> bool {
    before.started_at == now.started_at
        && before.session == now.session
        && before.server_name() == now.server_name()
}

/// A time in the calls of a row of `sessions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment {
    /// The row.
    pub(crate) session: i64,
    /// Nanoseconds since 1970.
    pub(crate) at: i64,
}

/// The first and the last start of the visit that lasts at each moment; nothing where none does. Calls that began or
/// arrived before `oldest` are past their time.
pub(crate) async fn lasting(
    tx: &DatabaseTransaction,
    oldest: i64,
    moments: impl Iterator<Item = Moment>,
) -> Result<HashMap<Moment, (i64, i64)>, Error> {
    let mut moments: Vec<Moment> = moments.collect();
    moments.sort_unstable();
    moments.dedup();
    // Moments that are close together are mostly of one visit: the first of them is asked for, ...
    let mut asked: Vec<Moment> = Vec::new();
    let mut answer_of: Vec<(Moment, usize)> = Vec::with_capacity(moments.len());
    let mut last: Option<Moment> = None;
    for moment in moments {
        let goes_on = last
            .is_some_and(|last| last.session == moment.session && moment.at.saturating_sub(last.at) <= PAUSE);
        if !goes_on {
            asked.push(moment);
        }
        answer_of.push((moment, asked.len().saturating_sub(1)));
        last = Some(moment);
    }
    let ends = ends_at(tx, oldest, &asked).await?;
    let mut found = HashMap::with_capacity(answer_of.len());
    let mut others = Vec::new();
    for (moment, index) in answer_of {
        let is_asked = asked.get(index) == Some(&moment);
        match ends.get(&index) {
            Some(visit) if is_asked || (visit.0..=visit.1).contains(&moment.at) => {
                found.insert(moment, *visit);
            }
            _ if is_asked => {}
            _ => others.push(moment),
        }
    }
    // ... and each that does not lie in the visit found for it. No call began then: it is a name's.
    let ends = ends_at(tx, oldest, &others).await?;
    let with_ends = others.into_iter().enumerate();
    found.extend(with_ends.filter_map(|(index, moment)| Some((moment, *ends.get(&index)?))));
    Ok(found)
}

/// The first and the last start of the visit at each of these moments, by the moment's place among them.
async fn ends_at(
    tx: &DatabaseTransaction,
    oldest: i64,
    moments: &[Moment],
) -> Result<HashMap<usize, (i64, i64)>, Error> {
    let mut ends: HashMap<usize, (i64, i64)> = HashMap::with_capacity(moments.len());
    for (chunk, some) in moments.chunks(AT_ONCE).enumerate() {
        let rows = some.iter().enumerate().map(|(index, moment)| {
            [
                (chunk * AT_ONCE + index) as i64,
                moment.session,
                moment.at,
                oldest,
            ]
        });
        for row in rows_with(tx, LASTING, rows.collect()).await? {
            let index: i64 = row.try_get_by_index(0)?;
            let (first, last): (Option<i64>, Option<i64>) =
                (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            if let (Ok(index), Some(first), Some(last)) = (usize::try_from(index), first, last) {
                ends.insert(index, (first, last));
            }
        }
    }
    Ok(ends)
}

/// A moment at which no call began stands for the nearest call after it, else before it, within a pause. Calls past their
/// time, by when they began or when they arrived, are not there. Sums stop at the ends of the range: PostgreSQL would fail.
/// Of two lower bounds SQLite takes the first for the index: `+` keeps it from the one by `oldest`, from which each step
/// would walk over all calls of the client.
const LASTING: &str = "WITH RECURSIVE given (i, session, at, oldest) AS ({rows}), \
    around (i, session, at, oldest, before, after) AS (SELECT i, session, at, oldest, \
        CASE WHEN at < -9223370236854775807 THEN -9223372036854775807 ELSE at - 1800000000000 END, \
        CASE WHEN at > 9223370236854775807 THEN 9223372036854775807 ELSE at + 1800000000000 END FROM given), \
    found (i, session, at, oldest) AS (SELECT i, session, COALESCE( \
        (SELECT MIN(started_at) FROM calls WHERE calls.session = around.session AND +started_at >= around.oldest \
            AND received_at >= around.oldest AND started_at >= around.at AND started_at <= around.after), \
        (SELECT MAX(started_at) FROM calls WHERE calls.session = around.session AND +started_at >= around.oldest \
            AND received_at >= around.oldest AND started_at < around.at AND started_at >= around.before)), \
        oldest FROM around), \
    back (i, session, at, oldest) AS (SELECT i, session, at, oldest FROM found UNION ALL \
        SELECT i, session, (SELECT MIN(started_at) FROM calls WHERE calls.session = back.session \
            AND +started_at >= back.oldest AND received_at >= back.oldest AND started_at >= \
            CASE WHEN back.at < -9223370236854775807 THEN -9223372036854775807 ELSE back.at - 1800000000000 END \
            AND started_at < back.at), oldest \
        FROM back WHERE at IS NOT NULL), \
    forth (i, session, at, oldest) AS (SELECT i, session, at, oldest FROM found UNION ALL \
        SELECT i, session, (SELECT MAX(started_at) FROM calls WHERE calls.session = forth.session \
            AND received_at >= forth.oldest AND started_at > forth.at AND started_at <= \
            CASE WHEN forth.at > 9223370236854775807 THEN 9223372036854775807 ELSE forth.at + 1800000000000 END), oldest \
        FROM forth WHERE at IS NOT NULL) \
    SELECT i, MIN(at), MAX(at) FROM (SELECT i, at FROM back UNION ALL SELECT i, at FROM forth) AS steps GROUP BY i";

/// Runs a statement over rows of numbers: `{rows}` in it stands for a table of them.
pub(crate) async fn rows_with<const N: usize>(
    tx: &DatabaseTransaction,
    statement: &str,
    rows: Vec<[i64; N]>,
) -> Result<Vec<QueryResult>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let backend = tx.get_database_backend();
    let (table, values): (String, Vec<Value>) = if backend == DbBackend::Postgres {
        let arrays: Vec<String> = (1..=N).map(|column| format!("${column}::bigint[]")).collect();
        let column = |at: usize| {
            let numbers = rows.iter().filter_map(|row| row.get(at));
            let numbers = numbers.map(|number| Value::BigInt(Some(*number))).collect();
            Value::Array(ArrayType::BigInt, Some(Box::new(numbers)))
        };
        (
            format!("SELECT * FROM UNNEST({})", arrays.join(", ")),
            (0..N).map(column).collect(),
        )
    } else {
        let row = format!("({})", vec!["?"; N].join(","));
        let numbers = rows.iter().flatten();
        (
            format!("VALUES {}", vec![row.as_str(); rows.len()].join(",")),
            numbers.map(|number| Value::BigInt(Some(*number))).collect(),
        )
    };
    let text = statement.replace("{rows}", &table);
    Ok(tx
        .query_all_raw(Statement::from_sql_and_values(backend, text, values))
        .await?)
}

#[cfg(test)]
mod tests {
    use super::{LASTING, PAUSE, key, parse};

    #[test]
    fn keys_come_back() {
        assert_eq!(parse(&key("ab@c", -5)), Some(("ab@c", -5)));
        assert_eq!(parse("ab"), None);
        assert_eq!(parse(&key("ab", i64::MAX)), None);
    }

    #[test]
    fn the_statement_has_the_pause() {
        assert_eq!(LASTING.matches(&PAUSE.to_string()).count(), 4);
    }
}
