//! Limits that all share: bytes of memory, cores, places among the readers, the deadline of a query.

pub(crate) mod budget;
pub(crate) mod cpu;
pub(crate) mod operation;
pub(crate) mod shares;
