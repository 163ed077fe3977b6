//! mcptap, the traffic log for MCP servers: the server as a library, so that tests can start one.
//!
//! [`Server::start`] opens the store, gives its writing side to the collector (OTLP in) and its reading side to the
//! GraphQL API, and serves both with the pages, health and metrics. [`proxy`] is a command of its own, with no store; it and the
//! wrapper send what they see by a [`Recording`].
//! Settings come from [`Settings`], in layers.

mod age;
mod api;
mod captured;
mod check;
mod compress;
mod config;
mod cors;
mod deadline;
mod environment;
mod file;
mod given;
mod guessing;
mod host;
mod listen;
mod log;
mod memory;
mod metrics;
mod nearest;
mod pages;
mod printable;
mod problems;
pub mod proxy;
mod recording;
mod refusals;
mod server;
mod settings;
mod signposts;
mod text_file;
mod values;

pub use age::{age, age_or_off};
pub use api::{ApiSettings, Shown};
pub use captured::Captured;
pub use check::Examined;
pub use config::Config;
pub use environment::variables_of;
pub use file::SettingsFile;
pub use given::{Given, Value};
pub use log::{end_log, start_log, tell};
pub use memory::Size;
pub use printable::printable;
pub use problems::chain;
pub use recording::Recording;
pub use server::Server;
pub use settings::Settings;
pub use text_file::{read_text, read_text_from};
pub use values::log as log_filter;
