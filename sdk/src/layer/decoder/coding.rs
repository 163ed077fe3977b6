//! One content coding, undone by the streaming decoders of its library.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::Unreadable;
#[cfg(any(feature = "brotli", feature = "zstd"))]
use super::window;

/// How many bytes become one before that is too many: what compresses better is made to.
const RATIO: usize = 200;
/// How many bytes any message may become, and one slice of it at most: they are held together.
const FREE: usize = 16 << 20;
/// How many bytes no message becomes.
const LARGEST: usize = 256 << 20;
/// The memory of a decoder besides its window, in bytes.
const STATE: usize = 128 << 10;

/// A coding that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// RFC 9110 means zlib; some send it raw.
    Deflate,
    #[cfg(feature = "brotli")]
    Brotli,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// The coding of that name, in any case.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            #[cfg(feature = "brotli")]
            "br" => Some(Self::Brotli),
            #[cfg(feature = "zstd")]
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            #[cfg(feature = "brotli")]
            Self::Brotli => "br",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    /// How many bytes its decoder takes for data that begins like this.
    #[cfg_attr(
        not(any(feature = "brotli", feature = "zstd")),
        expect(unused_variables, reason = "the window of deflate is always the same")
    )]
    pub(super) fn memory(self, first: &[u8]) -> usize {
        STATE
            + match self {
                Self::Gzip | Self::Deflate => 32 << 10,
                #[cfg(feature = "brotli")]
                Self::Brotli => window::brotli(first),
                #[cfg(feature = "zstd")]
                Self::Zstd => window::zstd(first),
            }
    }
}

/// Where a decoder writes to.
#[derive(Debug, Default)]
struct Sink {
    held: Vec<u8>,
    /// How much more may come.
    room: usize,
    is_full: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.room -= bytes.len();
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The decoders, each of its library.
enum Engine {
    Gzip(Box<MultiGzDecoder<Sink>>),
    Zlib(ZlibDecoder<Sink>),
    Raw(DeflateDecoder<Sink>),
    #[cfg(feature = "brotli")]
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
}

impl Engine {
    fn new(coding: Coding, first: &[u8]) -> io::Result<Self> {
        let sink = Sink::default();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Coding::Deflate if is_zlib(first) => Self::Zlib(ZlibDecoder::new(sink)),
            Coding::Deflate => Self::Raw(DeflateDecoder::new(sink)),
            #[cfg(feature = "brotli")]
            Coding::Brotli => {
                Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(sink, 4096)))
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink)?;
                decoder.window_log_max(window::LARGEST_ZSTD_WINDOW)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Raw(decoder) => decoder,
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder,
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder,
        }
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Raw(decoder) => decoder.get_mut(),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.get_mut(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.close(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.do_finish(),
        }
    }
}

/// Whether deflated data begins as zlib's does (RFC 1950, 2.2).
fn is_zlib(first: &[u8]) -> bool {
    match first {
        [method, flags, ..] => {
            method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31)
        }
        // Its first byte for the usual window; the second has not come yet.
        [method] => *method == 0x78,
        [] => true,
    }
}

/// The bytes that decoding gave.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    /// Why not all of them did.
    pub(super) fault: Option<Unreadable>,
}

impl Decoded {
    fn all(bytes: Vec<u8>) -> Self {
        Self { bytes, fault: None }
    }
}

/// A coding being undone.
pub(super) struct Stage {
    coding: Coding,
    engine: Engine,
    /// What came and went since the last message ended, in bytes.
    taken: usize,
    given: usize,
    /// Whether the data has ended, so that what follows is no part of it.
    is_over: bool,
}

impl Stage {
    pub(super) fn new(coding: Coding, first: &[u8]) -> Result<Self, Unreadable> {
        let engine = Engine::new(coding, first).map_err(|_| Unreadable::Damaged(coding.name()))?;
        Ok(Self {
            coding,
            engine,
            taken: 0,
            given: 0,
            is_over: false,
        })
    }

    /// Decodes the next bytes: all of them, or up to a fault.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Decoded {
        self.taken = self.taken.saturating_add(bytes.len());
        let allowed = self.taken.saturating_mul(RATIO).clamp(FREE, LARGEST);
        self.engine.sink().room = allowed.saturating_sub(self.given).min(FREE);
        while !bytes.is_empty() && !self.is_over {
            match self.engine.writer().write(bytes) {
                Ok(0) => self.is_over = true,
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.give_up(),
            }
        }
        // The decoders keep some of it back otherwise, and an event would be read when the next comes.
        if self.engine.writer().flush().is_err() {
            return self.give_up();
        }
        Decoded::all(self.give())
    }

    /// The end of the data: what is still to come of it.
    pub(super) fn finish(&mut self) -> Decoded {
        match self.engine.finish() {
            Ok(()) => Decoded::all(self.give()),
            Err(_) if self.engine.sink().is_full => self.give_up(),
            Err(_) => Decoded {
                bytes: self.give(),
                fault: Some(Unreadable::Short(self.coding.name())),
            },
        }
    }

    /// A message has ended.
    pub(super) fn restart(&mut self) {
        self.taken = 0;
        self.given = 0;
    }

    fn give(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.engine.sink().held);
        self.given = self.given.saturating_add(held.len());
        held
    }

    /// It goes no further. The bytes decoded before count: often they are all, and something else follows.
    fn give_up(&mut self) -> Decoded {
        let fault = if self.engine.sink().is_full {
            Unreadable::TooLarge
        } else {
            Unreadable::Damaged(self.coding.name())
        };
        Decoded {
            bytes: self.give(),
            fault: Some(fault),
        }
    }
}
