//! Batched reads: whatever the objects of one answer need besides their row is asked for once for all of them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Error};
use mcptap_model::{CallFilter, LogLine, UnixNanos};
use mcptap_store::{
    CallStats, Details, LogPosition, Page, PageRequest, Server, Session, SessionName, Store, Tool,
};
use tokio::sync::Semaphore;

use crate::error::from_store;

/// How many objects are loaded at once: a page as clients usually ask for them.
const BATCH: usize = 100;
/// How many batches of details are read at once. With [`BATCH`] it bounds the bodies that are held in memory.
const DETAILS_AT_ONCE: usize = 2;

/// Loads for many objects at once. Values are shared, because several fields of one object ask for the same.
pub(crate) struct Loaders {
    store: Store,
    details: Semaphore,
}

impl Loaders {
    pub(crate) fn new(store: Store) -> DataLoader<Self> {
        let loaders = Self {
            store,
            details: Semaphore::new(DETAILS_AT_ONCE),
        };
        DataLoader::new(loaders, tokio::spawn).max_batch_size(BATCH)
    }
}

/// The store that the schema was built with.
pub(crate) fn store<'a>(ctx: &Context<'a>) -> Result<&'a Store, Error> {
    ctx.data()
}

/// What a key stands for; `None` when the store has it no more.
pub(crate) async fn load<K>(ctx: &Context<'_>, key: K) -> Result<Option<<Loaders as Loader<K>>::Value>, Error>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Loaders: Loader<K, Error = Error>,
{
    ctx.data::<DataLoader<Loaders>>()?.load_one(key).await
}

/// Asks for the bodies and attributes of the call in a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DetailsOf(pub(crate) i64);

impl Loader<DetailsOf> for Loaders {
    type Value = Arc<Details>;
    type Error = Error;

    async fn load(&self, keys: &[DetailsOf]) -> Result<HashMap<DetailsOf, Self::Value>, Error> {
        let _turn = self.details.acquire().await;
        let rows: Vec<i64> = keys.iter().map(|key| key.0).collect();
        let details = self.store.details(&rows).await.map_err(from_store)?;
        Ok(details
            .into_iter()
            .map(|(row, details)| (DetailsOf(row), Arc::new(details)))
            .collect())
    }
}

/// Asks for log lines of the call in a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LogsOf {
    pub(crate) row: i64,
    pub(crate) first: usize,
    pub(crate) after: Option<LogPosition>,
}

impl Loader<LogsOf> for Loaders {
    type Value = Arc<Page<(LogPosition, LogLine)>>;
    type Error = Error;

    /// One question for all calls that are asked for the same page.
    async fn load(&self, keys: &[LogsOf]) -> Result<HashMap<LogsOf, Self::Value>, Error> {
        let mut pages: HashMap<(usize, Option<LogPosition>), Vec<i64>> = HashMap::new();
        for key in keys {
            pages.entry((key.first, key.after)).or_default().push(key.row);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for ((first, after), rows) in pages {
            let page = PageRequest {
                first: Some(first),
                after,
                ..PageRequest::default()
            };
            let logs = self.store.logs(&rows, page).await.map_err(from_store)?;
            found.extend(
                logs.into_iter()
                    .map(|(row, page)| (LogsOf { row, first, after }, Arc::new(page))),
            );
        }
        Ok(found)
    }
}

/// Asks for the server of a name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ServerOf(pub(crate) String);

impl Loader<ServerOf> for Loaders {
    type Value = Server;
    type Error = Error;

    async fn load(&self, keys: &[ServerOf]) -> Result<HashMap<ServerOf, Server>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        for key in keys {
            let server = self.store.server(&key.0).await.map_err(from_store)?;
            found.extend(server.map(|server| (key.clone(), server)));
        }
        Ok(found)
    }
}

impl Loader<SessionName> for Loaders {
    type Value = Arc<Session>;
    type Error = Error;

    async fn load(&self, keys: &[SessionName]) -> Result<HashMap<SessionName, Arc<Session>>, Error> {
        let sessions = self.store.sessions_of(keys).await.map_err(from_store)?;
        let shared = |(name, session)| (name, Arc::new(session));
        Ok(sessions.into_iter().map(shared).collect())
    }
}

/// Asks for the visit of a client to which a call belongs: the key of its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VisitOf {
    pub(crate) server: String,
    pub(crate) client: String,
    pub(crate) at: UnixNanos,
}

impl Loader<VisitOf> for Loaders {
    type Value = String;
    type Error = Error;

    async fn load(&self, keys: &[VisitOf]) -> Result<HashMap<VisitOf, String>, Error> {
        let calls: Vec<_> = keys
            .iter()
            .map(|key| (key.server.clone(), key.client.clone(), key.at))
            .collect();
        let visits = self.store.visits(&calls).await.map_err(from_store)?;
        let keyed = |((server, client, at), visit)| (VisitOf { server, client, at }, visit);
        Ok(visits.into_iter().map(keyed).collect())
    }
}

/// Asks for the statistics of a tool over the calls of a filter.
#[derive(Clone)]
pub(crate) struct StatsOf {
    pub(crate) tool: Tool,
    /// Shared by the tools of one list, and compared by being the same one.
    pub(crate) filter: Arc<CallFilter>,
    pub(crate) buckets: usize,
}

impl PartialEq for StatsOf {
    fn eq(&self, other: &Self) -> bool {
        self.tool == other.tool && Arc::ptr_eq(&self.filter, &other.filter) && self.buckets == other.buckets
    }
}

impl Eq for StatsOf {}

impl Hash for StatsOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tool.hash(state);
        self.buckets.hash(state);
    }
}

impl Loader<StatsOf> for Loaders {
    type Value = Arc<CallStats>;
    type Error = Error;

    async fn load(&self, keys: &[StatsOf]) -> Result<HashMap<StatsOf, Self::Value>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        for key in keys {
            let of_tool = CallFilter {
                servers: vec![key.tool.server.clone()],
                tools: vec![key.tool.name.clone()],
                or: vec![CallFilter::clone(&key.filter)],
                ..CallFilter::default()
            };
            let stats = self
                .store
                .stats(&of_tool, key.buckets)
                .await
                .map_err(from_store)?;
            found.insert(key.clone(), Arc::new(stats));
        }
        Ok(found)
    }
}
