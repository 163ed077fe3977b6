//! Connections to a collector, with TLS or without.

#[cfg(not(feature = "tls"))]
mod plain;
#[cfg(feature = "tls")]
mod secure;

#[cfg(not(feature = "tls"))]
pub(super) use plain::{Connector, Security, advice};
#[cfg(feature = "tls")]
pub use secure::is_no_tls;
#[cfg(feature = "tls")]
pub(super) use secure::{Connector, Security, advice};

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

/// The connector of TCP below both.
fn tcp(timeout: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeout));
    connector
}
