//! Batched reads: whatever the objects of one answer need besides their row is asked for once for all of them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Error};
use futures_util::future::BoxFuture;
use mcptap_model::{CallFilter, LogLine, UnixNanos};
use mcptap_store::{
    CallStats, DetailParts, Details, LogPosition, Operation, Page, PageRequest, Server, Session, SessionName,
    Store, Tool, Unread,
};

use crate::cost::Allowance;
use crate::error::from_store;
use crate::permits::Permit;

/// How many objects are loaded at once: a page as clients usually ask for them.
const BATCH: usize = 100;
/// How many calls' log lines are read at once: these may have 32 MiB together.
const LOGS_AT_ONCE: usize = 8;

/// Loads for many objects of one operation at once. Values are shared, because several fields of one object ask for the
/// same.
pub(crate) struct Loaders {
    store: Store,
    allowance: Arc<Allowance>,
}

impl Loaders {
    /// For one operation: what is loaded counts as the operation's, ends when nobody waits for it any more, and keeps
    /// `permit` until it has really ended.
    pub(crate) fn new(
        store: Store,
        allowance: Arc<Allowance>,
        operation: Operation,
        permit: Arc<Permit>,
    ) -> DataLoader<Self> {
        let spawn = move |loading: BoxFuture<'static, ()>| {
            let (operation, permit) = (operation.clone(), Arc::clone(&permit));
            tokio::spawn(async move {
                let _held = permit;
                operation.join(loading).await
            });
        };
        DataLoader::new(Self { store, allowance }, spawn).max_batch_size(BATCH)
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

/// Asks for parts of what is kept beside the row of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DetailsOf {
    pub(crate) row: i64,
    pub(crate) parts: DetailParts,
}

impl Loader<DetailsOf> for Loaders {
    /// Calls that the answer has no room for, or whose details cannot be read, are refused one by one.
    type Value = Result<Arc<Details>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[DetailsOf]) -> Result<HashMap<DetailsOf, Self::Value>, Error> {
        let mut rows: HashMap<DetailParts, Vec<i64>> = HashMap::new();
        for key in keys {
            rows.entry(key.parts).or_default().push(key.row);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (parts, mut rows) in rows {
            // The newest first, as lists have them.
            rows.sort_unstable_by_key(|row| Reverse(*row));
            let fits = |bytes| self.allowance.read(bytes);
            let details = self.store.details_that_fit(&rows, parts, fits);
            let details = details.await.map_err(from_store)?;
            found.extend(details.into_iter().map(|(row, details)| {
                let details = details.map(Arc::new).map_err(|unread| match unread {
                    Unread::Refused(refusal) => refusal,
                    Unread::Damaged(error) => from_store(error),
                });
                (DetailsOf { row, parts }, details)
            }));
        }
        Ok(found)
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
    type Value = Result<Arc<Page<(LogPosition, LogLine)>>, Error>;
    type Error = Error;

    /// One query for several calls that are asked for the same page.
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
            for rows in rows.chunks(LOGS_AT_ONCE) {
                let fits = |bytes| self.allowance.read(bytes);
                let logs = self.store.logs_that_fit(rows, page, fits);
                for (row, page) in logs.await.map_err(from_store)? {
                    found.insert(LogsOf { row, first, after }, page.map(Arc::new));
                }
            }
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

/// Asks when a process was heard last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeardOf(pub(crate) String);

impl Loader<HeardOf> for Loaders {
    type Value = UnixNanos;
    type Error = Error;

    async fn load(&self, keys: &[HeardOf]) -> Result<HashMap<HeardOf, UnixNanos>, Error> {
        let processes: Vec<String> = keys.iter().map(|HeardOf(process)| process.clone()).collect();
        let heard = self.store.last_heard(&processes).await.map_err(from_store)?;
        Ok(heard
            .into_iter()
            .map(|(process, at)| (HeardOf(process), at))
            .collect())
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
