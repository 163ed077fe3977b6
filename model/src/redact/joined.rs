//! Ids by which records are joined: one that is a secret has a stand-in, and another secret has another.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::{REDACTED, Redactor};

/// How names of such ids end. What is between the words differs: `mcp.session.id`, `mcp-session-id`.
const ENDINGS: &[[&str; 2]] = &[
    ["session", "id"],
    ["conversation", "id"],
    ["request", "id"],
    ["message", "id"],
    ["instance", "id"],
    ["host", "id"],
];

/// How a stand-in begins, up to its hash.
const MARK: &str = "[redacted]#";
/// How many hexadecimal digits of a hash follow.
const DIGITS: usize = 16;

/// Whether records are joined by the value under this name.
pub(super) fn is_joined(name: &str) -> bool {
    ENDINGS.iter().any(|[first, last]| {
        name.strip_suffix(last)
            .and_then(|rest| rest.strip_suffix(['.', '_', '-']))
            .is_some_and(|rest| rest.ends_with(first))
    })
}

/// The stand-in for an id that holds a secret, or is one because of its name; `None` where it may stay.
///
/// The same id has the same stand-in. Of a token that a service drew that is a part of its SHA-256, which nobody
/// can guess and which all processes make alike. What people choose could be guessed, so its hash has a key that
/// nobody knows and that lasts as long as the process.
pub(super) fn stand_in(redactor: &Redactor, id: &str, named: bool) -> Option<String> {
    let is_one = id
        .strip_prefix(MARK)
        .is_some_and(|hash| hash.len() == DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_one || id == REDACTED {
        return None;
    }
    let drawn = redactor.only_drawn(id);
    if drawn.is_none() && !named {
        return None;
    }
    if drawn == Some(true) && !named {
        let mut text = MARK.to_owned();
        for byte in Sha256::digest(id.as_bytes()).iter().take(DIGITS / 2) {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        return Some(text);
    }
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    Some(format!("{MARK}{:016x}", KEY.hash_one(id)))
}
