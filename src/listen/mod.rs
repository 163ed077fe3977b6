//! The one listener of every port: HTTP/1.1 and HTTP/2 side by side, with bounds on connections, on requests in flight
//! and on the time that a peer may take, and an end that really ends.
//!
//! A [`Listeners`] is a group of ports that stop together. Each connection takes a [`Place`](places::Place) of its port.
//! Where all are taken, the connection that has been silent longest is closed in favour of a new one, so nobody is locked
//! out by connections that say nothing. An [`Activity`](activity::Activity) knows what a connection does at the moment;
//! the places and the time limits decide by it.

mod activity;
mod body;
mod client;
mod connection;
mod descriptors;
mod frames;
mod names;
mod places;
mod port;
mod stream;

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use body::{BoxError, Received};
pub(crate) use connection::{Plain, Service, Wire};
pub(crate) use descriptors::{RESERVED as DESCRIPTORS, default_places, open_files, raise_limit};
pub(crate) use port::{Counters, Limits, Port};
pub(crate) use stream::PortStream;

/// How long tasks may take to notice that they were cut off.
const CUT: Duration = Duration::from_secs(1);

/// Ports that stop together.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    stop: CancellationToken,
    cut: CancellationToken,
    open: TaskTracker,
    accepting: JoinSet<()>,
}

impl Listeners {
    /// Accepts connections at a port until the group ends.
    pub(crate) fn serve<W, S>(&mut self, port: Port, listener: TcpListener, wire: W, service: S)
    where
        W: Wire,
        S: Service,
    {
        let group = connection::Group {
            stop: self.stop.clone(),
            cut: self.cut.clone(),
            open: self.open.clone(),
        };
        self.accepting
            .spawn(connection::accept(group, port, listener, wire, service));
    }

    /// Cancelled when the group begins to end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Whatever runs here is waited for at the end, as connections are.
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.open.clone()
    }

    /// Ends when a listener does: by itself none ever does, so this is a fault.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.accepting.join_next().await {
            Some(Err(error)) => anyhow::Error::new(error).context("a listener broke"),
            Some(Ok(())) | None => anyhow::anyhow!("a listener ended by itself"),
        }
    }

    /// Stops listening. Connections without a whole request are closed at once, or after a short while where the rest
    /// of a request may be on its way. Whole requests have until this time to be answered; then everything is cut off.
    pub(crate) async fn end(mut self, until: Instant) {
        self.stop.cancel();
        while let Some(ended) = self.accepting.join_next().await {
            if let Err(error) = ended {
                tracing::warn!(%error, "a listener broke");
            }
        }
        self.open.close();
        if tokio::time::timeout_at(until.into(), self.open.wait())
            .await
            .is_ok()
        {
            return;
        }
        tracing::warn!("requests that are still open are cut off");
        self.cut.cancel();
        if tokio::time::timeout(CUT, self.open.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.open.len(),
                "some requests did not end when they were cut off"
            );
        }
    }
}

#[cfg(test)]
mod tests;
