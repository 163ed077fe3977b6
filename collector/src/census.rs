//! How much an export would become, counted on the wire before anything is built of it.
//!
//! An empty span is two bytes on the wire and hundreds in memory, so a bound on bytes received bounds nothing. The two
//! readers ([`wire`](crate::wire) and [`json`](crate::json)) walk over what came, borrowed and without allocating, and
//! note here what they pass.

use crate::MAX_REQUEST_BYTES;
use crate::status::Refusal;

/// About how many bytes may be built of one export, besides its texts: 64 MiB. That is 80,000 spans, or 400,000
/// attributes.
const MOST_BUILT: usize = 64 << 20;

/// How often a text stands in memory while its export is read: decoded, copied, and redacted.
const COPIES: usize = 2;

/// A part of an export that becomes something of its own in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A resource with its scopes.
    Group,
    /// A scope with its spans or records.
    Scope,
    /// A span.
    Span,
    /// A log record.
    Record,
    /// An event of a span, which may become a log line.
    Event,
    /// A link.
    Link,
    /// An attribute, or an entry of a map.
    Attribute,
    /// A value in a list.
    Value,
    /// An entity, or one of its keys.
    Entity,
}

impl Part {
    /// About how many bytes it takes, decoded and read, without its texts and parts.
    const fn cost(self) -> usize {
        match self {
            Self::Group => 256,
            Self::Scope => 512,
            Self::Span => 800,
            Self::Record | Self::Event => 700,
            Self::Link => 160,
            Self::Attribute => 160,
            Self::Value => 104,
            Self::Entity => 120,
        }
    }
}

/// The counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    built: usize,
}

impl Census {
    /// Counts one part.
    pub(crate) fn note(&mut self, part: Part) {
        self.add(part.cost());
    }

    /// Counts so many bytes.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.built = self.built.saturating_add(bytes);
    }

    /// Every scope gets a copy of its resource: these bytes come once more for each scope but the first.
    pub(crate) fn copies(&mut self, resource: usize, scopes: usize) {
        self.add(resource.saturating_mul(scopes.saturating_sub(1)));
    }

    /// About how many bytes the parts take.
    pub(crate) fn built(self) -> usize {
        self.built
    }

    /// How many bytes reading takes besides the export itself, which has `wire` bytes; a refusal when that is too much
    /// for one export, however small it came.
    pub(crate) fn bytes(self, wire: usize) -> Result<usize, Refusal> {
        if self.built > MOST_BUILT {
            return Err(Refusal::TooMany(format!(
                "the request has so many spans, attributes or values that it would take more than {MOST_BUILT} bytes \
                 besides its texts; send smaller batches"
            )));
        }
        Ok(self.built + wire.min(MAX_REQUEST_BYTES) * COPIES)
    }
}
