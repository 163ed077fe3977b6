//! Queries: the filter's condition, pages, facets, statistics, sessions, servers and tools, each in one snapshot.

pub(crate) mod calls;
pub(crate) mod details;
pub(crate) mod facets;
pub(crate) mod filter;
pub(crate) mod logs;
pub(crate) mod page;
pub(crate) mod probe;
pub(crate) mod ranking;
pub(crate) mod readers;
pub(crate) mod scan;
pub(crate) mod servers;
pub(crate) mod sessions;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod tally;
pub(crate) mod tools;
pub(crate) mod visits;
#[cfg(test)]
pub(crate) mod work;
