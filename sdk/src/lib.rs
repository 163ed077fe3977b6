//! Makes an MCP server written in Rust speak OTLP: one line around any rmcp handler.
//!
//! [`init`] sets up an exporter from the standard `OTEL_*` variables (without them: OTLP over HTTP to
//! `127.0.0.1:4318`, where mcptap listens) and returns a [`Guard`]. [`instrument`] wraps a handler. From then
//! on every request the handler gets, of any method and any protocol version, becomes one SERVER span named
//! by the OpenTelemetry conventions for MCP: who asked, for what, both bodies, and how it ended. Its parent
//! is the `traceparent` that the client sent in `_meta`, else the span of its HTTP request, else what that one's headers
//! name; the span of a whole connection is linked. It is the current context while the handler runs, so that log records and inner spans of the handler hang below it; [`log_layer`] sends `tracing`
//! events as log records of the call. Secrets are cut out of everything before it leaves.
//!
//! Handlers never wait for the collector: two threads carry what is recorded. While the collector is away, it is kept
//! on disk, within bounds, and delivered later in order, if need be by a later process. When the server exits, the
//! guard ends the spans of requests still being handled and sends what is left, for a few seconds at most.
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
//! # Features
//!
//! By default there is all that a server and the variables may ask for: `rmcp` ([`instrument`]), `http` ([`layer`]), `tls` (a collector
//! behind `https://`), `logs` ([`log_layer`]), `metrics` ([`Watch::metrics`]), `grpc` (OTLP over gRPC) and `zstd`. Besides: `axum` (the client's address from
//! `ConnectInfo`) and `brotli` (answers in that coding). A server over stdio with a collector on its own machine needs
//! `default-features = false, features = ["rmcp"]`. The versions of [`opentelemetry`] and [`opentelemetry_sdk`] that this crate has
//! in its signatures are re-exported.
//!
//! Bodies are cut at 1 MiB each; the size before the cut is kept. Of the HTTP headers, `Authorization` is cut
//! to its first 10 characters and only a short list of others is kept.

#![cfg_attr(
    not(all(feature = "rmcp", feature = "http", feature = "logs", feature = "tls")),
    expect(
        dead_code,
        reason = "parts of the engine that only the switched-off ways into it use"
    )
)]
#![cfg_attr(
    not(feature = "http"),
    expect(unused_imports, reason = "parts of the engine that the layer alone uses")
)]

mod announcement;
mod capture;
mod context;
mod current;
#[cfg(feature = "rmcp")]
mod handler;
#[doc(hidden)]
pub mod internals;
mod jsonrpc;
#[cfg(feature = "http")]
mod layer;
#[cfg(all(feature = "rmcp", not(feature = "http")))]
#[path = "without_layer.rs"]
mod layer;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "without_metrics.rs"]
mod metrics;
mod observer;
mod pipe;
mod recorder;
mod running;
#[cfg(feature = "rmcp")]
mod service;
mod span;
mod telemetry;
mod watch;
#[cfg(feature = "rmcp")]
mod wire;

pub use capture::{CallParts, Capture, CaptureError, DEFAULT_BODY_CAP, Mode};
pub use current::{Call, Outgoing};
#[cfg(feature = "http")]
pub use layer::{Answer, Answering, Question, RequestBody, Traffic, TrafficLayer};
pub use opentelemetry;
pub use opentelemetry_sdk;
#[cfg(feature = "rmcp")]
pub use service::{Instrumented, InstrumentedService, instrument, instrument_with};
pub use telemetry::{Compression, Error, Guard, Protocol, Stats, Telemetry, connect, init};
#[cfg(feature = "logs")]
pub use telemetry::{LogLayer, log_layer, log_layer_with};
pub use watch::Watch;

/// A [`TrafficLayer`] whose records go to the global providers: around the MCP part of any HTTP server.
///
/// ```no_run
/// # fn router() -> axum::Router { axum::Router::new() }
/// # async fn run(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// let _telemetry = mcptap_sdk::init("shop")?;
/// let router = router().layer(mcptap_sdk::layer());
/// axum::serve(listener, router.into_make_service_with_connect_info::<std::net::SocketAddr>()).await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "http")]
pub fn layer() -> TrafficLayer {
    Watch::global().layer()
}
