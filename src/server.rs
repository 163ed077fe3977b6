//! The server: opens the store, joins collector and API over it, listens, and stops in the reverse order.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::serve::ListenerExt;
use mcptap_collector::{Collector, Countries, Reader};
use mcptap_store::{Store, Writer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::host::Hosts;
use crate::{host, metrics, pages};

/// How long open requests may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

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

/// Listeners that stop together.
#[derive(Debug, Default)]
struct Listeners {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Server {
    /// Opens the database, binds all three addresses and serves. Port 0 picks a free port; the addresses really bound
    /// are in the fields.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        config.check_exposure().await?;
        let options = mcptap_store::Options {
            retention: config.retention,
            join_window: config.join_window,
            queue_records: config.ingest_queue_spans,
            body_cap: config.body_cap,
            memory_budget: config.memory_budget,
            read_timeout: config.limits.timeout,
            ..mcptap_store::Options::default()
        };
        let countries = match &config.geoip_file {
            Some(path) => Countries::from_file(path)?,
            None => Countries::default(),
        };
        let (listen, otlp_grpc, otlp_http) = tokio::try_join!(
            bind("listen", config.listen),
            bind("otlp_grpc", config.otlp_grpc),
            bind("otlp_http", config.otlp_http),
        )?;
        let shown = config.redactor.redact(&config.database_url).into_owned();
        let (writer, store) = mcptap_store::open(&config.database_url, options)
            .await
            .with_context(|| format!("opening the database {shown}"))?;
        let reader = Reader {
            countries,
            trust_forwarded_for: config.trust_forwarded_for,
            redactor: config.redactor.clone(),
        };
        let collector = Collector::new(writer.clone(), reader).guarded(store.gate().clone());

        let mut server = Self {
            listen: listen.local_addr()?,
            otlp_grpc: otlp_grpc.local_addr()?,
            otlp_http: otlp_http.local_addr()?,
            store: store.clone(),
            writer,
            intake: Listeners::default(),
            api: Listeners::default(),
        };
        let stop = server.api.stop.clone();
        let graphql = mcptap_graphql::Options {
            allowed_origins: config.allowed_origins.clone(),
            limits: config.limits.clone(),
            gate: Some(store.gate().clone()),
            local: config.listen.ip().is_loopback(),
            shutdown: stop.clone(),
        };
        let api = mcptap_graphql::router(mcptap_graphql::schema(store.clone()), graphql)
            .route_layer(from_fn(pages::graphiql_for_browsers))
            .merge(pages::router())
            .merge(metrics::router(store, collector.clone()))
            .layer(from_fn_with_state(
                Hosts::new(config.listen, &config.allowed_hosts),
                host::guard,
            ));
        server.api.http(listen, api);
        let otlp = mcptap_collector::http_router(&collector).layer(from_fn_with_state(
            Hosts::new(config.otlp_http, &config.allowed_hosts),
            host::guard_browsers,
        ));
        server.intake.http(otlp_http, otlp);
        server
            .intake
            .grpc(otlp_grpc, mcptap_collector::grpc_routes(&collector));
        Ok(server)
    }

    /// What it serves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends when a listener fails.
    pub async fn failed(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            ended = self.intake.tasks.join_next() => ended,
            ended = self.api.tasks.join_next() => ended,
        };
        match ended {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow::Error::new(error).context("a listener broke"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a listener ended by itself"),
        }
    }

    /// Stops: nothing new is accepted, what was accepted is finished and committed, subscriptions are closed with a
    /// word, the database is closed.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self {
            store,
            writer,
            intake,
            api,
            ..
        } = self;
        intake.end().await;
        // Before the feed ends: subscribers are to hear that the server goes away, not that there is nothing more.
        api.stop.cancel();
        // The last writer; the listeners' collectors had the others. Now the queue is empty and closed.
        drop(writer);
        api.end().await;
        store.close().await;
        Ok(())
    }
}

async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address} ({setting}); is another mcptap running?"))
}

impl Listeners {
    fn http(&mut self, listener: TcpListener, router: Router) {
        // A live event is not to wait until the one before it was acknowledged.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "a connection may be slow");
            }
        });
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { stop.cancelled().await })
                .await
                .context("serving HTTP")
        });
    }

    fn grpc(&mut self, listener: TcpListener, routes: tonic::service::Routes) {
        let stop = self.stop.clone();
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        self.tasks.spawn(async move {
            tonic::transport::Server::builder()
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, async move { stop.cancelled().await })
                .await
                .context("serving gRPC")
        });
    }

    /// Stops listening and waits for open requests, for a bounded time.
    async fn end(mut self) {
        self.stop.cancel();
        let finished = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!("stopping: {error:#}"),
                    Err(error) => tracing::warn!(%error, "stopping"),
                }
            }
        };
        if tokio::time::timeout(GRACE, finished).await.is_err() {
            tracing::warn!("requests still open after {} s are cut off", GRACE.as_secs());
            self.tasks.shutdown().await;
        }
    }
}
