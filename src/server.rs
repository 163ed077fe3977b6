//! The server: opens the store, joins collector and API over it, listens, and stops in the reverse order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::middleware::{from_fn, from_fn_with_state};
use mcptap_collector::{Collector, Countries, Reader};
use mcptap_graphql::{Origins, Receivers};
use mcptap_store::{Attempts, Store, Writer, shown_url};
use tokio::net::TcpListener;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::compress::Compressor;
use crate::config::Config;
use crate::cors::Pages;
use crate::guessing::Guessing;
use crate::host::Hosts;
use crate::listen::{Limits, Listeners, Plain, Port, default_places, raise_limit};
use crate::problems::Problems;
use crate::refusals::{self, Watch};
use crate::signposts::Ports;
use crate::{compress, cors, deadline, guessing, host, metrics, pages, signposts};

/// How long open requests may take to be answered when the server stops, at all ports together. Closing the store may
/// take ten seconds more.
const GRACE: Duration = Duration::from_secs(8);
/// How much of that the API has at least.
const GOODBYE: Duration = Duration::from_secs(4);

/// A running server. Dropping it stops nothing; call [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    /// Where the dashboard, GraphQL, health and metrics are served.
    pub listen: SocketAddr,
    /// Where OTLP/gRPC is received.
    pub otlp_grpc: SocketAddr,
    /// Where OTLP/HTTP is received.
    pub otlp_http: SocketAddr,
    store: Store,
    writer: Writer,
    intake: Listeners,
    api: Listeners,
}

impl Server {
    /// Opens the database, binds all three addresses and serves. Port 0 picks a free port; the addresses really bound
    /// are in the fields.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        config.check_exposure().await?;
        raise_limit();
        let options = mcptap_store::Options {
            retention: config.retention,
            join_window: config.join_window,
            lost_after: config.lost_after,
            queue_records: config.ingest_queue_spans,
            body_cap: config.body_cap,
            memory_budget: config.memory_budget,
            readers: config.readers,
            read_timeout: config.limits.timeout,
            ..mcptap_store::Options::default()
        };
        let countries = match &config.geoip_file {
            Some(path) => Countries::from_file(path)?,
            None => Countries::default(),
        };
        let (listen, otlp_grpc, otlp_http) =
            bind_all(config.listen, config.otlp_grpc, config.otlp_http).await?;
        let shown = shown_url(&config.database_url);
        let (writer, store) = mcptap_store::open(&config.database_url, options)
            .await
            .with_context(|| format!("opening the database {shown}"))?;
        tracing::info!("calls are kept in {shown}");
        let reader = Reader {
            countries,
            trust_forwarded_for: config.trust_forwarded_for,
            redactor: config.redactor.clone(),
        };
        let collector = Collector::new(writer.clone(), reader)
            .guarded(store.gate().clone())
            .keeping(config.retention);

        let mut server = Self {
            listen: listen.local_addr()?,
            otlp_grpc: otlp_grpc.local_addr()?,
            otlp_http: otlp_http.local_addr()?,
            store: store.clone(),
            writer,
            intake: Listeners::default(),
            api: Listeners::default(),
        };
        let bound = Ports {
            listen: server.listen,
            otlp_grpc: server.otlp_grpc,
            otlp_http: server.otlp_http,
        };
        let compressor = Compressor::of(&store);
        let stop = server.api.stopping();
        let watch = Watch::start("OTLP/HTTP", &config.redactor, stop.clone());
        let at_grpc = watch.at("OTLP/gRPC");
        let at_api = watch.at("the API's port");
        let places = config.max_connections.unwrap_or_else(|| default_places(3, 1));
        let ports = ["api", "otlp_http", "otlp_grpc"].map(|name| Port::new(name, Limits::server(places)));
        let origins = Origins::new(&config.allowed_origins);
        let senders = Pages::of_otlp(origins.clone());
        let counters = ports.iter().map(|port| port.counters().clone()).collect();
        let [api_port, http_port, grpc_port] = ports;
        let attempts = Attempts::default();
        let slow_down = from_fn_with_state(
            Guessing {
                attempts: attempts.clone(),
                gate: store.gate().clone(),
            },
            guessing::slow_down,
        );
        let graphql = mcptap_graphql::Options {
            allowed_origins: config.allowed_origins.clone(),
            limits: config.limits.clone(),
            gate: Some(store.gate().clone()),
            local: config.listen.ip().is_loopback(),
            receivers: Some(Receivers {
                otlp_http: server.otlp_http,
                otlp_grpc: server.otlp_grpc,
            }),
            attempts: attempts.clone(),
            shutdown: stop.clone(),
        };
        let api = mcptap_graphql::router(mcptap_graphql::schema(store.clone()), graphql)
            .route_layer(from_fn(pages::graphiql_for_browsers))
            .merge(pages::router())
            .fallback(move |request| refusals::at_the_api(at_api.clone(), bound, request))
            .merge(metrics::router(store, collector.clone(), counters))
            .layer(from_fn_with_state(compressor, compress::answers))
            .layer(slow_down.clone())
            .layer(from_fn_with_state(
                Hosts::new(config.listen, &config.allowed_hosts),
                host::guard,
            ));
        let api_port = api_port.shown_to(Pages::of_api(origins));
        server.api.serve(api_port, listen, Plain, api);
        let exact = mcptap_collector::http_router(&collector);
        let otlp = exact
            .clone()
            .fallback(move |request| signposts::at_otlp_http(exact.clone(), bound, request))
            .layer(from_fn_with_state(bound, signposts::posts_only))
            .layer(slow_down.clone())
            .layer(from_fn_with_state(senders.clone(), cors::guard_otlp))
            .layer(from_fn_with_state(
                Hosts::new(config.otlp_http, &config.allowed_hosts),
                host::guard_browsers,
            ))
            .layer(from_fn_with_state(watch.clone(), refusals::tell));
        let http_port = http_port.shown_to(senders).watched(watch.clone());
        server.intake.serve(http_port, otlp_http, Plain, otlp);
        let otlp = mcptap_collector::grpc_routes(&collector)
            .into_axum_router()
            .layer(slow_down)
            .layer(from_fn(deadline::honour))
            .layer(from_fn_with_state(bound, signposts::grpc_only))
            .layer(from_fn_with_state(at_grpc.clone(), refusals::tell));
        let grpc_port = grpc_port.watched(at_grpc);
        server.intake.serve(grpc_port, otlp_grpc, Plain, otlp);
        Ok(server)
    }

    /// What it serves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends when a listener fails.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.intake.failed() => error,
            error = self.api.failed() => error,
        }
    }

    /// Stops: nothing new is accepted, requests that came whole are answered and committed, subscriptions are closed with
    /// a word, the database is closed. It ends within 20 seconds, also when the database does not answer.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self {
            store,
            writer,
            intake,
            api,
            ..
        } = self;
        let until = Instant::now() + GRACE;
        let received = CancellationToken::new();
        let receiving = async {
            intake.end(until).await;
            // The last writer; the listeners' collectors had the others. Now the queue is empty and closed.
            drop(writer);
            received.cancel();
        };
        // Subscribers hear of what came last, and then, before the feed ends, that the server goes away.
        let answering = async {
            let _ = timeout_at((until - GOODBYE).into(), received.cancelled()).await;
            api.end(until).await;
        };
        tokio::join!(receiving, answering);
        store.close().await;
        Ok(())
    }
}

/// Listens at all addresses, or tells all that cannot be listened at.
async fn bind_all(
    listen: SocketAddr,
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
) -> anyhow::Result<(TcpListener, TcpListener, TcpListener)> {
    let bound = tokio::join!(
        bind("listen", listen),
        bind("otlp_grpc", otlp_grpc),
        bind("otlp_http", otlp_http),
    );
    match bound {
        (Ok(listen), Ok(grpc), Ok(http)) => Ok((listen, grpc, http)),
        (listen, grpc, http) => {
            let mut problems = Problems::default();
            let mut in_use = true;
            for error in [listen, grpc, http].into_iter().filter_map(Result::err) {
                in_use &= is_in_use(&error);
                problems.add(error);
            }
            let title = |count| match in_use {
                true => format!("could not start: {count} addresses are in use"),
                false => format!("could not start: mcptap cannot listen on {count} addresses"),
            };
            problems
                .end_titled((), title)
                .and(Err(anyhow::anyhow!("no address to listen at")))
        }
    }
}

/// Whether somebody else listens there.
fn is_in_use(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::AddrInUse)
}

async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| {
            let taken = "is another mcptap running";
            match setting {
                "listen" => format!("listening on {address} ({setting}); {taken}?"),
                _ => format!(
                    "listening on {address} ({setting}); {taken}, or an OpenTelemetry Collector? --{} 127.0.0.1:PORT takes another port",
                    setting.replace('_', "-")
                ),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_in_use_are_no_wrong_settings() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = taken.local_addr().unwrap();
        let told = bind_all(at, at, at).await.unwrap_err().to_string();
        assert!(
            told.starts_with("could not start: 3 addresses are in use:\n- listening on"),
            "{told}"
        );
        // Nobody has this one, and nobody can.
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 0));
        let told = bind_all(at, nowhere, at).await.unwrap_err().to_string();
        assert!(
            told.starts_with("could not start: mcptap cannot listen on 3 addresses:"),
            "{told}"
        );
    }
}
