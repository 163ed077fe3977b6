//! The shop: an MCP server with a few tools, a resource and a prompt.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use mcptap_sdk::{Watch, instrument_with};
use opentelemetry::logs::{LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, ContentBlock, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    Implementation, ListPromptsResult, ListResourcesResult, PaginatedRequestParams, Prompt, PromptArgument,
    PromptMessage, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
    ResourceContents, Role, ServerCapabilities, ServerConfig,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Dice, NAME};

/// The one document the shop offers.
const RETURNS_POLICY: &str = "shop://policies/returns";

/// What the shop sells: article, name, price in cents.
const CATALOG: [(&str, &str, u32); 6] = [
    ("KTL-20", "Gooseneck kettle", 5900),
    ("GRN-03", "Hand grinder", 8450),
    ("DRP-01", "Ceramic dripper", 2400),
    ("FLT-99", "Paper filters, 100", 650),
    ("BNS-41", "Ethiopia Guji, 250 g", 1390),
    ("SCL-07", "Scale with timer", 4900),
];

/// An order, by number.
#[derive(Deserialize, JsonSchema)]
struct OrderRef {
    /// The order's number, `A-1001` for example.
    order_id: String,
}

/// Words to look for.
#[derive(Deserialize, JsonSchema)]
struct Search {
    /// Part of a name.
    query: String,
}

/// Which days to add up.
#[derive(Deserialize, JsonSchema)]
struct Days {
    /// How many days back.
    days: u32,
}

/// The shop's handler.
#[derive(Clone)]
pub(super) struct Shop {
    tools: ToolRouter<Self>,
    log: SdkLogger,
    dice: Arc<Mutex<Dice>>,
}

#[tool_router(router = tools)]
impl Shop {
    pub(super) fn new(logs: &SdkLoggerProvider) -> Self {
        Self {
            tools: Self::tools(),
            log: logs.logger(NAME),
            dice: Arc::new(Mutex::new(Dice::new())),
        }
    }

    /// One order with its items and where it is.
    #[tool]
    async fn get_order(&self, Parameters(order): Parameters<OrderRef>) -> Result<CallToolResult, ErrorData> {
        if !order.order_id.starts_with("A-") {
            return Err(ErrorData::invalid_params(
                format!("{} is not an order number", order.order_id),
                None,
            ));
        }
        self.pause(20, 120).await;
        let (article, name, cents) = self.article();
        let state = self.dice(|dice| dice.pick(&["paid", "packed", "shipped", "delivered"], "paid"));
        Ok(CallToolResult::structured(json!({
            "orderId": order.order_id,
            "state": state,
            "items": [{"article": article, "name": name, "quantity": 1, "priceCents": cents}],
            "totalCents": cents + 490,
            "shipTo": {"city": "Lisbon", "country": "PT"},
        })))
    }

    /// Articles whose name has the words.
    #[tool]
    async fn search_catalog(&self, Parameters(search): Parameters<Search>) -> CallToolResult {
        self.pause(30, 200).await;
        let wanted = search.query.to_lowercase();
        let hits: Vec<_> = CATALOG
            .iter()
            .filter(|(_, name, _)| name.to_lowercase().contains(&wanted))
            .map(|(article, name, cents)| json!({"article": article, "name": name, "priceCents": cents}))
            .collect();
        CallToolResult::structured(json!({"query": search.query, "hits": hits}))
    }

    /// Cancels an order that has not left yet.
    #[tool]
    async fn cancel_order(&self, Parameters(order): Parameters<OrderRef>) -> CallToolResult {
        self.pause(60, 250).await;
        if self.dice(|dice| dice.roll(3)) == 0 {
            self.say(
                Severity::Warn,
                format!("{} has left the warehouse already", order.order_id),
            );
            let why = format!(
                "{} was shipped this morning and cannot be cancelled.",
                order.order_id
            );
            return CallToolResult::error(vec![ContentBlock::text(why)]);
        }
        CallToolResult::structured(json!({"orderId": order.order_id, "state": "cancelled"}))
    }

    /// Hands an order to the carrier.
    #[tool]
    async fn ship_order(&self, Parameters(order): Parameters<OrderRef>) -> CallToolResult {
        self.say(
            Severity::Info,
            format!("asking the carrier for a label for {}", order.order_id),
        );
        self.pause(80, 300).await;
        if self.dice(|dice| dice.roll(6)) == 0 {
            self.say(Severity::Error, "the carrier answered 503 twice".to_owned());
            return CallToolResult::error(vec![ContentBlock::text("The carrier does not answer.")]);
        }
        let parcel = format!("PT{:09}", self.dice(|dice| dice.roll(1_000_000_000)));
        self.say(Severity::Info, format!("label printed, parcel {parcel}"));
        CallToolResult::structured(json!({"orderId": order.order_id, "parcel": parcel}))
    }

    /// Revenue of the last days. Takes its time.
    #[tool]
    async fn slow_report(&self, Parameters(days): Parameters<Days>) -> CallToolResult {
        self.say(Severity::Debug, format!("adding up {} days", days.days));
        self.pause(500, 3000).await;
        let orders = self.dice(|dice| dice.roll(40)) + 5;
        CallToolResult::structured(json!({
            "days": days.days,
            "orders": orders,
            "revenueCents": orders * 5230,
        }))
    }

    fn dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn article(&self) -> (&'static str, &'static str, u32) {
        self.dice(|dice| dice.pick(&CATALOG, ("KTL-20", "Gooseneck kettle", 5900)))
    }

    /// Waits from `least` to `most` milliseconds, as a database would make it wait.
    async fn pause(&self, least: u64, most: u64) {
        let wait = least + self.dice(|dice| dice.roll(most.saturating_sub(least)));
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    /// Writes a log line, in the span of the call that is being handled.
    fn say(&self, severity: Severity, line: String) {
        let mut record = self.log.create_log_record();
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record.set_body(line.into());
        self.log.emit(record);
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Shop {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions("Orders, catalog and shipping of a small coffee shop.")
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let policy = Resource::new(RETURNS_POLICY, "returns").with_mime_type("text/markdown");
        Ok(ListResourcesResult::with_all_items(vec![policy]))
    }

    async fn read_resource(
        &self,
        wanted: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if wanted.uri != RETURNS_POLICY {
            let data = json!({"uri": wanted.uri});
            return Err(ErrorData::resource_not_found("no such document", Some(data)));
        }
        let policy = "# Returns\n\nWithin 30 days, unused. Opened coffee cannot be returned.";
        Ok(ReadResourceResult::new(vec![ResourceContents::text(policy, wanted.uri)]).into())
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let arguments = vec![PromptArgument::new("order_id").with_required(true)];
        let prompt = Prompt::new(
            "draft_reply",
            Some("An answer to a customer's mail"),
            Some(arguments),
        );
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }

    async fn get_prompt(
        &self,
        wanted: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let order = wanted
            .arguments
            .as_ref()
            .and_then(|given| given.get("order_id"))
            .and_then(|id| id.as_str());
        let Some(order) = order.filter(|_| wanted.name == "draft_reply") else {
            return Err(ErrorData::invalid_params(
                "no such prompt, or order_id is missing",
                None,
            ));
        };
        let text = format!("Write a short, kind answer to the customer of order {order}.");
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
    }
}

/// Serves the shop on a free loopback port until `shutdown`, and returns the URL of its MCP endpoint. It is recorded as the
/// README advises over HTTP: the handler is instrumented, and the layer around it knows session, status and address.
pub(super) async fn serve(shop: Shop, watch: Watch, shutdown: CancellationToken) -> anyhow::Result<String> {
    let config = StreamableHttpServerConfig::default().with_cancellation_token(shutdown.child_token());
    let service: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        {
            let watch = watch.clone();
            move || Ok(instrument_with(shop.clone(), watch.clone()))
        },
        Arc::default(),
        config,
    );
    let router = axum::Router::new()
        .nest_service("/mcp", service)
        .layer(watch.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .context("no port for the demo's server")?;
    let url = format!(
        "http://{}/mcp",
        listener
            .local_addr()
            .context("the demo's server has no address")?
    );
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the demo's server ended");
        }
    });
    Ok(url)
}
