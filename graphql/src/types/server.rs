//! `Server`: an MCP server that calls were made to.

use async_graphql::{Context, Error, ID, Object};
use mcptap_model::NodeId;

use crate::error::gone;
use crate::loaders::{ServerOf, load};
use crate::scalars::DateTime;

/// A server, of which often only the name is known yet.
pub(crate) struct Server {
    name: String,
    known: Option<mcptap_store::Server>,
}

impl From<mcptap_store::Server> for Server {
    fn from(server: mcptap_store::Server) -> Self {
        Self {
            name: server.name.clone(),
            known: Some(server),
        }
    }
}

impl Server {
    /// By name alone; the rest is read when asked for.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            known: None,
        }
    }

    async fn known(&self, ctx: &Context<'_>) -> Result<mcptap_store::Server, Error> {
        match &self.known {
            Some(server) => Ok(server.clone()),
            None => load(ctx, ServerOf(self.name.clone()))
                .await?
                .ok_or_else(|| gone("the server")),
        }
    }
}

/// An MCP server that calls were made to.
#[Object]
impl Server {
    /// Made from the name alone, so that it is the same in every database.
    pub(crate) async fn id(&self) -> ID {
        ID(NodeId::Server(self.name.clone()).to_string())
    }

    /// The server's own name, else that of the service that sends its telemetry; `unknown` where neither says one.
    async fn name(&self) -> &str {
        &self.name
    }

    /// When the first call that is still stored began.
    async fn first_seen_at(&self, ctx: &Context<'_>) -> Result<DateTime, Error> {
        Ok(DateTime(self.known(ctx).await?.first_seen_at))
    }

    /// When the latest call began.
    async fn last_seen_at(&self, ctx: &Context<'_>) -> Result<DateTime, Error> {
        Ok(DateTime(self.known(ctx).await?.last_seen_at))
    }
}
