//! How many connections fit into what the system gives this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// File descriptors for the database, for outgoing connections and for the runtime.
pub(crate) const RESERVED: u64 = 192;
/// More connections than this are had by a setting only.
const USUAL: u64 = 4096;
/// The limit is raised no further: some systems allow so many that tables sized by it fill the memory.
const ENOUGH: u64 = 65_536;

/// Raises the number of files that this process may have open to what the system lets it: many systems begin with 1,024
/// for the sake of programs that use `select`.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current else { return };
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if wanted > current {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays at {current}");
        }
    }
}

/// How many connections each of some ports may have, where each takes so many descriptors, so that together they leave
/// enough for everything else.
pub(crate) fn default_places(ports: u64, descriptors: u64) -> usize {
    places(getrlimit(Resource::Nofile).current, ports, descriptors)
}

/// How many files the system lets this process have open at most; `None`: as many as it likes.
pub(crate) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

fn places(limit: Option<u64>, ports: u64, descriptors: u64) -> usize {
    let Some(limit) = limit else {
        return usize::try_from(USUAL).unwrap_or(usize::MAX);
    };
    let left = limit.saturating_sub(RESERVED.min(limit / 2));
    let each = left
        .checked_div(ports.saturating_mul(descriptors))
        .unwrap_or(left);
    usize::try_from(each.clamp(1, USUAL)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_leave_enough_for_the_database() {
        for limit in [64, 256, 1024, 4096] {
            let places = places(Some(limit), 3, 1) as u64;
            assert!(
                places >= 8 && 3 * places + RESERVED.min(limit / 2) <= limit,
                "{limit}: {places}"
            );
        }
        assert_eq!(places(Some(1 << 20), 3, 1), 4096);
        assert_eq!(places(None, 1, 2), 4096);
    }
}
