//! The proxy's side of its listener: streams whose ends can be held back, and how much clients may take.

use std::time::Duration;

use http::{Request, Version};

use super::forward::{MAX_HEAD, MAX_HEADERS};
use super::half_close::{ClientLink, ClientStream};
use crate::listen::{Limits, PortStream, Received, Wire};

/// Streams of clients that may close their side before they are answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfClosing;

impl Wire for HalfClosing {
    type Stream = ClientStream;
    type Link = ClientLink;

    fn wrap(&self, stream: PortStream) -> (ClientStream, ClientLink) {
        ClientStream::new(stream)
    }

    fn begin(link: &ClientLink, request: &mut Request<Received>) {
        // Only in HTTP/1 does the end of the stream tell of the request that is on it.
        if request.version() <= Version::HTTP_11 {
            let open = link.begin(request.body());
            request.extensions_mut().insert(open);
        }
    }
}

/// Upstream has limits of its own, so these only keep the proxy alive. Streams of events may be silent for ever.
pub(super) fn limits(places: usize) -> Limits {
    Limits {
        requests: places.saturating_mul(8),
        // All clients may stand behind one address, such as that of a gateway.
        requests_of_peer: places.saturating_mul(8),
        idle: Duration::from_secs(75),
        body_pause: Duration::from_secs(60),
        body_grace: Duration::ZERO,
        body_rate: 0,
        stall: Duration::from_secs(300),
        streams: 1024,
        head_bytes: MAX_HEAD,
        headers: MAX_HEADERS,
        transparent: true,
        ..Limits::server(places)
    }
}
