//! The API as clients meet it: over real sockets, with calls written by a real store.

mod http;
mod live;
mod query;
mod socket;
mod support;
