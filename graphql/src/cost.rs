//! What one request may cost. Before it is executed, its document is weighed: a field costs 1, a list its size times what
//! one item costs, and whatever reads the database on its own costs more, so that no document (with however many
//! aliases) keeps the server busy for long. What bodies weigh is known only when they are read: [`Allowance`] bounds it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::{Context, Error};
use mcptap_store::{BudgetExhausted, MemoryBudget, Reservation};

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

/// How much the bodies of one answer may weigh together, in bytes.
const MAX_BODIES: usize = 32 * 1024 * 1024;

/// How much may be read for one answer, in bytes: bodies and log lines, delivered or not.
const MAX_READ: usize = 64 * 1024 * 1024;

/// What one answer (of an operation, or one event of a subscription) has weighed so far, and the bytes that it holds of
/// the process's budget.
#[derive(Debug)]
pub(crate) struct Allowance {
    bodies: AtomicUsize,
    read: AtomicUsize,
    held: Mutex<Reservation>,
}

impl Allowance {
    /// For one operation. Nothing is held yet.
    pub(crate) fn new(memory: &MemoryBudget) -> Result<Self, Error> {
        Ok(Self {
            bodies: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            held: Mutex::new(memory.try_reserve(0).map_err(exhausted)?),
        })
    }

    /// The one of the operation that is being answered.
    pub(crate) fn of<'a>(ctx: &Context<'a>) -> Result<&'a Arc<Self>, Error> {
        ctx.data()
    }

    /// Adds bytes of a body that is delivered; fails when they are too many, or do not fit into memory.
    pub(crate) fn deliver(&self, bytes: usize) -> Result<(), Error> {
        let before = self.bodies.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_BODIES {
            return Err(Code::TooLarge.error(format!(
                "the bodies of one answer may have {MAX_BODIES} bytes together: ask for fewer calls at once"
            )));
        }
        self.hold(bytes)
    }

    /// Adds bytes that are about to be read for the answer.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), Error> {
        let before = self.read.load(Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_READ {
            return Err(Code::TooLarge.error(format!(
                "for one answer {MAX_READ} bytes of bodies and log lines may be read: ask for fewer calls at once"
            )));
        }
        self.hold(bytes)?;
        self.read.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// How many bytes the answer holds.
    pub(crate) fn held(&self) -> usize {
        self.reservation().bytes()
    }

    /// Gives everything back: the next event of a subscription is an answer of its own.
    pub(crate) fn reset(&self) {
        self.bodies.store(0, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        self.reservation().shrink_to(0);
    }

    fn hold(&self, bytes: usize) -> Result<(), Error> {
        self.reservation().grow(bytes).map_err(exhausted)
    }

    fn reservation(&self) -> MutexGuard<'_, Reservation> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said when the process holds as many bytes as it may.
pub(crate) fn exhausted(exhausted: BudgetExhausted) -> Error {
    Code::ResourceExhausted.error(exhausted.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_bounded_and_gives_back_what_it_held() {
        let memory = MemoryBudget::new(40 << 20);
        let allowance = Allowance::new(&memory).unwrap();
        for _ in 0..32 {
            allowance.deliver(1 << 20).unwrap();
        }
        let code = |refused: Result<(), Error>| {
            let extensions = serde_json::to_value(refused.unwrap_err().extensions).unwrap();
            extensions["code"].as_str().unwrap().to_owned()
        };
        assert_eq!(code(allowance.deliver(1)), "RESPONSE_TOO_LARGE");
        assert_eq!(code(allowance.read(9 << 20)), "RESOURCE_EXHAUSTED");
        allowance.read(8 << 20).unwrap();
        assert_eq!((allowance.held(), memory.used()), (40 << 20, 40 << 20));
        allowance.reset();
        assert_eq!(memory.used(), 0);
        allowance.read(40 << 20).unwrap();
        drop(allowance);
        assert_eq!(memory.used(), 0);
    }
}
