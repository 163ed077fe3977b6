//! How many connections to PostgreSQL each pool has.

/// Numbers of connections by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// For transactions that write.
    pub(crate) write: u32,
    /// To look around before a write: for the next group, for one that is tried again, and for whoever holds the lock.
    pub(crate) near: u32,
    /// For the feed: where there are two, one listens.
    pub(crate) feed: u32,
    /// For erasures, retention and the indexer.
    pub(crate) maintenance: u32,
    /// For the checks.
    pub(crate) probe: u32,
    /// For an erasure, of which one runs at a time: its lock, and, where there are two, the vacuum at its end. They are in no
    /// pool.
    pub(crate) erasure: u32,
    /// For queries.
    pub(crate) read: u32,
}

impl Connections {
    /// With fewer a server does not do its work.
    pub(crate) const MINIMUM: Self = Self {
        write: 1,
        near: 2,
        feed: 1,
        // An erasure may read for minutes.
        maintenance: 2,
        probe: 1,
        erasure: 1,
        read: 2,
    };

    /// Those of a command. It uses at most three at the same time, as many as a server leaves: it looks for nothing before it
    /// writes, reads by the connections of maintenance alone, and nobody checks on it.
    pub(crate) const COMMAND: Self = Self {
        maintenance: 1,
        ..Self::MINIMUM
    };

    /// How many they are together.
    pub(crate) fn sum(self) -> u32 {
        let others = [
            self.write,
            self.near,
            self.feed,
            self.maintenance,
            self.probe,
            self.erasure,
        ];
        others
            .iter()
            .fold(self.read, |sum, more| sum.saturating_add(*more))
    }

    /// The most that these can be when all together are at most `most`, and never fewer than the least.
    pub(crate) fn within(self, most: u32) -> Self {
        let mut share = Self::MINIMUM;
        loop {
            let before = share;
            for pool in 0..6 {
                let mut more = share;
                let (number, wanted) = match pool {
                    0 => (&mut more.feed, self.feed),
                    1 => (&mut more.erasure, self.erasure),
                    2 => (&mut more.near, self.near),
                    3 => (&mut more.maintenance, self.maintenance),
                    4 => (&mut more.read, self.read),
                    _ => (&mut more.write, self.write),
                };
                if *number < wanted {
                    *number = number.saturating_add(1);
                    if more.sum() <= most {
                        share = more;
                    }
                }
            }
            if share == before {
                return share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_fit_into_what_there_is() {
        let wanted = Connections {
            write: 3,
            near: 3,
            feed: 3,
            maintenance: 3,
            probe: 1,
            erasure: 2,
            read: 34,
        };
        assert_eq!(wanted.within(wanted.sum()), wanted);
        assert_eq!(wanted.within(0), Connections::MINIMUM);
        for most in Connections::MINIMUM.sum()..=wanted.sum() {
            let share = wanted.within(most);
            assert_eq!(share.sum(), most, "{share:?}");
        }
    }
}
