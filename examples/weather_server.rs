//! An MCP server over stdio whose every request ends up in mcptap.
//!
//! ```sh
//! mcptap serve                          # in one terminal; then open http://127.0.0.1:6278
//! cargo build --example weather_server  # in another
//! npx @modelcontextprotocol/inspector target/debug/examples/weather_server
//! ```
//!
//! Any MCP client can run the binary in place of the inspector. `OTEL_EXPORTER_OTLP_ENDPOINT` sends the spans
//! elsewhere.

use mcptap_sdk::instrument;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::schemars::{self, JsonSchema};
use rmcp::transport::stdio;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde::Deserialize;

/// Where to look.
#[derive(Deserialize, JsonSchema)]
struct Place {
    /// A city, `Lisbon` for example.
    city: String,
}

#[derive(Clone)]
struct Weather {
    tools: ToolRouter<Self>,
}

#[tool_router(router = tools)]
impl Weather {
    /// The weather in a city, now.
    #[tool]
    async fn current_weather(&self, Parameters(place): Parameters<Place>) -> CallToolResult {
        let weather = match place.city.to_lowercase().as_str() {
            "lisbon" => "sunny, 24 °C",
            "bergen" => "rain, 9 °C",
            // Shows up in mcptap as TOOL_ERROR: the request was fine, the tool could not help.
            _ => {
                return CallToolResult::error(vec![ContentBlock::text(format!(
                    "no station in {}",
                    place.city
                ))]);
            }
        };
        CallToolResult::success(vec![ContentBlock::text(format!("{}: {weather}", place.city))])
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Weather {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("weather", "1.0.0"))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Kept until the end of main: dropping it sends the last spans.
    let _telemetry = mcptap_sdk::init("weather")?;
    let server = instrument(Weather {
        tools: Weather::tools(),
    })
    .serve(stdio())
    .await?;
    server.waiting().await?;
    Ok(())
}
