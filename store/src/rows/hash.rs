//! Hashes: by which the same thing is recognised when it comes again, so that no wide text stands in an index.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// The identity of something as bytes: parts with their lengths before them, so that no two identities are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Identity(Vec<u8>);

impl Identity {
    /// Starts anew; `domain` keeps different sorts of things apart.
    pub(crate) fn start(&mut self, domain: u8) -> &mut Self {
        self.0.clear();
        self.0.push(domain);
        self
    }

    /// A text that may be absent, which is not the same as empty.
    pub(crate) fn text(&mut self, text: Option<&str>) -> &mut Self {
        self.bytes(text.map(str::as_bytes))
    }

    /// Bytes that may be absent.
    pub(crate) fn bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes.unwrap_or_default());
        self
    }

    /// A number.
    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// The identity itself.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its hash in 16 bytes: what collides by design of an attacker would take 2^64 attempts.
    pub(crate) fn hash16(&self) -> Vec<u8> {
        hash16(&self.0)
    }

    /// Its hash as a number, where a collision does no harm or texts are compared as well.
    pub(crate) fn hash8(&self) -> i64 {
        let digest = Sha256::digest(&self.0);
        let (first, _) = digest.split_at(8);
        first
            .iter()
            .fold(0i64, |number, byte| number << 8 | i64::from(*byte))
    }
}

/// The hash of an identity in 16 bytes.
pub(crate) fn hash16(identity: &[u8]) -> Vec<u8> {
    key16(identity).to_vec()
}

/// The same as a key of tables in memory.
pub(crate) fn key16(identity: &[u8]) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(Sha256::digest(identity).split_at(16).0);
    key
}

/// The hash under which a text that is compared as well can be looked up.
pub(crate) fn text_hash(text: &str) -> i64 {
    Identity::default().start(b't').text(Some(text)).hash8()
}

/// A hash that only this process can make: nobody can find two things that are taken for each other.
pub(crate) fn secret_hash(thing: &(impl Hash + ?Sized)) -> u64 {
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SECRET.hash_one(thing)
}
