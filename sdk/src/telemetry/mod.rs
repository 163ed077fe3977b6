//! The way out: what is recorded leaves the process here, and nothing here may hold up the server.
//!
//! A finished span or log record goes into a bounded [`queue`] on the server's own thread, which never waits
//! ([`processor`]). The [`worker`] thread takes what has queued, cuts secrets out ([`redaction`]), has it encoded by
//! the official exporters ([`encoder`]) in requests of bounded size ([`parcel`]), and puts these into the
//! [`outbox`]. The [`courier`] thread delivers them in order, the oldest first, by HTTP or gRPC ([`transport`]), and
//! tries again for as long as the answer says that it is worth it ([`verdict`]), in smaller ones where they are too
//! large ([`pieces`], [`tolerance`]). While it is, what waits is on disk
//! ([`spool`], made of [`shelf`] directories), and a later process delivers what a dead one left. The [`ledger`]
//! counts what became of every record.

#[cfg(feature = "logs")]
mod bridge;
mod builder;
mod connector;
mod courier;
mod delivery;
mod encoder;
mod error;
mod guard;
mod ids;
#[cfg(feature = "logs")]
mod layer;
mod ledger;
mod line;
mod naming;
mod notice;
mod outbox;
mod parcel;
mod pieces;
mod processor;
mod propagation;
mod queue;
mod redaction;
mod resource;
mod route;
mod sampling;
mod settings;
mod shelf;
mod signal;
mod spool;
mod tolerance;
mod transport;
mod verdict;
mod worker;

pub(crate) use builder::has_global_provider;
pub use builder::{Telemetry, connect, init};
#[cfg(feature = "tls")]
pub use connector::is_no_tls;
pub use error::Error;
pub use guard::Guard;
pub(crate) use ids::with_ids;
#[cfg(feature = "logs")]
pub use layer::{LogLayer, log_layer, log_layer_with};
pub use ledger::Stats;
pub(crate) use naming::Naming;
pub(crate) use notice::warn;
pub(crate) use redaction::Redaction;
pub use settings::{Compression, Protocol, check_env};
