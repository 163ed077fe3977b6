//! One parcel on its way, in pieces where it had to be cut.

use std::collections::VecDeque;

use super::outbox::Job;
use super::parcel::Parcel;
use super::tolerance::Tolerance;

/// A parcel that is being delivered. It stays in the outbox as a whole until all of it is done with, so that a process
/// that dies in between leaves all of it: what was taken already is sent twice then, as OTLP allows.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) job: Job,
    /// The pieces that are not done with, in order.
    left: VecDeque<Parcel>,
    /// Records that were refused.
    refused: u64,
    /// The first of [`left`](Self::left) lost its compression, because it was turned away with it.
    is_doubted: bool,
}

impl Delivery {
    /// Begins it, in requests that the collector takes as far as that is known.
    pub(super) fn new(job: Job, tolerance: &Tolerance) -> Self {
        let parcel = &job.parcel;
        let plain = tolerance.is_plain().then(|| parcel.decompressed()).flatten();
        let parcel = plain.as_ref().unwrap_or(parcel);
        let pieces = tolerance.most().and_then(|most| parcel.pieces(most));
        Self {
            left: pieces.unwrap_or_else(|| vec![parcel.clone()]).into(),
            job,
            refused: 0,
            is_doubted: false,
        }
    }

    /// The piece that is sent next. None when everything is done with.
    pub(super) fn next(&self) -> Option<&Parcel> {
        self.left.front()
    }

    /// How many of the records were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The collector answered for the next piece: it has it, but for so many records. True when it came to be known
    /// that the collector does not read the compression.
    pub(super) fn take(&mut self, refused: u64, tolerance: &mut Tolerance) -> bool {
        let Some(piece) = self.left.pop_front() else {
            return false;
        };
        tolerance.pass(|| piece.plain_bytes());
        self.refused = self.refused.saturating_add(refused.min(piece.records));
        if !std::mem::take(&mut self.is_doubted) {
            if piece.encoding.is_some() {
                tolerance.read_coding();
            }
            return false;
        }
        tolerance.refuse_coding();
        for piece in &mut self.left {
            if let Some(plain) = piece.decompressed() {
                *piece = plain;
            }
        }
        true
    }

    /// The next piece is too large: it is cut. If it cannot be, it is dropped, and the error is the number of its records.
    pub(super) fn cut(&mut self, tolerance: &mut Tolerance) -> Result<(), u64> {
        let Some(piece) = self.left.pop_front() else {
            return Ok(());
        };
        self.is_doubted = false;
        let bytes = piece.plain_bytes().unwrap_or(piece.body.len());
        // A record that is too large alone says nothing about how others should be cut.
        if piece.records > 1 {
            tolerance.reject(bytes);
        }
        let most = tolerance.most().filter(|most| *most < bytes).unwrap_or(bytes / 2);
        let Some(pieces) = piece.pieces(most) else {
            self.refused = self.refused.saturating_add(piece.records);
            return Err(piece.records);
        };
        for piece in pieces.into_iter().rev() {
            self.left.push_front(piece);
        }
        Ok(())
    }

    /// The next piece is refused for good.
    pub(super) fn refuse(&mut self) -> u64 {
        self.is_doubted = false;
        let records = self.left.pop_front().map_or(0, |piece| piece.records);
        self.refused = self.refused.saturating_add(records);
        records
    }

    /// The next piece is tried again later. If it has no compression by now, that was not the cause.
    pub(super) fn put_off(&mut self) {
        self.is_doubted = false;
    }

    /// The next piece was turned away, perhaps because it is compressed. True when it is not any more.
    pub(super) fn decompress(&mut self, tolerance: &Tolerance) -> bool {
        let Some(piece) = self.left.front_mut().filter(|_| tolerance.doubts_coding()) else {
            return false;
        };
        let Some(plain) = piece.decompressed() else {
            return false;
        };
        *piece = plain;
        self.is_doubted = true;
        true
    }
}
