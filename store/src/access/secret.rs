//! The secrets of keys: made here, shown once, and stored as a hash only.

use std::fmt;
use std::hint::black_box;

use sha2::{Digest, Sha256};

/// What every secret begins with, so that a leaked one is recognised.
const PREFIX: &str = "mcptap_";
/// How many characters follow: as many as 256 bits need.
const CHARACTERS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The secret of a key: `mcptap_` and 43 letters and digits, 256 bits from the system's source of randomness. It can be
/// shown, but not by accident: its `Debug` keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one. Fails where the system has no randomness to give.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(encode(bytes)))
    }

    /// The text to be given to whoever is to use the key.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A 256-bit number in base 62.
fn encode(mut number: [u8; 32]) -> String {
    let mut digits = [b'0'; CHARACTERS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = ALPHABET.get(rest as usize).copied().unwrap_or(b'0');
    }
    format!("{PREFIX}{}", String::from_utf8_lossy(&digits))
}

/// What is stored of a secret. A plain hash is enough: nobody guesses 256 bits.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (one, other)| {
        black_box(difference | (one ^ other))
    });
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_new_each_time() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one, other);
        for secret in [&one, &other] {
            let text = secret.reveal().strip_prefix(PREFIX).unwrap();
            assert_eq!(text.len(), CHARACTERS);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert!(!format!("{secret:?}").contains(text));
        }
    }

    #[test]
    fn numbers_are_written_in_base_62() {
        let text = |number: [u8; 32]| encode(number)[PREFIX.len()..].to_owned();
        let mut number = [0; 32];
        assert_eq!(text(number), "0".repeat(43));
        number[31] = 63;
        assert_eq!(text(number), format!("{}11", "0".repeat(41)));
        // Nothing of the number is lost: 62^43 is more than 2^256.
        assert!(text([255; 32]).starts_with(|first: char| first != '0'));
    }

    #[test]
    fn only_the_same_is_the_same() {
        let known = hash("mcptap_a");
        assert!(same(&known, &hash("mcptap_a")));
        for place in 0..32 {
            let mut other = known;
            other[place] ^= 1;
            assert!(!same(&known, &other));
        }
    }
}
