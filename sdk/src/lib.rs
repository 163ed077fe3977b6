//! Makes an MCP server written in Rust speak OTLP: one line around any rmcp handler.
//!
//! [`init`] sets up an exporter from the standard `OTEL_*` variables (without them: OTLP over HTTP to
//! `127.0.0.1:4318`, where mcptap listens) and returns a [`Guard`]. [`instrument`] wraps a handler. From then
//! on every request the handler gets, of any method and any protocol version, becomes one SERVER span named
//! by the OpenTelemetry conventions for MCP: who asked, for what, both bodies, and how it ended. Its parent
//! is the `traceparent` that the client sent in `_meta`, if any, and it is the current context while the
//! handler runs, so that log records and inner spans of the handler hang below it. Finished spans are batched
//! and sent by a thread of their own, again and again while the collector cannot be reached; handlers never
//! wait for it. When the server exits, the guard ends the spans of requests still being handled, sends what
//! is left, and gives up after a few seconds.
//!
//! ```no_run
//! # use rmcp::{ServerHandler, model::ServerConfig};
//! # struct Weather;
//! # impl ServerHandler for Weather {}
//! # async fn run(transport: tokio::io::DuplexStream) -> Result<(), Box<dyn std::error::Error>> {
//! let _telemetry = mcptap_sdk::init("weather")?;
//! let server = mcptap_sdk::instrument(Weather).serve(transport).await?;
//! server.waiting().await?;
//! # Ok(()) }
//! ```
//!
//! Over Streamable HTTP the wrapped handler goes where the handler went: `StreamableHttpService::new(||
//! Ok(instrument(Weather::new())), …)`. Requests that rmcp refuses there before any handler sees them
//! (malformed headers, unknown versions) are not seen here either.
//!
//! Bodies are cut at 1 MiB each; the size before the cut is kept. Of the HTTP headers, `Authorization` is cut
//! to its first 10 characters and only a short list of others is kept.

mod body;
mod capture;
mod context;
mod export;
mod handler;
mod origin;
mod parcel;
mod recorder;
mod retry;
mod service;
mod span;

pub use capture::{Capture, CaptureError, DEFAULT_BODY_CAP, Mode};
pub use export::{Error, Guard, connect, init};
pub use service::{Instrumented, InstrumentedService, instrument, instrument_with};
