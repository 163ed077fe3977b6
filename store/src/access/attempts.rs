//! Wrong keys, counted by where they come from. From some count on, secrets from there that no key in memory has are
//! refused late, and without asking the database. A good key works wherever it comes from: senders may share an address
//! with whoever guesses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::access::gate::Gate;

/// How many wrong keys may come from an address in a window.
const FREE: u32 = 20;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are remembered.
const REMEMBERED: usize = 4096;
/// How late a secret that is not known is refused. Longer than it takes until a key that was made elsewhere is known here.
const DELAY: Duration = Duration::from_millis(1_500);
/// How many refusals may be on their way at a time; further ones are told at once.
const DELAYED: usize = 32;

/// Counts wrong keys. Clones count together.
#[derive(Clone, Debug)]
pub struct Attempts {
    windows: Arc<Mutex<HashMap<IpAddr, Window>>>,
    delayed: Arc<Semaphore>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            windows: Arc::default(),
            delayed: Arc::new(Semaphore::new(DELAYED)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    failures: u32,
}

impl Attempts {
    /// To be asked before a secret is tried.
    ///
    /// # Errors
    ///
    /// Too many wrong keys came from this address, and no key in memory has this secret: how long whoever it is has to
    /// wait, in whole seconds, at least one. It is told late, unless many wait for it already.
    pub async fn hold_back(&self, gate: &Gate, peer: IpAddr, secret: &str) -> Result<(), Duration> {
        let Some(wait) = self.over_at(peer, Instant::now()) else {
            return Ok(());
        };
        if gate.knows(secret) {
            return Ok(());
        }
        if let Ok(_place) = self.delayed.try_acquire() {
            tokio::time::sleep(DELAY).await;
            if gate.knows(secret) {
                return Ok(());
            }
        }
        Err(wait)
    }

    /// How long an address has to wait before it may try another key.
    fn over_at(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&network(peer))?;
        let age = now.saturating_duration_since(window.since);
        (window.failures >= FREE && age < WINDOW).then(|| seconds(WINDOW.saturating_sub(age)))
    }

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
        Err(seconds(WINDOW.saturating_sub(age(window))))
    }
}

fn seconds(left: Duration) -> Duration {
    Duration::from_secs(left.as_secs().max(1))
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
    fn from_some_count_on_an_address_has_to_wait() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(attempts.over_at(peer(1), now), None);
            assert_eq!(attempts.failed_at(peer(1), now), Ok(()));
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(attempts.over_at(peer(1), later), Some(Duration::from_secs(40)));
        assert_eq!(attempts.over_at(peer(2), later), None);
        assert_eq!(attempts.over_at(peer(1), now + WINDOW), None);
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
