//! `mcptap proxy` as a process of its own, between peers that see every byte.

mod disconnects;
mod failures;
mod heads;
mod joined;
mod origins;
mod peer;
mod process;
mod random;
mod records;
mod stopping;
mod streams;
mod traces;
mod upgrades;
mod versions;

use peer::{Peer, Upstream, settle};
pub(crate) use process::ProxyProcess;
