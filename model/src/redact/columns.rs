//! Tables in JSON: a list of names of columns, and lists of as many values: `[["name", "password"], ["bob", "…"]]`. The
//! columns may be objects, each with a name.

use super::rules::Named;

/// A list as a row of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// Whether it may be the head: a list of texts.
    pub(super) is_head: bool,
    /// Whether it may be a row: it stands in a list, or under such a name.
    is_row: bool,
    /// How many names, and how many cells, were known when it began.
    names: usize,
    cells: usize,
}

/// The head of the last table, and what may belong to it.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The rules of the columns' names.
    head: Vec<Option<Named>>,
    /// The same of lists that are open.
    names: Vec<Option<Named>>,
    /// Texts below names of secrets, in lists that are open.
    cells: Vec<(usize, usize, Named)>,
}

impl Columns {
    /// Whether a member of this name holds the values of a row.
    pub(super) fn are_values(member: &str) -> bool {
        matches!(member, "values" | "row" | "data" | "record" | "cells")
    }

    /// A list begins, or an object.
    pub(super) fn begin(&self, is_list: bool, is_row: bool) -> Row {
        Row {
            is_head: is_list,
            is_row: is_list && is_row,
            names: self.names.len(),
            cells: self.cells.len(),
        }
    }

    /// An item of the list `row` is an object that describes a column; `named` is the rule of its name, if it has one.
    pub(super) fn titled(&mut self, row: &mut Row, named: Option<Option<Named>>) {
        match named {
            Some(named) if row.is_head => self.names.push(named),
            _ => row.is_head = false,
        }
    }

    /// The text at `place` is the item of this number in a list; `named` is the rule that makes it a name of secrets.
    pub(super) fn text(&mut self, row: &mut Row, number: usize, named: Option<Named>, place: (usize, usize)) {
        if row.is_head {
            self.names.push(named);
        }
        let column = number.checked_sub(1).and_then(|number| self.head.get(number));
        if let Some(Some(column)) = column
            && row.is_row
            && named.is_none()
        {
            self.cells.push((place.0, place.1, *column));
        }
    }

    /// A list of so many items ends: the texts in it that stand below a name of secrets.
    pub(super) fn end(&mut self, row: Row, items: usize) -> Vec<(usize, usize, Named)> {
        let cells = self.cells.split_off(row.cells.min(self.cells.len()));
        let names = self.names.split_off(row.names.min(self.names.len()));
        let is_one = row.is_row && items == self.head.len();
        if row.is_head && names.len() > 1 && names.iter().any(Option::is_some) {
            self.head = names;
        }
        if is_one { cells } else { Vec::new() }
    }
}
