//! An MCP server over HTTP that lets nobody in without a token. Every request is in the log with its HTTP status, also
//! those that were refused before any tool saw them.
//!
//! ```sh
//! mcptap serve                        # in one terminal; then open http://127.0.0.1:6278
//! cargo run --example http_server     # in another: http://127.0.0.1:8000/mcp, token `let-me-in`
//! npx @modelcontextprotocol/inspector --cli http://127.0.0.1:8000/mcp --transport http \
//!     --header 'Authorization: Bearer let-me-in' --method tools/call --tool-name roll_dice --tool-arg sides=6
//! ```
//!
//! Without the header the log shows a 401. Another address can be given: `cargo run --example http_server
//! 127.0.0.1:9000`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use mcptap_sdk::instrument;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::schemars::{self, JsonSchema};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Which dice.
#[derive(Deserialize, JsonSchema)]
struct Dice {
    /// How many sides they have, from 1 on.
    sides: u32,
}

#[derive(Clone)]
struct Casino {
    tools: ToolRouter<Self>,
}

#[tool_router(router = tools)]
impl Casino {
    /// Rolls dice. Always the same, so that the house wins.
    #[tool]
    async fn roll_dice(&self, Parameters(dice): Parameters<Dice>) -> CallToolResult {
        // In the log this line is part of the call.
        tracing::info!(sides = dice.sides, "rolling");
        if dice.sides == 0 {
            return CallToolResult::error(vec![ContentBlock::text("no dice has 0 sides")]);
        }
        CallToolResult::success(vec![ContentBlock::text("1")])
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Casino {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("casino", "1.0.0"))
    }
}

/// Lets in who knows the token.
async fn authorize(request: Request, next: Next) -> Response {
    let token = request.headers().get(AUTHORIZATION);
    if token.is_some_and(|token| token == "Bearer let-me-in") {
        return next.run(request).await;
    }
    (
        StatusCode::UNAUTHORIZED,
        [(WWW_AUTHENTICATE, "Bearer")],
        "no entry\n",
    )
        .into_response()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _telemetry = mcptap_sdk::init("casino")?;
    tracing_subscriber::registry()
        .with(mcptap_sdk::log_layer().with_filter(LevelFilter::INFO))
        .init();
    let mcp: StreamableHttpService<_, LocalSessionManager> = StreamableHttpService::new(
        || {
            Ok(instrument(Casino {
                tools: Casino::tools(),
            }))
        },
        Arc::default(),
        Default::default(),
    );
    let router = Router::new()
        .nest_service("/mcp", mcp)
        .layer(from_fn(authorize))
        // Outermost, so that it sees who is turned away.
        .layer(mcptap_sdk::layer());
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    // The layer asks the connection for the client's address.
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
    .await?;
    Ok(())
}
