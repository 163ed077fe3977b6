//! JSON as editors write it, with comments and trailing commas, read for where things stand in it.

use std::ops::Range;

/// How deep values may be nested.
const DEEPEST: usize = 128;

/// A value and where it stands, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    /// A number, true, false or null.
    Other,
}

/// Where a text is no JSON, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) expected: &'static str,
}

impl Node {
    /// The value under a key: the last one, as everybody reads JSON.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Object(fields) = &self.value else {
            return None;
        };
        fields
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node)
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let node = reader.node(0)?;
    reader.space()?;
    if reader.at < text.len() {
        return Err(reader.mistake("the end of the file"));
    }
    Ok(node)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn mistake(&self, expected: &'static str) -> Mistake {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Mistake {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            expected,
        }
    }

    /// Goes over white space and comments.
    fn space(&mut self) -> Result<(), Mistake> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            let comment = rest.get(blank..).unwrap_or_default();
            let length = if comment.starts_with("//") {
                comment.find('\n').unwrap_or(comment.len())
            } else if comment.starts_with("/*") {
                match comment.find("*/") {
                    Some(end) => end + 2,
                    None => return Err(self.mistake("*/ at the end of the comment")),
                }
            } else {
                self.at += blank;
                return Ok(());
            };
            self.at += blank + length;
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, Mistake> {
        self.space()?;
        if depth > DEEPEST {
            return Err(self.mistake("fewer values inside one another"));
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'"') => Value::Text(self.string()?),
            Some(b'{') => Value::Object(self.items(b'}', "a key in quotes, or }", |reader| {
                let key = reader.string()?;
                reader.space()?;
                if reader.peek() != Some(b':') {
                    return Err(reader.mistake("a colon"));
                }
                reader.at += 1;
                Ok((key, reader.node(depth + 1)?))
            })?),
            Some(b'[') => Value::List(self.items(b']', "a value, or ]", |reader| reader.node(depth + 1))?),
            _ => {
                let rest = self.rest();
                let end = rest
                    .find(|character: char| !(character.is_ascii_alphanumeric() || "+-.".contains(character)))
                    .unwrap_or(rest.len());
                if serde_json::from_str::<serde_json::Value>(rest.get(..end).unwrap_or_default()).is_err() {
                    return Err(self.mistake("a value"));
                }
                self.at += end;
                Value::Other
            }
        };
        Ok(Node {
            span: start..self.at,
            value,
        })
    }

    /// What stands between brackets, with commas between, and maybe one behind.
    fn items<T>(
        &mut self,
        close: u8,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, Mistake>,
    ) -> Result<Vec<T>, Mistake> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.space()?;
            match self.peek() {
                Some(byte) if byte == close => break,
                Some(b',') | None => return Err(self.mistake(expected)),
                Some(_) => items.push(item(self)?),
            }
            self.space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => break,
                _ => return Err(self.mistake("a comma or a closing bracket")),
            }
        }
        self.at += 1;
        Ok(items)
    }

    fn string(&mut self) -> Result<String, Mistake> {
        if self.peek() != Some(b'"') {
            return Err(self.mistake("a key in quotes"));
        }
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|(_, character)| {
            let ends = *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            ends
        });
        let raw = end
            .and_then(|(end, _)| self.rest().get(..=end))
            .unwrap_or_default();
        match serde_json::from_str(raw) {
            Ok(text) => {
                self.at += raw.len();
                Ok(text)
            }
            Err(_) => Err(self.mistake("a string that is closed, with valid escapes")),
        }
    }
}
