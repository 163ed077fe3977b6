//! Without the feature `http` there is no layer above a handler.

use std::convert::Infallible;
use std::net::IpAddr;

use http::request::Parts;
use opentelemetry::Context;

use crate::jsonrpc::Id;

/// What a layer would leave for a handler: nobody makes one.
#[derive(Clone, Debug)]
pub(crate) struct Observed(Infallible);

impl Observed {
    pub(crate) fn context_of(&self, _: &Id) -> Option<Context> {
        match self.0 {}
    }

    pub(crate) fn panicked(&self, _: &Id, _: Option<String>) {
        match self.0 {}
    }
}

/// The address of a client is known to the layer alone.
pub(crate) fn client_address(_: &Parts, _: &[Infallible]) -> Option<(IpAddr, Option<u16>)> {
    None
}
