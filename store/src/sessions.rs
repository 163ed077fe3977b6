//! `impl Store`: sessions, which are what their calls say.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{CallFilter, NodeId, SessionSource, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Order, Query, WindowStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use crate::entity::{call, session};
use crate::hash::text_hash;
use crate::intern::{NameKind, name_hash};
use crate::scan::Scan;
use crate::visits::{self, Moment, PAUSE, rows_with};
use crate::{Error, Page, PageRequest, Store, clock};

/// How many keys one statement looks up.
const AT_ONCE: usize = 500;
/// How many calls a page of all sessions walks through before the sessions are gathered another way.
const WALK: usize = 20_000;
/// How many calls it reads at a time.
const STEP: u64 = 1_000;

/// What belongs together in one client's visit to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it was recognised by.
    pub source: SessionSource,
    /// The server's name.
    pub server: String,
    /// The id, in the terms of the source.
    pub key: String,
    /// The client's own name, from its latest call that says one.
    pub client_name: Option<String>,
    /// The client's own version, from the same call.
    pub client_version: Option<String>,
    /// When its first call began.
    pub started_at: UnixNanos,
    /// When its last call began.
    pub last_call_at: UnixNanos,
    /// How many calls it has.
    pub call_count: u64,
    /// How many of them are errors.
    pub error_count: u64,
    /// Its row. Visits of one client share it.
    pub row: i64,
}

impl Session {
    /// Where it stands in the order of pages.
    pub fn position(&self) -> SessionPosition {
        SessionPosition {
            last_call_at: self.last_call_at,
            row: self.row,
        }
    }
}

/// Where a session stands: newest activity first, then by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionPosition {
    /// When its last call began.
    pub last_call_at: UnixNanos,
    /// Its row.
    pub row: i64,
}

/// The natural key of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName {
    /// What it is recognised by.
    pub source: SessionSource,
    /// The server's name.
    pub server: String,
    /// The id, in the terms of the source.
    pub key: String,
}

/// Where the calls of a session are: in these rows of `sessions`, between these starts.
#[derive(Clone, Debug)]
struct Place {
    name: SessionName,
    rows: Vec<i64>,
    first: i64,
    last: i64,
}

impl Place {
    fn row(&self) -> i64 {
        self.rows.iter().copied().min().unwrap_or_default()
    }

    /// The order of pages, as something that grows.
    fn order(&self) -> Reverse<(UnixNanos, i64)> {
        Reverse((UnixNanos(self.last), self.row()))
    }
}

impl Store {
    /// The session of that natural key. A visit is found by any time at which it lasts.
    pub async fn session(
        &self,
        source: SessionSource,
        server: &str,
        key: &str,
    ) -> Result<Option<Session>, Error> {
        let name = SessionName {
            source,
            server: server.to_owned(),
            key: key.to_owned(),
        };
        Ok(self.sessions_of(std::slice::from_ref(&name)).await?.remove(&name))
    }

    /// The sessions of these keys, in a fixed number of questions. What is not stored is left out.
    pub async fn sessions_of(&self, names: &[SessionName]) -> Result<HashMap<SessionName, Session>, Error> {
        let tx = self.inner.database.snapshot().await?;
        let places = self.places(&tx, names).await?;
        let (names, places): (Vec<_>, Vec<_>) = places.into_iter().unzip();
        let sessions = self.summed(&tx, places).await?;
        tx.commit().await?;
        Ok(names
            .into_iter()
            .zip(sessions)
            .filter_map(|(name, session)| Some((name, session?)))
            .collect())
    }

    /// The keys of the visits to which calls belong, given the server, the client (the key of the call's session of
    /// source CLIENT) and the start of each, in a fixed number of questions.
    pub async fn visits(
        &self,
        calls: &[(String, String, UnixNanos)],
    ) -> Result<HashMap<(String, String, UnixNanos), String>, Error> {
        let tx = self.inner.database.snapshot().await?;
        let rows = self
            .rows(
                &tx,
                calls
                    .iter()
                    .map(|(server, client, _)| (SessionSource::Client, server.as_str(), client.as_str())),
            )
            .await?;
        let moment = |(server, client, at): &(String, String, UnixNanos)| {
            let rows = rows.get(&(SessionSource::Client, server.as_str(), client.as_str()))?;
            Some(Moment {
                session: *rows.first()?,
                at: at.0,
            })
        };
        let lasting = visits::lasting(&tx, self.oldest(), calls.iter().filter_map(moment)).await?;
        tx.commit().await?;
        let keyed = calls.iter().filter_map(|call| {
            let (first, _) = lasting.get(&moment(call)?)?;
            Some((call.clone(), visits::key(&call.1, *first)))
        });
        Ok(keyed.collect())
    }

    /// Sessions with calls of the filter, newest activity first. Counts and times are of the whole session.
    pub async fn sessions(
        &self,
        filter: &CallFilter,
        page: PageRequest<SessionPosition>,
    ) -> Result<Page<Session>, Error> {
        let tx = self.inner.database.snapshot().await?;
        let at = |position: SessionPosition| Reverse((position.last_call_at, position.row));
        let page = PageRequest {
            first: page.first,
            after: page.after.map(at),
            last: page.last,
            before: page.before.map(at),
        };
        let (mut places, behind) = match self.walked(&tx, filter, &page).await? {
            // What stands before the position was not looked at.
            Some(places) => (places, page.after.is_some()),
            None => (self.gathered(&tx, filter).await?, false),
        };
        places.sort_by_key(Place::order);
        let page = Page::cut(places, &page, Place::order);
        let items = self.summed(&tx, page.items).await?;
        tx.commit().await?;
        Ok(Page {
            items: items.into_iter().flatten().collect(),
            has_next: page.has_next,
            has_previous: page.has_previous || behind,
        })
    }

    /// The filter with each visit that it names said as the client's calls between two times.
    pub(crate) async fn with_visits<'a>(
        &self,
        tx: &DatabaseTransaction,
        filter: &'a CallFilter,
    ) -> Result<Cow<'a, CallFilter>, Error> {
        let mut names = Vec::new();
        visits_in(filter, &mut names);
        if names.is_empty() {
            return Ok(Cow::Borrowed(filter));
        }
        let places = self.places(tx, &names).await?;
        Ok(Cow::Owned(without_visits(filter, &places)))
    }

    /// The start of the oldest call that is not past its time.
    fn oldest(&self) -> i64 {
        let retention = self.inner.options.retention;
        retention.map_or(i64::MIN, |retention| clock::ago(retention).0)
    }

    /// The rows of `sessions` of natural keys.
    async fn rows<'k>(
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
            let found = crate::entity::name::Entity::find()
                .filter(crate::entity::name::Column::Hash.is_in(some.iter().cloned()))
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
    async fn places(
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
    async fn of_moments(&self, tx: &DatabaseTransaction, moments: &[Moment]) -> Result<Vec<Place>, Error> {
        let dictionary = &self.inner.dictionary;
        let rows = moments.iter().map(|moment| moment.session);
        let models = dictionary.sessions(tx, rows).await?;
        let names = dictionary
            .names(tx, models.values().map(|model| model.server))
            .await?;
        let is_visit = |model: &Arc<session::Model>| model.source == Some(SessionSource::Client.code());
        let in_visits = moments
            .iter()
            .copied()
            .filter(|moment| models.get(&moment.session).is_some_and(is_visit));
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
        // One session may have been seen with and without its wire id: two rows, one key.
        let mut places: HashMap<SessionName, Place> = HashMap::new();
        for (row, first, last) in ends {
            let Some(model) = models.get(&row) else { continue };
            let (Some(key), Some(server)) = (crate::dictionary::session_key(model), names.get(&model.server))
            else {
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
            let place = places.entry(name.clone()).or_insert(Place {
                name,
                rows: Vec::new(),
                first,
                last,
            });
            if !place.rows.contains(&row) {
                place.rows.push(row);
            }
            place.first = std::cmp::min(place.first, first);
            place.last = std::cmp::max(place.last, last);
        }
        Ok(places.into_values().collect())
    }

    /// The sessions of a page of all, by walking back in time until there are enough: newest activity comes first by
    /// itself. `None` where the filter or the page asks for more than that, or few sessions have all the calls.
    async fn walked(
        &self,
        tx: &DatabaseTransaction,
        filter: &CallFilter,
        page: &PageRequest<Reverse<(UnixNanos, i64)>>,
    ) -> Result<Option<Vec<Place>>, Error> {
        let of_servers = CallFilter {
            servers: filter.servers.clone(),
            ..CallFilter::default()
        };
        let bounds = page.bounds();
        if *filter != of_servers || bounds.backward || page.before.is_some() {
            return Ok(None);
        }
        let scan = Scan::new(self, tx, filter).await?;
        let mut until = page.after.map(|Reverse((last, _))| (last.0, i64::MAX));
        let mut seen: HashMap<i64, i64> = HashMap::new();
        let mut places: Vec<Place> = Vec::new();
        for _ in 0..WALK / STEP as usize {
            let mut step = Query::select();
            step.columns([call::Column::Session, call::Column::StartedAt])
                .from(call::Entity)
                .cond_where(scan.condition())
                .and_where(call::Column::Session.is_not_null())
                .order_by(call::Column::StartedAt, Order::Desc)
                .order_by(call::Column::Session, Order::Desc)
                .limit(STEP);
            if let Some((at, session)) = until {
                step.and_where(call::Column::StartedAt.lte(at)).and_where(
                    call::Column::StartedAt
                        .lt(at)
                        .or(call::Column::Session.lt(session)),
                );
            }
            let rows = tx.query_all(&step).await?;
            let whole = (rows.len() as u64) < STEP;
            let mut moments = Vec::new();
            for row in rows {
                let moment = Moment {
                    session: row.try_get_by_index(0)?,
                    at: row.try_get_by_index(1)?,
                };
                let before = seen.insert(moment.session, moment.at);
                if before.is_none_or(|before| before - moment.at > PAUSE) {
                    moments.push(moment);
                }
                until = Some((moment.at, moment.session));
            }
            for place in self.of_moments(tx, &moments).await? {
                let beyond = page.after.as_ref().is_none_or(|after| place.order() > *after);
                if beyond && !places.iter().any(|known| known.name == place.name) {
                    places.push(place);
                }
            }
            if whole || places.len() > bounds.size {
                return Ok(Some(places));
            }
        }
        Ok(None)
    }

    /// All sessions with calls of a filter.
    async fn gathered(&self, tx: &DatabaseTransaction, filter: &CallFilter) -> Result<Vec<Place>, Error> {
        let scan = Scan::new(self, tx, filter).await?;
        let mut moments: Vec<Moment> = Vec::new();
        if scan.exact() {
            let (before, calls) = (Alias::new("before"), Alias::new("calls_of_filter"));
            let mut window = WindowStatement::partition_by(call::Column::Session);
            window.order_by(call::Column::StartedAt, Order::Asc);
            let matching = Query::select()
                .columns([call::Column::Session, call::Column::StartedAt])
                .expr_window_as(
                    Func::cust("LAG").arg(Expr::col(call::Column::StartedAt)),
                    window,
                    before.clone(),
                )
                .from(call::Entity)
                .cond_where(scan.condition())
                .and_where(call::Column::Session.is_not_null())
                .take();
            let select = Query::select()
                .columns([call::Column::Session, call::Column::StartedAt])
                .from_subquery(matching, calls)
                .and_where(
                    Expr::col(before.clone())
                        .is_null()
                        .or(Expr::col(call::Column::StartedAt)
                            .sub(Expr::col(before))
                            .gt(PAUSE)),
                )
                .take();
            for row in tx.query_all(&select).await? {
                moments.push(Moment {
                    session: row.try_get_by_index(0)?,
                    at: row.try_get_by_index(1)?,
                });
            }
        } else {
            scan.tally(|tally| {
                moments.extend(tally.session.map(|session| Moment {
                    session,
                    at: tally.started_at,
                }));
            })
            .await?;
        }
        self.of_moments(tx, &moments).await
    }

    /// What the calls of sessions come to, in one question for a page.
    async fn summed(
        &self,
        tx: &DatabaseTransaction,
        places: Vec<Place>,
    ) -> Result<Vec<Option<Session>>, Error> {
        let mut sums: Vec<Vec<Sum>> = vec![Vec::new(); places.len()];
        let mut wanted: Vec<[i64; 4]> = Vec::with_capacity(places.len());
        for (index, place) in places.iter().enumerate() {
            wanted.extend(
                place
                    .rows
                    .iter()
                    .map(|row| [index as i64, *row, place.first, place.last]),
            );
        }
        for some in wanted.chunks(AT_ONCE) {
            for row in rows_with(tx, SUMS, some.to_vec()).await? {
                let index: i64 = row.try_get_by_index(0)?;
                let sum = Sum {
                    client: row.try_get_by_index(1)?,
                    calls: row.try_get_by_index(2)?,
                    errors: row.try_get_by_index(3)?,
                    first: row.try_get_by_index(4)?,
                    last: row.try_get_by_index(5)?,
                };
                if let Some(sums) = usize::try_from(index).ok().and_then(|index| sums.get_mut(index)) {
                    sums.push(sum);
                }
            }
        }
        let clients = sums.iter().flatten().map(|sum| sum.client);
        let clients = self.inner.dictionary.clients(tx, clients).await?;
        let session = |place: Place, sums: Vec<Sum>| {
            let named = sums.iter().filter_map(|sum| {
                let client = clients.get(&sum.client)?;
                Some((sum.last, sum.client, client.name.clone()?, client.version.clone()))
            });
            let (client_name, client_version) = named
                .max_by_key(|(last, client, ..)| (*last, *client))
                .map_or((None, None), |(_, _, name, version)| (Some(name), version));
            let total = |of: fn(&Sum) -> i64| sums.iter().map(of).sum::<i64>();
            Some(Session {
                source: place.name.source,
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

/// The calls of one session by one client.
#[derive(Clone, Copy, Debug)]
struct Sum {
    client: i64,
    calls: i64,
    errors: i64,
    first: i64,
    last: i64,
}

/// `CROSS JOIN` keeps SQLite from looking through all calls first.
const SUMS: &str = "WITH wanted (i, session, first, last) AS ({rows}) \
    SELECT i, client, COUNT(*), SUM(CASE WHEN outcome IN (1, 2, 3) THEN 1 ELSE 0 END), MIN(started_at), MAX(started_at) \
    FROM wanted CROSS JOIN calls WHERE calls.session = wanted.session AND started_at >= wanted.first \
    AND started_at <= wanted.last GROUP BY i, client";

const ENDS: &str = "WITH wanted (session, oldest) AS ({rows}) SELECT session, \
    (SELECT MIN(started_at) FROM calls WHERE calls.session = wanted.session AND started_at >= wanted.oldest), \
    (SELECT MAX(started_at) FROM calls WHERE calls.session = wanted.session AND started_at >= wanted.oldest) FROM wanted";

/// The visit that a session id names.
fn named_visit(id: &str) -> Option<SessionName> {
    let NodeId::Session(SessionSource::Client, server, key) = id.parse().ok()? else {
        return None;
    };
    visits::parse(&key)?;
    Some(SessionName {
        source: SessionSource::Client,
        server,
        key,
    })
}

/// Whether the filter names sessions that only the database can tell from others.
pub(crate) fn names_visits(filter: &CallFilter) -> bool {
    let mut names = Vec::new();
    visits_in(filter, &mut names);
    !names.is_empty()
}

fn visits_in(filter: &CallFilter, into: &mut Vec<SessionName>) {
    into.extend(filter.session_id.as_deref().and_then(named_visit));
    filter.not.iter().for_each(|not| visits_in(not, into));
    filter.or.iter().for_each(|either| visits_in(either, into));
}

fn without_visits(filter: &CallFilter, places: &HashMap<SessionName, Place>) -> CallFilter {
    let mut plain = CallFilter {
        not: filter
            .not
            .as_ref()
            .map(|not| Box::new(without_visits(not, places))),
        or: filter
            .or
            .iter()
            .map(|either| without_visits(either, places))
            .collect(),
        ..filter.clone()
    };
    let visit = filter.session_id.as_deref().and_then(named_visit);
    let Some((name, place)) = visit.and_then(|name| Some((name.clone(), places.get(&name)?))) else {
        return plain;
    };
    plain.session_id = None;
    let client = visits::parse(&name.key).map(|(client, _)| client.to_owned());
    let id = NodeId::Session(name.source, name.server, client.unwrap_or_default());
    CallFilter {
        session_id: Some(id.to_string()),
        from: Some(UnixNanos(place.first)),
        to: Some(UnixNanos(place.last.saturating_add(1))),
        or: vec![plain],
        ..CallFilter::default()
    }
}
