//! Open requests that are of no session, as servers without sessions have them: their client's other requests have nothing in
//! common with them on the wire but the client and the id.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};

use super::Shared;
use crate::jsonrpc::Id;
use crate::observer::{Conversation, Key};

/// What tells one client from another where there is no session, hashed: address, credentials, program.
#[derive(Clone, Copy, Debug)]
pub(in crate::layer) struct Client(u64);

impl Client {
    pub(super) fn new(hashes: &RandomState, address: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let bytes = |name| headers.get(name).map(http::HeaderValue::as_bytes);
        Self(hashes.hash_one((address, bytes(AUTHORIZATION), bytes(USER_AGENT))))
    }
}

/// A client and the digits of an id, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::layer) struct Named(u64);

impl Named {
    pub(super) fn new(hashes: &RandomState, client: &Client, id: &Id) -> Self {
        Self(hashes.hash_one((client.0, id.digits())))
    }
}

/// An open request, by its conversation, which it does not keep.
type Noted = (Weak<Mutex<Conversation>>, Key);

/// The open requests. Whoever notes one forgets it when its exchange is over, so that there are no more than open exchanges have.
#[derive(Debug, Default)]
pub(super) struct Unbound {
    noted: HashMap<Named, Vec<Noted>>,
}

impl Unbound {
    pub(super) fn add(&mut self, named: Named, conversation: &Shared, key: Key) {
        let noted = self.noted.entry(named).or_default();
        noted.push((Arc::downgrade(conversation), key));
    }

    pub(super) fn remove(&mut self, named: Named, conversation: &Shared) {
        if let Some(noted) = self.noted.get_mut(&named) {
            noted.retain(|(known, _)| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(conversation)));
            if noted.is_empty() {
                self.noted.remove(&named);
            }
        }
    }

    /// The requests of that name, open or not.
    pub(super) fn noted(&self, named: Named) -> Vec<(Shared, Key)> {
        let noted = self.noted.get(&named).into_iter().flatten();
        noted
            .filter_map(|(conversation, key)| Some((conversation.upgrade()?, *key)))
            .collect()
    }
}
