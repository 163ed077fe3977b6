//! The only way in.

use mcptap_model::Batch;

use crate::{Seq, WriteError};

/// What a write did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Calls added by the transaction that stored the batch; it may have stored other batches too.
    pub added: usize,
    /// Calls completed by the same transaction.
    pub completed: usize,
    /// The head of the feed after it.
    pub head: Seq,
}

/// Writes batches. Cheap to clone; when the last clone is dropped, the store commits what it holds and stops writing.
#[derive(Clone, Debug)]
pub struct Writer {
    _private: (),
}

impl Writer {
    /// Stores a batch as a whole or not at all; returns once it is committed and announced. The same spans again
    /// change nothing.
    pub async fn write(&self, _batch: Batch) -> Result<Written, WriteError> {
        Err(WriteError::Closed)
    }

    /// Waits until the store no longer writes.
    pub async fn closed(&self) {}
}
