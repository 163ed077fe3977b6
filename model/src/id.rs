//! Ids: bytes inside, hex or base64 at the edge.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::SessionSource;

/// A W3C trace id: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceId([u8; 16]);

/// A W3C span id: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpanId([u8; 8]);

/// What was given is no id of this kind; the text says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not 32 hex digits, or all zero.
    #[error("a trace id is 32 hex digits (16 bytes), not all zero")]
    Trace,
    /// Not 16 hex digits, or all zero.
    #[error("a span id is 16 hex digits (8 bytes), not all zero")]
    Span,
    /// Not an id that this API gave out.
    #[error("{0:?} is not an id of this API; use the `id` of an object it returned")]
    Node(String),
}

macro_rules! hex_id {
    ($name:ident, $bytes:literal, $error:expr) => {
        impl $name {
            /// From raw bytes, as OTLP/protobuf carries them. Fails when the length is wrong or all bytes are zero.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidId> {
                let bytes: [u8; $bytes] = bytes.try_into().map_err(|_| $error)?;
                if bytes == [0; $bytes] {
                    Err($error)
                } else {
                    Ok(Self(bytes))
                }
            }

            /// The bytes, most significant first.
            pub fn bytes(&self) -> [u8; $bytes] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let mut bytes = [0u8; $bytes];
                if text.len() != 2 * $bytes {
                    return Err($error);
                }
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| $error)?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| $error)?;
                }
                Self::from_bytes(&bytes)
            }
        }
    };
}

hex_id!(TraceId, 16, InvalidId::Trace);
hex_id!(SpanId, 8, InvalidId::Span);

/// What a global object id names. Made from the thing itself, so it is the same in every database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeId {
    /// A call, by the span that first told of it.
    Call(TraceId, SpanId),
    /// A server, by name.
    Server(String),
    /// A tool, by its server's name and its own.
    Tool(String, String),
    /// A session, by its source, its server's name and the key within that.
    Session(SessionSource, String, String),
}

impl fmt::Display for NodeId {
    /// The opaque form: URL-safe base64 of the kind and its natural key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(32);
        match self {
            Self::Call(trace, span) => {
                bytes.push(b'c');
                bytes.extend_from_slice(&trace.bytes());
                bytes.extend_from_slice(&span.bytes());
            }
            Self::Server(name) => {
                bytes.push(b's');
                bytes.extend_from_slice(name.as_bytes());
            }
            Self::Tool(server, name) => {
                bytes.push(b't');
                push_parts(&mut bytes, &[server, name]);
            }
            Self::Session(source, server, key) => {
                bytes.push(b'v');
                push_parts(&mut bytes, &[source.as_str(), server, key]);
            }
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Parts with their lengths before them, so that no separator can be forged inside a name.
fn push_parts(bytes: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        bytes.extend_from_slice(format!("{}:", part.len()).as_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
}

fn take_part(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    let length: usize = length.parse().ok()?;
    Some((rest.get(..length)?, rest.get(length..)?))
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::Node(text.chars().take(80).collect());
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let (kind, key) = bytes.split_first().ok_or_else(invalid)?;
        if *kind == b'c' {
            let (trace, span) = key.split_at_checked(16).ok_or_else(invalid)?;
            let trace = TraceId::from_bytes(trace).map_err(|_| invalid())?;
            return Ok(Self::Call(
                trace,
                SpanId::from_bytes(span).map_err(|_| invalid())?,
            ));
        }
        let key = std::str::from_utf8(key).map_err(|_| invalid())?;
        // Names are kept without it, and PostgreSQL takes no text with it.
        if key.contains('\0') {
            return Err(invalid());
        }
        match kind {
            b's' => Ok(Self::Server(key.to_owned())),
            b't' => {
                let (server, rest) = take_part(key).ok_or_else(invalid)?;
                let (tool, _) = take_part(rest).ok_or_else(invalid)?;
                Ok(Self::Tool(server.to_owned(), tool.to_owned()))
            }
            b'v' => {
                let (source, rest) = take_part(key).ok_or_else(invalid)?;
                let (server, rest) = take_part(rest).ok_or_else(invalid)?;
                let (session, _) = take_part(rest).ok_or_else(invalid)?;
                let source = SessionSource::from_name(source).ok_or_else(invalid)?;
                Ok(Self::Session(source, server.to_owned(), session.to_owned()))
            }
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text() {
        let trace: TraceId = "0130550be86ecef1efcf7755855eaee5".parse().unwrap();
        let span: SpanId = "f0d4d5eb8db483b5".parse().unwrap();
        assert_eq!(trace.to_string(), "0130550be86ecef1efcf7755855eaee5");
        for id in [
            NodeId::Call(trace, span),
            NodeId::Server("demo:1".into()),
            NodeId::Tool("a:b".into(), "c".into()),
            NodeId::Session(SessionSource::Wire, "demo".into(), "3:x".into()),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn bad_ids_are_refused() {
        assert_eq!("00".repeat(16).parse::<TraceId>(), Err(InvalidId::Trace));
        assert_eq!("xyz".parse::<SpanId>(), Err(InvalidId::Span));
        assert_eq!("é123456789abcde".parse::<SpanId>(), Err(InvalidId::Span));
        for text in ["", "zzz", "Yw", "!!", "dA"] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
        for id in [
            NodeId::Server("a\0b".into()),
            NodeId::Tool("a".into(), "\0".into()),
            NodeId::Session(SessionSource::Wire, "a".into(), "b\0".into()),
        ] {
            assert!(id.to_string().parse::<NodeId>().is_err(), "{id:?}");
        }
    }
}
