//! What one request may cost. Before it is executed, its document is weighed: a field costs 1, a list its size times what
//! one item costs, and whatever reads the database on its own costs more, so that no document (with however many
//! aliases) keeps the server busy for long. What texts weigh is known only when they are read: [`Allowance`] bounds it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::{Context, Error, ServerError};
use mcptap_store::{BudgetExhausted, CpuError, CpuPool, MemoryBudget, Reservation};

use crate::error::Code;

/// How many items a list has when nobody says.
pub(crate) const DEFAULT_SIZE: usize = 50;
/// How many items a list may have.
pub(crate) const MAX_SIZE: usize = 500;
/// A lookup of one object.
pub(crate) const LOOKUP: usize = 50;
/// A query over many rows: a page, a menu, a count.
pub(crate) const SCAN: usize = 500;
/// Figures of all tools or servers, beside the scan.
pub(crate) const RANK: usize = 1_000;
/// Something that is read from outside the row: a body, a stack trace.
pub(crate) const BODY: usize = 25;
/// How many values a menu has at most.
pub(crate) const MENU: usize = 1_000;

/// Work on more bytes than this is not done on an async worker.
const LONG: usize = 16 * 1024;

/// A list of `first` or `last` items.
pub(crate) fn list(first: Option<i32>, last: Option<i32>, item: usize) -> usize {
    let size = first
        .or(last)
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(DEFAULT_SIZE);
    size.clamp(1, MAX_SIZE).saturating_mul(item)
}

/// A list that takes a query over many rows to find.
pub(crate) fn scan(first: Option<i32>, last: Option<i32>, item: usize) -> usize {
    list(first, last, item).saturating_add(SCAN)
}

/// The same in an order of figures, for which all calls are counted.
pub(crate) fn ranked(sorted: bool, first: Option<i32>, item: usize) -> usize {
    scan(first, None, item).saturating_add(if sorted { RANK } else { 0 })
}

/// A series of `buckets`.
pub(crate) fn buckets(buckets: Option<i32>, bucket: usize) -> usize {
    usize::try_from(buckets.unwrap_or(60))
        .unwrap_or(1)
        .clamp(1, 1_000)
        .saturating_mul(bucket)
}

/// How many bytes the texts of one answer may have together: bodies, log lines, messages, names.
const MAX_DELIVERED: usize = 32 * 1024 * 1024;

/// How much may be read for one answer, in bytes: bodies, log lines, messages and menus, delivered or not.
const MAX_READ: usize = 64 * 1024 * 1024;

/// How many fields of one answer may fail, before it fails as a whole.
const MAX_FAILURES: usize = 1_000;

/// About how many bytes a value takes besides its text.
const VALUE: usize = 96;

/// Room for what is delivered is taken in steps of so many bytes: most answers are smaller than one, and take none.
const STEP: usize = 64 * 1024;

/// The bytes of one answer so far (of an operation, or one event of a subscription), and those that it holds of the
/// process's budget.
#[derive(Debug)]
pub(crate) struct Allowance {
    weighed: Mutex<Weighed>,
    /// Work on its texts is done one after the other.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Weighed {
    /// Bytes of texts that are delivered.
    texts: usize,
    /// Bytes of values that are delivered, with their texts.
    values: usize,
    read: usize,
    failures: usize,
    /// Why the answer fails as a whole.
    verdict: Option<ServerError>,
    held: Reservation,
}

impl Allowance {
    /// For one operation. Nothing is held yet.
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        Self {
            weighed: Mutex::new(Weighed {
                texts: 0,
                values: 0,
                read: 0,
                failures: 0,
                verdict: None,
                held: memory.hold_nothing(),
            }),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The one of the operation that is being answered.
    pub(crate) fn of<'a>(ctx: &Context<'a>) -> Result<&'a Arc<Self>, Error> {
        ctx.data()
    }

    /// Adds values that are delivered, with so many bytes of text; fails when they are too many, or do not fit into memory.
    /// Every value of an answer comes by here: [`Meter`](crate::meter::Meter) sees to that.
    pub(crate) fn deliver(&self, text: usize, values: usize) -> Result<(), Error> {
        let mut weighed = self.weighed();
        // Counted even if it is refused: after the first refusal nothing smaller slips through.
        weighed.texts = weighed.texts.saturating_add(text);
        if text > 0 && weighed.texts > MAX_DELIVERED {
            return Err(Code::TooLarge.error(format!(
                "the texts of one answer may have {MAX_DELIVERED} bytes together: ask for fewer calls or fields at once"
            )));
        }
        let before = weighed.values;
        weighed.values = before
            .saturating_add(text)
            .saturating_add(values.saturating_mul(VALUE));
        let more = weighed.values / STEP - before / STEP;
        weighed.hold(more.saturating_mul(STEP))
    }

    /// Adds bytes that are about to be read for the answer, or that were read for it just now.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), Error> {
        let mut weighed = self.weighed();
        if weighed.read.saturating_add(bytes) > MAX_READ {
            return Err(Code::TooLarge.error(format!(
                "for one answer {MAX_READ} bytes of texts may be read: ask for fewer calls at once"
            )));
        }
        weighed.hold(bytes)?;
        weighed.read += bytes;
        Ok(())
    }

    /// A field failed. Returns whether too many did: then the answer fails as a whole, with this error.
    pub(crate) fn fail(&self, error: &ServerError) -> bool {
        let mut weighed = self.weighed();
        weighed.failures += 1;
        let fails = weighed.failures > MAX_FAILURES;
        if fails && weighed.verdict.is_none() {
            let mut whole = error.clone();
            whole.path.clear();
            weighed.verdict = Some(whole);
        }
        fails
    }

    /// Why the answer fails as a whole, if it does.
    pub(crate) fn verdict(&self) -> Option<ServerError> {
        self.weighed().verdict.clone()
    }

    /// Does work on a text of so many bytes: where it is long, on a thread for such work, one text after the other.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        cpu: &CpuPool,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if bytes <= LONG {
            return Ok(work());
        }
        let _turn = self.turn.lock().await;
        cpu.run(|_| work()).await.map_err(|error| match error {
            CpuError::Full => Code::ResourceExhausted.error(error.to_string()),
            CpuError::Panicked => {
                Code::Internal.error("something went wrong inside the server; its log says what")
            }
        })
    }

    /// How many bytes the answer holds.
    pub(crate) fn held(&self) -> usize {
        self.weighed().held.bytes()
    }

    /// Gives everything back: the next event of a subscription is an answer of its own.
    pub(crate) fn reset(&self) {
        let mut weighed = self.weighed();
        (weighed.texts, weighed.values, weighed.read, weighed.failures) = (0, 0, 0, 0);
        weighed.held.shrink_to(0);
    }

    fn weighed(&self) -> MutexGuard<'_, Weighed> {
        self.weighed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weighed {
    fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.held.grow(bytes).map_err(exhausted)
    }
}

/// The refusal where the process holds as many bytes as it may.
pub(crate) fn exhausted(exhausted: BudgetExhausted) -> Error {
    Code::ResourceExhausted.error(exhausted.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(refused: &Error) -> String {
        let extensions = serde_json::to_value(&refused.extensions).unwrap();
        extensions["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_answer_is_bounded_and_gives_back_what_it_held() {
        let memory = MemoryBudget::new(40 << 20);
        let allowance = Allowance::new(&memory);
        for _ in 0..32 {
            allowance.deliver(1 << 20, 1).unwrap();
        }
        assert_eq!(code(&allowance.deliver(1, 1).unwrap_err()), "RESPONSE_TOO_LARGE");
        assert_eq!(code(&allowance.read(9 << 20).unwrap_err()), "RESOURCE_EXHAUSTED");
        allowance.read(8 << 20).unwrap();
        assert_eq!((allowance.held(), memory.used()), (40 << 20, 40 << 20));
        allowance.reset();
        assert_eq!(memory.used(), 0);
        allowance.read(40 << 20).unwrap();
        drop(allowance);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn values_without_text_take_memory_too_but_no_small_answer_takes_any() {
        let memory = MemoryBudget::new(1 << 20);
        let allowance = Allowance::new(&memory);
        (0..STEP / VALUE - 1).for_each(|_| allowance.deliver(0, 1).unwrap());
        assert_eq!(memory.used(), 0);
        let refused = (0..(2 << 20) / VALUE).find_map(|_| allowance.deliver(0, 1).err());
        assert_eq!(code(&refused.unwrap()), "RESOURCE_EXHAUSTED");
    }

    #[test]
    fn an_answer_fails_as_a_whole_when_too_much_of_it_does() {
        let allowance = Allowance::new(&MemoryBudget::new(0));
        let mut error = Code::TooLarge.refusal("no");
        error.path = vec![async_graphql::PathSegment::Index(7)];
        assert!((0..MAX_FAILURES).all(|_| !allowance.fail(&error)));
        assert!(allowance.verdict().is_none());
        assert!(allowance.fail(&error));
        let verdict = allowance.verdict().unwrap();
        assert_eq!((verdict.message.as_str(), verdict.path.len()), ("no", 0));
    }
}
