//! Bodies at rest: compressed when that is worth it, with what must be known without reading them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use mcptap_model::{Batch, Payload};

/// Below this many bytes, compression costs more than it gives.
const WORTH_IT: usize = 1024;

/// zstd's fastest ordinary level.
const LEVEL: i32 = 1;

/// Bits of `details.flags`. Frozen: never renumber.
pub(crate) mod flag {
    /// The request body is compressed.
    pub(crate) const REQUEST_COMPRESSED: i16 = 1;
    /// The request body is not all that was sent.
    pub(crate) const REQUEST_TRUNCATED: i16 = 1 << 1;
    /// Something secret was cut out of the request body.
    pub(crate) const REQUEST_REDACTED: i16 = 1 << 2;
    /// The response body is compressed.
    pub(crate) const RESPONSE_COMPRESSED: i16 = 1 << 3;
    /// The response body is not all that was sent.
    pub(crate) const RESPONSE_TRUNCATED: i16 = 1 << 4;
    /// Something secret was cut out of the response body.
    pub(crate) const RESPONSE_REDACTED: i16 = 1 << 5;
    /// The stack trace is compressed.
    pub(crate) const STACK_TRACE_COMPRESSED: i16 = 1 << 6;
    /// The attributes are compressed.
    pub(crate) const ATTRIBUTES_COMPRESSED: i16 = 1 << 7;
}

/// Compressions done before the writer's turn, by what was compressed.
#[derive(Debug, Default)]
pub(crate) struct Compressed(HashMap<(usize, u64), Vec<u8>>);

/// One secret per process: nobody can make two texts that are taken for each other.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn key(text: &str) -> (usize, u64) {
    (text.len(), SECRET.hash_one(text))
}

impl Compressed {
    /// Compresses the large bodies of a batch. Called where many tasks can do so at the same time.
    pub(crate) fn of(batch: &Batch) -> Self {
        let mut done = HashMap::new();
        for observation in &batch.observations {
            for payload in [&observation.call.request, &observation.call.response]
                .into_iter()
                .flatten()
            {
                if payload.text.len() > WORTH_IT
                    && let Some(bytes) = smaller(payload.text.as_bytes())
                {
                    done.insert(key(&payload.text), bytes);
                }
            }
        }
        Self(done)
    }

    /// Adds what another has.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// A text as it is stored, and whether that is compressed.
    pub(crate) fn pack(&mut self, text: String) -> (Vec<u8>, bool) {
        if text.len() > WORTH_IT
            && !self.0.is_empty()
            && let Some(bytes) = self.0.remove(&key(&text))
        {
            return (bytes, true);
        }
        pack(text.into_bytes())
    }
}

/// Compressed, where that makes it smaller.
fn smaller(bytes: &[u8]) -> Option<Vec<u8>> {
    let compressed = zstd::bulk::compress(bytes, LEVEL).ok()?;
    (compressed.len() < bytes.len()).then_some(compressed)
}

/// Bytes as they are stored, and whether that is compressed.
pub(crate) fn pack(bytes: Vec<u8>) -> (Vec<u8>, bool) {
    if bytes.len() > WORTH_IT
        && let Some(compressed) = smaller(&bytes)
    {
        return (compressed, true);
    }
    (bytes, false)
}

/// The text that was stored; `None` when it is damaged.
pub(crate) fn unpack(bytes: Vec<u8>, compressed: bool) -> Option<String> {
    let bytes = if compressed {
        zstd::stream::decode_all(bytes.as_slice()).ok()?
    } else {
        bytes
    };
    String::from_utf8(bytes).ok()
}

/// How many bytes a body has once it is unpacked; a compressed one says so itself.
pub(crate) fn unpacked_size(bytes: &[u8], compressed: bool) -> usize {
    if !compressed {
        return bytes.len();
    }
    let said = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    said.and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(bytes.len().saturating_mul(16))
}

/// Cuts a body to at most `cap` bytes, at a character's end.
pub(crate) fn cut(payload: &mut Payload, cap: usize) {
    if payload.text.len() > cap {
        let end = (0..=cap)
            .rev()
            .find(|end| payload.text.is_char_boundary(*end))
            .unwrap_or(0);
        payload.text.truncate(end);
        payload.text.shrink_to_fit();
        payload.truncated = true;
    }
}
