//! Upgrades (RFC 9110, 7.8): WebSocket and whatever else both sides agree on with 101. Then bytes go both ways.

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::hop;

/// What `Upgrade` asks for, if anything. HTTP/2 by upgrade is not passed on: it would be spoken with us, not with
/// upstream, and whoever wants HTTP/2 may just speak it.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let is_h2c = protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    (hop::has_token(headers, &CONNECTION, "upgrade") && !is_h2c).then(|| protocol.clone())
}

/// Says on the next connection what was said on this one.
pub(super) fn pass_on(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Copies bytes until both directions have ended, one breaks, or the proxy stops.
pub(super) async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, stop: CancellationToken) {
    let copied = async {
        let (client, upstream) = tokio::try_join!(client, upstream)?;
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = copied => if let Err(error) = ended {
            tracing::debug!(%error, "an upgraded connection broke");
        },
        () = stop.cancelled() => {}
    }
}
