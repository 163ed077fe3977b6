//! Records that can never be stored: counted by reason, told by a few examples.

use std::fmt;

use crate::losses::{Losses, Lost};

/// How many examples a sender is told; the others are numbers.
const EXAMPLES: usize = 3;

/// Why a record can never be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be read.
    Unreadable,
    /// Its trace id or span id is none.
    Ids,
    /// It has no start.
    NoStart,
    /// Its time is no time in nanoseconds.
    Unit,
    /// It is older than the retention.
    Expired,
    /// It is more than a day ahead.
    Future,
    /// The sender's key is bound to other servers.
    NotAllowed,
    /// The database can never store it.
    Refused,
    /// A span of another sender has its ids.
    Foreign,
}

impl Reason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Unreadable,
        Self::Ids,
        Self::NoStart,
        Self::Unit,
        Self::Expired,
        Self::Future,
        Self::NotAllowed,
        Self::Refused,
        Self::Foreign,
    ];

    /// The value of the metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Ids => "invalid_id",
            Self::NoStart => "no_start_time",
            Self::Unit => "time_not_in_nanoseconds",
            Self::Expired => "older_than_retention",
            Self::Future => "in_the_future",
            Self::NotAllowed => "server_not_allowed",
            Self::Refused => "refused_by_database",
            Self::Foreign => "ids_of_another_sender",
        }
    }
}

/// The records of an export that were rejected, and the values that were left out of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    counts: [u64; Reason::ALL.len()],
    examples: Vec<(Reason, String)>,
    values: Lost,
}

impl Rejections {
    /// Counts a record. The text is made only where it is told: once for each reason, and of few reasons.
    pub(crate) fn add(&mut self, reason: Reason, text: impl FnOnce() -> String) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += 1;
        }
        if self.examples.len() < EXAMPLES && self.examples.iter().all(|(told, _)| *told != reason) {
            self.examples.push((reason, text()));
        }
    }

    /// Counts so many records at once.
    pub(crate) fn add_many(&mut self, reason: Reason, records: usize, text: impl FnOnce() -> String) {
        if records == 0 {
            return;
        }
        self.add(reason, text);
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += records as u64 - 1;
        }
    }

    /// Counts what could not be read.
    pub(crate) fn lose(&mut self, Losses { values, records }: Losses) {
        self.values.merge(values);
        let count = usize::try_from(records.count).unwrap_or(usize::MAX);
        self.add_many(Reason::Unreadable, count, || records.example.unwrap_or_default());
    }

    /// Adds what another has.
    pub(crate) fn merge(&mut self, other: Self) {
        self.values.merge(other.values);
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        for (reason, text) in other.examples {
            if self.examples.len() < EXAMPLES && self.examples.iter().all(|(told, _)| *told != reason) {
                self.examples.push((reason, text));
            }
        }
    }

    /// How many were rejected for that reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.counts.get(reason as usize).copied().unwrap_or_default()
    }

    /// How many were rejected.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (reason, text) in &self.examples {
            write!(formatter, "{separator}{text}")?;
            if self.of(*reason) > 1 {
                write!(
                    formatter,
                    " (and {} more: {})",
                    self.of(*reason) - 1,
                    reason.as_str()
                )?;
            }
            separator = "; ";
        }
        let told: u64 = self.examples.iter().map(|(reason, _)| self.of(*reason)).sum();
        if self.total() > told {
            write!(formatter, "; and {} for other reasons", self.total() - told)?;
        }
        if let Some(example) = &self.values.example {
            write!(formatter, "{separator}left out: {example}")?;
            if self.values.count > 1 {
                write!(formatter, " (and {} more values)", self.values.count - 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_few_are_told() {
        let mut rejections = Rejections::default();
        assert_eq!(rejections.to_string(), "");
        for number in 0..1000 {
            rejections.add(Reason::Ids, || format!("span {number}: no trace id"));
        }
        rejections.add(Reason::NoStart, || "span b: no start".to_owned());
        assert_eq!(
            rejections.to_string(),
            "span 0: no trace id (and 999 more: invalid_id); span b: no start"
        );
        for reason in Reason::ALL {
            rejections.add(reason, || format!("x{}", reason.as_str()));
        }
        assert_eq!((rejections.total(), rejections.of(Reason::Ids)), (1010, 1001));
        assert!(
            rejections.to_string().ends_with("and 6 for other reasons"),
            "{rejections}"
        );
        let told = rejections.to_string();
        let mut more = Rejections::default();
        more.merge(rejections.clone());
        more.merge(Rejections::default());
        assert_eq!(more.to_string(), told);
        more.merge(rejections);
        assert_eq!((more.total(), more.examples.len()), (2020, 3));
    }

    #[test]
    fn values_left_out_are_told_beside_them() {
        let lost = |count, example: &str| Lost {
            count,
            example: Some(example.to_owned()),
        };
        let mut rejections = Rejections::default();
        rejections.lose(Losses {
            values: lost(1, "attribute \"a\" is not a number"),
            ..Losses::default()
        });
        assert_eq!(
            (rejections.total(), rejections.to_string().as_str()),
            (0, "left out: attribute \"a\" is not a number")
        );
        let mut all = Rejections::default();
        all.add(Reason::Ids, || "span b: no id".to_owned());
        all.lose(Losses {
            values: lost(2, "attribute \"c\" is not a number"),
            records: lost(3, "a span is damaged"),
        });
        all.merge(rejections);
        assert_eq!((all.total(), all.of(Reason::Unreadable)), (4, 3));
        assert_eq!(
            all.to_string(),
            "span b: no id; a span is damaged (and 2 more: unreadable); left out: attribute \"c\" is not a number (and 2 \
             more values)"
        );
    }

    #[test]
    fn a_reason_is_its_own_index() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
