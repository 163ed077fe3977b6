//! JSON in, JSON out: each string is read as what it says, each value by the name that it stands under. What is not
//! changed stays byte for byte as it was. Text that only holds JSON, or the beginning of some, is read in the same way.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::bytes::{byte, is_space, run};
use super::columns::Columns;
use super::cuts::Cut;
use super::edits::{self, Edit};
use super::frames::{Frame, Key};
use super::held::{Held, Holds};
use super::json_text::{string_end, structure_end};
use super::looks::is_drawn_item;
use super::named::{is_cut, is_secret_number, is_secret_value};
use super::names::Kind;
use super::pairs::{self, has_scheme};
use super::rules::{Compiled, DEEPEST, Found, HELD, Named};
use super::view::unescaped;

/// The text that replaces a value.
const CUT: &str = "\"[redacted]\"";
/// How many objects and lists that are open are remembered: the innermost ones. Readers of JSON refuse deeper ones.
const MOST_OPEN: usize = 1_000;

/// Redacts JSON; `None` when nothing is to be cut. A cut in `crossing`, over the border of a value, takes the whole value.
/// `depth` is how many strings of JSON there are around it. Each rule that cuts something is given to `report`.
pub(super) fn redact(
    rules: &Compiled,
    text: &str,
    crossing: &[Cut],
    depth: usize,
    report: &mut dyn FnMut(Found),
) -> Option<String> {
    let mut walk = Walk {
        rules,
        text,
        crossing,
        depth,
        report,
        edits: Vec::new(),
        open: VecDeque::new(),
        barren: 0,
        key: Key::default(),
        held: Vec::new(),
        columns: Columns::default(),
    };
    walk.all();
    edits::apply(text, walk.edits)
}

struct Walk<'w> {
    rules: &'w Compiled,
    text: &'w str,
    crossing: &'w [Cut],
    depth: usize,
    report: &'w mut dyn FnMut(Found),
    edits: Vec<Edit>,
    open: VecDeque<Frame>,
    /// Up to here no string begins.
    barren: usize,
    key: Key,
    /// Strings that are secrets if the object around them is of a kind that a further member tells.
    held: Vec<(usize, usize, Held)>,
    /// The columns of a table, and its rows.
    columns: Columns,
}

impl Walk<'_> {
    fn all(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            at = match byte(bytes, at) {
                b'"' => self.string(start),
                b'{' | b'[' => self.structure(start),
                b'}' | b']' => {
                    self.close();
                    start + 1
                }
                b',' => {
                    self.key = Key::default();
                    start + 1
                }
                b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => self.scalar(start),
                _ => start + 1,
            };
        }
        // What was cut off ends here.
        while !self.open.is_empty() {
            self.close();
        }
    }

    fn string(&mut self, start: usize) -> usize {
        if start < self.barren {
            return start + 1;
        }
        let bytes = self.text.as_bytes();
        let end = string_end(bytes, start);
        let content = self.text.get(start + 1..end - 1).unwrap_or_default();
        let content = if end > start + 1 && byte(bytes, end - 1) == b'"' {
            content
        } else {
            // It was cut off.
            self.text.get(start + 1..end).unwrap_or_default()
        };
        // Ends of lines are in no string: this is the text between two of them. The quotes in it are escaped, so from each
        // of them the same would be read again.
        if let Some(last) = content.bytes().rposition(|byte| byte < b' ') {
            self.barren = start + 1 + last;
            return start + 1;
        }
        let is_escaped = content.contains('\\');
        let read = if is_escaped {
            Cow::Owned(unescaped(content))
        } else {
            Cow::Borrowed(content)
        };
        if byte(bytes, run(bytes, end, usize::MAX, is_space)) == b':' {
            self.key = Key {
                secret: self.rules.secret_name(&read),
                is_value: pairs::is_value(&read),
                is_sample: pairs::is_sample(&read),
                is_name: pairs::is_name(&read),
                held: Held::of(&read),
                is_row: Columns::are_values(&read),
            };
            if let Some(frame) = self.open.back_mut() {
                frame.holds.member(&read);
            }
            self.inner(start, end, &read);
            return end;
        }
        let key = std::mem::take(&mut self.key);
        self.hold(key, start, end, &read);
        match self.secret(key, start, end, &read) {
            Some(named) => {
                if !is_cut(read.as_bytes()) {
                    self.cut(start, end, named.found);
                }
            }
            None => self.inner(start, end, &read),
        }
        end
    }

    /// Remembers a string that a further member may make a secret.
    fn hold(&mut self, key: Key, start: usize, end: usize, read: &str) {
        let Some(frame) = self.open.back_mut().filter(|frame| !frame.is_list) else {
            return;
        };
        frame.holds.value(key.held, read);
        let held = if frame.holds.is_data() {
            Some(Held::Data)
        } else {
            key.held
        };
        if let Some(held) =
            held.filter(|held| held.may_hold() && !read.is_empty() && !is_cut(read.as_bytes()))
        {
            self.held.push((start, end, held));
        }
    }

    /// The rule that makes a string a secret.
    fn secret(&mut self, key: Key, start: usize, end: usize, read: &str) -> Option<Named> {
        let covered = |named: Named| is_secret_value(named.kind, read).then_some(named);
        // A schema says what a value is to be: its own are secrets only if they cannot be words.
        let drawn = |named: Named| covered(named).filter(|_| is_drawn_item(read.as_bytes()));
        if let Some(named) = key.secret {
            return covered(named);
        }
        let rules = self.rules;
        let depth = self.open.len();
        let in_list = depth
            .checked_sub(2)
            .and_then(|outer| self.open.get(outer))
            .is_some_and(|outer| outer.is_list);
        let frame = self.open.back_mut()?;
        if frame.is_list {
            frame.items += 1;
            let flagged = std::mem::take(&mut frame.flag);
            let before = frame.before.take();
            if let Some(named) = frame.secret {
                return if frame.is_sample {
                    drawn(named)
                } else {
                    covered(named)
                };
            }
            let named = rules.secret_name(read);
            self.columns
                .text(&mut frame.row, frame.items, named, (start, end));
            if let Some(named) = named {
                frame.flag = read.starts_with('-');
                frame.before = Some(named);
                return None;
            }
            let before = before?;
            if flagged {
                if read.starts_with("--") || read.is_empty() {
                    return None;
                }
                return Some(before);
            }
            if frame.items == 2 {
                frame.second = Some((start, end, before));
            }
            // Pairs in a list, and headers one after the other: what else stands behind a name must look like a secret.
            let is_cookie = before.kind == Kind::Cookie && read.contains('=');
            let looks = is_drawn_item(read.as_bytes()) || has_scheme(read) || is_cookie;
            return (looks && !in_list && before.kind != Kind::Token)
                .then_some(before)
                .and_then(covered);
        }
        if let Some(named) = frame.secret.filter(|_| key.is_value) {
            return covered(named);
        }
        if key.is_sample {
            frame.sample = Some((start, end));
            return frame.secret.or(frame.named).and_then(drawn);
        }
        let name = key.is_name.then(|| rules.secret_name(read));
        frame.title = frame.title.or(name);
        if let Some(Some(named)) = name {
            frame.named = Some(named);
            let sample = frame.sample.take();
            if let Some((from, to)) = frame.value.take() {
                self.cut(from, to, named.found);
            }
            if let Some((from, to)) = sample
                && let Some(text) = self.text.get(from + 1..to - 1)
                && is_drawn_item(text.as_bytes())
                && is_secret_value(named.kind, text)
            {
                self.cut(from, to, named.found);
            }
            return None;
        }
        if key.is_value {
            match frame.named {
                Some(named) => return covered(named),
                None => frame.value = Some((start, end)),
            }
        }
        None
    }

    /// Whether nothing but this walk reads the values.
    fn is_sole(&self) -> bool {
        self.depth >= DEEPEST || !self.crossing.is_empty()
    }

    /// Redacts what a string says.
    fn inner(&mut self, start: usize, end: usize, read: &str) {
        // The pass over the whole text reads strings without escapes.
        let is_plain = end - start == read.len() + 2;
        if is_plain && !self.is_sole() {
            return;
        }
        let mut found = Vec::new();
        let changed = if self.depth < DEEPEST {
            self.rules
                .redact_at(read, self.depth + 1, &mut |rule| found.push(rule))
        } else {
            self.rules.redact_part(read, &mut |rule| found.push(rule))
        };
        if let Some(rule) = self.crosses(start, end) {
            (self.report)(rule);
            self.edit(start, end, Cow::Borrowed(CUT));
        } else if let Some(changed) = changed {
            found.into_iter().for_each(&mut *self.report);
            let quoted = serde_json::Value::String(changed).to_string();
            self.edit(start, end, Cow::Owned(quoted));
        }
    }

    fn structure(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let is_list = byte(bytes, start) == b'[';
        let key = std::mem::take(&mut self.key);
        if let Some(named) = key.secret.filter(|named| named.kind == Kind::Key) {
            let end = structure_end(bytes, start);
            self.cut(start, end, named.found);
            return end;
        }
        let outer = self.open.back().copied().unwrap_or_default();
        let of_pair = outer
            .named
            .or(outer.secret)
            .filter(|_| (key.is_value || key.is_sample) && !outer.is_list);
        if let Some(outer) = self.open.back_mut() {
            outer.items += 1;
            outer.before = None;
            outer.row.is_head &= !is_list;
        }
        if self.open.len() == MOST_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(Frame {
            is_list,
            is_sample: key.is_sample || (is_list && outer.is_list && outer.is_sample),
            holds: Holds::begin(self.held.len(), key.held),
            row: self.columns.begin(is_list, outer.is_list || key.is_row),
            secret: key
                .secret
                .or(of_pair)
                .filter(|named| named.kind != Kind::Cookie || is_list),
            ..Frame::default()
        });
        start + 1
    }

    fn close(&mut self) {
        let Some(frame) = self.open.pop_back() else { return };
        for (start, end, named) in self.columns.end(frame.row, frame.items) {
            let text = self.text.get(start + 1..end - 1).unwrap_or_default();
            if is_secret_value(named.kind, text) {
                self.cut(start, end, named.found);
            }
        }
        if !frame.is_list
            && let Some(outer) = self.open.back_mut().filter(|outer| outer.is_list)
        {
            self.columns.titled(&mut outer.row, frame.title);
        }
        let in_list = self.open.back().is_some_and(|outer| outer.is_list);
        if let Some((start, end, named)) = frame.second
            && frame.items == 2
            && in_list
        {
            self.cut(start, end, named.found);
        }
        let known = self.held.len();
        let from = frame.holds.from.min(known);
        let mut kept = from;
        for at in from..known {
            let Some((start, end, held)) = self.held.get(at).copied() else {
                break;
            };
            let text = self.text.get(start + 1..end - 1).unwrap_or_default();
            if frame.holds.has(held) && (held != Held::Value || is_secret_value(Kind::Secret, text)) {
                self.cut(start, end, Found::BuiltIn(HELD));
            } else if frame.holds.is_data() && held == Held::Data {
                // The object around it may still be a secret of Kubernetes.
                if let Some(place) = self.held.get_mut(kept) {
                    *place = (start, end, held);
                }
                kept += 1;
            }
        }
        self.held.truncate(kept);
        self.key = Key::default();
    }

    fn scalar(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let end = run(bytes, start, usize::MAX, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
        });
        let key = std::mem::take(&mut self.key);
        let number = self.text.get(start..end).unwrap_or_default();
        if let Some(frame) = self.open.back_mut() {
            frame.items += 1;
            frame.row.is_head = false;
            if number == "true" {
                frame.holds.holds_true(key.held);
            }
        }
        let frame = self.open.back().copied().unwrap_or_default();
        let secret = key
            .secret
            .or(frame.secret.filter(|_| frame.is_list || key.is_value))
            .or(frame.named.filter(|_| key.is_value));
        let is_number = byte(bytes, start) == b'-' || byte(bytes, start).is_ascii_digit();
        let is_value = is_number || matches!(number, "true" | "false");
        match secret {
            Some(named)
                if is_value
                    && (named.kind == Kind::Key || (is_number && is_secret_number(named.kind, number))) =>
            {
                self.cut(start, end, named.found);
            }
            _ if key.is_value
                && is_number
                && number.len() >= 4
                && frame.value.is_none()
                && !frame.is_list =>
            {
                if let Some(frame) = self.open.back_mut() {
                    frame.value = Some((start, end));
                }
            }
            _ if self.is_sole() && is_value && (!self.open.is_empty() || end - start == self.text.len()) => {
                let mut found = Vec::new();
                let changed = self
                    .rules
                    .redact_part(number, &mut |rule| found.push(rule))
                    .is_some();
                if let Some(rule) = self
                    .crosses(start, end)
                    .or(found.first().copied().filter(|_| changed))
                {
                    self.cut(start, end, rule);
                }
            }
            _ => {}
        }
        end
    }

    /// The rule that found something beyond the borders of a value.
    fn crosses(&self, start: usize, end: usize) -> Option<Found> {
        let first = self.crossing.partition_point(|cut| cut.end <= start);
        let last = self.crossing.partition_point(|cut| cut.start < end);
        let over = self.crossing.get(first..last).unwrap_or_default();
        let crossed = [over.first(), over.last()].into_iter().flatten();
        crossed
            .into_iter()
            .find(|cut| cut.start <= start || cut.end >= end)
            .map(|cut| cut.found)
    }

    fn cut(&mut self, start: usize, end: usize, rule: Found) {
        if self.text.get(start..end) != Some(CUT) {
            (self.report)(rule);
            self.edit(start, end, Cow::Borrowed(CUT));
        }
    }

    fn edit(&mut self, start: usize, end: usize, text: Cow<'static, str>) {
        self.edits.push(Edit { start, end, text });
    }
}
