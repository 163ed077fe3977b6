//! The sources of the parts of a call: spans say different things of one request, and for each part the best of them
//! counts, whichever comes first.

use serde::{Deserialize, Serialize};

/// A part of a call that several spans may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// The server's own name.
    Server,
    /// The tool.
    Tool,
    /// The prompt.
    Prompt,
    /// The URI of the resource.
    ResourceUri,
    /// The HTTP status.
    HttpStatus,
    /// The JSON-RPC id.
    RequestId,
    /// The MCP protocol version.
    ProtocolVersion,
    /// How client and server talked.
    Transport,
    /// The client's name.
    ClientName,
    /// The client's version.
    ClientVersion,
    /// The client's address.
    ClientIp,
    /// The client's country.
    Country,
    /// The `Authorization` header.
    Authorization,
    /// The `User-Agent` header.
    UserAgent,
    /// The session, and its id on the wire.
    Session,
    /// The request body.
    Request,
    /// The response body.
    Response,
    /// When it ended.
    End,
}

/// The span that a part comes from, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// The server, in a span of kind SERVER.
    Server,
    /// The server, in another span.
    ServerInside,
    /// A gateway.
    Gateway,
    /// The client.
    Client,
    /// The HTTP span directly above, or with which a client's request was sent or answered.
    Http,
    /// An HTTP span that is linked.
    LinkedHttp,
    /// The HTTP span that lasts most tightly around it.
    HttpAround,
}

impl Source {
    const ALL: [Self; 7] = [
        Self::Server,
        Self::ServerInside,
        Self::Gateway,
        Self::Client,
        Self::Http,
        Self::LinkedHttp,
        Self::HttpAround,
    ];
}

/// The source of each part, three bits a part. Of a part that is unknown it means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources(u64);

impl Sources {
    const BITS: u32 = 3;
    const MASK: u64 = 0b111;
    /// Beyond the parts.
    const SEVERAL: u64 = 1 << 62;

    /// All parts from one source.
    pub fn all(source: Source) -> Self {
        let mut sources = Self::default();
        for part in 0..=Part::End as u32 {
            sources.0 |= u64::from(source as u8) << (part * Self::BITS);
        }
        sources
    }

    /// The source of a part.
    pub fn of(self, part: Part) -> Source {
        let code = self.0 >> (part as u32 * Self::BITS) & Self::MASK;
        let source = Source::ALL
            .into_iter()
            .find(|source| u64::from(*source as u8) == code);
        source.unwrap_or(Source::HttpAround)
    }

    /// Notes the source of a part.
    pub fn set(&mut self, part: Part, source: Source) {
        let place = part as u32 * Self::BITS;
        self.0 = self.0 & !(Self::MASK << place) | u64::from(source as u8) << place;
    }

    /// Whether several instrumentation libraries of the side that tells the call best told of it.
    pub fn are_several(self) -> bool {
        self.0 & Self::SEVERAL != 0
    }

    /// Notes that several libraries did.
    pub fn note_several(&mut self) {
        self.0 |= Self::SEVERAL;
    }

    /// As a number, for the store. Frozen: never renumber.
    pub fn bits(self) -> i64 {
        self.0.cast_signed()
    }

    /// From a stored number.
    pub fn from_bits(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_source_of_its_own() {
        for source in Source::ALL {
            let mut sources = Sources::all(source);
            assert_eq!(sources.of(Part::Server), source);
            assert_eq!(sources.of(Part::End), source);
            sources.set(Part::ClientIp, Source::Gateway);
            assert_eq!(sources.of(Part::ClientIp), Source::Gateway);
            assert_eq!(sources.of(Part::ClientVersion), source);
            assert_eq!(sources.of(Part::Country), source);
            assert_eq!(Sources::from_bits(sources.bits()), sources);
        }
        let mut sources = Sources::all(Source::HttpAround);
        assert!(sources.bits() > 0 && !sources.are_several());
        sources.note_several();
        assert!(Sources::from_bits(sources.bits()).are_several() && sources.bits() > 0);
    }
}
