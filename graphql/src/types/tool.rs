//! `Tool`: a tool of a server that has been called.

use std::sync::Arc;

use async_graphql::{Context, Error, ID, Object};
use mcptap_model::{CallFilter, NodeId};

use super::{CallStats, Server, wanted_buckets};
use crate::cost;
use crate::error::gone;
use crate::loaders::{StatsOf, load};

/// How many buckets the series of a tool has.
const BUCKETS: i32 = 60;

/// A tool, and the filter it was found by.
pub(crate) struct Tool {
    tool: mcptap_store::Tool,
    filter: Arc<CallFilter>,
}

impl Tool {
    pub(crate) fn new(tool: mcptap_store::Tool, filter: Arc<CallFilter>) -> Self {
        Self { tool, filter }
    }
}

/// A tool of a server that has been called.
#[Object]
impl Tool {
    /// Made from the names of server and tool alone, so that it is the same in every database.
    pub(crate) async fn id(&self) -> ID {
        ID(NodeId::Tool(self.tool.server.clone(), self.tool.name.clone()).to_string())
    }

    /// Its name, unique within its server.
    async fn name(&self) -> &str {
        &self.tool.name
    }

    /// The server that has it.
    async fn server(&self) -> Server {
        Server::named(&self.tool.server)
    }

    /// Statistics of its calls: those of the filter that the tool was asked for with, else all. The series has 60
    /// buckets.
    #[graphql(complexity = "cost::SCAN + child_complexity")]
    async fn stats(&self, ctx: &Context<'_>) -> Result<CallStats, Error> {
        let buckets = wanted_buckets(BUCKETS, &ctx.look_ahead())?;
        let key = StatsOf {
            tool: self.tool.clone(),
            filter: self.filter.clone(),
            buckets,
        };
        load(ctx, key)
            .await?
            .map(CallStats)
            .ok_or_else(|| gone("the tool"))
    }
}
