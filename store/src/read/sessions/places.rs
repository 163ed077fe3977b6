//! Where the calls of sessions are.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{SessionSource, UnixNanos};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::SessionName;
use crate::read::visits::{self, Moment, rows_with};
use crate::rows::entity::{name, session};
use crate::rows::hash::{secret_hash, text_hash};
use crate::rows::intern::{NameKind, name_hash};
use crate::{Error, Store};

/// How many keys one statement looks up.
pub(super) const AT_ONCE: usize = 500;

/// Where the calls of a session are: in these rows of `sessions`, between these starts.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: SessionName,
    pub(super) rows: Vec<i64>,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Place {
    pub(super) fn row(&self) -> i64 {
        self.rows.iter().copied().min().unwrap_or_default()
    }

    /// The order of pages, as something that grows.
    pub(super) fn order(&self) -> Reverse<(UnixNanos, i64)> {
        Reverse((UnixNanos(self.last), self.row()))
    }
}

/// Between which starts the calls of a session are in one row of `sessions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    /// A hash of the session's name.
    pub(super) name: u64,
    pub(super) row: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

const ENDS: &str = "WITH wanted (session, oldest) AS ({rows}) SELECT session, \
    (SELECT MIN(started_at) FROM calls WHERE calls.session = wanted.session AND started_at >= wanted.oldest \
        AND received_at >= wanted.oldest), \
    (SELECT MAX(started_at) FROM calls WHERE calls.session = wanted.session AND started_at >= wanted.oldest \
        AND received_at >= wanted.oldest) FROM wanted";

impl Store {
    /// No call that began or arrived before this is served.
    pub(crate) fn oldest(&self) -> i64 {
        self.inner.options.oldest_kept().0
    }

    /// The rows of `sessions` of natural keys.
    pub(super) async fn rows<'k>(
        &self,
        tx: &DatabaseTransaction,
        keys: impl Iterator<Item = (SessionSource, &'k str, &'k str)>,
    ) -> Result<HashMap<(SessionSource, &'k str, &'k str), Vec<i64>>, Error> {
        let keys: HashSet<_> = keys.collect();
        let servers: HashSet<Vec<u8>> = keys
            .iter()
            .map(|(_, server, _)| name_hash(NameKind::Server, server))
            .collect();
        let servers: Vec<Vec<u8>> = servers.into_iter().collect();
        let mut server_rows: HashMap<String, i64> = HashMap::new();
        for some in servers.chunks(AT_ONCE) {
            let found = name::Entity::find()
                .filter(name::Column::Hash.is_in(some.iter().cloned()))
                .all(tx)
                .await?;
            server_rows.extend(found.into_iter().map(|name| (name.text, name.id)));
        }
        let hashes: HashSet<i64> = keys.iter().map(|(.., key)| text_hash(key)).collect();
        let hashes: Vec<i64> = hashes.into_iter().collect();
        let mut by_key: HashMap<(i16, i64, String), Vec<i64>> = HashMap::new();
        for some in hashes.chunks(AT_ONCE) {
            let found = session::Entity::find()
                .filter(session::Column::KeyHash.is_in(some.iter().copied()))
                .all(tx)
                .await?;
            for row in found {
                if let (Some(source), Some(key)) = (row.source, row.key) {
                    by_key.entry((source, row.server, key)).or_default().push(row.id);
                }
            }
        }
        Ok(keys
            .into_iter()
            .filter_map(|key @ (source, server, id)| {
                let place = (source.code(), *server_rows.get(server)?, id.to_owned());
                Some((key, by_key.get(&place)?.clone()))
            })
            .collect())
    }

    /// Where the sessions of these names are.
    pub(super) async fn places(
        &self,
        tx: &DatabaseTransaction,
        names: &[SessionName],
    ) -> Result<HashMap<SessionName, Place>, Error> {
        let visit = |name: &SessionName| match name.source {
            SessionSource::Client => visits::parse(&name.key).map(|(client, at)| (client.to_owned(), at)),
            _ => None,
        };
        let clients: Vec<Option<(String, i64)>> = names.iter().map(visit).collect();
        let keys = names.iter().zip(&clients).filter_map(|(name, client)| {
            let key = match (name.source, client) {
                (SessionSource::Client, None) => return None,
                (_, Some((client, _))) => client,
                (_, None) => &name.key,
            };
            Some((name, (name.source, name.server.as_str(), key.as_str())))
        });
        let keys: HashMap<&SessionName, _> = keys.collect();
        let rows = self.rows(tx, keys.values().copied()).await?;
        let rows_of = |name: &SessionName| rows.get(keys.get(name)?);
        let moment = |name: &SessionName, client: &Option<(String, i64)>| {
            Some(Moment {
                session: *rows_of(name)?.first()?,
                at: client.as_ref()?.1,
            })
        };
        let moments = names.iter().zip(&clients);
        let lasting = visits::lasting(
            tx,
            self.oldest(),
            moments.filter_map(|(name, client)| moment(name, client)),
        )
        .await?;
        let mut places = HashMap::with_capacity(names.len());
        for (name, client) in names.iter().zip(&clients) {
            let Some(rows) = rows_of(name) else { continue };
            let mut place = Place {
                name: name.clone(),
                rows: rows.clone(),
                first: self.oldest(),
                last: i64::MAX,
            };
            if let Some((client_key, _)) = client {
                let moment = moment(name, client);
                let Some((first, last)) = moment.and_then(|moment| lasting.get(&moment)) else {
                    continue;
                };
                (place.first, place.last) = (*first, *last);
                place.name.key = visits::key(client_key, *first);
            }
            places.insert(name.clone(), place);
        }
        Ok(places)
    }

    /// The sessions with calls at these moments.
    pub(super) async fn of_moments(
        &self,
        tx: &DatabaseTransaction,
        moments: &[Moment],
    ) -> Result<Vec<Place>, Error> {
        let mut places: HashMap<SessionName, Place> = HashMap::new();
        for (end, name) in self.ends_of(tx, moments).await? {
            // One session may have been seen with and without its wire id: two rows, one key.
            let place = places.entry(name.clone()).or_insert(Place {
                name,
                rows: Vec::new(),
                first: end.first,
                last: end.last,
            });
            if !place.rows.contains(&end.row) {
                place.rows.push(end.row);
            }
            place.first = std::cmp::min(place.first, end.first);
            place.last = std::cmp::max(place.last, end.last);
        }
        Ok(places.into_values().collect())
    }

    /// The rows of the same sessions that are not there: a session may have been seen with and without its wire id.
    async fn other_rows(
        &self,
        tx: &DatabaseTransaction,
        known: &HashMap<i64, Arc<session::Model>>,
    ) -> Result<Vec<session::Model>, Error> {
        let named = known.values().filter(|model| !is_visit(model));
        let sessions: HashSet<(Option<i16>, i64, Option<&str>)> = named
            .clone()
            .map(|model| (model.source, model.server, model.key.as_deref()))
            .collect();
        let hashes: HashSet<i64> = named.filter_map(|model| model.key_hash).collect();
        let hashes: Vec<i64> = hashes.into_iter().collect();
        let mut others = Vec::new();
        for some in hashes.chunks(AT_ONCE) {
            let found = session::Entity::find()
                .filter(session::Column::KeyHash.is_in(some.iter().copied()))
                .all(tx)
                .await?;
            others.extend(found.into_iter().filter(|row| {
                !known.contains_key(&row.id)
                    && sessions.contains(&(row.source, row.server, row.key.as_deref()))
            }));
        }
        Ok(others)
    }

    /// Where the calls of the sessions with calls at these moments begin and end, row by row, and what each is called.
    pub(super) async fn ends_of(
        &self,
        tx: &DatabaseTransaction,
        moments: &[Moment],
    ) -> Result<Vec<(End, SessionName)>, Error> {
        let dictionary = &self.inner.dictionary;
        let rows = moments.iter().map(|moment| moment.session);
        let mut models = dictionary.sessions(tx, rows).await?;
        let others = self.other_rows(tx, &models).await?;
        models.extend(others.into_iter().map(|model| (model.id, Arc::new(model))));
        let names = dictionary
            .names(tx, models.values().map(|model| model.server))
            .await?;
        let in_visits = moments
            .iter()
            .copied()
            .filter(|moment| models.get(&moment.session).is_some_and(|model| is_visit(model)));
        let lasting = visits::lasting(tx, self.oldest(), in_visits).await?;
        let others: HashSet<i64> = models
            .iter()
            .filter(|(_, model)| !is_visit(model))
            .map(|(row, _)| *row)
            .collect();
        let mut ends: Vec<(i64, i64, i64)> = lasting
            .into_iter()
            .map(|(moment, (first, last))| (moment.session, first, last))
            .collect();
        let others: Vec<[i64; 2]> = others.into_iter().map(|row| [row, self.oldest()]).collect();
        for some in others.chunks(AT_ONCE) {
            for row in rows_with(tx, ENDS, some.to_vec()).await? {
                let (first, last): (Option<i64>, Option<i64>) =
                    (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
                ends.extend(
                    first
                        .zip(last)
                        .and_then(|(first, last)| Some((row.try_get_by_index::<i64>(0).ok()?, first, last))),
                );
            }
        }
        let mut found = Vec::with_capacity(ends.len());
        for (row, first, last) in ends {
            let Some(model) = models.get(&row) else { continue };
            let (Some(key), Some(server)) = (
                crate::rows::dictionary::session_key(model),
                names.get(&model.server),
            ) else {
                continue;
            };
            let name = SessionName {
                source: key.source,
                server: server.to_string(),
                key: if is_visit(model) {
                    visits::key(&key.key, first)
                } else {
                    key.key
                },
            };
            let end = End {
                name: secret_hash(&name),
                row,
                first,
                last,
            };
            found.push((end, name));
        }
        Ok(found)
    }
}

fn is_visit(model: &session::Model) -> bool {
    model.source == Some(SessionSource::Client.code())
}
