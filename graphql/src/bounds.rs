//! How large a document is, told without running into what makes it large.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};

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

/// What can be told of a document before it is parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// How deep brackets are nested.
    pub(crate) nesting: usize,
    /// How many names, numbers, strings and punctuators there are.
    pub(crate) tokens: usize,
}

/// Looks at a text outside its strings and comments.
pub(crate) fn look(document: &str) -> Text {
    let (mut depth, mut text) = (0_usize, Text::default());
    let mut rest = document;
    // Within a name or a number.
    let mut word = false;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            text.tokens += 1;
            word = false;
            rest = after;
            continue;
        }
        let continues = character.is_alphanumeric() || matches!(character, '_' | '-' | '+' | '.');
        let blank = character.is_whitespace() || matches!(character, ',' | '#' | '\u{feff}');
        text.tokens += usize::from(!(blank || continues && word));
        word = continues;
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            '#' | '"' => {
                rest = after_token(rest);
                continue;
            }
            _ => {}
        }
        text.nesting = text.nesting.max(depth);
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    text
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    fields: usize,
    height: usize,
    /// How many of [`SCHEMA_LISTS`] stand inside one another.
    schema_lists: usize,
    /// How many fields are renamed.
    pub(crate) aliases: usize,
    /// How deep fields are nested, introspection aside.
    pub(crate) depth: usize,
    /// How many fields there are on the first level.
    pub(crate) root_fields: usize,
    /// Whether the first level asks for the schema.
    pub(crate) introspects: bool,
}

impl Size {
    /// Of two selections that are asked for together.
    fn beside(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            height: self.height.max(other.height),
            schema_lists: self.schema_lists.max(other.schema_lists),
            aliases: self.aliases.saturating_add(other.aliases),
            depth: self.depth.max(other.depth),
            root_fields: self.root_fields.saturating_add(other.root_fields),
            introspects: self.introspects || other.introspects,
        }
    }

    /// Of a field with this selection.
    fn under(self, field: &Field) -> Self {
        let name = field.name.node.as_str();
        let introspects = matches!(name, "__schema" | "__type");
        Self {
            fields: self.fields.saturating_add(1),
            height: self.height + 1,
            schema_lists: self.schema_lists + usize::from(SCHEMA_LISTS.contains(&name)),
            aliases: self.aliases + usize::from(field.alias.is_some()),
            depth: if introspects { 1 } else { self.depth + 1 },
            root_fields: 1,
            introspects,
        }
    }

    /// Of a fragment with this selection.
    fn spread(self) -> Self {
        Self {
            fields: self.fields.saturating_add(1),
            height: self.height + 1,
            ..self
        }
    }
}

/// Measures each fragment once, however often it is spread.
struct Expansion<'a> {
    document: &'a ExecutableDocument,
    /// `None` while a fragment is being measured: meeting it then means that it contains itself.
    fragments: HashMap<&'a str, Option<Size>>,
}

/// How large the largest operation of a document is; `None` when any part of it, used or not, goes out of bounds once
/// its fragments are in place: the engine walks unused fragments too.
pub(crate) fn measure(document: &ExecutableDocument) -> Option<Size> {
    let mut expansion = Expansion {
        document,
        fragments: HashMap::new(),
    };
    let mut largest = Size::default();
    for (_, operation) in document.operations.iter() {
        let size = expansion.size(&operation.node.selection_set.node, 0)?;
        largest = Size {
            aliases: largest.aliases.max(size.aliases),
            root_fields: largest.root_fields.max(size.root_fields),
            ..largest.beside(size)
        };
    }
    for name in document.fragments.keys() {
        expansion.fragment(name.as_str(), 0)?;
    }
    Some(largest)
}

impl<'a> Expansion<'a> {
    fn size(&mut self, selection: &'a SelectionSet, level: usize) -> Option<Size> {
        let mut whole = Size::default();
        for item in &selection.items {
            let part = match &item.node {
                Selection::Field(field) => self
                    .size(&field.node.selection_set.node, level + 1)?
                    .under(&field.node),
                Selection::InlineFragment(inline) => {
                    self.size(&inline.node.selection_set.node, level + 1)?.spread()
                }
                Selection::FragmentSpread(spread) => self
                    .fragment(&spread.node.fragment_name.node, level + 1)?
                    .spread(),
            };
            whole = whole.beside(part);
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
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn brackets_count_outside_strings_and_comments() {
        let document = "{ a(b: \"{{{\\\"{{\", c: \"\"\"{{ \\\"\"\" {{\"\"\") # {{{\n { b } }";
        assert_eq!(look(document).nesting, 2, "{document}");
        assert_eq!(look("}}}{ a(b: [[1]]) }").nesting, 4);
        assert_eq!(look("{ a(b: \"\") { c } } \"{{{").nesting, 2);
    }

    #[test]
    fn tokens_are_words_and_punctuators() {
        for (document, tokens) in [
            ("", 0),
            ("{ abc, d_e1 } # and a comment", 4),
            (
                "query($a:Int!=-1.5){a(b:$a c:\"x y \\\" z\")@skip(if:true)...F}",
                31,
            ),
        ] {
            assert_eq!(look(document).tokens, tokens, "{document}");
        }
    }

    #[test]
    fn fragments_count_as_often_as_they_are_spread() {
        let document = parse_query(
            "query a { x { ...F } y: x { ...F z { __typename } } __schema { types { fields { name } } } }
             query b { z { ...G } } fragment F on T { a: b ...G } fragment G on T { c: d { e } }",
        )
        .unwrap();
        let size = measure(&document).unwrap();
        assert_eq!(
            (size.aliases, size.depth, size.root_fields, size.introspects),
            (5, 3, 3, true)
        );
    }
}
