//! What a group holds of the database while it is prepared and written, in the process's budget of bytes.

use mcptap_model::Call;

use crate::rows::body::{flag, unpacked_size};
use crate::rows::entity::{call, detail};
use crate::rows::row::CallRow;
use crate::{BudgetExhausted, Error, MemoryBudget, Reservation};

/// How many bytes one group reads at most, and which part of the budget. A group that reads more is stored in parts; a
/// single record does without some of what is more.
const GROUP: usize = 64 << 20;
const PART: usize = 4;

/// About how many bytes a stored call takes, its texts aside: as a row, as it was, as it becomes, as it is listed.
pub(super) const CALL: usize = size_of::<call::Model>() + 3 * size_of::<Call>() + size_of::<CallRow>() + 512;

/// About how many bytes a row of a small table takes.
pub(super) const ROW: usize = 256;

/// How often a text is there at the same time: as it was, as it becomes, as it is listed and written.
pub(super) const COPIES: usize = 4;

/// Bytes that are reserved for one group.
#[derive(Debug)]
pub(crate) struct Held {
    reservation: Reservation,
    most: usize,
    /// Of one record, which cannot be made smaller.
    single: bool,
}

impl Held {
    /// Nothing yet, for a group of so many records.
    pub(crate) fn new(memory: &MemoryBudget, records: usize) -> Result<Self, Error> {
        Ok(Self {
            reservation: memory.try_reserve(0)?,
            most: GROUP.min(memory.limit() / PART),
            single: records <= 1,
        })
    }

    /// Takes so many bytes more.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] when they do not fit, or are too many for one group. A single record always has room for them,
    /// but for what others take.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Error> {
        let used = self.reservation.bytes();
        let wanted = used.saturating_add(more);
        if wanted > self.most && !self.single {
            return Err(Error::Memory(BudgetExhausted {
                wanted,
                used,
                limit: self.most,
            }));
        }
        Ok(self.reservation.grow(more)?)
    }

    /// Takes so many bytes for what a single record can do without; `false` when it has to.
    ///
    /// # Errors
    ///
    /// As those of [`grow`](Self::grow).
    pub(crate) fn take(&mut self, more: usize) -> Result<bool, Error> {
        self.take_of(self.most, more)
    }

    /// The same for what is merely near a record. It leaves half to what the record names: without that it would be stored
    /// twice.
    pub(crate) fn take_near(&mut self, more: usize) -> Result<bool, Error> {
        self.take_of(self.most / 2, more)
    }

    fn take_of(&mut self, most: usize, more: usize) -> Result<bool, Error> {
        if self.single && self.reservation.bytes().saturating_add(more) > most {
            return Ok(false);
        }
        self.grow(more)?;
        Ok(true)
    }
}

/// How many bytes the texts of a row take that are unpacked to be folded. Its bodies are not.
pub(super) fn of_texts(row: &detail::Model) -> usize {
    let texts = [
        (&row.stack_trace, flag::STACK_TRACE_COMPRESSED),
        (&row.attributes, flag::ATTRIBUTES_COMPRESSED),
    ];
    let unpacked = texts.into_iter().filter_map(|(data, packed)| {
        let data = data.as_deref()?;
        Some(unpacked_size(data, row.flags & packed != 0))
    });
    unpacked.sum::<usize>() * COPIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_bounded_and_a_record_does_without_some() {
        let memory = MemoryBudget::new(GROUP * 8);
        let mut held = Held::new(&memory, 2).unwrap();
        assert!(held.take(GROUP).unwrap());
        let refused = held.take(1).unwrap_err();
        assert!(matches!(refused, Error::Memory(refused) if refused.limit == GROUP));
        assert_eq!(memory.used(), GROUP);
        drop(held);
        let mut held = Held::new(&memory, 1).unwrap();
        assert!(held.take_near(GROUP / 2).unwrap());
        assert!(!held.take_near(1).unwrap());
        assert!(held.take(GROUP / 2).unwrap());
        assert!(!held.take(1).unwrap());
        held.grow(1).unwrap();
        assert_eq!(memory.used(), GROUP + 1);
        let others = memory.try_reserve(memory.limit() - GROUP - 1).unwrap();
        assert!(held.grow(1).is_err());
        drop((held, others));
        assert_eq!(memory.used(), 0);
        // On a small budget the bounds are a part of it.
        let small = MemoryBudget::new(80);
        assert!(Held::new(&small, 1).unwrap().take(20).unwrap());
        assert!(!Held::new(&small, 1).unwrap().take(21).unwrap());
        assert!(Held::new(&small, 2).unwrap().take(21).is_err());
    }
}
