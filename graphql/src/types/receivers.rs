//! `Receivers`: where OTLP is received.

use std::net::SocketAddr;

use async_graphql::Object;

use crate::scalars::int;

/// The addresses at which the process that serves the API receives OTLP, as they are really bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receivers {
    /// Of OTLP/HTTP.
    pub otlp_http: SocketAddr,
    /// Of OTLP/gRPC.
    pub otlp_grpc: SocketAddr,
}

/// Where the server that answers receives OTLP, as it is really bound. Senders on other machines, or behind a mapping of ports,
/// may have to use another address that leads there.
#[Object(name = "Receivers")]
impl Receivers {
    /// Where OTLP over HTTP is received, at `/v1/traces` and `/v1/logs`.
    async fn otlp_http(&self) -> ReceiverAddress {
        ReceiverAddress(self.otlp_http)
    }

    /// Where OTLP over gRPC is received.
    async fn otlp_grpc(&self) -> ReceiverAddress {
        ReceiverAddress(self.otlp_grpc)
    }
}

/// An address with a port.
pub(crate) struct ReceiverAddress(SocketAddr);

/// An address that is listened at.
#[Object]
impl ReceiverAddress {
    /// The IP address, such as `127.0.0.1`. `0.0.0.0` and `::` are all addresses of the machine.
    async fn host(&self) -> String {
        self.0.ip().to_string()
    }

    /// The TCP port, such as 4318.
    async fn port(&self) -> i32 {
        int(u64::from(self.0.port()))
    }
}
