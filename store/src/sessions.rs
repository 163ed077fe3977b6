//! `impl Store`: sessions, which are what their calls say.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use mcptap_model::{CallFilter, NodeId, SessionSource, UnixNanos};
use sea_orm::DatabaseTransaction;

use crate::dictionary::session_key;
use crate::scan::Scan;
use crate::tally::Tally;
use crate::{Error, Page, PageRequest, Store};

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
    /// Its row.
    pub row: i64,
    /// The server's row.
    pub(crate) server_row: i64,
}

impl Session {
    /// Adds what another row of the same session has.
    fn join(&mut self, other: &Self) {
        let later = other.last_call_at > self.last_call_at;
        if later || self.client_name.is_none() {
            self.client_name = other.client_name.clone().or(self.client_name.take());
            self.client_version = other.client_version.clone().or(self.client_version.take());
        }
        self.started_at = self.started_at.min(other.started_at);
        self.last_call_at = self.last_call_at.max(other.last_call_at);
        self.call_count += other.call_count;
        self.error_count += other.error_count;
        self.row = self.row.min(other.row);
    }

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

/// A session while its calls are being counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    row: i64,
    first: i64,
    last: i64,
    calls: u64,
    errors: u64,
    /// The client of its latest call.
    client: i64,
}

impl Store {
    /// The session of that natural key.
    pub async fn session(
        &self,
        source: SessionSource,
        server: &str,
        key: &str,
    ) -> Result<Option<Session>, Error> {
        let id = NodeId::Session(source, server.to_owned(), key.to_owned());
        let filter = CallFilter {
            session_id: Some(id.to_string()),
            ..CallFilter::default()
        };
        let tx = self.inner.database.snapshot().await?;
        let sessions = self.gathered(&tx, &filter).await?;
        tx.commit().await?;
        Ok(sessions
            .into_iter()
            .find(|session| session.key == key && session.source == source))
    }

    /// Sessions with calls of the filter, newest activity first. Counts and times are of the whole session.
    pub async fn sessions(
        &self,
        filter: &CallFilter,
        page: PageRequest<SessionPosition>,
    ) -> Result<Page<Session>, Error> {
        let tx = self.inner.database.snapshot().await?;
        let mut meant: HashSet<i64> = HashSet::new();
        Scan::new(self, &tx, filter)
            .await?
            .tally(|tally| meant.extend(tally.session))
            .await?;
        let mut sessions = self.gathered(&tx, &CallFilter::default()).await?;
        let keys = self.inner.dictionary.sessions(&tx, meant.into_iter()).await?;
        tx.commit().await?;
        let meant: HashSet<(i64, Option<i16>, Option<&str>)> = keys
            .values()
            .map(|session| (session.server, session.source, session.key.as_deref()))
            .collect();
        sessions.retain(|session| {
            meant.contains(&(
                session.server_row,
                Some(session.source.code()),
                Some(session.key.as_str()),
            ))
        });
        sessions.sort_unstable_by_key(|session| Reverse((session.last_call_at, session.row)));
        let place = |session: &Session| Reverse((session.last_call_at, session.row));
        let at = |position: SessionPosition| Reverse((position.last_call_at, position.row));
        let page = PageRequest {
            first: page.first,
            after: page.after.map(at),
            last: page.last,
            before: page.before.map(at),
        };
        Ok(Page::cut(sessions, &page, place))
    }

    /// All sessions with calls of a filter, counted over these calls.
    async fn gathered(&self, tx: &DatabaseTransaction, filter: &CallFilter) -> Result<Vec<Session>, Error> {
        let mut by_row: HashMap<i64, Counted> = HashMap::new();
        let count = |tally: Tally| {
            let Some(row) = tally.session else { return };
            let first = Counted {
                row,
                first: i64::MAX,
                last: i64::MIN,
                calls: 0,
                errors: 0,
                client: tally.client,
            };
            let counted = by_row.entry(row).or_insert(first);
            if tally.started_at >= counted.last {
                counted.client = tally.client;
            }
            counted.first = counted.first.min(tally.started_at);
            counted.last = counted.last.max(tally.started_at);
            counted.calls += 1;
            counted.errors += u64::from(tally.is_error());
        };
        Scan::new(self, tx, filter).await?.tally(count).await?;
        let dictionary = &self.inner.dictionary;
        let keys = dictionary.sessions(tx, by_row.keys().copied()).await?;
        let names = dictionary
            .names(tx, keys.values().map(|session| session.server))
            .await?;
        let clients = dictionary
            .clients(tx, by_row.values().map(|counted| counted.client))
            .await?;

        // One session may have been seen with and without its wire id: two rows, one key.
        let mut sessions: HashMap<(i64, SessionSource, String), Session> = HashMap::new();
        for counted in by_row.into_values() {
            let Some(model) = keys.get(&counted.row) else {
                continue;
            };
            let (Some(key), Some(server)) = (session_key(model), names.get(&model.server)) else {
                continue;
            };
            let client = clients.get(&counted.client);
            let one = Session {
                source: key.source,
                server: server.to_string(),
                server_row: model.server,
                key: key.key.clone(),
                client_name: client.and_then(|client| client.name.clone()),
                client_version: client.and_then(|client| client.version.clone()),
                started_at: UnixNanos(counted.first),
                last_call_at: UnixNanos(counted.last),
                call_count: counted.calls,
                error_count: counted.errors,
                row: counted.row,
            };
            sessions
                .entry((model.server, key.source, key.key))
                .and_modify(|known| known.join(&one))
                .or_insert(one);
        }
        Ok(sessions.into_values().collect())
    }
}
