//! Pages by position, never by offset: stable while rows are being added.

use std::sync::Arc;

use mcptap_model::{Call, UnixNanos};

/// A stored call. In lists `request`, `response`, `stack_trace` and `attributes` are empty: ask
/// [`Store::details`](crate::Store::details) for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its row, which is also the number of the change that added it.
    pub row: i64,
    /// The call.
    pub call: Arc<Call>,
}

impl Stored {
    /// Where it stands in the order of pages.
    pub fn position(&self) -> CallPosition {
        CallPosition {
            started_at: self.call.started_at,
            row: self.row,
        }
    }
}

/// Which part of a list is wanted: the `first` after a position, or the `last` before one. With neither, the first
/// 50; with both, `first` counts. Sizes are clamped to 1..=500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// How many, from the start or from `after` on.
    pub first: Option<usize>,
    /// Only what stands after this position.
    pub after: Option<K>,
    /// How many, up to the end or up to `before`.
    pub last: Option<usize>,
    /// Only what stands before this position.
    pub before: Option<K>,
}

impl<K> Default for PageRequest<K> {
    fn default() -> Self {
        Self {
            first: None,
            after: None,
            last: None,
            before: None,
        }
    }
}

/// How many items a page has when nobody says.
const USUAL: usize = 50;

/// How many items a page has at most.
const MOST: usize = 500;

/// A page while it is being read.
pub(crate) struct Bounds {
    /// Whether it is read from its end.
    pub(crate) backward: bool,
    /// How many items.
    pub(crate) size: usize,
    /// Whether more stand after it.
    pub(crate) has_next: bool,
    /// Whether more stand before it.
    pub(crate) has_previous: bool,
}

impl<K> PageRequest<K> {
    pub(crate) fn bounds(&self) -> Bounds {
        let backward = self.first.is_none() && self.last.is_some();
        let size = self.first.or(self.last).unwrap_or(USUAL).clamp(1, MOST);
        Bounds {
            backward,
            size,
            has_next: false,
            has_previous: false,
        }
    }
}

impl Bounds {
    /// What lies ahead and behind, in the direction of reading.
    pub(crate) fn set(&mut self, ahead: bool, behind: bool) {
        (self.has_next, self.has_previous) = if self.backward {
            (behind, ahead)
        } else {
            (ahead, behind)
        };
    }
}

/// A part of a list, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether more stand after them.
    pub has_next: bool,
    /// Whether more stand before them.
    pub has_previous: bool,
}

impl<T> Page<T> {
    /// The page of items that the database found: those from the page's start on in the direction of reading, and one
    /// more where there are more.
    pub(crate) fn of_found<K>(mut items: Vec<T>, page: &PageRequest<K>) -> Self {
        let mut bounds = page.bounds();
        let ahead = items.len() > bounds.size;
        items.truncate(bounds.size);
        let behind = if bounds.backward {
            items.reverse();
            page.before.is_some()
        } else {
            page.after.is_some()
        };
        bounds.set(ahead, behind);
        Self {
            items,
            has_next: bounds.has_next,
            has_previous: bounds.has_previous,
        }
    }

    /// The part of a whole list, which is in order of `place`.
    pub(crate) fn cut<K: Ord>(list: Vec<T>, page: &PageRequest<K>, place: impl Fn(&T) -> K) -> Self {
        let mut bounds = page.bounds();
        let whole = list.len();
        let wanted = |item: &T| {
            page.after.as_ref().is_none_or(|after| place(item) > *after)
                && page.before.as_ref().is_none_or(|before| place(item) < *before)
        };
        let mut items: Vec<T> = list.into_iter().filter(wanted).collect();
        let behind = items.len() < whole
            && if bounds.backward {
                page.before.is_some()
            } else {
                page.after.is_some()
            };
        let ahead = items.len() > bounds.size;
        if bounds.backward {
            items.drain(..items.len().saturating_sub(bounds.size));
        } else {
            items.truncate(bounds.size);
        }
        bounds.set(ahead, behind);
        Self {
            items,
            has_next: bounds.has_next,
            has_previous: bounds.has_previous,
        }
    }
}

/// Where a call stands: newest first by start, then by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallPosition {
    /// When the call began.
    pub started_at: UnixNanos,
    /// Its row.
    pub row: i64,
}

/// Where a log line stands among those of its call: oldest first, then by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// When the line was written.
    pub time: UnixNanos,
    /// A number of the line's own, of no meaning beyond order.
    pub ordinal: i64,
}
