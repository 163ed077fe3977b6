//! The words every part of mcptap speaks.
//!
//! A server's span arrives as OTLP. The collector reads it into an [`Observation`]: a [`Call`] as that one span
//! tells it, with the facts needed to recognise other spans of the same request. HTTP spans become [`HttpSpan`]s,
//! log records [`LogLine`]s. A [`Batch`] of these goes to the store, which folds them into one [`Call`] per
//! request. Readers ask for calls with a [`CallFilter`], which a [`Matcher`] compares with calls. [`semconv`] holds the
//! attribute names that the SDK writes and the collector reads. Nothing here does I/O or knows a database, and only
//! [`UnixNanos::now`] reads a clock.

mod access;
mod batch;
mod call;
mod filter;
mod id;
mod masked;
mod matcher;
mod name;
mod new_key;
mod origin;
mod outcome;
pub mod redact;
pub mod search;
pub mod semconv;
mod size;
mod sources;
pub mod surrogates;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod texts;
mod time;

pub use access::{Access, ApiKey, Scope, credential};
pub use batch::{Batch, HttpSpan, Observation, SpanRef};
pub use call::{
    Call, CallKind, Count, LogLine, Payload, PayloadPair, SessionKey, SessionSource, Transport, Vantage,
};
pub use filter::CallFilter;
pub use id::{InvalidId, NodeId, SpanId, TraceId};
pub use masked::mask_authorization;
pub use matcher::{Matcher, SessionId};
pub use name::{MAX_NAME, cut_name, kept_name};
pub use new_key::{BadKey, NewKey};
pub use origin::{Origin, SpanKind};
pub use outcome::{Evidence, Outcome};
pub use size::bytes;
pub use sources::{Part, Source, Sources};
pub use texts::{TextKind, TextVisitor};
pub use time::{InvalidTime, UnixNanos};
