//! Stretches of time, found by what they last around or lie within, without looking at the others.

/// A start, an end (both inclusive), and the value that stands for it.
pub(super) type Interval = (i64, i64, usize);

/// Intervals sorted by their start, with a tree of their ends above them: each that is found costs a logarithm.
#[derive(Debug)]
pub(super) struct Intervals {
    starts: Vec<i64>,
    values: Vec<usize>,
    /// The latest end below each node of a binary tree, whose root is 1. The leaves begin at `leaves`.
    latest: Vec<i64>,
    /// The earliest end below each node.
    earliest: Vec<i64>,
    leaves: usize,
}

impl Intervals {
    /// From starts, ends (both inclusive) and values.
    pub(super) fn new(mut items: Vec<Interval>) -> Self {
        items.sort_unstable();
        // One leaf more than items: a search never begins behind the last leaf.
        let leaves = (items.len() + 1).next_power_of_two();
        let tree = |nothing: i64, better: fn(i64, i64) -> i64| {
            let mut tree = vec![nothing; leaves * 2];
            for (slot, (_, end, _)) in tree.iter_mut().skip(leaves).zip(&items) {
                *slot = *end;
            }
            for node in (1..leaves).rev() {
                let below = [2 * node, 2 * node + 1].map(|at| tree.get(at).copied().unwrap_or(nothing));
                if let Some(slot) = tree.get_mut(node) {
                    *slot = better(below[0], below[1]);
                }
            }
            tree
        };
        Self {
            latest: tree(i64::MIN, i64::max),
            earliest: tree(i64::MAX, i64::min),
            starts: items.iter().map(|(start, ..)| *start).collect(),
            values: items.iter().map(|(.., value)| *value).collect(),
            leaves,
        }
    }

    /// Those that start at or before `from` and end at or after `to`, the latest start first.
    pub(super) fn around(&self, from: i64, to: i64) -> impl Iterator<Item = usize> + '_ {
        let mut bound = self.starts.partition_point(|start| *start <= from);
        std::iter::from_fn(move || {
            bound = self.last_before(bound, to)?;
            self.values.get(bound).copied()
        })
    }

    /// Those that start at or after `from` and end at or before `to`, the earliest start first.
    pub(super) fn within(&self, from: i64, to: i64) -> impl Iterator<Item = usize> + '_ {
        let mut next = self.starts.partition_point(|start| *start < from);
        std::iter::from_fn(move || {
            let found = self.first_from(next, to)?;
            next = found + 1;
            self.values.get(found).copied()
        })
    }

    /// The last place before `bound` whose interval ends at or after `to`.
    fn last_before(&self, bound: usize, to: i64) -> Option<usize> {
        let reaches = |node: usize| self.latest.get(node).is_some_and(|end| *end >= to);
        let mut at = bound + self.leaves;
        while at > 1 {
            if at % 2 == 1 && reaches(at - 1) {
                let mut node = at - 1;
                while node < self.leaves {
                    node = 2 * node + usize::from(reaches(2 * node + 1));
                }
                return (node - self.leaves < self.values.len()).then_some(node - self.leaves);
            }
            at /= 2;
        }
        None
    }

    /// The first place from `next` on whose interval ends at or before `to`.
    fn first_from(&self, next: usize, to: i64) -> Option<usize> {
        let ended = |node: usize| self.earliest.get(node).is_some_and(|end| *end <= to);
        let mut node = next + self.leaves;
        while !ended(node) {
            // Up to the first subtree that has a neighbour on the right.
            while node % 2 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
        }
        while node < self.leaves {
            node = 2 * node + usize::from(!ended(2 * node));
        }
        (node - self.leaves < self.values.len()).then_some(node - self.leaves)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_looking_at_all_finds(
            items in prop::collection::vec((0..60i64, 0..30i64), 0..40),
            from in -5..70i64,
            to in -5..90i64,
        ) {
            let items: Vec<_> =
                items.into_iter().enumerate().map(|(at, (start, length))| (start, start + length, at)).collect();
            let of = |holds: &dyn Fn(i64, i64) -> bool| {
                let mut all: Vec<_> =
                    items.iter().filter(|(start, end, _)| holds(*start, *end)).map(|(.., at)| *at).collect();
                all.sort_unstable();
                all
            };
            let intervals = Intervals::new(items.clone());
            let mut around: Vec<_> = intervals.around(from, to).collect();
            around.sort_unstable();
            prop_assert_eq!(around, of(&|start, end| start <= from && end >= to));
            let mut within: Vec<_> = intervals.within(from, to).collect();
            within.sort_unstable();
            prop_assert_eq!(within, of(&|start, end| start >= from && end <= to));
        }
    }
}
