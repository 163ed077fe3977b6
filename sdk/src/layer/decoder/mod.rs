//! Content codings, undone beside the bytes: what passes is passed on as it came, and what is read here is a copy.
//!
//! Everything that comes is decoded at once, so that an event is read when it passes and not when its stream ends. A
//! decoder holds no more than its window, which is reserved before it is made; it stops where a few bytes would become
//! very many. It goes on in small steps, since a server's own threads wait for it.

mod coding;
mod window;

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use coding::{Coding, Decoded, Stage};

use crate::observer::{Observer, Reserved};

/// How many codings may be stacked.
const MOST_STAGES: usize = 4;
/// How many bytes are decoded in one step.
const SLICE: usize = 1024;
/// How many bytes are passed on in one step that have no coding.
const PLAIN_SLICE: usize = 16 * 1024;

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

/// Bytes between two stages.
#[derive(Debug, Default)]
struct Between {
    bytes: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
    /// The memory that they take.
    _reserved: Option<Reserved>,
}

impl Between {
    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    fn take(&mut self) -> Vec<u8> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let slice = rest.get(..SLICE).unwrap_or(rest).to_vec();
        self.taken += slice.len();
        if self.is_empty() {
            *self = Self::default();
        }
        slice
    }
}

/// Undoes the content codings of one body.
pub(super) struct Decoder {
    observer: Observer,
    /// What is to be undone, outermost first.
    codings: Vec<Coding>,
    stages: Vec<Stage>,
    /// The bytes that each stage gave and the next has not taken yet.
    between: Vec<Between>,
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
            between: Vec::new(),
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

    /// Why not all was read of what was decoded; not that a coding is unknown which is none.
    pub(super) fn damage(&self) -> Option<&Unreadable> {
        self.fault.as_ref().filter(|_| !self.passes)
    }

    /// Whether nothing is left to do but to take more bytes.
    pub(super) fn is_idle(&self) -> bool {
        self.between.iter().all(Between::is_empty)
    }

    /// Goes one step on with the next bytes, and takes away those that it used; `visit` is given what they become. Returns
    /// how much work it was, in bytes. All is done when no bytes are left and it [is idle](Self::is_idle).
    pub(super) fn step(&mut self, bytes: &mut &[u8], mut visit: impl FnMut(&[u8])) -> usize {
        if self.codings.is_empty() || self.passes {
            let slice = split(bytes, PLAIN_SLICE);
            visit(slice);
            return slice.len();
        }
        // The last stage that has something to do, so that little lies between them.
        let waiting = self.between.iter().rposition(|between| !between.is_empty());
        if let Some(before) = waiting
            && let Some(between) = self.between.get_mut(before)
        {
            let slice = between.take();
            return self.push(before + 1, &slice, &mut visit);
        }
        if self.fault.is_some() {
            self.close();
            *bytes = &[];
            return 0;
        }
        let slice = split(bytes, SLICE);
        self.push(0, slice, &mut visit)
    }

    /// Gives bytes to a stage, and what they become to the next.
    fn push(&mut self, at: usize, slice: &[u8], visit: &mut impl FnMut(&[u8])) -> usize {
        if slice.is_empty() {
            return 0;
        }
        let decoded = match self.stage(at, slice) {
            Ok(stage) => stage.push(slice),
            Err(fault) => return self.fail(at, fault),
        };
        let work = slice.len() + decoded.bytes.len();
        let is_last = at + 1 == self.codings.len();
        if is_last && !decoded.bytes.is_empty() {
            visit(&decoded.bytes);
        } else if !is_last {
            match self.observer.reserve_decoder(decoded.bytes.len()) {
                Some(reserved) => self.put(at, decoded.bytes, reserved),
                None => return self.fail(at, Unreadable::NoRoom),
            }
        }
        if let Some(fault) = decoded.fault {
            self.fail(at, fault);
        }
        work
    }

    fn put(&mut self, at: usize, bytes: Vec<u8>, reserved: Reserved) {
        self.between.resize_with(self.codings.len(), Between::default);
        if let Some(between) = self.between.get_mut(at) {
            *between = Between {
                bytes,
                taken: 0,
                _reserved: Some(reserved),
            };
        }
    }

    /// The end of the body.
    pub(super) fn finish(&mut self, mut visit: impl FnMut(&[u8])) {
        while !self.is_idle() {
            self.step(&mut [].as_slice(), &mut visit);
        }
        // An answer without a body has no coding either, whatever its head says.
        if self.fault.is_none() && !self.stages.is_empty() {
            self.end(&mut visit);
        }
        self.close();
    }

    /// A message has ended: the bounds are those of the next.
    pub(super) fn next_message(&mut self) {
        self.stages.iter_mut().for_each(Stage::restart);
    }

    fn end(&mut self, visit: &mut impl FnMut(&[u8])) {
        let mut bytes = Vec::new();
        for at in 0..self.codings.len() {
            if at == self.stages.len() && bytes.is_empty() {
                return;
            }
            let stage = match self.stage(at, &bytes) {
                Ok(stage) => stage,
                Err(fault) => {
                    self.fail(at, fault);
                    return;
                }
            };
            let Decoded {
                bytes: mut all,
                fault,
            } = stage.push(&bytes);
            let rest = fault.is_none().then(|| stage.finish());
            if let Some(rest) = &rest {
                all.extend_from_slice(&rest.bytes);
            }
            if let Some(fault) = fault.or(rest.and_then(|rest| rest.fault)) {
                self.fault.get_or_insert(fault);
            }
            bytes = all;
        }
        if !bytes.is_empty() {
            visit(&bytes);
        }
    }

    /// The decoder of a coding. It is made as large as its first bytes say that it has to be.
    fn stage(&mut self, at: usize, first: &[u8]) -> Result<&mut Stage, Unreadable> {
        if self.stages.len() == at
            && let Some(coding) = self.codings.get(at)
        {
            let reserved = self.observer.reserve_decoder(coding.memory(first));
            self.reserved.push(reserved.ok_or(Unreadable::NoRoom)?);
            self.stages.push(Stage::new(*coding, first)?);
        }
        self.stages.get_mut(at).ok_or(Unreadable::Stacked)
    }

    /// A stage goes no further, so what it and those before have not taken is not needed.
    fn fail(&mut self, at: usize, fault: Unreadable) -> usize {
        self.fault.get_or_insert(fault);
        for between in self.between.iter_mut().take(at) {
            *between = Between::default();
        }
        0
    }

    fn close(&mut self) {
        self.stages.clear();
        self.between.clear();
        self.reserved.clear();
    }
}

/// Takes at most so many bytes away from the beginning.
fn split<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (slice, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    slice
}

#[cfg(test)]
mod tests;
