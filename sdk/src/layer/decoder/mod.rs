//! Content codings, undone beside the bytes: what passes is passed on as it came, and what is read here is a copy.
//!
//! Everything that comes is decoded at once, so that an event is read when it passes and not when its stream ends. A
//! decoder holds no more than its window, which is reserved before it is made; it stops where a few bytes would become
//! very many.

mod coding;
mod window;

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use coding::{Coding, Stage};

use crate::observer::{Observer, Reserved};

/// How many codings may be stacked.
const MOST_STAGES: usize = 4;
/// How many bytes are decoded in one go, by each stage.
const SLICE: usize = 4 * 1024;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// Nobody here knows the coding; its name, cut.
    #[error("its content coding {0:?} is not known")]
    Unknown(String),
    /// More codings than [`MOST_STAGES`].
    #[error("it has more than {MOST_STAGES} content codings")]
    Stacked,
    /// The bytes are not what the header says.
    #[error("its {0} data is damaged")]
    Damaged(&'static str),
    /// It ended in the middle.
    #[error("its {0} data ends too early")]
    Short(&'static str),
    /// A bound was reached.
    #[error("it grows too large when it is decoded")]
    TooLarge,
    /// There is no memory for the decoder.
    #[error("too many compressed bodies are open at once")]
    NoRoom,
    /// It is decoded, and no JSON.
    #[error("it is not JSON")]
    NotJson,
}

/// Undoes the content codings of one body.
pub(super) struct Decoder {
    observer: Observer,
    /// What is to be undone, outermost first.
    codings: Vec<Coding>,
    stages: Vec<Stage>,
    /// What the stages hold.
    reserved: Vec<Reserved>,
    fault: Option<Unreadable>,
    /// Whether bytes pass as they are, although their coding is not known: some write an encoding of characters there.
    passes: bool,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("codings", &self.codings)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// For a body with these headers.
    pub(super) fn new(observer: &Observer, headers: &HeaderMap) -> Self {
        let mut decoder = Self {
            observer: observer.clone(),
            codings: Vec::new(),
            stages: Vec::new(),
            reserved: Vec::new(),
            fault: None,
            passes: false,
        };
        let lines = headers.get_all(CONTENT_ENCODING).iter();
        let lines: Vec<_> = lines
            .map(|line| String::from_utf8_lossy(line.as_bytes()))
            .collect();
        // In the order in which they were applied.
        let names = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
        for name in names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")) {
            match Coding::of(name) {
                Some(coding) => decoder.codings.push(coding),
                None => {
                    decoder.passes = true;
                    decoder.fault = Some(Unreadable::Unknown(name.chars().take(40).collect()));
                    return decoder;
                }
            }
        }
        decoder.codings.reverse();
        if decoder.codings.len() > MOST_STAGES {
            decoder.fault = Some(Unreadable::Stacked);
        }
        decoder
    }

    /// Why not all of the body could be read.
    pub(super) fn fault(&self) -> Option<&Unreadable> {
        self.fault.as_ref()
    }

    /// Takes the next bytes; `visit` is given what they become, in pieces.
    pub(super) fn feed(&mut self, bytes: &[u8], mut visit: impl FnMut(&[u8])) {
        if self.codings.is_empty() || self.passes {
            return visit(bytes);
        }
        if self.fault.is_none()
            && let Err(fault) = self.decode(0, bytes, &mut visit)
        {
            self.fail(fault);
        }
    }

    /// The end of the body.
    pub(super) fn finish(&mut self, mut visit: impl FnMut(&[u8])) {
        // An answer without a body has no coding either, whatever its head says.
        if self.fault.is_some() || self.stages.is_empty() {
            return;
        }
        let ended = self.end(&mut visit);
        match ended {
            Err(fault) => self.fail(fault),
            Ok(()) => self.close(),
        }
    }

    /// A message has ended: the bounds are those of the next.
    pub(super) fn next_message(&mut self) {
        self.stages.iter_mut().for_each(Stage::restart);
    }

    /// Undoes the codings from this one on. Each stage gets small slices, so that little is held of what it gives.
    fn decode(&mut self, at: usize, bytes: &[u8], visit: &mut impl FnMut(&[u8])) -> Result<(), Unreadable> {
        if at == self.codings.len() {
            if !bytes.is_empty() {
                visit(bytes);
            }
            return Ok(());
        }
        for slice in bytes.chunks(SLICE) {
            if self.stages.len() == at {
                self.open(at, slice)?;
            }
            let Some(stage) = self.stages.get_mut(at) else {
                return Ok(());
            };
            let decoded = stage.push(slice)?;
            self.decode(at + 1, &decoded, visit)?;
        }
        Ok(())
    }

    fn end(&mut self, visit: &mut impl FnMut(&[u8])) -> Result<(), Unreadable> {
        let mut bytes = Vec::new();
        for stage in &mut self.stages {
            let mut decoded = stage.push(&bytes)?;
            decoded.extend(stage.finish()?);
            bytes = decoded;
        }
        if !bytes.is_empty() {
            visit(&bytes);
        }
        Ok(())
    }

    /// Makes the decoder of a coding, as large as its first bytes say that it has to be.
    fn open(&mut self, at: usize, first: &[u8]) -> Result<(), Unreadable> {
        let Some(coding) = self.codings.get(at) else {
            return Ok(());
        };
        let reserved = self.observer.reserve_decoder(coding.memory(first));
        self.reserved.push(reserved.ok_or(Unreadable::NoRoom)?);
        self.stages.push(Stage::new(*coding, first)?);
        Ok(())
    }

    fn fail(&mut self, fault: Unreadable) {
        self.fault = Some(fault);
        self.close();
    }

    fn close(&mut self) {
        self.stages.clear();
        self.reserved.clear();
    }
}

#[cfg(test)]
mod tests;
