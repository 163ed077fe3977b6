//! Half-closed connections. A client that has said everything may close its side and still wait for the answer, and one
//! that goes away closes both; on the wire the two begin alike. So the proxy does not guess: it closes its own side
//! towards upstream at once, and what upstream makes of that (an answer, or nothing) is what the client gets.
//!
//! `client.rs` holds the end of a client's stream back from hyper, which would give the request up; `upstream.rs` closes
//! the other connection's sending side. An [`Exchange`] stands between them for as long as one request lasts.

mod client;
mod upstream;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Context;

use http::Extensions;
use hyper_util::client::legacy::connect::CaptureConnection;

pub(super) use client::{ClientLink, ClientStream, Heard, OpenRequest};
pub(super) use upstream::UpstreamStream;

use upstream::UpstreamLink;

/// One request on its way, from its head to the end of its answer.
pub(super) struct Exchange {
    /// The client's request, if its connection has no other: in HTTP/1.
    client: Option<OpenRequest>,
    upstream: CaptureConnection,
    passed_on: bool,
}

impl Exchange {
    pub(super) fn new(client: Option<OpenRequest>, upstream: CaptureConnection) -> Self {
        Self {
            client,
            upstream,
            passed_on: false,
        }
    }

    /// Passes the client's end on once it is there, and wakes the task when it comes. `answered`: upstream has begun to
    /// answer.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, answered: bool) {
        let Some(client) = self.client.as_ref().filter(|_| !self.passed_on) else {
            return;
        };
        if client.poll_ended(context).is_pending() {
            return;
        }
        let connected = self.upstream.connection_metadata();
        // Whoever polls this also makes the connection, and polls again when it is there.
        let Some(connected) = connected.as_ref() else {
            return;
        };
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        match extras.get::<UpstreamLink>() {
            Some(upstream) => {
                connected.poison();
                upstream.close(answered);
            }
            // Many requests share the connection, and this one alone cannot be half closed: it is given up.
            None => client.give_up(),
        }
        self.passed_on = true;
    }
}

impl Exchange {
    /// Whether the client's end was passed on.
    pub(super) fn is_abandoned(&self) -> bool {
        self.passed_on
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(client) = &self.client {
            client.finish();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks, and a link that is half written would still be one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
