//! How much folding compares, and where it stops.

use std::cell::Cell;

/// How many candidates a rule looks at for one span, call or line. A rule that no id and no time narrows further (10,000
/// requests at the same time below one span) would otherwise compare all with all.
const CANDIDATES: usize = 128;

/// What folding one batch took.
#[derive(Debug, Default)]
pub(super) struct Effort {
    compared: Cell<u64>,
    cut: Cell<u64>,
}

impl Effort {
    /// Counts candidates as they are looked at, and ends after [`CANDIDATES`].
    pub(super) fn bounded<'a, T>(
        &'a self,
        all: impl Iterator<Item = T> + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        let mut left = CANDIDATES;
        all.map_while(move |item| {
            if left == 0 {
                self.cut.set(self.cut.get() + 1);
                return None;
            }
            left -= 1;
            self.compared.set(self.compared.get() + 1);
            Some(item)
        })
    }

    /// How many candidates were looked at.
    pub(super) fn compared(&self) -> u64 {
        self.compared.get()
    }

    /// How many times there were more candidates than are looked at.
    pub(super) fn cut(&self) -> u64 {
        self.cut.get()
    }
}
