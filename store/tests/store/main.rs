//! The store as the rest of mcptap meets it, every test on SQLite and on PostgreSQL.
//!
//! PostgreSQL is used where `TEST_DATABASE_URL` names a server (each test makes a database of its own there); with
//! `MCPTAP_REQUIRE_POSTGRES` set, a missing URL fails the tests instead of leaving PostgreSQL out.

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod erase;
#[cfg(test)]
mod erased_spans;
#[cfg(test)]
mod facets;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod gone;
#[cfg(test)]
mod halves;
#[cfg(test)]
mod hanging;
#[cfg(test)]
mod joins;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod large_traces;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod ranking;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod rewound;
#[cfg(test)]
mod running;
#[cfg(test)]
mod search;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod support;
#[cfg(test)]
mod times;
#[cfg(test)]
mod visits;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod watched;
