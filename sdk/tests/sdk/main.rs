//! The SDK around real servers: over a pipe, over HTTP, and the exporter of a process that ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod collector;
mod export;
mod http;
mod layer;
mod outage;
mod pipe;
mod support;
