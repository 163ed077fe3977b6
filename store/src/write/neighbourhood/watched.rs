//! What others tell, in other traces, of the requests of a batch: watchers' spans, and the servers' calls.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::memory::Held;
use super::weights::CALL_BYTES;
use super::{Found, KEYS, statement, weights};
use crate::Error;
use crate::rows::hash::text_hash;
use crate::rows::row::kind;
use crate::write::fold::{Served, Watched};

/// How many calls of the session are looked at for what one watcher saw, and how many watchers for one call, at most.
const PER_WATCHED: usize = 64;

/// Reads what watchers told in other traces of requests that are named alike. A client may use its ids again, so it goes by
/// time too: of each those that ended first since then.
pub(super) async fn watchers(
    snapshot: &DatabaseTransaction,
    served: &[Served],
    since: i64,
    found: &mut Found,
    held: &mut Held,
) -> Result<(), Error> {
    let watched = watched_of(snapshot, served, found).await?;
    let served = served.iter().filter(|served| watched.contains(&served.key));
    let keys: Vec<[i64; 2]> = served.map(|served| [served.key, served.from.0]).collect();
    let text = format!(
        "SELECT id, {} FROM waiting WHERE trace_lo = ? AND ended_at >= ? AND kind = {} AND arrived_at >= {since} \
         ORDER BY ended_at LIMIT {PER_WATCHED}",
        weights::WAITING_BYTES,
        kind::WATCHER
    );
    let backend = snapshot.get_database_backend();
    for keys in keys.chunks(statement::arms(backend)) {
        let statement = statement::each(backend, &text, keys);
        let named = weights::named(snapshot, statement).await?;
        found.read(named.len(), usize::MAX);
        found.read_waiting(snapshot, &named, held).await?;
    }
    Ok(())
}

/// The keys of these requests under which any watcher waits: most servers have none, and that costs one statement.
async fn watched_of(
    snapshot: &DatabaseTransaction,
    served: &[Served],
    found: &mut Found,
) -> Result<HashSet<i64>, Error> {
    let mut keys: Vec<[i64; 1]> = served.iter().map(|served| [served.key]).collect();
    keys.dedup();
    let text = format!(
        "WITH k (place) AS ({{keys}}) SELECT k.place FROM k WHERE \
         EXISTS (SELECT 1 FROM waiting AS w WHERE w.trace_lo = k.place AND w.kind = {})",
        kind::WATCHER
    );
    let mut watched = HashSet::new();
    for keys in keys.chunks(KEYS) {
        let statement = statement::keyed(snapshot.get_database_backend(), &text, keys);
        let rows = snapshot.query_all_raw(statement).await?;
        found.read(rows.len(), usize::MAX);
        for row in rows {
            watched.insert(row.try_get_by_index(0)?);
        }
    }
    Ok(watched)
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
