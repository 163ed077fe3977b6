//! Bodies at rest: compressed when that is worth it, with what must be known without reading them.

use std::sync::Arc;

use mcptap_model::{Call, Payload};
use serde::{Deserialize, Serialize};

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

/// A body as it is stored. Clones share its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// The text, or what it is compressed to.
    #[serde(with = "base64_text")]
    pub(crate) data: Arc<[u8]>,
    /// Whether it is compressed.
    pub(crate) compressed: bool,
    /// Size before any cap.
    pub(crate) bytes: u64,
    /// Whether it is less than what was sent.
    pub(crate) truncated: bool,
    /// Whether something secret was cut out of it.
    pub(crate) redacted: bool,
}

/// The two bodies of a call, as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bodies {
    /// What the client sent.
    pub(crate) request: Option<Body>,
    /// What the server answered.
    pub(crate) response: Option<Body>,
}

impl Body {
    /// A body, compressed where that is worth it.
    fn new(payload: Payload) -> Self {
        let (data, compressed) = pack(payload.text.into_bytes());
        Self {
            data: data.into(),
            compressed,
            bytes: payload.bytes,
            truncated: payload.truncated,
            redacted: payload.redacted,
        }
    }
}

impl Bodies {
    /// Takes the bodies out of a call.
    pub(crate) fn take(call: &mut Call) -> Self {
        Self {
            request: call.request.take().map(Body::new),
            response: call.response.take().map(Body::new),
        }
    }
}

/// Bytes as text, for JSON.
mod base64_text {
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(de::Error::custom)?;
        Ok(bytes.into())
    }
}

/// Compressed, where that makes it smaller.
fn smaller(bytes: &[u8]) -> Option<Vec<u8>> {
    #[cfg(test)]
    effort::add((1, 0));
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
        #[cfg(test)]
        effort::add((0, 1));
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

/// What this thread compressed and decompressed.
#[cfg(test)]
pub(crate) mod effort {
    use std::cell::Cell;

    thread_local!(static DONE: Cell<(usize, usize)> = const { Cell::new((0, 0)) });

    pub(crate) fn add(more: (usize, usize)) {
        DONE.set((DONE.get().0 + more.0, DONE.get().1 + more.1));
    }

    /// How often since this was asked last: compressed, and decompressed.
    pub(crate) fn take() -> (usize, usize) {
        DONE.take()
    }
}
