//! The shop's clients: they connect, call at a human pace, leave, and come back.

use std::collections::HashMap;
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientConfig, ClientRequest,
    GetPromptRequestParams, Implementation, JsonObject, ProtocolVersion, ReadResourceRequestParams,
};
use rmcp::service::{ClientInitializeError, PeerRequestOptions, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Dice;

/// Who comes: name, version, token.
const VISITORS: [(&str, &str, &str); 4] = [
    ("claude-ai", "0.1.0", "demo-7f3a91c05e"),
    ("Visual Studio Code", "1.131.0", "demo-b02c44d19a"),
    ("cursor-vscode", "3.2.1", "demo-19e6f7a8c3"),
    ("support-agent", "2.4.0", "demo-c5d8803b6f"),
];
/// The pause between two calls of a client, in milliseconds.
const SHORTEST_PAUSE: u64 = 250;
const LONGEST_PAUSE: u64 = 1_100;
/// How long a client waits before it tries again to connect.
const RECONNECT: Duration = Duration::from_secs(1);

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Era {
    /// Up to 2025-11-25: `initialize`, then a session.
    Sessions,
    /// Since 2026-07-28: every request for itself.
    Stateless,
}

/// A visitor as an MCP client.
struct Visitor(Implementation);

impl ClientHandler for Visitor {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(Default::default(), self.0.clone())
    }
}

/// Visits the shop over and over until `shutdown`.
pub(super) async fn keep_calling(url: &str, era: Era, shutdown: CancellationToken) {
    let visiting = async {
        let mut dice = Dice::new();
        loop {
            match connect(url, era, &mut dice).await {
                Ok(client) => visit(client, &mut dice).await,
                Err(error) => {
                    tracing::debug!(%error, ?era, "a client of the demo could not connect");
                    tokio::time::sleep(RECONNECT).await;
                }
            }
        }
    };
    // The loop ends by being dropped: nothing it holds needs an orderly end.
    let _stopped = shutdown.run_until_cancelled(visiting).await;
}

async fn connect(
    url: &str,
    era: Era,
    dice: &mut Dice,
) -> Result<RunningService<RoleClient, Visitor>, Box<ClientInitializeError>> {
    let (name, version, token) = dice.pick(&VISITORS, ("support-agent", "2.4.0", "demo-c5d8803b6f"));
    let mut headers = HashMap::new();
    if let Ok(agent) = axum::http::HeaderValue::from_str(&format!("{}/{version}", name.replace(' ', "-"))) {
        headers.insert(axum::http::header::USER_AGENT, agent);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(url)
        .auth_header(token)
        .custom_headers(headers);
    let transport = StreamableHttpClientTransport::from_config(config);
    let lifecycle = match era {
        Era::Sessions => ClientLifecycleMode::Initialize,
        Era::Stateless => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
    };
    let visitor = Visitor(Implementation::new(name, version));
    visitor
        .serve_with_lifecycle(transport, lifecycle)
        .await
        .map_err(Box::new)
}

/// One visit: a look at what there is, then some calls.
async fn visit(client: RunningService<RoleClient, Visitor>, dice: &mut Dice) {
    let mut outcome = client.list_tools(None).await.map(drop);
    for _ in 0..10 + dice.roll(30) {
        if let Err(error) = outcome {
            tracing::debug!(%error, "a call of the demo failed");
            if client.is_transport_closed() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(
            SHORTEST_PAUSE + dice.roll(LONGEST_PAUSE - SHORTEST_PAUSE),
        ))
        .await;
        outcome = call(&client, dice).await;
    }
    if let Err(error) = client.cancel().await {
        tracing::debug!(%error, "a client of the demo did not leave in order");
    }
}

async fn call(client: &RunningService<RoleClient, Visitor>, dice: &mut Dice) -> Result<(), ServiceError> {
    let order = format!("A-{}", 1_000 + dice.roll(60));
    match dice.roll(40) {
        0..=11 => tool(client, "get_order", json!({ "order_id": order }))
            .await
            .map(drop),
        12..=20 => {
            let query = dice.pick(&["kettle", "paper", "scale", "tea", "grinder"], "kettle");
            tool(client, "search_catalog", json!({ "query": query }))
                .await
                .map(drop)
        }
        21..=24 => tool(client, "cancel_order", json!({ "order_id": order }))
            .await
            .map(drop),
        25..=28 => tool(client, "ship_order", json!({ "order_id": order }))
            .await
            .map(drop),
        29..=30 => tool(client, "slow_report", json!({ "days": 7 * (1 + dice.roll(4)) }))
            .await
            .map(drop),
        31 => give_up_on_a_report(client).await,
        32..=33 => {
            let wanted = ReadResourceRequestParams::new("shop://policies/returns");
            client.read_resource(wanted).await.map(drop)
        }
        34 => client
            .read_resource(ReadResourceRequestParams::new("shop://policies/tea"))
            .await
            .map(drop),
        35..=36 => {
            let wanted = GetPromptRequestParams::new("draft_reply")
                .with_arguments(object(json!({ "order_id": order })));
            client.get_prompt(wanted).await.map(drop)
        }
        37 => tool(client, "refund_order", json!({ "order_id": order }))
            .await
            .map(drop),
        38 => tool(client, "get_order", json!({ "order_id": "1003" }))
            .await
            .map(drop),
        _ => client.list_resources(None).await.map(drop),
    }
}

async fn tool(
    client: &RunningService<RoleClient, Visitor>,
    name: &'static str,
    arguments: serde_json::Value,
) -> Result<CallToolResult, ServiceError> {
    client
        .call_tool(CallToolRequestParams::new(name).with_arguments(object(arguments)))
        .await
}

/// Asks for a report and does not wait for it.
async fn give_up_on_a_report(client: &RunningService<RoleClient, Visitor>) -> Result<(), ServiceError> {
    let arguments = object(json!({ "days": 365 }));
    let request = CallToolRequest::new(CallToolRequestParams::new("slow_report").with_arguments(arguments));
    let options = PeerRequestOptions::no_options();
    let asked = client
        .send_cancellable_request(ClientRequest::from(request), options)
        .await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    asked.cancel(Some("the user closed the window".to_owned())).await
}

fn object(value: serde_json::Value) -> JsonObject {
    match value {
        serde_json::Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}
