//! `Session`: what belongs together in one client's visit.

use std::sync::Arc;

use async_graphql::{Context, Error, ID, Object};
use mcptap_model::{CallFilter, NodeId, SessionKey};
use mcptap_store::{CallPage, CallPosition, PageRequest, SessionName};

use super::{CallConnection, Server, SessionSource};
use crate::access::reader;
use crate::connection::PageArguments;
use crate::cost;
use crate::error::{from_store, gone};
use crate::loaders::{load, store};
use crate::scalars::{DateTime, int};

/// A session, of which often only the key is known yet.
pub(crate) struct Session {
    key: SessionName,
    known: Option<Arc<mcptap_store::Session>>,
}

impl From<Arc<mcptap_store::Session>> for Session {
    fn from(session: Arc<mcptap_store::Session>) -> Self {
        let key = SessionName {
            source: session.source,
            server: session.server.clone(),
            key: session.key.clone(),
        };
        Self {
            key,
            known: Some(session),
        }
    }
}

impl Session {
    /// By key alone; the rest is read when asked for.
    pub(crate) fn of(key: SessionKey, server: &str) -> Self {
        Self {
            key: SessionName {
                source: key.source,
                server: server.to_owned(),
                key: key.key,
            },
            known: None,
        }
    }

    fn node_id(&self) -> String {
        NodeId::Session(self.key.source, self.key.server.clone(), self.key.key.clone()).to_string()
    }

    async fn known(&self, ctx: &Context<'_>) -> Result<Arc<mcptap_store::Session>, Error> {
        match &self.known {
            Some(session) => Ok(session.clone()),
            None => load(ctx, self.key.clone())
                .await?
                .ok_or_else(|| gone("the session")),
        }
    }
}

/// What belongs together in one client's visit to one server: by the id on the wire where there is one, otherwise
/// derived; `source` says from what.
#[Object]
impl Session {
    /// Made from source, server and key alone, so that it is the same in every database. `CallFilter.sessionId` takes
    /// it too.
    pub(crate) async fn id(&self) -> ID {
        ID(self.node_id())
    }

    /// The session id on the wire (`Mcp-Session-Id`), from its latest call that has one: that of `Call.sessionId`. Null where
    /// none of its calls has one. `CallFilter.sessionId` takes it too.
    async fn wire_id(&self, ctx: &Context<'_>) -> Result<Option<String>, Error> {
        Ok(self.known(ctx).await?.wire_id.clone())
    }

    /// What its calls were recognised by.
    async fn source(&self) -> SessionSource {
        self.key.source.into()
    }

    /// The server visited.
    async fn server(&self) -> Server {
        Server::named(&self.key.server)
    }

    /// The client's own name for itself, from its latest call that says one.
    async fn client_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Error> {
        Ok(self.known(ctx).await?.client_name.clone())
    }

    /// The client's own version, from the same call.
    async fn client_version(&self, ctx: &Context<'_>) -> Result<Option<String>, Error> {
        Ok(self.known(ctx).await?.client_version.clone())
    }

    /// When its first call began.
    async fn started_at(&self, ctx: &Context<'_>) -> Result<DateTime, Error> {
        Ok(DateTime(self.known(ctx).await?.started_at))
    }

    /// When its latest call began.
    async fn last_call_at(&self, ctx: &Context<'_>) -> Result<DateTime, Error> {
        Ok(DateTime(self.known(ctx).await?.last_call_at))
    }

    /// How many calls it has.
    async fn call_count(&self, ctx: &Context<'_>) -> Result<i32, Error> {
        Ok(int(self.known(ctx).await?.call_count))
    }

    /// How many of them ended with TOOL_ERROR, PROTOCOL_ERROR or TRANSPORT_ERROR.
    async fn error_count(&self, ctx: &Context<'_>) -> Result<i32, Error> {
        Ok(int(self.known(ctx).await?.error_count))
    }

    /// Its calls in the order in which they happened, oldest first.
    #[graphql(complexity = "cost::scan(first, None, child_complexity)")]
    async fn calls(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many calls, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of a call.")] after: Option<String>,
    ) -> Result<CallConnection, Error> {
        let filter = Arc::new(reader(ctx)?.narrow(CallFilter {
            session_id: Some(self.node_id()),
            ..CallFilter::default()
        }));
        let page = from_the_old_end(PageArguments::forward(first, after).request()?);
        let page = store(ctx)?.calls(&filter, page).await.map_err(from_store)?;
        CallConnection::new(ctx, turned(page), filter)
    }
}

/// The store has the newest first: what comes first here comes last there.
fn from_the_old_end(page: PageRequest<CallPosition>) -> PageRequest<CallPosition> {
    PageRequest {
        first: None,
        after: None,
        last: page.first,
        before: page.after,
    }
}

fn turned(mut page: CallPage) -> CallPage {
    page.items.reverse();
    CallPage {
        has_next: page.has_previous,
        has_previous: page.has_next,
        ..page
    }
}
