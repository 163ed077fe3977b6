//! The whole system through its real sockets: OTLP in, GraphQL and the live feed out, on a database that vanishes
//! with the test. On PostgreSQL too, where `TEST_DATABASE_URL` names a server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod answers;
mod captures;
mod commands;
mod databases;
mod demo;
mod durability;
mod examples;
mod health;
mod idempotent;
mod ingest;
mod install;
mod intake;
mod joins;
mod keys;
mod listeners;
mod live;
mod names;
mod overload;
mod planted;
mod pooler;
mod postgres;
mod processes;
mod proxy;
mod query;
mod refusals;
mod sdk;
mod secrets;
mod senders;
mod settings;
mod shutdown;
mod streams;
mod support;
mod tls;
mod watched;
mod wrap;
