//! Secrets of Kubernetes as YAML: whatever the keys of `data` and `stringData` are called, their values are secrets.

use super::bytes::{byte, run};
use super::named::is_cut;
use super::placeholders::is_placeholder;

/// Tells the values, in one walk over the lines. A document is known as a secret by its `kind`, which may stand below the
/// data.
pub(super) fn find(text: &str, mut found: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    let mut document = Document::default();
    let mut at = 0;
    while at < bytes.len() {
        let end = run(bytes, at, usize::MAX, |byte| byte != b'\n');
        document.line(text, at, end, &mut found);
        at = end + 1;
    }
    document.end(&mut found);
}

/// A document of YAML, or an item of a list of them, as far as it was read.
#[derive(Debug, Default)]
struct Document {
    is_secret: bool,
    /// The values so far.
    values: Vec<(usize, usize)>,
    /// How far `data:` is indented, while its lines are read.
    data: Option<usize>,
    /// How far the key of a block is indented, and its first and last line.
    block: Option<(usize, Option<(usize, usize)>)>,
}

impl Document {
    fn end(&mut self, found: &mut impl FnMut(usize, usize)) {
        self.end_block();
        if self.is_secret {
            self.values.iter().for_each(|(start, end)| found(*start, *end));
        }
        *self = Self::default();
    }

    fn end_block(&mut self) {
        if let Some((_, Some(lines))) = self.block.take() {
            self.values.push(lines);
        }
    }

    fn line(&mut self, text: &str, start: usize, end: usize, found: &mut impl FnMut(usize, usize)) {
        let line = text.get(start..end).unwrap_or_default().trim_end();
        let content = line.trim_start_matches(' ');
        let mut indent = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') {
            return;
        }
        if let Some((outer, lines)) = &mut self.block {
            if indent > *outer {
                let from = lines.map_or(start + indent, |(from, _)| from);
                *lines = Some((from, start + line.len()));
                return;
            }
            self.end_block();
        }
        let item = content.strip_prefix("- ").filter(|key| {
            ["apiVersion:", "kind:", "data:", "stringData:", "metadata:"]
                .iter()
                .any(|known| key.starts_with(known))
        });
        if content == "---" || item.is_some() {
            self.end(found);
        }
        let content = match item {
            Some(key) => {
                indent += 2;
                key
            }
            None => content,
        };
        if self.data.is_some_and(|data| indent <= data) {
            self.data = None;
        }
        let Some((key, value)) = content.split_once(':') else {
            return;
        };
        let value = value.trim_start();
        if self.data.is_some() {
            self.value(indent, value, start + line.len());
        } else if key == "kind" {
            self.is_secret |= value.trim_matches(['"', '\'']) == "Secret";
        } else if matches!(key, "data" | "stringData") && value.is_empty() {
            self.data = Some(indent);
        }
    }

    /// A value that ends at `end`, under a key that is so far indented.
    fn value(&mut self, indent: usize, value: &str, end: usize) {
        if value.starts_with(['|', '>']) {
            self.block = Some((indent, None));
            return;
        }
        let start = end - value.len();
        let quoted = value.len() >= 2 && value.starts_with(['"', '\'']) && value.ends_with(['"', '\'']);
        let (start, end) = if quoted {
            (start + 1, end - 1)
        } else {
            (start, end)
        };
        let inner = value.trim_matches(['"', '\'']);
        if !inner.is_empty() && !is_cut(inner.as_bytes()) && !is_placeholder(inner) && inner != "{}" {
            self.values.push((start, end));
        }
    }
}

/// Whether a line ends at `at`, behind `kind: Secret`; or an escape of one, in a string of JSON.
pub(super) fn ends_line(bytes: &[u8], at: usize) -> bool {
    let at = run(bytes, at, 4, |byte| matches!(byte, b'"' | b'\'' | b' '));
    matches!(byte(bytes, at), 0 | b'\n' | b'\r' | b'\\')
}
