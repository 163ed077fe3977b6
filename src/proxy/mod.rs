//! A transparent reverse proxy in front of an MCP server of any language. What comes in goes out unaltered and as it
//! comes, in both directions; only what belongs to one connection alone is each side's own. Nothing here reads MCP: the
//! SDK's layer around the forwarding service does, while bodies pass.
//!
//! `serve.rs` accepts connections and hands their requests to a service; `forward.rs` is that service; the files beside
//! them each hold one thing that a proxy must get right.

mod body;
mod connect;
mod expect;
mod failure;
mod forward;
mod forwarded;
mod half_close;
mod hop;
mod serve;
mod settings;
mod upgrade;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mcptap_sdk::TrafficLayer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use forward::Forward;
pub use settings::{ProxyConfig, ProxySettings};
pub use upstream::Upstream;

use serve::Listening;
use tower_layer::Layer;

use crate::Recording;

/// How long open requests may take to end when the proxy stops.
const GRACE: Duration = Duration::from_secs(10);

/// A running proxy. Dropping it stops nothing; call [`Proxy::stop`].
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub listen: SocketAddr,
    stop: CancellationToken,
    cut: CancellationToken,
    open: TaskTracker,
    listener: JoinHandle<()>,
    recording: Option<(Recording, TrafficLayer)>,
}

impl Proxy {
    /// Listens, forwards and records. Port 0 picks a free port; the address really bound is in `listen`. Upstream need not run
    /// yet.
    pub async fn start(config: &ProxyConfig) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listening on {}; is another mcptap running?", config.listen))?;
        let (stop, cut, open) = (
            CancellationToken::new(),
            CancellationToken::new(),
            TaskTracker::new(),
        );
        let service = Forward::new(config, stop.clone(), open.clone())?;
        let listen = listener.local_addr()?;
        let recording = Recording::start(config.name.as_deref(), config.upstream.authority().host());
        let recording = recording.map(|recording| {
            let layer = recording
                .watch()
                .layer()
                .trusted_proxies(config.trusted_proxies.iter().copied());
            (recording, layer)
        });
        let listening = Listening {
            places: Arc::new(Semaphore::new(config.max_connections)),
            stop: stop.clone(),
            cut: cut.clone(),
            open: open.clone(),
        };
        let listener = match &recording {
            Some((_, layer)) => tokio::spawn(listening.serve(listener, layer.layer(service))),
            None => tokio::spawn(listening.serve(listener, service)),
        };
        Ok(Self {
            listen,
            stop,
            cut,
            open,
            listener,
            recording,
        })
    }

    /// Stops: nothing new is accepted, streams of events and upgraded connections end, other open requests have 10
    /// seconds to finish.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.listener.await.context("the listener broke")?;
        self.open.close();
        if tokio::time::timeout(GRACE, self.open.wait()).await.is_err() {
            tracing::warn!("requests still open after {} s are cut off", GRACE.as_secs());
            self.cut.cancel();
            self.open.wait().await;
        }
        if let Some((recording, layer)) = self.recording {
            layer.close("the proxy stopped before the answer");
            tokio::task::spawn_blocking(move || recording.stop())
                .await
                .context("ending the recording")?;
        }
        Ok(())
    }
}
