//! What others tell, in other traces, of the requests of a batch: watchers' spans, and the servers' calls.

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::memory::Held;
use super::weights::CALL_BYTES;
use super::{Found, KEYS, PER_RANGE, statement, weights};
use crate::Error;
use crate::rows::hash::text_hash;
use crate::rows::row::kind;
use crate::write::fold::Watched;

/// How many calls of the session are looked at for what one watcher saw, at most.
const PER_WATCHED: usize = 64;

/// Reads what watchers told of requests that have these keys, in other traces.
pub(super) async fn watchers(
    snapshot: &DatabaseTransaction,
    keys: &[i64],
    since: i64,
    found: &mut Found,
    held: &mut Held,
) -> Result<(), Error> {
    for keys in keys.chunks(KEYS) {
        let keys: Vec<[i64; 1]> = keys.iter().map(|key| [*key]).collect();
        let limit = PER_RANGE + 4 * keys.len();
        let text = format!(
            "WITH k (place) AS ({{keys}}) SELECT w.id, {} FROM k CROSS JOIN waiting AS w \
             WHERE w.trace_lo = k.place AND w.kind = {} AND w.arrived_at >= {since} LIMIT {limit}",
            weights::WAITING_BYTES,
            kind::WATCHER
        );
        let statement = statement::keyed(snapshot.get_database_backend(), &text, &keys);
        let named = weights::named(snapshot, statement).await?;
        found.read(named.len(), limit);
        found.read_waiting(snapshot, &named, held).await?;
    }
    Ok(())
}

/// The calls of sessions, by their ids on the wire, that began while watchers saw a request run: their rows, and the bytes of
/// their long texts.
pub(super) async fn of_sessions(
    snapshot: &DatabaseTransaction,
    watched: &[Watched],
) -> Result<Vec<(i64, usize)>, Error> {
    let keys: Vec<[i64; 3]> = watched
        .iter()
        .map(|watched| [text_hash(&watched.session), watched.from.0, watched.to.0])
        .collect();
    // The server begins right after whoever watches it: what began first is most likely the same request.
    let text = format!(
        "SELECT c.id, {CALL_BYTES} AS bytes FROM sessions AS s CROSS JOIN calls AS c \
         WHERE s.wire_hash = ? AND c.session = s.id AND c.started_at BETWEEN ? AND ? \
         ORDER BY c.started_at LIMIT {PER_WATCHED}"
    );
    let statement = statement::each(snapshot.get_database_backend(), &text, &keys);
    weights::named(snapshot, statement).await
}
