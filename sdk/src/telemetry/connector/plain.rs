//! Without the feature `tls`: `https://` is an error of the start.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

use crate::telemetry::error::Error;
use crate::telemetry::settings::Target;

pub(in crate::telemetry) type Connector = HttpConnector;

/// How a connection is secured: not at all.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Security;

impl Security {
    pub(in crate::telemetry) fn new(is_https: bool, _: &Target) -> Result<Self, Error> {
        if is_https {
            return Err(Error::Feature("an endpoint with https://", "tls"));
        }
        Ok(Self)
    }

    pub(in crate::telemetry) fn connector(&self, timeout: Duration, _: bool) -> Connector {
        super::tcp(timeout)
    }
}

/// Advice after a failed connection.
pub(in crate::telemetry) fn advice(_: &(dyn std::error::Error + 'static)) -> &'static str {
    ""
}
