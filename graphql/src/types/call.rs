//! `Call`: one MCP request as one server handled it.

use std::sync::Arc;

use async_graphql::{Context, Error, ID, Object};
use mcptap_model::{self as model, SessionSource};
use mcptap_store::{DetailParts, Details, LogPosition, Stored};

use super::payload::{Payload, Side};
use super::{CallKind, LogLine, Outcome, Server, Session, Transport, Vantage};
use crate::access::sees_payloads;
use crate::connection::{Connection, PageArguments};
use crate::cost::{self, Allowance};
use crate::cursor::Cursor;
use crate::loaders::{DetailsOf, HeardOf, LogsOf, VisitOf, load, store};
use crate::scalars::{DateTime, Json, json_bytes};

/// A call, without what is kept beside its row.
pub(crate) struct Call {
    stored: Stored,
}

impl Call {
    pub(crate) fn new(stored: Stored) -> Self {
        Self { stored }
    }

    /// A call of a list, and its cursor.
    pub(crate) fn edge(stored: Stored) -> (String, Self) {
        (stored.position().encode(), Self { stored })
    }

    fn call(&self) -> &mcptap_model::Call {
        &self.stored.call
    }

    /// What is kept beside the row; nothing when retention has just removed it.
    async fn details(&self, ctx: &Context<'_>, parts: DetailParts) -> Result<Arc<Details>, Error> {
        if !sees_payloads(ctx)? {
            return Ok(Arc::default());
        }
        let key = DetailsOf {
            row: self.stored.row,
            parts,
        };
        load(ctx, key).await?.unwrap_or_else(|| Ok(Arc::default()))
    }

    async fn payload(&self, ctx: &Context<'_>, side: Side) -> Result<Option<Payload>, Error> {
        Ok(Payload::of(self.details(ctx, side.part()).await?, side))
    }
}

/// Stack trace and attributes.
const REST: DetailParts = DetailParts {
    request: false,
    response: false,
    rest: true,
};

/// One MCP request as one server handled it: a row of the traffic log. What nobody observed is null, and never guessed.
/// A call is stored when the first span of it arrives, and completed when others of the same request follow.
#[Object]
impl Call {
    /// Made from the first span alone (`traceId` and `spanId`), so that it is the same in every database.
    pub(crate) async fn id(&self) -> ID {
        ID(self.call().id().to_string())
    }

    /// The server that handled it, or that it was meant for.
    async fn server(&self) -> Server {
        Server::named(self.call().server_name())
    }

    /// The JSON-RPC method: `tools/call`, `initialize`, `server/discover`, or any other, known to MCP or not.
    async fn method(&self) -> &str {
        &self.call().method
    }

    /// What the method was about: the tool, else the prompt, else the URI of the resource. Null for methods that are
    /// about none, such as `tools/list`.
    async fn target(&self) -> Option<&str> {
        self.call().target()
    }

    /// The name of the tool, on `tools/call`.
    async fn tool(&self) -> Option<&str> {
        self.call().tool.as_deref()
    }

    /// The name of the prompt, on `prompts/get`.
    async fn prompt(&self) -> Option<&str> {
        self.call().prompt.as_deref()
    }

    /// The URI of the resource, on `resources/read`, `resources/subscribe` and their kin.
    async fn resource_uri(&self) -> Option<&str> {
        self.call().resource_uri.as_deref()
    }

    /// How it ended.
    async fn outcome(&self) -> Outcome {
        self.call().outcome().into()
    }

    /// The HTTP status as observed, such as 200. Null where nobody saw one, as on stdio.
    async fn http_status(&self) -> Option<i32> {
        self.call().http_status
    }

    /// The JSON-RPC error code, such as -32602, when the answer was an error.
    async fn rpc_error_code(&self) -> Option<i32> {
        self.call().rpc_error_code
    }

    /// What kind of error it was, as the sender says: a code, the class of an exception, `tool_error`, `timeout`.
    async fn error_type(&self) -> Option<&str> {
        self.call().error_type.as_deref()
    }

    /// What the error said. Null without an error, where the sender keeps it to itself, and for keys without scope
    /// `payloads`.
    async fn error_message(&self, ctx: &Context<'_>) -> Result<Option<&str>, Error> {
        let message = self.call().error_message.as_deref();
        Ok(message.filter(|_| sees_payloads(ctx).unwrap_or_default()))
    }

    /// The stack trace of the exception, where the sender gave one. Null for keys without scope `payloads`.
    #[graphql(complexity = "cost::BODY")]
    async fn stack_trace(&self, ctx: &Context<'_>) -> Result<Option<String>, Error> {
        Ok(self.details(ctx, REST).await?.stack_trace.clone())
    }

    /// When its handling began.
    async fn started_at(&self) -> DateTime {
        DateTime(self.call().started_at)
    }

    /// How long it took, in milliseconds with fractions down to the nanosecond.
    async fn duration_ms(&self) -> Option<f64> {
        self.call().duration_ms()
    }

    /// When it ended. Null while it runs, and where it was lost.
    async fn ended_at(&self) -> Option<DateTime> {
        let call = self.call();
        call.duration().map(|_| DateTime(call.ended_at()))
    }

    /// Since when nothing was heard of its sender, while it runs and where it was lost: the last heartbeat of the process that
    /// announced it, or the arrival of the call itself. A call whose sender is silent for longer than `lost_after` is taken for
    /// lost. Null for calls that have ended.
    async fn sender_last_seen_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>, Error> {
        let call = self.call();
        if !matches!(call.outcome(), model::Outcome::Running | model::Outcome::Lost) {
            return Ok(None);
        }
        let process = call.origin.process();
        let heard = if process.is_empty() {
            None
        } else {
            load(ctx, HeardOf(process)).await?
        };
        Ok(Some(DateTime(
            heard.map_or(call.received_at, |heard| heard.max(call.received_at)),
        )))
    }

    /// Whether it is a request that is answered, or a stream that stays open.
    async fn kind(&self) -> CallKind {
        self.call().call_kind().into()
    }

    /// Whether its answer came after the client had given up, or after the call had been taken for lost.
    async fn late(&self) -> bool {
        self.call().is_late()
    }

    /// When mcptap received the first span of it.
    async fn received_at(&self) -> DateTime {
        DateTime(self.call().received_at)
    }

    /// The session id on the wire (`Mcp-Session-Id`), where the protocol had one.
    async fn session_id(&self) -> Option<&str> {
        self.call().session_id.as_deref()
    }

    /// The session it belongs to, also where that had to be derived. Null only where nothing at all links the call to
    /// others.
    async fn session(&self, ctx: &Context<'_>) -> Result<Option<Session>, Error> {
        let Some(mut key) = self.call().session.clone() else {
            return Ok(None);
        };
        let server = self.call().server_name();
        if key.source == SessionSource::Client {
            // Where the client's visit began is not in the row: a late call may have moved it.
            let visit = VisitOf {
                server: server.to_owned(),
                client: key.key,
                at: self.call().started_at,
            };
            match load(ctx, visit).await? {
                Some(visit) => key.key = visit,
                None => return Ok(None),
            }
        }
        Ok(Some(Session::of(key, server)))
    }

    /// The JSON-RPC id of the request, as text.
    async fn request_id(&self) -> Option<&str> {
        self.call().request_id.as_deref()
    }

    /// The version of MCP that was spoken, such as `2026-07-28`.
    async fn protocol_version(&self) -> Option<&str> {
        self.call().protocol_version.as_deref()
    }

    /// How client and server talked to one another. Null where no span says.
    async fn transport(&self) -> Option<Transport> {
        self.call().transport.map(Into::into)
    }

    /// Who saw it.
    async fn observed_by(&self) -> Vantage {
        self.call().vantage.into()
    }

    /// The client's own name for itself, such as `claude-code`.
    async fn client_name(&self) -> Option<&str> {
        self.call().client_name.as_deref()
    }

    /// The client's own version.
    async fn client_version(&self) -> Option<&str> {
        self.call().client_version.as_deref()
    }

    /// The address of the client, without a port.
    async fn client_ip(&self) -> Option<&str> {
        self.call().client_ip.as_deref()
    }

    /// The country of the client: ISO 3166-1 alpha-2, such as `NL`.
    async fn country(&self) -> Option<&str> {
        self.call().country.as_deref()
    }

    /// What the client authorised itself with: never more than the first 10 characters, then an ellipsis.
    async fn authorization(&self) -> Option<&str> {
        self.call().authorization.as_deref()
    }

    /// The `User-Agent` header.
    async fn user_agent(&self) -> Option<&str> {
        self.call().user_agent.as_deref()
    }

    /// What the client sent. Null: it was not captured, which is not the same as an empty body, or the key has no scope
    /// `payloads`.
    #[graphql(complexity = "cost::BODY + child_complexity")]
    async fn request(&self, ctx: &Context<'_>) -> Result<Option<Payload>, Error> {
        self.payload(ctx, Side::Request).await
    }

    /// What the server answered. Null: it was not captured, which is not the same as an empty body, or the key has no
    /// scope `payloads`.
    #[graphql(complexity = "cost::BODY + child_complexity")]
    async fn response(&self, ctx: &Context<'_>) -> Result<Option<Payload>, Error> {
        self.payload(ctx, Side::Response).await
    }

    /// The console output of this call, oldest first. Empty for keys without scope `payloads`.
    #[graphql(complexity = "cost::BODY + cost::list(first, None, child_complexity)")]
    async fn logs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many lines, from 1 to 500. Without it, 50.")] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor of a log line.")] after: Option<String>,
    ) -> Result<Connection<LogLine>, Error> {
        let page = PageArguments::forward(first, after).request::<LogPosition>()?;
        if !sees_payloads(ctx)? {
            return Ok(LogLine::none());
        }
        let key = LogsOf {
            row: self.stored.row,
            first: page.first.unwrap_or(cost::DEFAULT_SIZE),
            after: page.after,
        };
        let Some(page) = load(ctx, key).await?.transpose()? else {
            return Ok(LogLine::none());
        };
        Ok(LogLine::page(&page))
    }

    /// The W3C trace that the call is part of: 32 hex digits.
    async fn trace_id(&self) -> String {
        self.call().trace_id.to_string()
    }

    /// The span that tells the call best, the server's where there is one: 16 hex digits. Times and parent are this
    /// span's. (`id` is made from the first span that told of the call, and stays.)
    async fn span_id(&self) -> String {
        self.call().primary_span_id.to_string()
    }

    /// The parent of the span that tells the call best: 16 hex digits. Null at the root of a trace.
    async fn parent_span_id(&self) -> Option<String> {
        self.call().parent_span_id.map(|span| span.to_string())
    }

    /// An object with everything that the span carried and that has no field of its own, by attribute name, and where
    /// it came from: `otel.scope.name`, `otel.scope.version`, and the attributes of its `resource`. Empty for keys without scope `payloads`.
    #[graphql(complexity = "cost::BODY")]
    async fn attributes(&self, ctx: &Context<'_>) -> Result<Json, Error> {
        let details = self.details(ctx, REST).await?;
        let bytes = json_bytes(&details.attributes);
        let write = move || Json::object(&details.attributes);
        Allowance::of(ctx)?.work(store(ctx)?.cpu(), bytes, write).await
    }
}
