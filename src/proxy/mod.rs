//! A transparent reverse proxy in front of an MCP server of any language. What comes in goes out unaltered and as it
//! comes, in both directions; only what belongs to one connection alone is each side's own, and the origin in heads is
//! the one that each side knows. Nothing here reads MCP: the
//! SDK's layer around the forwarding service does, while bodies pass.
//!
//! The listener hands requests to a service (`wire.rs` is our part of it); `forward.rs` is that service; the files beside
//! them each hold one thing that a proxy must get right.

mod ahead;
mod body;
mod connect;
mod expect;
mod failure;
mod forward;
mod forwarded;
mod half_close;
mod hop;
mod outward;
mod settings;
mod upgrade;
mod upstream;
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use mcptap_sdk::TrafficLayer;
use tokio::net::TcpListener;

pub use forward::Forward;
pub use settings::{ProxyConfig, ProxySettings};
pub use upstream::Upstream;

use tower_layer::Layer;
use wire::HalfClosing;

use crate::listen::{Listeners, Port, default_places, raise_limit};
use crate::{Captured, Recording};

/// How long open requests may take to finish when the proxy stops.
const GRACE: Duration = Duration::from_secs(10);

/// A running proxy. Dropping it stops nothing; call [`Proxy::stop`].
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub listen: SocketAddr,
    listeners: Listeners,
    recording: Option<(Recording, TrafficLayer)>,
}

impl Proxy {
    /// Listens, forwards and records. Port 0 picks a free port; the address really bound is in `listen`. Upstream need not run
    /// yet. `captured`: what may be recorded where no variable says otherwise.
    pub async fn start(config: &ProxyConfig, captured: &Captured) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listening on {}; is another mcptap running?", config.listen))?;
        raise_limit();
        let mut listeners = Listeners::default();
        let service = Forward::new(config, listeners.stopping(), listeners.tracker())?;
        let listen = listener.local_addr()?;
        let host = config.upstream.authority().host();
        let recording = Recording::start(config.name.as_deref(), host, captured);
        let recording = recording.map(|recording| {
            let layer = recording
                .watch()
                .layer()
                .paths(["/"])
                .trusted_proxies(config.trusted_proxies.iter().copied())
                .begins_traces(config.traceparent && recording.sends_every_span());
            (recording, layer)
        });
        // A client's connection has one to upstream behind it.
        let places = config.max_connections.unwrap_or_else(|| default_places(1, 2));
        let port = Port::new("proxy", wire::limits(places));
        match &recording {
            Some((_, layer)) => listeners.serve(port, listener, HalfClosing, layer.layer(service)),
            None => listeners.serve(port, listener, HalfClosing, service),
        }
        Ok(Self {
            listen,
            listeners,
            recording,
        })
    }

    /// Where records are sent. None where nothing is recorded.
    pub fn collector(&self) -> Option<&str> {
        self.recording
            .as_ref()
            .and_then(|(recording, _)| recording.collector())
    }

    /// Stops: nothing new is accepted, streams of events and upgraded connections end, other open requests have 10
    /// seconds to finish.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.listeners.end(Instant::now() + GRACE).await;
        if let Some((recording, layer)) = self.recording {
            layer.close("the proxy stopped before the answer");
            tokio::task::spawn_blocking(move || recording.stop())
                .await
                .context("ending the recording")?;
        }
        Ok(())
    }
}
