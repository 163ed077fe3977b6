//! Someone else's servers that take the collector in: an axum server that has OTLP/HTTP and GraphQL among its own
//! routes, and a tonic server with OTLP/gRPC.
//!
//! ```sh
//! cargo run --example embedded_collector      # in one terminal
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8080 \
//!     npx @modelcontextprotocol/inspector target/debug/examples/weather_server
//! curl -s http://127.0.0.1:8080/graphql -H 'content-type: application/json' \
//!     -d '{"query": "{ calls { nodes { method target outcome durationMs } } }"}'
//! ```
//!
//! Nothing asks senders or readers who they are here: put your own server's middleware around the routes, or give mcptap's
//! API keys a say with `Collector::guarded` and `Options::gate`.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use mcptap_collector::{Collector, Reader};
use mcptap_store::Options;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |otherwise: &str| {
        arguments
            .next()
            .unwrap_or_else(|| otherwise.to_owned())
            .parse::<SocketAddr>()
    };
    let (http, grpc) = (address("127.0.0.1:8080")?, address("127.0.0.1:4317")?);

    // One store: the writing side goes to the collector, the reading side to the API.
    let (writer, store) = mcptap_store::open("sqlite://embedded.db?mode=rwc", Options::default()).await?;
    let collector = Collector::new(writer, Reader::default());
    let stop = CancellationToken::new();
    let api = mcptap_graphql::Options {
        shutdown: stop.clone(),
        ..mcptap_graphql::Options::default()
    };
    let routes = Router::new()
        .route("/", get(async || "a server of its own, and a collector\n"))
        .merge(mcptap_collector::http_router(&collector))
        .merge(mcptap_graphql::router(mcptap_graphql::schema(store.clone()), api));
    let otlp_grpc = mcptap_collector::grpc_routes(&collector);
    drop(collector);

    let listener = TcpListener::bind(http)
        .await
        .with_context(|| format!("listening on {http}"))?;
    let web = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let rpc = tonic::transport::Server::builder().add_routes(otlp_grpc);
    let interrupted = async {
        tokio::signal::ctrl_c().await.context("waiting for ctrl-c")?;
        stop.cancel();
        Ok(())
    };
    tokio::try_join!(
        async { web.await.context("serving HTTP") },
        async {
            rpc.serve_with_shutdown(grpc, stop.cancelled())
                .await
                .context("serving gRPC")
        },
        interrupted,
    )?;

    // The servers held the last writers, so everything accepted is committed by now, or is about to be.
    store.close().await;
    Ok(())
}
