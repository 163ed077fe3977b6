//! The SDK around real servers: over a pipe, over HTTP, and the exporter of a process that ends.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod beside;
mod calls;
mod cancelled;
mod coded;
mod collector;
mod contexts;
mod conventions;
mod elsewhere;
mod export;
mod hooks;
mod http;
mod joined;
mod layer;
mod metrics;
mod outage;
mod pipe;
mod pooled;
mod routine;
mod secrets;
mod spoken;
mod stacked;
mod support;
mod wire;
