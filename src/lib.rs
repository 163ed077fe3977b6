//! mcptap, the traffic log for MCP servers: the server as a library, so that tests can start one.
//!
//! [`Server::start`] opens the store, gives its writing side to the collector (OTLP in) and its reading side to the
//! GraphQL API, and serves both with the pages, health and metrics. [`proxy`] is a command of its own, with no store.
//! Settings come from [`Settings`], in layers.

mod config;
mod metrics;
mod pages;
pub mod proxy;
mod server;

pub use config::{Config, Settings, age};
pub use server::Server;
