//! Tables of text: what stands below a column that is named as secrets are. CSV with commas, semicolons or tabs, Markdown,
//! and what command lines of databases draw.

use super::bytes::{before, byte, run};
use super::looks::{is_harmless, is_lot};
use super::named::is_secret_value;
use super::names::Kind;

/// The most columns of a table.
const COLUMNS: usize = 64;
/// The longest name of a column, in bytes.
const LONGEST: usize = 40;

/// A table whose head was read.
#[derive(Debug)]
struct Table {
    separator: char,
    columns: Vec<Option<Kind>>,
    /// Whether it is drawn, so that its rows are sure to be such.
    drawn: bool,
}

/// Tells the secrets, in one walk over the lines. `kind` is asked for the kind of a name.
pub(super) fn find(text: &str, kind: impl Fn(&str) -> Option<Kind>, mut found: impl FnMut(usize, usize)) {
    let mut table: Option<Table> = None;
    let mut rows = 0;
    let mut at = 0;
    #[cfg(test)]
    super::bytes::looks::add(text.len());
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(known) = &mut table {
            if is_rule(line) {
                known.drawn |= rows == 0;
                continue;
            }
            let cells = cells(line, known.separator);
            if cells.len() == known.columns.len() {
                rows += 1;
                for (from, to) in known.secrets(line, &cells) {
                    found(start + from, start + to);
                }
                continue;
            }
        }
        (table, rows) = (head(line, &kind), 0);
    }
}

impl Table {
    fn secrets(&self, line: &str, cells: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let columns = self.columns.iter().zip(cells);
        columns
            .filter_map(|(kind, cell)| {
                let kind = (*kind)?;
                let value = line.get(cell.0..cell.1)?;
                let whole = !value.contains(' ') && !value.is_empty();
                // What is written with bars is a table if there is a line below its head.
                let sure = self.drawn || !matches!(self.separator, '|' | '│');
                let is_secret = whole
                    && is_secret_value(kind, value)
                    && (is_lot(value.as_bytes()) || (sure && kind == Kind::Secret && !is_name(value)));
                is_secret.then_some(*cell)
            })
            .collect()
    }
}

/// Whether the name that ends at `end` may be one of the head of a table: a separator or the end of the line follows.
pub(super) fn may_name(bytes: &[u8], end: usize) -> bool {
    let next = run(bytes, end, 8, |byte| matches!(byte, b' ' | b'"' | b'\r' | b'\\'));
    match byte(bytes, next) {
        b',' | b';' | b'\t' | b'|' | b'\n' => true,
        // A line that is drawn.
        0xe2 => byte(bytes, next + 1) == 0x94,
        b'n' | b't' | b'r' => before(bytes, next, 1) == b'\\',
        _ => false,
    }
}

/// Whether a value is the type of a column, or marked as the word of a manual.
fn is_name(value: &str) -> bool {
    value.starts_with(['`', '*', '<']) || value.ends_with(':') || is_harmless(value.as_bytes())
}

/// The table whose head a line is: short names. Also one without names of secrets, whose rows are no heads.
fn head(line: &str, kind: &impl Fn(&str) -> Option<Kind>) -> Option<Table> {
    if line.len() > COLUMNS * LONGEST {
        return None;
    }
    let separator = ['|', '│', '\t', ';', ',']
        .into_iter()
        .find(|separator| line.contains(*separator))?;
    let cells = cells(line, separator);
    let names = cells
        .iter()
        .map(|(from, to)| line.get(*from..*to).unwrap_or_default());
    // Arguments of a call, one in a line.
    if separator == ',' && line.ends_with(',') {
        return None;
    }
    // A statement of code.
    if separator == ';' && cells.iter().filter(|(from, to)| from < to).count() < 2 {
        return None;
    }
    let is_title = |name: &str| {
        name.len() <= LONGEST
            && name.split(' ').count() <= 4
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .chars()
                .all(|character| character.is_alphanumeric() || " _-.#/()".contains(character))
    };
    if cells.len() < 2 || cells.len() > COLUMNS || !names.clone().all(is_title) {
        return None;
    }
    let columns: Vec<_> = names
        .map(|name| kind(&name.replace(' ', "_")).filter(|kind| !matches!(kind, Kind::Loose | Kind::Code)))
        .collect();
    // Commas of a sentence have spaces behind them.
    let prose = matches!(separator, ',' | ';') && line.contains([' ', '.']) && {
        line.contains(", ") || line.contains("; ") || line.trim_end().ends_with('.')
    };
    (!prose).then_some(Table {
        separator,
        columns,
        drawn: false,
    })
}

/// Whether a line separates the head of a table from its rows, or frames it.
fn is_rule(line: &str) -> bool {
    line.len() >= 3
        && line
            .chars()
            .all(|character| "-+|=: ─┼├┤│╞╪╡═┌┐└┘┬┴".contains(character))
        && line.contains(['-', '─', '=', '═'])
}

/// Where the cells of a line are, without spaces and quotes around them.
fn cells(line: &str, separator: char) -> Vec<(usize, usize)> {
    #[cfg(test)]
    super::bytes::looks::add(line.len());
    let framed = matches!(separator, '|' | '│');
    let mut cells = Vec::new();
    let (mut begin, mut quoted) = (0, false);
    for (at, character) in line.char_indices().chain([(line.len(), separator)]) {
        if character == '"' && !framed {
            quoted = !quoted;
        }
        // Some draw the lines inside in another way.
        let separates = character == separator || (separator == '│' && character == '┆');
        if !separates || (quoted && at < line.len()) {
            continue;
        }
        let cell = line.get(begin..at).unwrap_or_default();
        let (is_first, is_last) = (begin == 0, at == line.len());
        // A frame has nothing outside.
        if !(framed && (is_first || is_last) && cell.trim().is_empty()) {
            let content = cell.trim_start();
            let from = at - content.len();
            let content = content.trim_end();
            let inner = content
                .strip_prefix('"')
                .and_then(|inner| inner.strip_suffix('"'));
            cells.push(match inner {
                Some(inner) => (from + 1, from + 1 + inner.len()),
                None => (from, from + content.len()),
            });
        }
        begin = at + character.len_utf8();
        if cells.len() > COLUMNS {
            break;
        }
    }
    cells
}
