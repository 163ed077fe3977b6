//! Content codings, undone within a bound: what a few bytes become is reserved as it grows.

use std::io::Read;

use axum::http::HeaderValue;
use flate2::read::MultiGzDecoder;
use mcptap_store::Reservation;

use crate::MAX_REQUEST_BYTES;
use crate::status::Refusal;

/// How many bytes are undone at a time.
const STEP: usize = 64 << 10;
/// The largest window of zstd, as a power of two: 8 MiB, which every level up to 19 keeps to (RFC 8878, 3.1.1.1.2).
const WINDOW: u32 = 23;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not at all.
    Identity,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// The coding that a header names.
    pub(crate) fn of(header: Option<&HeaderValue>) -> Result<Self, Refusal> {
        let name = header.map(|value| value.to_str().unwrap_or("?").trim());
        match name.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "identity") => Ok(Self::Identity),
            Some("gzip" | "x-gzip") => Ok(Self::Gzip),
            Some("zstd") => Ok(Self::Zstd),
            Some(_) => Err(Refusal::ContentEncoding(
                name.unwrap_or_default().chars().take(80).collect(),
            )),
        }
    }

    /// The body without its coding. What it holds meanwhile is added to `held`.
    pub(crate) fn undo(self, body: Vec<u8>, held: &mut Reservation) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read(MultiGzDecoder::new(body.as_slice()), held),
            Self::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::new(body.as_slice()).map_err(|_| unreadable())?;
                decoder.window_log_max(WINDOW).map_err(|_| unreadable())?;
                read(decoder, held)
            }
        }
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

    use mcptap_store::MemoryBudget;

    use super::*;

    fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Identity => bytes.to_vec(),
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Zstd => zstd::stream::encode_all(bytes, 1).unwrap(),
        }
    }

    #[test]
    fn what_is_undone_is_bounded_and_reserved() {
        let memory = MemoryBudget::new(64 << 20);
        for coding in [Coding::Gzip, Coding::Zstd] {
            for length in [0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP, MAX_REQUEST_BYTES] {
                let mut held = memory.try_reserve(0).unwrap();
                let bytes = vec![7; length];
                assert_eq!(coding.undo(packed(coding, &bytes), &mut held).unwrap(), bytes);
                assert!(held.bytes() >= length && held.bytes() <= 2 * length + 2 * STEP);
            }
            let mut held = memory.try_reserve(0).unwrap();
            let bomb = packed(coding, &vec![0; MAX_REQUEST_BYTES + 1]);
            assert!(matches!(
                coding.undo(bomb, &mut held),
                Err(Refusal::TooLarge { .. })
            ));
            let mut held = MemoryBudget::new(1 << 20).try_reserve(0).unwrap();
            let large = packed(coding, &vec![0; 2 << 20]);
            assert!(coding.undo(large, &mut held).is_err());
            let mut held = memory.try_reserve(0).unwrap();
            let cut = packed(coding, &[1; 1000])[..9].to_vec();
            assert!(matches!(coding.undo(cut, &mut held), Err(Refusal::Malformed(_))));
        }
    }

    #[test]
    fn a_window_larger_than_any_sender_needs_is_refused() {
        let memory = MemoryBudget::new(64 << 20);
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[1; 1 << 20]).unwrap();
        let body = encoder.finish().unwrap();
        let mut held = memory.try_reserve(0).unwrap();
        assert!(Coding::Zstd.undo(body, &mut held).is_err());
    }

    #[test]
    fn a_coding_is_known_by_its_header() {
        let of = |name: &'static str| Coding::of(Some(&HeaderValue::from_static(name)));
        assert_eq!(Coding::of(None).unwrap(), Coding::Identity);
        assert_eq!(of("GZIP").unwrap(), Coding::Gzip);
        assert_eq!(of("zstd").unwrap(), Coding::Zstd);
        assert!(of("br").unwrap_err().to_string().contains("br"));
    }
}
