//! Sums over the calls of sessions.

use mcptap_model::UnixNanos;
use sea_orm::DatabaseTransaction;

use super::Session;
use super::places::Place;
use crate::read::visits::rows_with;
use crate::{Error, Store};

/// How many sessions one statement sums up.
const AT_ONCE: usize = 500;

/// The calls of one session by one client, with one wire id.
#[derive(Clone, Copy, Debug)]
struct Sum {
    row: i64,
    client: i64,
    calls: i64,
    errors: i64,
    first: i64,
    last: i64,
}

/// `CROSS JOIN` keeps SQLite from looking through all calls first.
const SUMS: &str = "WITH wanted (i, session, first, last, oldest) AS ({rows}) \
    SELECT i, calls.session, client, COUNT(*), SUM(CASE WHEN outcome IN (1, 2, 3) THEN 1 ELSE 0 END), MIN(started_at), MAX(started_at) \
    FROM wanted CROSS JOIN calls WHERE calls.session = wanted.session AND started_at >= wanted.first \
    AND started_at <= wanted.last AND received_at >= wanted.oldest GROUP BY i, calls.session, client";

impl Store {
    /// Sums over the calls of sessions, in one statement for a page.
    pub(super) async fn summed(
        &self,
        tx: &DatabaseTransaction,
        places: Vec<Place>,
    ) -> Result<Vec<Option<Session>>, Error> {
        let mut sums: Vec<Vec<Sum>> = vec![Vec::new(); places.len()];
        let oldest = self.oldest();
        let mut wanted: Vec<[i64; 5]> = Vec::with_capacity(places.len());
        for (index, place) in places.iter().enumerate() {
            wanted.extend(
                place
                    .rows
                    .iter()
                    .map(|row| [index as i64, *row, place.first, place.last, oldest]),
            );
        }
        for some in wanted.chunks(AT_ONCE) {
            for row in rows_with(tx, SUMS, some.to_vec()).await? {
                let index: i64 = row.try_get_by_index(0)?;
                let sum = Sum {
                    row: row.try_get_by_index(1)?,
                    client: row.try_get_by_index(2)?,
                    calls: row.try_get_by_index(3)?,
                    errors: row.try_get_by_index(4)?,
                    first: row.try_get_by_index(5)?,
                    last: row.try_get_by_index(6)?,
                };
                if let Some(sums) = usize::try_from(index).ok().and_then(|index| sums.get_mut(index)) {
                    sums.push(sum);
                }
            }
        }
        let clients = sums.iter().flatten().map(|sum| sum.client);
        let clients = self.inner.dictionary.clients(tx, clients).await?;
        let rows = sums.iter().flatten().map(|sum| sum.row);
        let rows = self.inner.dictionary.sessions(tx, rows).await?;
        let session = |place: Place, sums: Vec<Sum>| {
            let named = sums.iter().filter_map(|sum| {
                let client = clients.get(&sum.client)?;
                Some((sum.last, sum.client, client.name.clone()?, client.version.clone()))
            });
            let (client_name, client_version) = named
                .max_by_key(|(last, client, ..)| (*last, *client))
                .map_or((None, None), |(_, _, name, version)| (Some(name), version));
            let wire_ids = sums.iter().filter_map(|sum| {
                let wire = rows.get(&sum.row)?.wire.clone()?;
                Some((sum.last, sum.row, wire))
            });
            let wire_id = wire_ids
                .max_by_key(|(last, row, _)| (*last, *row))
                .map(|(.., wire)| wire);
            let total = |of: fn(&Sum) -> i64| sums.iter().map(of).sum::<i64>();
            Some(Session {
                source: place.name.source,
                wire_id,
                client_name,
                client_version,
                started_at: UnixNanos(sums.iter().map(|sum| sum.first).min()?),
                last_call_at: UnixNanos(sums.iter().map(|sum| sum.last).max()?),
                call_count: u64::try_from(total(|sum| sum.calls)).unwrap_or_default(),
                error_count: u64::try_from(total(|sum| sum.errors)).unwrap_or_default(),
                row: place.row(),
                server: place.name.server,
                key: place.name.key,
            })
        };
        Ok(places
            .into_iter()
            .zip(sums)
            .map(|(place, sums)| session(place, sums))
            .collect())
    }
}
