//! mcptap, the traffic log for MCP servers: the server as a library, so that tests can start one.
//!
//! [`Server::start`] opens the store, gives its writing side to the collector (OTLP in) and its reading side to the
//! GraphQL API, and serves both with the pages, health and metrics. [`proxy`] is a command of its own, with no store; it and the
//! wrapper send what they see by a [`Recording`].
//! Settings come from [`Settings`], in layers.

mod api;
mod check;
mod config;
mod deadline;
mod guessing;
mod host;
mod listen;
mod memory;
mod metrics;
mod pages;
mod problems;
pub mod proxy;
mod recording;
mod server;
mod signposts;

pub use api::{ApiSettings, Shown};
pub use check::{check, log as log_filter, unknown_variables, unset_secrets, variables_of};
pub use config::{Config, Settings, age};
pub use recording::Recording;
pub use server::Server;
