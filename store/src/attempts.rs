//! Wrong keys, counted by where they come from, so that trying many is slow. A good key always works, wherever it comes
//! from: senders may share an address with whoever guesses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many wrong keys may come from an address in a window.
const FREE: u32 = 20;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are remembered.
const REMEMBERED: usize = 4096;

/// Counts wrong keys. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    windows: Arc<Mutex<HashMap<IpAddr, Window>>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    failures: u32,
}

impl Attempts {
    /// A wrong key came from this address.
    ///
    /// # Errors
    ///
    /// Too many did in the last minute: how long whoever it is has to wait, in whole seconds, at least one.
    pub fn failed(&self, peer: IpAddr) -> Result<(), Duration> {
        self.failed_at(peer, Instant::now())
    }

    fn failed_at(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = network(peer);
        let age = |window: &Window| now.saturating_duration_since(window.since);
        if windows.len() >= REMEMBERED && !windows.contains_key(&peer) {
            windows.retain(|_, window| age(window) < WINDOW);
            // Whoever comes from so many addresses makes others be forgotten, but no more than memory holds.
            let oldest = windows
                .iter()
                .max_by_key(|(_, window)| age(window))
                .map(|(peer, _)| *peer);
            if let Some(oldest) = oldest.filter(|_| windows.len() >= REMEMBERED) {
                windows.remove(&oldest);
            }
        }
        let fresh = Window {
            since: now,
            failures: 0,
        };
        let window = windows.entry(peer).or_insert(fresh);
        if age(window) >= WINDOW {
            *window = fresh;
        }
        window.failures = window.failures.saturating_add(1);
        if window.failures <= FREE {
            return Ok(());
        }
        let left = WINDOW.saturating_sub(age(window));
        Err(Duration::from_secs(left.as_secs().max(1)))
    }
}

/// Whoever has an address of IPv6 usually has the whole network of 64 bits.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn trying_many_keys_takes_long() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(attempts.failed_at(peer(1), now), Ok(()));
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(attempts.failed_at(peer(1), later), Err(Duration::from_secs(40)));
        assert_eq!(attempts.failed_at(peer(2), later), Ok(()), "somebody else");
        assert_eq!(attempts.failed_at(peer(1), now + WINDOW), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_a_mapped_address_is_its_own() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_forgotten() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..10_000 {
            let now = now + Duration::from_micros(number.into());
            attempts.failed_at(peer(number), now).unwrap();
        }
        let windows = attempts.windows.lock().unwrap();
        assert_eq!(windows.len(), REMEMBERED);
        assert!(windows.contains_key(&peer(9_999)) && !windows.contains_key(&peer(0)));
    }
}
