//! The query root.

use std::sync::Arc;

use async_graphql::{Context, Error, ID, Object};
use mcptap_model::NodeId;
use mcptap_store::{PageRequest, Ranked, SessionName};

use crate::access::{admin, asked, caller, reader};
use crate::connection::{Connection, PageArguments};
use crate::cost::{self, Allowance};
use crate::cursor::{AuditNumber, Cursor, KeyNumber, ServerName};
use crate::error::from_store;
use crate::input::{CallFilterInput, node_id, other_kind};
use crate::loaders::{load, store};
use crate::types::{
    AggregateOrder, ApiKey, AuditEntry, Call, CallConnection, CallFacets, CallStats, Node, Receivers, Server,
    Session, Sorted, Tool, View, Viewer, reach, wanted, wanted_buckets,
};

/// Every query that is answered once.
#[derive(Debug, Default)]
pub struct Query;

/// Everything that can be asked once. What changes afterwards comes through the subscription.
#[Object]
impl Query {
    /// Any object by its id. Null when it is unknown, or no longer stored.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of an object that this API returned.")] id: ID,
    ) -> Result<Option<Node>, Error> {
        let (store, access) = (store(ctx)?, reader(ctx)?);
        let id = node_id(&id)?;
        let beyond = match &id {
            // Its server is not in the id.
            NodeId::Call(..) => false,
            NodeId::Server(server) | NodeId::Tool(server, _) | NodeId::Session(_, server, _) => {
                !access.reaches(server)
            }
        };
        if beyond {
            return Ok(None);
        }
        Ok(match id {
            NodeId::Call(trace, span) => store
                .call(trace, span)
                .await
                .map_err(from_store)?
                .filter(|stored| access.reaches(stored.call.server_name()))
                .map(|call| Call::new(call).into()),
            NodeId::Server(name) => store
                .server(&name)
                .await
                .map_err(from_store)?
                .map(|server| Server::from(server).into()),
            NodeId::Tool(server, name) => store
                .tool(&server, &name)
                .await
                .map_err(from_store)?
                .map(|tool| Tool::new(tool, Arc::default()).into()),
            NodeId::Session(source, server, key) => {
                let session = load(ctx, SessionName { source, server, key }).await?;
                session.map(|session| Session::from(session).into())
            }
        })
    }

    /// One call with all its details. Null when it is unknown, or no longer stored.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn call(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of a call.")] id: ID,
    ) -> Result<Option<Call>, Error> {
        let access = reader(ctx)?;
        match node_id(&id)? {
            NodeId::Call(trace, span) => Ok(store(ctx)?
                .call(trace, span)
                .await
                .map_err(from_store)?
                .filter(|stored| access.reaches(stored.call.server_name()))
                .map(Call::new)),
            other => Err(other_kind(&other, "Call")),
        }
    }

    /// Calls, newest first by `startedAt`. Pages stay stable while calls are being added: what comes in while you page
    /// towards older calls stands before your page, never in it. Walk towards older calls with `first` and `after`,
    /// towards newer ones with `last` and `before`.
    #[graphql(complexity = "cost::scan(first, last, child_complexity)")]
    async fn calls(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which calls. Without it, all.")] filter: Option<CallFilterInput>,
        #[graphql(
            desc = "How many calls from the newest on, or from `after` on: 1 to 500. Without `first` and `last`, \
                          50. Not together with `last`."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only calls after this cursor, that is, older ones.")] after: Option<String>,
        #[graphql(
            desc = "How many calls up to the oldest, or up to `before`: 1 to 500. They still come newest first."
        )]
        last: Option<i32>,
        #[graphql(desc = "Only calls before this cursor, that is, newer ones.")] before: Option<String>,
    ) -> Result<CallConnection, Error> {
        let page = PageArguments {
            first,
            after,
            last,
            before,
        }
        .request()?;
        let filter = Arc::new(asked(ctx, filter)?);
        let page = store(ctx)?.calls(&filter, page).await.map_err(from_store)?;
        CallConnection::new(ctx, page, filter)
    }

    /// The values to offer in each filter menu, with counts. Each list honours every part of the filter but its own,
    /// so that the list of tools follows the chosen servers.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn facets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The filter as chosen so far. Without it, all calls.")] filter: Option<
            CallFilterInput,
        >,
    ) -> Result<CallFacets, Error> {
        let wanted = wanted(&ctx.look_ahead());
        let facets = store(ctx)?.facets(&asked(ctx, filter)?, wanted).await;
        let facets = facets.map(CallFacets).map_err(from_store)?;
        Allowance::of(ctx)?.read(facets.bytes())?;
        Ok(facets)
    }

    /// Servers that calls were made to, by name unless it is said otherwise.
    #[graphql(complexity = "cost::ranked(order_by.is_some(), first, child_complexity)")]
    async fn servers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How they are sorted. Without it, by name. Figures are of all their calls.")]
        order_by: Option<AggregateOrder>,
        #[graphql(desc = "How many servers, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of a server, of a list in the same order.")] after: Option<
            String,
        >,
    ) -> Result<Connection<Server>, Error> {
        let (store, among) = (store(ctx)?, reader(ctx)?.servers());
        let page = PageArguments::forward(first, after);
        let from_the_end = match AggregateOrder::sorted(order_by) {
            Sorted::ByName(from_the_end) => from_the_end,
            Sorted::Ranked(ranking) => {
                let after = page.place(ranking)?.map(|place: Ranked<ServerName>| Ranked {
                    figure: place.figure,
                    item: place.item.0,
                });
                let page = store.ranked_servers(among, ranking, page.first()?, after).await;
                return Ok(Connection::ranked(ranking, page.map_err(from_store)?, |server| {
                    (ServerName(server.name.clone()), server.into())
                }));
            }
        };
        let page = page.sorted::<ServerName>(from_the_end)?;
        let page = store.servers_among(among, ServerName::names(page)).await;
        Ok(Connection::by_name(
            page.map_err(from_store)?,
            from_the_end,
            |server| (ServerName(server.name.clone()).encode(), server.into()),
        ))
    }

    /// Tools that have been called, by name, then by server, unless it is said otherwise.
    #[graphql(complexity = "cost::ranked(order_by.is_some(), first, child_complexity)")]
    async fn tools(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only tools of these calls; their statistics are of these calls too.")]
        filter: Option<CallFilterInput>,
        #[graphql(desc = "How they are sorted. Without it, by name. Figures are of the filter's calls.")]
        order_by: Option<AggregateOrder>,
        #[graphql(desc = "How many tools, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of a tool, of a list in the same order.")] after: Option<
            String,
        >,
    ) -> Result<Connection<Tool>, Error> {
        let store = store(ctx)?;
        let page = PageArguments::forward(first, after);
        let filter = Arc::new(asked(ctx, filter)?);
        let from_the_end = match AggregateOrder::sorted(order_by) {
            Sorted::ByName(from_the_end) => from_the_end,
            Sorted::Ranked(ranking) => {
                let after = page.place(ranking)?;
                let page = store.ranked_tools(&filter, ranking, page.first()?, after).await;
                return Ok(Connection::ranked(ranking, page.map_err(from_store)?, |tool| {
                    (tool.clone(), Tool::new(tool, filter.clone()))
                }));
            }
        };
        let page = store.tools(&filter, page.sorted(from_the_end)?).await;
        Ok(Connection::by_name(
            page.map_err(from_store)?,
            from_the_end,
            |tool| (tool.encode(), Tool::new(tool, filter.clone())),
        ))
    }

    /// One session. Null when it is unknown, or none of its calls is stored any longer.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of a session. (For an id on the wire, filter calls by `sessionId`.)")] id: ID,
    ) -> Result<Option<Session>, Error> {
        let access = reader(ctx)?;
        match node_id(&id)? {
            NodeId::Session(_, server, _) if !access.reaches(&server) => Ok(None),
            NodeId::Session(source, server, key) => Ok(load(ctx, SessionName { source, server, key })
                .await?
                .map(Session::from)),
            other => Err(other_kind(&other, "Session")),
        }
    }

    /// Sessions, newest activity first.
    #[graphql(complexity = "cost::scan(first, None, child_complexity)")]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only sessions with at least one of these calls; counts and times are of the whole session."
        )]
        filter: Option<CallFilterInput>,
        #[graphql(desc = "How many sessions, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of a session.")] after: Option<String>,
    ) -> Result<Connection<Session>, Error> {
        let page = PageArguments::forward(first, after).request()?;
        let page = store(ctx)?
            .sessions(&asked(ctx, filter)?, page)
            .await
            .map_err(from_store)?;
        Ok(Connection::new(
            page.items,
            (page.has_previous, page.has_next),
            |session| (session.position().encode(), Session::from(Arc::new(session))),
        ))
    }

    /// One answer for a chart: totals, percentiles of durations, and a series over time.
    #[graphql(complexity = "cost::SCAN + cost::buckets(buckets, child_complexity)")]
    async fn stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which calls. Without it, all. Its `from` and `to` are the range of the series.")]
        filter: Option<CallFilterInput>,
        #[graphql(desc = "How many equal buckets the series has, from 1 to 1000.", default = 60)]
        buckets: Option<i32>,
    ) -> Result<CallStats, Error> {
        let buckets = wanted_buckets(buckets.unwrap_or(60), &ctx.look_ahead())?;
        let stats = store(ctx)?
            .stats(&asked(ctx, filter)?, buckets)
            .await
            .map_err(from_store)?;
        Ok(CallStats(Arc::new(stats)))
    }

    /// Whoever asks: which key this is, and what it may do. Always answered once one is let in.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Viewer, Error> {
        Ok(Viewer(caller(ctx)?.clone()))
    }

    /// Where OTLP is received. Null where the API is served by a program that does not say.
    async fn receivers(&self, ctx: &Context<'_>) -> Result<Option<Receivers>, Error> {
        caller(ctx)?;
        Ok(ctx.data_opt::<Receivers>().copied())
    }

    /// All API keys, oldest first, also those that are over. Needs scope `admin`.
    #[graphql(complexity = "cost::scan(first, None, child_complexity)")]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many keys, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of a key.")] after: Option<String>,
    ) -> Result<Connection<ApiKey>, Error> {
        admin(ctx)?;
        let page = PageArguments::forward(first, after).request::<KeyNumber>()?;
        let keys = store(ctx)?.keys().await.map_err(from_store)?;
        Ok(ApiKey::page(keys, &page))
    }

    /// What was done with the rights of an administrator, newest first. Needs scope `admin`.
    #[graphql(complexity = "cost::scan(first, None, child_complexity)")]
    async fn audit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many entries, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of an entry: with older ones.")] after: Option<String>,
    ) -> Result<Connection<AuditEntry>, Error> {
        admin(ctx)?;
        let page = PageArguments::forward(first, after).request::<AuditNumber>()?;
        let page = PageRequest {
            first: page.first,
            after: page.after.map(|number| number.0),
            ..PageRequest::default()
        };
        let page = store(ctx)?.audit(page).await.map_err(from_store)?;
        Ok(Connection::new(
            page.items,
            (page.has_previous, page.has_next),
            |entry| (AuditNumber(entry.id).encode(), AuditEntry(entry)),
        ))
    }

    /// Saved views by name: one's own and those that are everybody's; with scope `admin`, all. At most 1,000.
    #[graphql(complexity = "cost::SCAN + 50 * child_complexity")]
    async fn views(&self, ctx: &Context<'_>) -> Result<Vec<View>, Error> {
        let views = store(ctx)?.views(reach(caller(ctx)?)).await.map_err(from_store)?;
        Allowance::of(ctx)?.read(views.iter().map(|view| view.content.filter.len()).sum())?;
        Ok(views.into_iter().map(View).collect())
    }
}
