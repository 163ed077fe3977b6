//! OTLP in, one [`Call`](mcptap_model::Call) per MCP request out, into the store.
//!
//! Both transports ([`grpc_routes`], [`http_router`]) read a body within the memory budget (`receive`) and hand it to the
//! [`Collector`]. On threads of its own it is decompressed within bounds (`inflate`), counted before anything is built of
//! it (`census`, by `wire` and `json`), decoded without what cannot be read (`decode`, `losses`), and secrets are cut out of
//! it (`border`). Then the [`Reader`] turns spans and records of any instrumentation into the model's words; lines without
//! any time get the one at which their export came first (`undated`); the store's `Writer` folds all of it into calls and
//! returns after the commit; then the export is answered. A store's gate (`guard`), if the collector has one, decides who may send.
//! One table ([`Refusal`]) has the answer to each failure.
//!
//! The crate is also a plugin: any tonic or axum server can mount the routes and so become a collector.

mod arrival;
mod border;
mod census;
mod codec;
mod country;
mod decode;
mod first_arrivals;
mod grpc;
mod guard;
mod http;
mod inflate;
mod ingest;
mod json;
mod losses;
mod normalise;
mod receive;
mod rejections;
mod status;
mod undated;
mod value;
mod wire;

pub use arrival::Arrival;
pub use codec::Accepted;
pub use country::{BadCountryFile, Countries};
pub use grpc::grpc_routes;
pub use http::http_router;
pub use ingest::{Collector, Counters};
pub use normalise::{Heard, Normalised, Reader};
pub use rejections::{Reason, Rejections};
pub use status::{Refusal, Refused};

/// The largest request accepted, in bytes after decompression: 16 MiB.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;
