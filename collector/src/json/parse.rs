//! JSON text into a tree, leniently: what stands between two commas costs nothing beside it.
//!
//! The library for JSON refuses a whole text for a number that fits no type, a value that nests too deep, half of a
//! surrogate pair, or `NaN`; a batch of spans would be lost for one of their values.

use std::borrow::Cow;

use memchr::memchr2;

use super::node::Node;

/// How deep lists and objects may nest. Deeper ones are left out ([`Node::Deep`]). OTLP's own take nine, a
/// level of a map four.
const DEEPEST: usize = 160;
const UNENDED: &str = "a string has no end";

/// The text is no JSON, so that nobody can tell where its values begin and end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub(crate) struct SyntaxError {
    what: &'static str,
    line: usize,
    column: usize,
}

/// Parses a text, before which a byte order mark may stand (RFC 8259, 8.1).
pub(super) fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { text, at: 0 };
    let parsed = parser.value(0).and_then(|root| {
        parser.skip_space();
        match parser.peek() {
            None => Ok(root),
            Some(_) => Err("something follows the JSON value"),
        }
    });
    parsed.map_err(|what| parser.error(what))
}

/// A text, read up to a place that is never inside of a character.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, what: &'static str) -> SyntaxError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        SyntaxError {
            what,
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes a sign of one byte, if it is what comes next.
    fn take(&mut self, sign: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(sign);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, &'static str> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == DEEPEST => self.leave_out(),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => Ok(self.word()),
            Some(_) => Err("expected a value"),
            None => Err("the text ends where a value is expected"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node<'a>, &'static str> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                items.shrink_to_fit();
                return Ok(Node::List(items));
            }
            if !self.take(b',') {
                return Err("expected , or ] in a list");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>, &'static str> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.take(b'}') {
            return Ok(Node::Object(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err("expected a name in an object");
            }
            let name = self.string()?;
            if !self.take(b':') {
                return Err("expected : behind a name");
            }
            entries.push((name, self.value(depth + 1)?));
            if self.take(b'}') {
                entries.shrink_to_fit();
                return Ok(Node::Object(entries));
            }
            if !self.take(b',') {
                return Err("expected , or } in an object");
            }
        }
    }

    /// A number, or a name such as `true`. Its reader judges whether it is a number.
    fn word(&mut self) -> Node<'a> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let rest = self.rest();
        let length = rest.bytes().take_while(is_part).count();
        self.at += length;
        match rest.get(..length).unwrap_or_default() {
            "null" => Node::Null,
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            word => Node::Number(word),
        }
    }

    /// A string, which is copied only where it has escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        self.at += 1;
        let mut unescaped = String::new();
        let mut from = self.at;
        loop {
            let found = memchr2(b'"', b'\\', self.rest().as_bytes()).ok_or(UNENDED)?;
            self.at += found;
            let plain = self.text.get(from..self.at).unwrap_or_default();
            if self.peek() == Some(b'"') {
                self.at += 1;
                if unescaped.is_empty() {
                    return Ok(Cow::Borrowed(plain));
                }
                unescaped.push_str(plain);
                unescaped.shrink_to_fit();
                return Ok(Cow::Owned(unescaped));
            }
            unescaped.push_str(plain);
            unescaped.push(self.escape().ok_or(UNENDED)?);
            from = self.at;
        }
    }

    /// The character of an escape. One that means nothing is what is escaped; half of a surrogate pair is U+FFFD.
    fn escape(&mut self) -> Option<char> {
        let escaped = self.rest().get(1..)?.chars().next()?;
        self.at += 1 + escaped.len_utf8();
        Some(match escaped {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.character(),
            other => other,
        })
    }

    /// The character of the code unit that comes next, with the unit behind it if both are one character.
    fn character(&mut self) -> char {
        let Some(first) = unit(self.rest()) else {
            return char::REPLACEMENT_CHARACTER;
        };
        self.at += 4;
        let second = self.rest().strip_prefix("\\u").and_then(unit);
        let pair = second.map(|second| char::decode_utf16([first, second]).next());
        if let Some(Some(Ok(character))) = pair
            && character > '\u{ffff}'
        {
            self.at += 6;
            return character;
        }
        char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Passes over a list or an object, however deep, without building anything.
    fn leave_out(&mut self) -> Result<Node<'a>, &'static str> {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => self.pass_string()?,
                Some(b'{' | b'[') => open += 1,
                Some(b'}' | b']') => open -= 1,
                Some(_) => {}
                None => return Err("the text ends in the middle of a value"),
            }
            self.at += 1;
            if open == 0 {
                return Ok(Node::Deep);
            }
        }
    }

    /// Goes to the end of a string.
    fn pass_string(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += memchr2(b'"', b'\\', rest).ok_or(UNENDED)?;
            if self.peek() == Some(b'"') {
                return Ok(());
            }
            // The escaped byte is skipped; the other bytes of a longer character are none of those that are looked for.
            self.at += 2;
        }
    }
}

/// The code unit that four hexadecimal digits name.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    // Rust's own reader of numbers takes a sign.
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> String {
        match parse(json) {
            Ok(Node::Text(text)) => text.into_owned(),
            other => panic!("{json}: {other:?}"),
        }
    }

    /// The same tree in the words of the library.
    fn value(node: &Node<'_>) -> serde_json::Value {
        match node {
            Node::Null => serde_json::Value::Null,
            Node::Bool(truth) => (*truth).into(),
            Node::Number(number) => number.parse().unwrap(),
            Node::Text(text) => text.as_ref().into(),
            Node::List(items) => items.iter().map(value).collect(),
            Node::Object(entries) => {
                let entries = entries.iter().map(|(name, node)| (name.to_string(), value(node)));
                serde_json::Value::Object(entries.collect())
            }
            Node::Deep => panic!("nothing here is deep"),
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            (-1e300..1e300).prop_map(|number: f64| number.into()),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|entries| entries.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn json_is_read_as_the_library_reads_it(expected in json(), pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&expected)
            } else {
                serde_json::to_string(&expected)
            };
            prop_assert_eq!(value(&parse(&text.unwrap()).unwrap()), expected);
        }

        #[test]
        fn nothing_is_read_that_is_cut(whole in json(), at: prop::sample::Index) {
            let whole = serde_json::json!([whole]).to_string();
            let cut = whole.floor_char_boundary(at.index(whole.len()));
            prop_assert!(parse(&whole[..cut]).is_err());
        }

        #[test]
        fn any_text_has_an_answer(text in r#"[\[\]{}",:\\ued8aé 0-9-]{0,40}"#) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn strings_are_unescaped_and_halves_replaced() {
        assert!(matches!(
            parse("\"plain é\""),
            Ok(Node::Text(Cow::Borrowed("plain é")))
        ));
        for (json, expected) in [
            (r#""\"\\\/\b\f\n\r\t\u00e9\u20AC""#, "\"\\/\u{8}\u{c}\n\r\té€"),
            (r#""a\ud83d\ude00b""#, "a😀b"),
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00\ud83d\u0041""#, "\u{fffd}\u{fffd}A"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83dx\u12""#, "\u{fffd}x\u{fffd}12"),
            (r#""\u+123\é\x""#, "\u{fffd}+123éx"),
            ("\"raw\n\ttext\"", "raw\n\ttext"),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
    }

    #[test]
    fn words_and_marks_cost_nothing_beside_them() {
        let parsed = parse("\u{feff} [NaN, -Infinity, 1e400, 01, undefined, true]").unwrap();
        let words = ["NaN", "-Infinity", "1e400", "01", "undefined"].map(Node::Number);
        let expected: Vec<Node<'_>> = words.into_iter().chain([Node::Bool(true)]).collect();
        assert_eq!(parsed, Node::List(expected));
    }

    #[test]
    fn deep_values_are_left_out_alone() {
        let deep = |levels: usize| {
            let (open, close) = ("{\"a]}\\\"\":[".repeat(levels), "]}".repeat(levels));
            format!("[7,{open}\"\\é\"{close},8]")
        };
        for levels in [1, 79, 80, 500_000] {
            let text = deep(levels);
            let Node::List(items) = parse(&text).unwrap() else {
                panic!("{levels}: no list");
            };
            assert_eq!((&items[0], &items[2]), (&Node::Number("7"), &Node::Number("8")));
            let is_whole = !format!("{:?}", items[1]).contains("Deep");
            assert_eq!(is_whole, levels < 80, "{levels}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (json, expected) in [
            ("", "the text ends where a value is expected at line 1 column 1"),
            ("[1,\n 2 3]", "expected , or ] in a list at line 2 column 4"),
            ("{\"a\" 1}", "expected : behind a name at line 1 column 6"),
            ("{a:1}", "expected a name in an object at line 1 column 2"),
            ("{\"a\":1]", "expected , or } in an object at line 1 column 7"),
            ("[é]", "expected a value at line 1 column 2"),
            ("\"a", "a string has no end at line 1 column 2"),
            ("{} {}", "something follows the JSON value at line 1 column 4"),
        ] {
            assert_eq!(parse(json).unwrap_err().to_string(), expected, "{json}");
        }
    }
}
