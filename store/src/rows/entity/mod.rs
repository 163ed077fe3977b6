//! The tables as sea-orm entities: what reads are written in. Writes go through [`crate::insert`].

pub(crate) mod alias;
pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod detail;
pub(crate) mod log_line;
pub(crate) mod name;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod session;
pub(crate) mod unindexed;
pub(crate) mod view;
pub(crate) mod waiting;
