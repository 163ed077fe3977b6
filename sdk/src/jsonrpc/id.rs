//! Ids of JSON-RPC, compared by value.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest integer that is written out, in digits; what is longer keeps its exponent.
const LONGEST_INTEGER: i64 = 64;

/// A JSON-RPC id. The number 1 and the text "1" are two ids; 1, 1.0 and 1e0 are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    /// In one form for each value: see [`Id::number`].
    Number(String),
    Text(String),
    /// What JSON-RPC has no such ids of, a boolean, an object or a list: servers may answer it all the same. As compact JSON.
    Other(String),
}

impl Id {
    /// The id that a number names. Numbers of any size are compared by their digits, so that none is rounded.
    pub(crate) fn number(token: &str) -> Self {
        Self::Number(canonical(token).unwrap_or_else(|| token.to_owned()))
    }

    /// The id that a value of another kind is.
    pub(super) fn other(json: &str) -> Self {
        let value = serde_json::from_str::<serde_json::Value>(json);
        Self::Other(value.map_or_else(|_| json.to_owned(), |value| value.to_string()))
    }

    /// Its hash, for where ids are only compared: one may be 4 KiB long.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }

    /// The same for ids that some peer takes for the same: a text counts as the number that it spells.
    pub(crate) fn digits(&self) -> String {
        match self {
            Self::Number(id) | Self::Other(id) => id.clone(),
            Self::Text(text) => canonical(text).unwrap_or_else(|| text.clone()),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) | Self::Text(id) | Self::Other(id) => formatter.write_str(id),
        }
    }
}

/// A JSON number in the one form that all numbers of its value have: an integer written out, or digits without zeros
/// around them and an exponent. None for what is no number of JSON.
pub(super) fn canonical(token: &str) -> Option<String> {
    let (sign, rest) = match token.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", token),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || !is_digits(whole)
        || !is_digits(fraction)
        || (whole.len() > 1 && whole.starts_with('0'))
    {
        return None;
    }
    let joined = format!("{whole}{fraction}");
    let leading = joined.trim_start_matches('0');
    let digits = leading.trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = i64::try_from(leading.len() - digits.len()).ok()?;
    let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()? + zeros;
    let room = LONGEST_INTEGER - i64::try_from(digits.len()).ok()?;
    Some(match usize::try_from(exponent) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(zeros) if exponent <= room => format!("{sign}{digits}{}", "0".repeat(zeros)),
        _ => format!("{sign}{digits}e{exponent}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("1", "10E-1"),
            ("0", "-0"),
            ("0", "0.000e7"),
            ("120", "1.2e+2"),
            ("-7", "-7.00"),
            ("0.5", "5e-1"),
            ("12345678901234567890123", "12345678901234567890123.0"),
            ("1e400", "10e399"),
        ] {
            assert_eq!(Id::number(one), Id::number(other));
        }
        for (one, other) in [
            ("1", "-1"),
            ("1", "10"),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("0.5", "0.05"),
        ] {
            assert_ne!(Id::number(one), Id::number(other));
        }
        assert_eq!(Id::number("1.0").to_string(), "1");
        assert_eq!(Id::number("1.5").to_string(), "15e-1");
    }

    #[test]
    fn ids_of_other_kinds_are_compared_by_value() {
        assert_eq!(Id::other("{ \"a\" : [1, true] }"), Id::other("{\"a\":[1,true]}"));
        assert_ne!(Id::other("true"), Id::other("false"));
        assert_ne!(Id::other("true"), Id::Text("true".to_owned()));
        // What was cut is no JSON any more.
        assert_eq!(Id::other("[\"cut").to_string(), "[\"cut");
    }

    #[test]
    fn what_is_no_number_stays_as_it_is() {
        for token in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "0x1",
            "1e",
            "1e99999999999",
            "1 ",
            "one",
            "½",
        ] {
            assert_eq!(canonical(token), None, "{token:?}");
        }
    }

    #[test]
    fn digits_are_the_same_across_text_and_number() {
        let text = |text: &str| Id::Text(text.to_owned());
        assert_ne!(text("1"), Id::number("1"));
        assert_eq!(text("1").digits(), Id::number("1.0").digits());
        assert_eq!(text("a-1").digits(), "a-1");
        assert_ne!(text("01").digits(), Id::number("1").digits());
    }
}
