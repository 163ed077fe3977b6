//! The operator's own secrets, found in whatever form they leak: as they are, escaped, encoded.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aho_corasick::{AhoCorasick, BuildError};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The shortest value that may be cut out everywhere, in bytes.
pub(super) const SHORTEST: usize = 6;

/// Values to be cut out wherever they appear.
#[derive(Debug)]
pub(super) struct Literals {
    automaton: AhoCorasick,
    /// For each form: whose it is, and how far it reaches into the characters around it.
    forms: Vec<Form>,
}

#[derive(Clone, Copy, Debug)]
struct Form {
    value: usize,
    /// In base64, whether the character before holds some bits of it.
    left: bool,
    /// The same of the character behind.
    right: bool,
}

impl Literals {
    /// Of these values, each at least [`SHORTEST`] long.
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, BuildError> {
        let mut forms = BTreeMap::new();
        for (index, value) in values.enumerate() {
            for (form, left, right) in forms_of(value) {
                forms.entry(form).or_insert(Form {
                    value: index,
                    left,
                    right,
                });
            }
        }
        Ok(Self {
            automaton: AhoCorasick::new(forms.keys())?,
            forms: forms.into_values().collect(),
        })
    }

    /// Tells where they are: from, to, and the index of the value. Several may overlap.
    pub(super) fn find(&self, text: &str, mut found: impl FnMut(usize, usize, usize)) {
        let bytes = text.as_bytes();
        let is_base64 = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'))
        };
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let Some(form) = self.forms.get(hit.pattern().as_usize()) else {
                continue;
            };
            let left = form.left && is_base64(hit.start().checked_sub(1));
            let right = form.right && is_base64(Some(hit.end()));
            found(
                hit.start() - usize::from(left),
                hit.end() + usize::from(right),
                form.value,
            );
        }
    }
}

/// Every form in which a value may appear.
fn forms_of(value: &str) -> Vec<(Vec<u8>, bool, bool)> {
    let is_foreign = |character: char| !character.is_ascii();
    let json = escaped(value, |_| false);
    let ascii = escaped(value, is_foreign);
    let careful = escaped(value, |character| matches!(character, '<' | '>' | '&'));
    // As .NET escapes: what HTML has, and all that is not ASCII.
    let guarded = escaped(value, |character| {
        is_foreign(character) || matches!(character, '<' | '>' | '&' | '\'' | '+' | '`')
    });
    let quoted = guarded.replace("\\\"", "\\u0022");
    let all = escaped(value, |_| true);
    // In JSON inside JSON, and once more.
    let inner = |text: &str| escaped(&escaped(text, |_| false), |_| false);
    let mut texts = vec![
        value.to_owned(),
        escaped(&json, |_| false),
        inner(&json),
        escaped(&ascii, |_| false),
        inner(&ascii),
        json.replace('/', "\\/"),
        ascii.replace('/', "\\/"),
        json,
    ];
    for text in [ascii, careful, guarded, quoted, all] {
        texts.extend([upper_unicode(&text), text]);
    }
    // Some encode slashes, stars and the like, and some do not.
    for kept in ["-_.~", "-_.~!*'()", "-_.~/", "-_.~!*'();/?:@&=+$,#"] {
        let once = percent(value, kept.as_bytes(), false);
        let twice = percent(&once, kept.as_bytes(), false);
        texts.extend([lower_percent(&once), lower_percent(&twice), once, twice]);
    }
    let form = percent(value, b"-_.*", true);
    texts.extend([lower_percent(&form), form]);
    for quote in ["&#39;", "&#x27;", "&apos;", "'"] {
        for double in ["&quot;", "&#34;", "\""] {
            let once = entities(value, quote, double);
            texts.extend([entities(&once, quote, double), once]);
        }
    }
    texts.extend([
        numbered(value, |code| format!("&#{code};")),
        numbered(value, |code| format!("&#x{code:x};")),
        numbered(value, |code| format!("&#x{code:X};")),
    ]);
    let bytes = value.as_bytes();
    let forms = texts.into_iter().map(|text| (text.into_bytes(), false, false));
    // In base64 it depends on how many bytes stand before it.
    let encoded = (0..3).flat_map(|shift| {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(bytes);
        let whole = shifted.len() * 8 / 6;
        let first = (shift * 8).div_ceil(6);
        [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)]
            .into_iter()
            .filter_map(move |text| {
                let inner = text.get(first..whole)?.as_bytes().to_vec();
                Some((inner, shift > 0, whole * 6 < shifted.len() * 8))
            })
            .collect::<Vec<_>>()
    });
    forms.chain(encoded).collect()
}

/// As the inside of a JSON string; characters that `also` names are escaped by number.
fn escaped(text: &str, also: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            character if character < ' ' || also(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing into a string cannot fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            character => escaped.push(character),
        }
    }
    escaped
}

/// Percent-encoded, but for letters, digits and `kept`.
fn percent(text: &str, kept: &[u8], plus: bool) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else if plus && byte == b' ' {
            encoded.push('+');
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// With entities in the place of what HTML is made of.
fn entities(text: &str, quote: &str, double: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', double)
        .replace('\'', quote)
}

/// Every character by its number.
fn numbered(text: &str, entity: impl Fn(u32) -> String) -> String {
    text.chars()
        .map(|character| entity(u32::from(character)))
        .collect()
}

/// With capitals in escapes by number.
fn upper_unicode(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut upper = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(4).unwrap_or((part, ""));
        upper.push_str("\\u");
        upper.push_str(&digits.to_ascii_uppercase());
        upper.push_str(rest);
    }
    upper
}

/// With small hexadecimal digits.
fn lower_percent(text: &str) -> String {
    let mut digits = 0;
    text.chars()
        .map(|character| {
            if character == '%' {
                digits = 2;
                character
            } else if digits > 0 {
                digits -= 1;
                character.to_ascii_lowercase()
            } else {
                character
            }
        })
        .collect()
}
