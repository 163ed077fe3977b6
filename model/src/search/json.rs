//! The texts in a JSON body, shown one after the other while it is parsed: no tree of it is built.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{Stop, Stopped};

/// How many keys and values are parsed between two questions whether to stop.
const STOP_EVERY: usize = 4_096;

/// Whether a text is JSON as `serde_json::Value` reads it: within its depth, its range of numbers, and without halves of
/// characters.
pub(super) fn is_json(text: &str, stop: Stop<'_>) -> Result<bool, Stopped> {
    let begins = text.trim_start().as_bytes().first();
    let may_be = begins.is_some_and(|byte| matches!(byte, b'{' | b'[' | b'"' | b'-' | b't' | b'f' | b'n'))
        || begins.is_some_and(u8::is_ascii_digit);
    if !may_be {
        return Ok(false);
    }
    let mut seen = 0;
    let parsed = parse(text, &mut |_: &str| {
        seen += 1;
        if seen % STOP_EVERY == 0 && stop() {
            return Err(Stopped);
        }
        Ok(())
    });
    match parsed {
        Ok(()) => Ok(true),
        Err(Failed::Stopped) => Err(Stopped),
        Err(Failed::NoJson) => Ok(false),
    }
}

/// Shows every key and every value of a JSON text.
pub(super) fn each_text(
    text: &str,
    mut show: impl FnMut(&str) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    match parse(text, &mut show) {
        Err(Failed::Stopped) => Err(Stopped),
        Ok(()) | Err(Failed::NoJson) => Ok(()),
    }
}

enum Failed {
    Stopped,
    NoJson,
}

fn parse(text: &str, show: &mut impl FnMut(&str) -> Result<(), Stopped>) -> Result<(), Failed> {
    let mut stopped = false;
    let mut parser = serde_json::Deserializer::from_str(text);
    let walk = Walk {
        show: &mut |text: &str| show(text).map_err(|Stopped| stopped = true),
    };
    let parsed = walk.deserialize(&mut parser).and_then(|()| parser.end());
    match parsed {
        Ok(()) => Ok(()),
        Err(_) if stopped => Err(Failed::Stopped),
        Err(_) => Err(Failed::NoJson),
    }
}

struct Walk<'s, F> {
    show: &'s mut F,
}

impl<F: FnMut(&str) -> Result<(), ()>> Walk<'_, F> {
    fn show<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        (self.show)(text).map_err(|()| E::custom("stopped"))
    }
}

impl<'de, F: FnMut(&str) -> Result<(), ()>> DeserializeSeed<'de> for Walk<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str) -> Result<(), ()>> Visitor<'de> for Walk<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.show(if value { "true" } else { "false" })
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.show(&Number::from(value).to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.show(&Number::from(value).to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        match Number::from_f64(value) {
            Some(number) => self.show(&number.to_string()),
            None => Ok(()),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.show(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(Walk {
                show: &mut *self.show,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members
            .next_key_seed(Walk {
                show: &mut *self.show,
            })?
            .is_some()
        {
            members.next_value_seed(Walk {
                show: &mut *self.show,
            })?;
        }
        Ok(())
    }
}
