//! What a group holds of the database while it is prepared and written, in the process's budget of bytes.

use crate::body::{flag, unpacked_size};
use crate::entity::{call, detail, waiting};
use crate::{BudgetExhausted, Error, MemoryBudget, Reservation};

/// How many bytes one group reads at most. A single record may read more, as it cannot be made smaller.
const GROUP: usize = 64 << 20;

/// About how many bytes a stored call takes, as it was and as it becomes, its long texts aside.
const CALL: usize = 2048;

/// About how many bytes a row of a small table takes.
pub(super) const ROW: usize = 256;

/// How often a text is there at the same time: as it is stored, as it was, as it becomes.
const COPIES: usize = 3;

/// Bytes that are reserved for one group.
#[derive(Debug)]
pub(crate) struct Held {
    reservation: Reservation,
    most: usize,
}

impl Held {
    /// Nothing yet, for a group of so many records.
    pub(crate) fn new(memory: &MemoryBudget, records: usize) -> Result<Self, Error> {
        Ok(Self {
            reservation: memory.try_reserve(0)?,
            most: if records > 1 { GROUP } else { usize::MAX },
        })
    }

    /// Takes so many bytes more.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] when they do not fit, or are too many for one group.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Error> {
        let used = self.reservation.bytes();
        let wanted = used.saturating_add(more);
        if wanted > self.most {
            return Err(Error::Memory(BudgetExhausted {
                wanted,
                used,
                limit: self.most,
            }));
        }
        Ok(self.reservation.grow(more)?)
    }
}

/// About how many bytes a row takes once it is read.
pub(super) fn of_call(row: &call::Model) -> usize {
    let texts = [&row.resource_uri, &row.error_message, &row.request_id];
    let long: usize = texts.into_iter().flatten().map(String::len).sum();
    CALL + long * COPIES
}

/// About how many bytes a row takes once it is read.
pub(super) fn of_waiting(row: &waiting::Model) -> usize {
    ROW + row.data.len() * COPIES
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
    fn a_group_is_bounded_and_a_record_has_all_there_is() {
        let memory = MemoryBudget::new(GROUP * 2);
        let mut group = Held::new(&memory, 2).unwrap();
        group.grow(GROUP).unwrap();
        let refused = group.grow(1).unwrap_err();
        assert!(matches!(refused, Error::Memory(refused) if refused.limit == GROUP));
        assert_eq!(memory.used(), GROUP);
        drop(group);
        let mut record = Held::new(&memory, 1).unwrap();
        record.grow(GROUP * 2).unwrap();
        assert!(record.grow(1).is_err());
        drop(record);
        assert_eq!(memory.used(), 0);
    }
}
