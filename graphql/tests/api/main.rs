//! The API as clients meet it: over real sockets, with calls written by a real store.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod http;
#[cfg(test)]
mod live;
#[cfg(test)]
mod persisted;
#[cfg(test)]
mod query;
#[cfg(test)]
mod running;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod summary;
#[cfg(test)]
mod support;
