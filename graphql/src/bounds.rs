//! How large a document is, told without running into what makes it large.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

/// How long a document may be, in bytes.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// How deep brackets of any kind may be nested, and fields through fragments.
pub(crate) const MAX_NESTING: usize = 64;
/// How many fields a document may have once its fragments are in place.
pub(crate) const MAX_FIELDS: usize = 10_000;
/// Lists of introspection from which a type leads to types again: inside one another they multiply the answer.
const SCHEMA_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];
/// How many of them may stand inside one another. Tools need one.
const MAX_SCHEMA_LISTS: usize = 2;

/// How deep brackets are nested outside strings and comments.
pub(crate) fn nesting(document: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = document;
    while let Some(character) = rest.chars().next() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            '#' | '"' => {
                rest = after_token(rest);
                continue;
            }
            _ => {}
        }
        deepest = deepest.max(depth);
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    deepest
}

/// What follows the string or comment that `text` begins with; nothing when it does not end.
fn after_token(text: &str) -> &str {
    let (mut inner, end) = if let Some(inner) = text.strip_prefix("\"\"\"") {
        (inner, "\"\"\"")
    } else if let Some(inner) = text.strip_prefix('"') {
        (inner, "\"")
    } else {
        return text.split_once(['\n', '\r']).map_or("", |(_, rest)| rest);
    };
    while !inner.is_empty() {
        if let Some(rest) = inner.strip_prefix(end) {
            return rest;
        }
        // In a block string only `\"""` is an escape; skipping one character after any backslash would miss its end.
        let step = match inner.strip_prefix('\\') {
            Some(rest) if end.len() == 1 => 1 + rest.chars().next().map_or(0, char::len_utf8),
            Some(rest) if rest.starts_with(end) => 1 + end.len(),
            _ => inner.chars().next().map_or(0, char::len_utf8),
        };
        inner = inner.get(step..).unwrap_or_default();
    }
    ""
}

/// How large a selection is with its fragments in place.
#[derive(Clone, Copy, Default)]
struct Size {
    fields: usize,
    height: usize,
    /// How many of [`SCHEMA_LISTS`] stand inside one another.
    schema_lists: usize,
}

/// Measures each fragment once, however often it is spread.
struct Expansion<'a> {
    document: &'a ExecutableDocument,
    /// `None` while a fragment is being measured: meeting it then means that it contains itself.
    fragments: HashMap<&'a str, Option<Size>>,
}

/// Whether all of a document, used or not, stays within bounds once its fragments are in place: the engine walks
/// unused fragments too.
pub(crate) fn expands_within_bounds(document: &ExecutableDocument) -> bool {
    let mut expansion = Expansion {
        document,
        fragments: HashMap::new(),
    };
    let operations = document.operations.iter();
    operations
        .map(|(_, operation)| &operation.node.selection_set.node)
        .all(|set| expansion.size(set, 0).is_some())
        && document
            .fragments
            .keys()
            .all(|name| expansion.fragment(name.as_str(), 0).is_some())
}

impl<'a> Expansion<'a> {
    fn size(&mut self, selection: &'a SelectionSet, level: usize) -> Option<Size> {
        let mut whole = Size::default();
        for item in &selection.items {
            let part = match &item.node {
                Selection::Field(field) => {
                    let inner = self.size(&field.node.selection_set.node, level + 1)?;
                    let list = SCHEMA_LISTS.contains(&field.node.name.node.as_str());
                    Size {
                        schema_lists: inner.schema_lists + usize::from(list),
                        ..inner
                    }
                }
                Selection::InlineFragment(inline) => self.size(&inline.node.selection_set.node, level + 1)?,
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, level + 1)?
                }
            };
            whole.fields = whole.fields.saturating_add(part.fields).saturating_add(1);
            whole.height = whole.height.max(part.height + 1);
            whole.schema_lists = whole.schema_lists.max(part.schema_lists);
        }
        let within = whole.fields <= MAX_FIELDS
            && whole.height + level <= MAX_NESTING
            && whole.schema_lists <= MAX_SCHEMA_LISTS;
        within.then_some(whole)
    }

    fn fragment(&mut self, name: &'a str, level: usize) -> Option<Size> {
        if let Some(known) = self.fragments.get(name) {
            return *known;
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Some(Size::default());
        };
        if level > MAX_NESTING {
            return None;
        }
        self.fragments.insert(name, None);
        let size = self.size(&fragment.node.selection_set.node, level)?;
        self.fragments.insert(name, Some(size));
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_strings_and_comments() {
        let document = "{ a(b: \"{{{\\\"{{\", c: \"\"\"{{ \\\"\"\" {{\"\"\") # {{{\n { b } }";
        assert_eq!(nesting(document), 2, "{document}");
        assert_eq!(nesting("}}}{ a(b: [[1]]) }"), 4);
        assert_eq!(nesting("{ a(b: \"\") { c } } \"{{{"), 2);
    }
}
