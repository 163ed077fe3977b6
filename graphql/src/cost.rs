//! What one request may cost. Before it is executed, its document is weighed: a field costs 1, a list its size times what
//! one item costs, and whatever reads the database on its own costs more, so that no document (with however many
//! aliases) keeps the server busy for long. What bodies weigh is known only when they are read: [`Allowance`] bounds it.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::Error;

use crate::error::Code;

/// How many items a list has when nobody says.
pub(crate) const DEFAULT_SIZE: usize = 50;
/// How many items a list may have.
pub(crate) const MAX_SIZE: usize = 500;
/// A lookup of one object.
pub(crate) const LOOKUP: usize = 50;
/// A question over many rows: a page, a menu, a count.
pub(crate) const SCAN: usize = 500;
/// Something that is read from outside the row: a body, a stack trace.
pub(crate) const BODY: usize = 25;

/// A list of `first` or `last` items.
pub(crate) fn list(first: Option<i32>, last: Option<i32>, item: usize) -> usize {
    let size = first
        .or(last)
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(DEFAULT_SIZE);
    size.clamp(1, MAX_SIZE).saturating_mul(item)
}

/// A list that takes a question over many rows to find.
pub(crate) fn scan(first: Option<i32>, last: Option<i32>, item: usize) -> usize {
    list(first, last, item).saturating_add(SCAN)
}

/// A series of `buckets`.
pub(crate) fn buckets(buckets: Option<i32>, bucket: usize) -> usize {
    usize::try_from(buckets.unwrap_or(60))
        .unwrap_or(1)
        .clamp(1, 1_000)
        .saturating_mul(bucket)
}

/// How much the bodies of one page may weigh together, in bytes.
const MAX_BODIES: usize = 32 * 1024 * 1024;

/// What the bodies of one page have weighed so far.
#[derive(Debug, Default)]
pub(crate) struct Allowance(AtomicUsize);

impl Allowance {
    /// Adds to it; fails when it is used up.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Error> {
        match self.0.fetch_add(bytes, Ordering::Relaxed) {
            taken if taken.saturating_add(bytes) <= MAX_BODIES => Ok(()),
            _ => Err(Code::TooLarge.error(format!(
                "the bodies of a page may have {MAX_BODIES} bytes together: ask for fewer calls at once"
            ))),
        }
    }
}
