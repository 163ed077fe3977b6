//! Scalars by the table of ProtoJSON ("ProtoJSON Format", protobuf.dev): each type in every form that a sender may give it.
//! None reads what is no value of the type.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::node::Node;

/// Reads base64 with padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The most digits that a number of 64 bits has.
const DIGITS: usize = 20;

pub(super) fn truth(node: &Node<'_>) -> Option<bool> {
    match node {
        Node::Bool(truth) => Some(*truth),
        Node::Text(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn signed(node: &Node<'_>) -> Option<i64> {
    match node {
        Node::Object(_) => long(node).map(u64::cast_signed),
        _ => i64::try_from(whole(word(node)?)?).ok(),
    }
}

pub(super) fn unsigned(node: &Node<'_>) -> Option<u64> {
    match node {
        Node::Object(_) => long(node),
        _ => u64::try_from(whole(word(node)?)?).ok(),
    }
}

/// A number of 64 bits as older JavaScript exporters write it: in two halves, each with a sign or without.
fn long(node: &Node<'_>) -> Option<u64> {
    let half = |name: &str| {
        let entries = node.as_object()?;
        let (_, half) = entries.iter().find(|(found, _)| found == name)?;
        let half = whole(word(half)?)?;
        let signed = i32::try_from(half).map(i32::cast_unsigned);
        signed.or_else(|_| u32::try_from(half)).ok()
    };
    Some(u64::from(half("high")?) << 32 | u64::from(half("low")?))
}

pub(super) fn double(node: &Node<'_>) -> Option<f64> {
    let text = word(node)?;
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust reads more names, and what is too large as infinite.
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Base64 in both alphabets. Also the bytes themselves, as JavaScript writes a `Buffer`.
pub(super) fn bytes(node: &Node<'_>) -> Option<Vec<u8>> {
    match node {
        Node::Text(text) if text.contains(['-', '_']) => {
            BASE64.decode(text.replace('-', "+").replace('_', "/")).ok()
        }
        Node::Text(text) => BASE64.decode(text.as_ref()).ok(),
        Node::List(items) => {
            let byte = |item: &Node<'_>| u8::try_from(whole(word(item)?)?).ok();
            items.iter().map(byte).collect()
        }
        Node::Object(entries) => {
            let (_, data) = entries.iter().find(|(name, _)| name == "data")?;
            data.as_list().and_then(|_| bytes(data))
        }
        _ => None,
    }
}

/// Hexadecimal in any case, as OTLP has ids.
pub(super) fn hex(node: &Node<'_>) -> Option<Vec<u8>> {
    let pairs = node.as_str()?.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// An id: in hexadecimal, or in base64 as ProtoJSON has bytes and senders write that do not know of OTLP's exception. Their
/// lengths tell them apart.
pub(super) fn id(node: &Node<'_>) -> Option<Vec<u8>> {
    let is_base64 = matches!(node.as_str()?.len(), 11 | 12 | 22 | 24);
    let decoded = is_base64.then(|| bytes(node)).flatten();
    decoded
        .filter(|id| matches!(id.len(), 8 | 16))
        .or_else(|| hex(node))
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

/// The text of a number, also of one in a string.
fn word<'a>(node: &'a Node<'_>) -> Option<&'a str> {
    match node {
        Node::Number(word) => Some(word),
        Node::Text(text) => Some(text),
        _ => None,
    }
}

/// A whole number, however it is written: `1`, `1.0`, `1e3`, `10e-1`. Exact, unlike by way of a double.
fn whole(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(integer) || !digits(fraction) {
        return None;
    }
    let all = [integer, fraction].concat();
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let trailing = all.len() - all.trim_end_matches('0').len();
    let zeros = i64::from(exponent) + i64::try_from(trailing).ok()? - i64::try_from(fraction.len()).ok()?;
    let zeros = usize::try_from(zeros).ok()?;
    if significant.len().saturating_add(zeros) > DIGITS {
        return None;
    }
    let number = [significant, &"0".repeat(zeros)].concat().parse::<i128>().ok()?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Node<'_> {
        Node::Number(text)
    }

    fn quoted(text: &str) -> Node<'_> {
        Node::Text(text.into())
    }

    #[test]
    fn whole_numbers_in_every_form() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0e999999", Some(0)),
            ("5", Some(5)),
            ("1.0", Some(1)),
            ("1e3", Some(1000)),
            ("1E+3", Some(1000)),
            ("1.5e1", Some(15)),
            ("10e-1", Some(1)),
            ("-1200.00e-2", Some(-12)),
            ("1.7e18", Some(1_700_000_000_000_000_000)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775807.0", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e999999999", None),
            ("1e99999999999", None),
            ("1.5", None),
            ("1e-1", None),
            ("", None),
            (" 1", None),
            ("1.", None),
            (".5", None),
            ("0x10", None),
            ("1_000", None),
            ("--1", None),
            ("NaN", None),
            ("Infinity", None),
        ] {
            assert_eq!(signed(&number(text)), expected, "{text}");
            assert_eq!(signed(&quoted(text)), expected, "{text:?}");
        }
        assert_eq!(unsigned(&quoted("18446744073709551615")), Some(u64::MAX));
        assert_eq!(unsigned(&number("-1")), None);
        assert_eq!(signed(&Node::Bool(true)), None);
    }

    #[test]
    fn halves_of_javascript_are_one_number() {
        let long = |low: &'static str, high: &'static str| {
            Node::Object(vec![
                ("low".into(), number(low)),
                ("high".into(), number(high)),
                ("unsigned".into(), Node::Bool(true)),
            ])
        };
        let time: u64 = 1_795_348_800_000_000_001;
        let (low, high) = (time as u32 as i32, time >> 32);
        assert!(low < 0);
        let (low, high) = (low.to_string().leak(), high.to_string().leak());
        assert_eq!(unsigned(&long(low, high)), Some(time));
        assert_eq!(unsigned(&long("4294967295", "0")), Some(4_294_967_295));
        assert_eq!(signed(&long("-1", "-1")), Some(-1));
        assert_eq!(signed(&long("4294967296", "0")), None);
        assert_eq!(signed(&Node::Object(Vec::new())), None);
    }

    #[test]
    fn doubles_in_every_form() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("-1e-3", Some(-0.001)),
            ("3", Some(3.0)),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e400", None),
            ("inf", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(double(&number(text)), expected, "{text}");
            assert_eq!(double(&quoted(text)), expected, "{text:?}");
        }
        assert!(double(&quoted("NaN")).unwrap().is_nan() && double(&number("NaN")).unwrap().is_nan());
        assert_eq!(double(&Node::Null), None);
    }

    #[test]
    fn bytes_in_both_alphabets_padded_or_not() {
        let expected = [0xfb, 0xff, 0xfe, 1];
        for text in ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ", "+/_-AQ", "+//+AR"] {
            assert_eq!(bytes(&quoted(text)).unwrap(), expected, "{text}");
        }
        assert!(bytes(&quoted("")).unwrap().is_empty());
        for wrong in ["=", "a", "AQI=!", "AQ I="] {
            assert_eq!(bytes(&quoted(wrong)), None, "{wrong}");
        }
        let list = |items: &[&'static str]| Node::List(items.iter().map(|item| number(item)).collect());
        assert_eq!(bytes(&list(&["1", "255"])).unwrap(), [1, 255]);
        assert_eq!(bytes(&list(&["256"])), None);
        let buffer = Node::Object(vec![
            ("type".into(), quoted("Buffer")),
            ("data".into(), list(&["7"])),
        ]);
        assert_eq!(bytes(&buffer).unwrap(), [7]);
    }

    #[test]
    fn ids_in_base64_are_told_by_their_lengths() {
        let trace = [
            0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
        ];
        for text in [
            "CvdlGRbNQ92ESOshHIAxnA==",
            "CvdlGRbNQ92ESOshHIAxnA",
            "0af7651916cd43dd8448eb211c80319c",
        ] {
            assert_eq!(id(&quoted(text)).unwrap(), trace, "{text}");
        }
        for text in ["t61rcWkgMzE=", "t61rcWkgMzE", "b7ad6b7169203331"] {
            assert_eq!(
                id(&quoted(text)).unwrap(),
                [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31],
                "{text}"
            );
        }
        assert!(id(&quoted("")).unwrap().is_empty());
        for wrong in ["t61rcWkgMzE=A", "not an id", "t61rcWkgMzEA"] {
            assert_eq!(id(&quoted(wrong)), None, "{wrong}");
        }
        // Of a length that is neither's, it is what it says.
        assert_eq!(id(&quoted("abcdefabcdef")).unwrap().len(), 6);
    }

    #[test]
    fn ids_are_hexadecimal_in_any_case() {
        assert_eq!(hex(&quoted("0aFf")).unwrap(), [0x0a, 0xff]);
        assert!(hex(&quoted("")).unwrap().is_empty());
        for wrong in ["0", "0g", "+f", "é"] {
            assert_eq!(hex(&quoted(wrong)), None, "{wrong}");
        }
        assert_eq!(hex(&number("12")), None);
    }
}
