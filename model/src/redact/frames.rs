//! The objects and lists of JSON that are open while it is read, and what the name before a value says of it.

use super::columns::Row;
use super::held::{Held, Holds};
use super::rules::Named;

/// An object or list that is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    pub(super) is_list: bool,
    /// The rule that makes its texts secrets; for an object those of its `value`.
    pub(super) secret: Option<Named>,
    /// The rule of the name that a pair has, if that came first.
    pub(super) named: Option<Named>,
    /// The `value` of a pair whose name is still to come.
    pub(super) value: Option<(usize, usize)>,
    /// The same of a value that a schema gives.
    pub(super) sample: Option<(usize, usize)>,
    /// Whether its texts are values that a schema gives.
    pub(super) is_sample: bool,
    /// How many items a list has so far.
    pub(super) items: usize,
    /// The rule of the item before, if that is the name of a secret.
    pub(super) before: Option<Named>,
    /// The second item of a list whose first is the name of a secret.
    pub(super) second: Option<(usize, usize, Named)>,
    /// The rule of the name of an object in a list, which may describe a column, once it is read.
    pub(super) title: Option<Option<Named>>,
    /// Whether the item before is a flag, whose value follows.
    pub(super) flag: bool,
    /// Whatever else its members say of it.
    pub(super) holds: Holds,
    /// Its role as a row of a table.
    pub(super) row: Row,
}

/// Facts about a value, known before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Key {
    pub(super) secret: Option<Named>,
    pub(super) is_value: bool,
    pub(super) is_sample: bool,
    pub(super) is_name: bool,
    /// The meaning of its value if the object around it turns out to hold secrets.
    pub(super) held: Option<Held>,
    /// Whether it names the values of a row.
    pub(super) is_row: bool,
}
