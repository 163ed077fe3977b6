//! One port: its name, its limits and its counters.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcptap_store::Shares;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::places::Places;
use crate::cors::Pages;
use crate::refusals::Watch;

/// What a peer may take, of places and of time.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections that may be open, at least 1.
    pub(crate) places: usize,
    /// Requests that may be in work.
    pub(crate) requests: usize,
    /// Of these, how many may be of one peer, by its address; at least 1.
    pub(crate) requests_of_peer: usize,
    /// Time for the head of a request, from the first byte on, and for the first byte of a connection.
    pub(crate) head: Duration,
    /// Time that a connection without a request stays open.
    pub(crate) idle: Duration,
    /// Time without a byte of a body that is due.
    pub(crate) body_pause: Duration,
    /// Time that is waited for a body altogether, besides the time that [`Limits::body_rate`] gives.
    pub(crate) body_grace: Duration,
    /// The slowest average rate of a body, in bytes a second; 0 for any.
    pub(crate) body_rate: u64,
    /// Time in which a peer must take some of an answer that is ready.
    pub(crate) stall: Duration,
    /// Requests that one connection of HTTP/2 may have open.
    pub(crate) streams: u32,
    /// Bytes of the head of a request.
    pub(crate) head_bytes: usize,
    /// Headers of a request.
    pub(crate) headers: usize,
    /// Whether heads pass as they are: letter case is kept and nothing of ours is added.
    pub(crate) transparent: bool,
}

impl Limits {
    /// Those of the server's own ports.
    pub(crate) fn server(places: usize) -> Self {
        Self {
            places,
            requests: 1024,
            requests_of_peer: 256,
            head: Duration::from_secs(15),
            idle: Duration::from_secs(55),
            body_pause: Duration::from_secs(20),
            body_grace: Duration::from_secs(30),
            body_rate: 8 << 10,
            stall: Duration::from_secs(60),
            streams: 128,
            // Of all connections together this is memory that no budget knows.
            head_bytes: 32 << 10,
            headers: 128,
            transparent: false,
        }
    }
}

/// A port that is listened at. Clones are the same port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(super) limits: Arc<Limits>,
    pub(super) places: Arc<Places>,
    requests: Arc<Semaphore>,
    peers: Arc<Shares<IpAddr>>,
    counters: Arc<Counters>,
    /// The pages from elsewhere that see its answers.
    pub(super) pages: Option<Pages>,
    /// Who tells of what is refused before it is a request.
    pub(super) watch: Option<Watch>,
}

/// A place for a request in work; given back when it is dropped.
#[derive(Debug)]
pub(super) struct RequestPlace {
    _share: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// There is no place for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooMany {
    /// The peer has as many as one may.
    OfPeer,
    /// All are taken.
    OfAll,
}

impl TooMany {
    /// The same for the client.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::OfPeer => "too many requests of this address are in work; send again in a second",
            Self::OfAll => "too many requests are in work; send again in a second",
        }
    }
}

/// Counts of a port since the start. For `/metrics`.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The port's name in `/metrics`.
    pub(crate) name: &'static str,
    /// Connections accepted.
    pub(crate) accepted: AtomicU64,
    /// Connections open now.
    pub(crate) open: AtomicU64,
    /// Idle connections closed in favour of new ones.
    pub(crate) displaced: AtomicU64,
    /// Connections closed because the peer took too long.
    pub(crate) timed_out: AtomicU64,
    /// Connections closed because of too many frames that carry nothing.
    pub(crate) flooded: AtomicU64,
    /// Requests refused because too many were in work.
    pub(crate) refused: AtomicU64,
    /// Times that no connection could be accepted.
    pub(crate) accept_failures: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Port {
    /// A port of this name, with nobody connected.
    pub(crate) fn new(name: &'static str, limits: Limits) -> Self {
        let counters = Arc::new(Counters {
            name,
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            flooded: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            accept_failures: AtomicU64::new(0),
        });
        Self {
            places: Arc::new(Places::new(limits.places, Arc::clone(&counters))),
            requests: Arc::new(Semaphore::new(limits.requests)),
            peers: Arc::new(Shares::new(limits.requests_of_peer)),
            limits: Arc::new(limits),
            counters,
            pages: None,
            watch: None,
        }
    }

    /// The same port, of which these pages see all answers.
    pub(crate) fn shown_to(mut self, pages: Pages) -> Self {
        self.pages = Some(pages);
        self
    }

    /// The same port, of whose refusals the log tells.
    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// A place for a request of this peer, if there is one: also one of its own, so that nobody has them all.
    pub(super) fn take_request(&self, peer: IpAddr) -> Result<RequestPlace, TooMany> {
        // However it is written: a port of both families sees the older one in the newer.
        let share = self.peers.of(&peer.to_canonical()).try_acquire_owned();
        Ok(RequestPlace {
            _share: share.map_err(|_| TooMany::OfPeer)?,
            _place: Arc::clone(&self.requests)
                .try_acquire_owned()
                .map_err(|_| TooMany::OfAll)?,
        })
    }

    /// The counts.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
