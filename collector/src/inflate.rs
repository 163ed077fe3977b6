//! Content codings, undone within a bound: what a few bytes become is reserved as it grows.

use std::io::{self, Read};

use axum::http::{HeaderMap, HeaderName};
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use mcptap_store::Reservation;

use crate::MAX_REQUEST_BYTES;
use crate::status::Refusal;

/// How many bytes are undone at a time.
const STEP: usize = 64 << 10;
/// The largest window of zstd, as a power of two: 8 MiB, which every level up to 19 keeps to (RFC 8878, 3.1.1.1.2).
const WINDOW: u32 = 23;

/// The most codings that a body may have, one in the other.
const MOST: usize = 4;
/// How many members of a `gzip` body may follow the first. An empty one has twenty bytes, which another coding around them
/// makes thousands of times smaller, and each costs as much as setting up a decoder does.
const MEMBERS: usize = 1024;

/// A content coding. The names of all stand in [`CODINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// `gzip`, of any number of members (RFC 1952, 2.2).
    Gzip,
    /// `deflate`: zlib's format, as it is defined, or the bare one that some send by that name (RFC 9110, 8.4.1.2).
    Deflate,
    /// `zstd`, of any number of frames.
    Zstd,
}

/// The codings that are undone, as headers name them.
pub(crate) const CODINGS: &str = "gzip, deflate, zstd";

/// How a body is packed: its codings, in the order in which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codings(Vec<Coding>);

impl Codings {
    /// The codings that the headers of a name list, in any case and in any number of lines.
    pub(crate) fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Self, Refusal> {
        let mut codings = Vec::new();
        for line in headers.get_all(name) {
            let unknown = || {
                let shown = String::from_utf8_lossy(line.as_bytes());
                Refusal::ContentEncoding(shown.chars().take(80).collect())
            };
            for given in line.to_str().map_err(|_| unknown())?.split(',') {
                match given.trim().to_ascii_lowercase().as_str() {
                    // Some name what is none.
                    "" | "identity" | "none" => {}
                    "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                    "deflate" => codings.push(Coding::Deflate),
                    "zstd" => codings.push(Coding::Zstd),
                    _ => return Err(unknown()),
                }
            }
            if codings.len() > MOST {
                return Err(unknown());
            }
        }
        Ok(Self(codings))
    }

    /// Whether the body is as it is.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body without its codings, the last of which is undone first. `held` becomes what it takes, and what it takes
    /// meanwhile is reserved, too.
    pub(crate) fn undo(&self, mut body: Vec<u8>, held: &mut Reservation) -> Result<Vec<u8>, Refusal> {
        for coding in self.0.iter().rev() {
            body = coding.undo(&body, held)?;
            held.resize(body.capacity())?;
        }
        Ok(body)
    }
}

impl Coding {
    fn undo(self, body: &[u8], held: &mut Reservation) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Gzip => read(Members::new(body), held),
            Self::Deflate => read(Inflate::new(body), held),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(body).map_err(|_| unreadable())?;
                decoder.window_log_max(WINDOW).map_err(|_| unreadable())?;
                read(decoder, held)
            }
        }
    }
}

/// Undoes `gzip`, member after member. Zeros behind the last are padding, as gzip's own program takes them; no member
/// begins so.
struct Members<'a> {
    member: Option<GzDecoder<&'a [u8]>>,
    /// How many may come behind it.
    left: usize,
}

impl<'a> Members<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self {
            member: Some(GzDecoder::new(body)),
            left: MEMBERS,
        }
    }
}

impl Read for Members<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let rest = self.member.take().map(GzDecoder::into_inner).unwrap_or_default();
            if rest.iter().any(|byte| *byte != 0) {
                self.left = self
                    .left
                    .checked_sub(1)
                    .ok_or_else(|| io::Error::other("too many members"))?;
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Undoes `deflate`. Unlike the decoders of its library it fails where the stream has no end, instead of taking what there
/// is for all.
struct Inflate<'a> {
    rest: &'a [u8],
    stream: Decompress,
    ended: bool,
}

impl<'a> Inflate<'a> {
    fn new(body: &'a [u8]) -> Self {
        // The two bytes of zlib's header (RFC 1950, 2.2). No encoder begins a bare stream so.
        let is_zlib = body.first_chunk().is_some_and(|[method, flags]| {
            method & 0x8f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
        });
        Self {
            rest: body,
            stream: Decompress::new(is_zlib),
            ended: false,
        }
    }
}

impl Read for Inflate<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        let (consumed, produced) = (self.stream.total_in(), self.stream.total_out());
        let status = self
            .stream
            .decompress(self.rest, into, FlushDecompress::None)
            .map_err(io::Error::other)?;
        let moved = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let consumed = moved(self.stream.total_in(), consumed);
        let produced = moved(self.stream.total_out(), produced);
        self.rest = self.rest.get(consumed..).unwrap_or_default();
        self.ended = status == Status::StreamEnd;
        if self.ended && !self.rest.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if !self.ended && produced == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(produced)
    }
}

fn read(mut from: impl Read, held: &mut Reservation) -> Result<Vec<u8>, Refusal> {
    let mut body: Vec<u8> = Vec::new();
    loop {
        if body.capacity() - body.len() < STEP {
            let capacity = (body.capacity() * 2).clamp(STEP, MAX_REQUEST_BYTES + STEP);
            held.grow(capacity - body.capacity())?;
            body.reserve_exact(capacity - body.len());
        }
        let read = from
            .by_ref()
            .take(STEP as u64)
            .read_to_end(&mut body)
            .map_err(|_| unreadable())?;
        if body.len() > MAX_REQUEST_BYTES {
            return Err(Refusal::TooLarge {
                limit: MAX_REQUEST_BYTES,
            });
        }
        if read < STEP {
            return Ok(body);
        }
    }
}

fn unreadable() -> Refusal {
    Refusal::Malformed("the body could not be read or decompressed".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::header::CONTENT_ENCODING;
    use mcptap_store::MemoryBudget;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Deflate, Coding::Zstd];

    fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Zstd => zstd::stream::encode_all(bytes, 1).unwrap(),
        }
    }

    fn undo(coding: Coding, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let mut held = MemoryBudget::new(64 << 20).try_reserve(0).unwrap();
        Codings(vec![coding]).undo(body, &mut held)
    }

    #[test]
    fn what_is_undone_is_bounded_and_reserved() {
        let memory = MemoryBudget::new(64 << 20);
        for coding in ALL {
            let codings = Codings(vec![coding]);
            for length in [0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP, MAX_REQUEST_BYTES] {
                let mut held = memory.try_reserve(0).unwrap();
                let bytes = vec![7; length];
                assert_eq!(codings.undo(packed(coding, &bytes), &mut held).unwrap(), bytes);
                assert!(held.bytes() >= length && held.bytes() <= 2 * length + 2 * STEP);
            }
            let mut held = memory.try_reserve(0).unwrap();
            let bomb = packed(coding, &vec![0; MAX_REQUEST_BYTES + 1]);
            assert!(matches!(
                codings.undo(bomb, &mut held),
                Err(Refusal::TooLarge { .. })
            ));
            let mut held = MemoryBudget::new(1 << 20).try_reserve(0).unwrap();
            let large = packed(coding, &vec![0; 2 << 20]);
            assert!(codings.undo(large, &mut held).is_err());
        }
    }

    #[test]
    fn a_stream_that_is_cut_is_no_body() {
        for coding in ALL {
            let whole = packed(coding, &[1; 1000]);
            for length in 1..whole.len() {
                let undone = undo(coding, whole[..length].to_vec());
                assert!(
                    matches!(undone, Err(Refusal::Malformed(_))),
                    "{coding:?} {length}: {undone:?}"
                );
            }
        }
        let mut longer = packed(Coding::Deflate, &[1; 1000]);
        longer.push(0);
        assert!(undo(Coding::Deflate, longer).is_err());
    }

    #[test]
    fn every_form_of_a_coding_is_read() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let (first, second) = bytes.split_at(300_001);
        for coding in [Coding::Gzip, Coding::Zstd] {
            let both = [packed(coding, first), packed(coding, second)].concat();
            assert_eq!(undo(coding, both).unwrap(), bytes, "{coding:?}");
        }
        let mut padded = packed(Coding::Gzip, b"body");
        padded.extend([0; 513]);
        assert_eq!(undo(Coding::Gzip, padded.clone()).unwrap(), b"body");
        padded.push(1);
        assert!(undo(Coding::Gzip, padded).is_err());
        // Empty members cost work and no bytes.
        let empty = packed(Coding::Gzip, b"");
        assert!(undo(Coding::Gzip, empty.repeat(1 + MEMBERS)).unwrap().is_empty());
        assert!(undo(Coding::Gzip, empty.repeat(2 + MEMBERS)).is_err());
        for level in 0..10 {
            let level = flate2::Compression::new(level);
            let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), level);
            bare.write_all(&bytes).unwrap();
            assert_eq!(undo(Coding::Deflate, bare.finish().unwrap()).unwrap(), bytes);
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
            zlib.write_all(&bytes).unwrap();
            assert_eq!(undo(Coding::Deflate, zlib.finish().unwrap()).unwrap(), bytes);
        }
    }

    #[test]
    fn stacked_codings_are_undone_from_the_last_on() {
        let body = packed(
            Coding::Zstd,
            &packed(Coding::Deflate, &packed(Coding::Gzip, b"body")),
        );
        let mut held = MemoryBudget::new(64 << 20).try_reserve(0).unwrap();
        let codings = of(&["gzip, deflate", "identity,zstd"]).unwrap();
        let undone = codings.undo(body, &mut held).unwrap();
        assert_eq!(
            (undone.as_slice(), held.bytes()),
            (&b"body"[..], undone.capacity())
        );
    }

    #[test]
    fn a_window_larger_than_any_sender_needs_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[1; 1 << 20]).unwrap();
        assert!(undo(Coding::Zstd, encoder.finish().unwrap()).is_err());
    }

    fn of(lines: &[&str]) -> Result<Codings, Refusal> {
        let headers = lines.iter().map(|line| (CONTENT_ENCODING, line.parse().unwrap()));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, line)| {
            map.append(name, line);
        });
        Codings::of(&map, &CONTENT_ENCODING)
    }

    #[test]
    fn codings_are_known_by_their_header() {
        let codings = |lines: &[&str]| of(lines).unwrap().0;
        for none in [&[][..], &[""], &["none"], &["Identity"], &["identity, ", ""]] {
            assert_eq!(codings(none), [], "{none:?}");
        }
        assert_eq!(codings(&["GZIP"]), [Coding::Gzip]);
        assert_eq!(codings(&["X-GZip"]), [Coding::Gzip]);
        assert_eq!(codings(&[" zstd ,deflate"]), [Coding::Zstd, Coding::Deflate]);
        assert_eq!(codings(&["gzip", "Deflate"]), [Coding::Gzip, Coding::Deflate]);
        for wrong in [
            &["br"][..],
            &["gzip, br"],
            &["gzip;q=1"],
            &["gzip", "gzip,gzip,gzip,gzip"],
        ] {
            let refusal = of(wrong).unwrap_err().to_string();
            assert!(refusal.contains("zstd or identity"), "{refusal}");
        }
        assert!(of(&["br"]).unwrap_err().to_string().contains("br"));
    }
}
