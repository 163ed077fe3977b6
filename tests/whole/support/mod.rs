//! What every test needs: databases, servers in this process and in one of their own, clients, spans to send.

mod client;
mod database;
mod events;
mod otlp;
mod process;
mod server;

use std::time::Duration;

pub(crate) use client::{Client, Refused, sorted};
pub(crate) use database::{Database, on_each_database};
pub(crate) use events::{Ended, Events};
pub(crate) use otlp::{
    LogBuilder, SpanBuilder, http_span, line, logs_request, one_by_one, span, traces_request,
};
pub(crate) use process::{BINARY, TestProcess};
pub(crate) use server::TestServer;

/// How long anything may take at most. Far more than it ever does, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Some(answer) => break answer,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}
