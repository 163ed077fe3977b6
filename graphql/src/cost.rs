//! What one request may ask for. A field costs 1, a list its size times what one item costs, and whatever reads the
//! database on its own costs more, so that no document (with however many aliases) keeps the server busy for long.

/// How many items a list has when nobody says.
pub(crate) const DEFAULT_SIZE: usize = 50;
/// How many items a list may have.
pub(crate) const MAX_SIZE: usize = 500;
/// What a request may cost: a full page of calls with every field and both bodies fits.
pub(crate) const MAX_COMPLEXITY: usize = 150_000;
/// How deep fields may be nested: introspection as tools send it has 15 levels.
pub(crate) const MAX_DEPTH: usize = 20;
/// A lookup of one object.
pub(crate) const LOOKUP: usize = 50;
/// A question over many rows: a page, a menu, a count.
pub(crate) const SCAN: usize = 500;
/// Something that is read from outside the row: a body, a stack trace.
pub(crate) const BODY: usize = 25;

/// A list of `first` or `last` items.
pub(crate) fn list(first: Option<i32>, last: Option<i32>, item: usize) -> usize {
    let size = first.or(last).and_then(|size| usize::try_from(size).ok()).unwrap_or(DEFAULT_SIZE);
    size.clamp(1, MAX_SIZE).saturating_mul(item)
}

/// A list that takes a question over many rows to find.
pub(crate) fn scan(first: Option<i32>, last: Option<i32>, item: usize) -> usize {
    list(first, last, item).saturating_add(SCAN)
}

/// A series of `buckets`.
pub(crate) fn buckets(buckets: Option<i32>, bucket: usize) -> usize {
    usize::try_from(buckets.unwrap_or(60)).unwrap_or(1).clamp(1, 1_000).saturating_mul(bucket)
}
