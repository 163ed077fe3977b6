//! The connection to SQLite or PostgreSQL: the address, the pools, transactions with the sequence that orders them, the schema.

pub(crate) mod address;
pub(crate) mod certificates;
pub(crate) mod connections;
pub(crate) mod database;
pub(crate) mod deadline;
pub(crate) mod insert;
pub(crate) mod lineage;
pub(crate) mod look;
pub(crate) mod pooler;
pub(crate) mod schema;
pub(crate) mod transaction;
