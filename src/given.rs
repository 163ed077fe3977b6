//! Values as they were given by a flag, a variable or the file. A wrong one is kept with the reason, so that it can be told
//! together with everything else that is wrong.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problems::Problems;

/// A kind of value that settings have.
pub trait Value: Sized {
    /// Reads one. The error says what to give instead.
    fn read(text: &str) -> Result<Self, String>;
}

/// A value that was given, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given<T> {
    /// It can be read.
    Value(T),
    /// It cannot.
    Wrong {
        /// As it was given.
        text: String,
        /// What to give instead.
        advice: String,
    },
}

impl<T> From<T> for Given<T> {
    fn from(value: T) -> Self {
        Self::Value(value)
    }
}

impl<T: Value> FromStr for Given<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match T::read(text.trim()) {
            Ok(value) => Self::Value(value),
            Err(advice) => Self::Wrong {
                text: text.to_owned(),
                advice,
            },
        })
    }
}

/// The value, if one was given and can be read. `setting` is its name, for the problem.
pub(crate) fn taken<T>(given: Option<Given<T>>, setting: &str, problems: &mut Problems) -> Option<T> {
    match given? {
        Given::Value(value) => Some(value),
        Given::Wrong { text, advice } => {
            problems.add(anyhow::anyhow!("{setting} is {text:?}; {advice}"));
            None
        }
    }
}

impl<T: Serialize> Serialize for Given<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Wrong { text, .. } => serializer.serialize_str(text),
        }
    }
}

impl<'de, T: Value> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(PhantomData))
    }
}

/// Reads every scalar of TOML as the text that a flag would have.
struct Scalar<T>(PhantomData<T>);

impl<T: Value> Visitor<'_> for Scalar<T> {
    type Value = Given<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, a text, true or false")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given<T>, E> {
        text.parse().map_err(|never: Infallible| match never {})
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Given<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Given<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Given<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Given<T>, E> {
        self.visit_str(if yes { "true" } else { "false" })
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "give true or false".to_owned())
    }
}

impl Value for usize {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "give a whole number".to_owned())
    }
}

impl Value for u32 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "give a whole number".to_owned())
    }
}

/// An address to listen at. `localhost`, in any case, is the one of IPv4, as in the defaults.
impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        let numeric = text
            .split_once(':')
            .filter(|(host, _)| host.eq_ignore_ascii_case("localhost"))
            .map(|(_, port)| format!("127.0.0.1:{port}"));
        let address = numeric.as_deref().unwrap_or(text);
        address.parse().map_err(|_| {
            let example = "give an address such as 127.0.0.1:6278, [::1]:6278 or localhost:6278";
            match why_no_address(address) {
                Some(why) => format!("{why}; {example}"),
                None => example.to_owned(),
            }
        })
    }
}

/// The part of an address that is wrong, if it is known which.
fn why_no_address(text: &str) -> Option<&'static str> {
    if text.contains("://") {
        return Some("it is a URL, and an address has no scheme and no path");
    }
    if text.parse::<IpAddr>().is_ok() || text.eq_ignore_ascii_case("localhost") {
        return Some("the port is missing");
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("the address before the port is missing");
    }
    let (host, port) = text.rsplit_once(':')?;
    if host.is_empty() {
        return Some("the address before the port is missing");
    }
    match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Err(_) => Some("names are not looked up"),
        Ok(address) if address.is_ipv6() && !host.starts_with('[') => {
            Some("an address of IPv6 stands in brackets")
        }
        Ok(_) if port.is_empty() => Some("the port is missing"),
        Ok(_) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some("ports go up to 65535"),
        Ok(_) => Some("the port is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn addresses_may_be_called_localhost() {
        let read = <SocketAddr as Value>::read;
        assert_eq!(read("localhost:80").unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(read("LocalHost:0").unwrap(), "127.0.0.1:0".parse().unwrap());
        assert_eq!(read("[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        for (wrong, why) in [
            ("localhost", "the port is missing; "),
            ("127.0.0.1", "the port is missing; "),
            ("127.0.0.1:", "the port is missing; "),
            ("::1", "the port is missing; "),
            ("example.org:80", "names are not looked up; "),
            ("127.0.0.1:65536", "ports go up to 65535; "),
            ("localhost:99999", "ports go up to 65535; "),
            ("127.0.0.1:http", "the port is no number; "),
            ("http://127.0.0.1:1", "it is a URL"),
            ("6278", "the address before the port is missing; "),
            (":6278", "the address before the port is missing; "),
            ("fe80::1:99999", "an address of IPv6 stands in brackets; "),
            ("", "give"),
            ("nowhere", "give"),
        ] {
            let told = read(wrong).unwrap_err();
            assert!(told.starts_with(why), "{wrong}: {told}");
            assert!(
                told.contains("give an address such as 127.0.0.1:6278"),
                "{wrong}: {told}"
            );
        }
    }

    #[test]
    fn flags_and_the_file_read_alike() {
        let settings: Settings =
            toml::from_str("listen = \"localhost:1\"\nbody_cap = 7\nreaders = \"8\"\nallow_remote = true")
                .unwrap();
        assert_eq!(
            settings.listen,
            Some(Given::Value("127.0.0.1:1".parse().unwrap()))
        );
        assert_eq!(
            (settings.body_cap, settings.readers, settings.allow_remote),
            (Some(7.into()), Some(8.into()), Some(true.into()))
        );
        let settings: Settings = toml::from_str("body_cap = -1").unwrap();
        assert_eq!(settings.body_cap, Some("-1".parse().unwrap()));
        let mut problems = Problems::default();
        assert_eq!(taken(settings.body_cap, "body_cap", &mut problems), None);
        assert_eq!(
            problems.end(()).unwrap_err().to_string(),
            "body_cap is \"-1\"; give a number of bytes, or one with a unit such as 512MiB or 2GiB"
        );
    }
}
