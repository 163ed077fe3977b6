//! Documents before the engine sees them. The engine's own limits come after it has parsed and expanded a document;
//! a small one that is nested without end, or whose fragments multiply each other, would keep it busy (or overflow
//! its stack) before that.

use std::collections::HashMap;
use std::future::ready;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Request, Response, ServerError};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once};

use crate::Schema;
use crate::error::{Code, complete};

/// How long a document may be, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// How deep brackets of any kind may be nested, and fields through fragments.
const MAX_NESTING: usize = 64;
/// How many fields a document may have once its fragments are in place.
const MAX_FIELDS: usize = 10_000;

/// Answers a request once.
pub(crate) async fn execute(schema: &Schema, request: Request) -> Response {
    match check(request) {
        Ok(request) => complete(schema.execute(request).await),
        Err(refusal) => Response::from_errors(vec![refusal]),
    }
}

/// Answers a request for as long as there are answers: a subscription many times, anything else once.
pub(crate) fn stream(schema: &Schema, request: Request) -> BoxStream<'static, Response> {
    match check(request) {
        Ok(request) => schema.execute_stream(request).map(complete).boxed(),
        Err(refusal) => once(ready(Response::from_errors(vec![refusal]))).boxed(),
    }
}

/// Whether a response says that nothing was executed: then it has no data, not even null.
pub(crate) fn refused(response: &Response) -> bool {
    response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

fn check(mut request: Request) -> Result<Request, ServerError> {
    if request.query.len() > MAX_BYTES {
        return Err(Code::TooComplex.refusal(format!("the document is longer than {MAX_BYTES} bytes")));
    }
    if nesting(&request.query) > MAX_NESTING {
        return Err(Code::TooComplex.refusal(format!("the document is nested more than {MAX_NESTING} deep")));
    }
    let document = parse_query(&request.query).map_err(|error| {
        let error = ServerError::from(error);
        ServerError {
            locations: error.locations,
            ..Code::ParseFailed.refusal(error.message)
        }
    })?;
    if !Expansion::of(&document) {
        return Err(Code::TooComplex.refusal(format!(
            "with its fragments in place the document has more than {MAX_FIELDS} fields, is nested more than \
             {MAX_NESTING} deep, or has fragments that contain themselves"
        )));
    }
    request.set_parsed_query(document);
    Ok(request)
}

/// How deep brackets are nested outside strings and comments.
fn nesting(document: &str) -> usize {
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
}

/// Measures each fragment once, however often it is spread.
struct Expansion<'a> {
    document: &'a ExecutableDocument,
    /// `None` while a fragment is being measured: meeting it then means that it contains itself.
    fragments: HashMap<&'a str, Option<Size>>,
}

impl<'a> Expansion<'a> {
    /// Whether all of a document, used or not, stays within bounds: the engine walks unused fragments too.
    fn of(document: &'a ExecutableDocument) -> bool {
        let mut expansion = Self {
            document,
            fragments: HashMap::new(),
        };
        document
            .operations
            .iter()
            .all(|(_, operation)| expansion.size(&operation.node.selection_set.node, 0).is_some())
            && document
                .fragments
                .keys()
                .all(|name| expansion.fragment(name.as_str(), 0).is_some())
    }

    fn size(&mut self, selection: &'a SelectionSet, level: usize) -> Option<Size> {
        let mut whole = Size::default();
        for item in &selection.items {
            let part = match &item.node {
                Selection::Field(field) => self.size(&field.node.selection_set.node, level + 1)?,
                Selection::InlineFragment(inline) => self.size(&inline.node.selection_set.node, level + 1)?,
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, level + 1)?
                }
            };
            whole.fields = whole.fields.saturating_add(part.fields).saturating_add(1);
            whole.height = whole.height.max(part.height + 1);
        }
        (whole.fields <= MAX_FIELDS && whole.height + level <= MAX_NESTING).then_some(whole)
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

    fn code(query: impl Into<String>) -> Option<String> {
        let refusal = check(Request::new(query)).err()?;
        refusal.extensions?.get("code").map(ToString::to_string)
    }

    #[test]
    fn documents_that_never_end_are_refused_before_they_are_parsed() {
        for (open, inner) in [("{a", ""), ("{a(b:[", ""), ("[", "1")] {
            let deep = format!("{}{inner}", open.repeat(20_000));
            assert_eq!(code(deep).as_deref(), Some("\"QUERY_TOO_COMPLEX\""), "{open}");
        }
        let hidden = format!(
            "{{ a(b: \"\\\"}}}}}}\", c: \"\"\"\\\"\"\" }} \" \"\"\") # }}}}\n {} ",
            "{a".repeat(90)
        );
        assert_eq!(code(hidden).as_deref(), Some("\"QUERY_TOO_COMPLEX\""));
        assert_eq!(
            nesting("{ a(b: \"{{{\\\"{{\", c: \"\"\"{{ \\\"\"\" {{\"\"\") # {{{\n { b } }"),
            2
        );
    }

    #[test]
    fn fragments_that_multiply_are_refused() {
        let mut bomb = "{ ...f0 }".to_owned();
        for level in 0..30 {
            bomb += &format!(
                " fragment f{level} on Query {{ ...f{next} ...f{next} }}",
                next = level + 1
            );
        }
        assert_eq!(
            code(bomb + " fragment f30 on Query { a }").as_deref(),
            Some("\"QUERY_TOO_COMPLEX\"")
        );
        let cycle = "{ a } fragment f on Query { ...g } fragment g on Query { b { ...f } }";
        assert_eq!(code(cycle).as_deref(), Some("\"QUERY_TOO_COMPLEX\""));
        let mut chain = "{ a }".to_owned();
        for level in (0..2_000).rev() {
            chain += &format!(" fragment f{level} on Query {{ ...f{} }}", level + 1);
        }
        assert_eq!(code(chain).as_deref(), Some("\"QUERY_TOO_COMPLEX\""));
    }

    #[test]
    fn what_does_not_parse_says_where() {
        let refusal = check(Request::new("{ calls( }")).err().unwrap();
        assert_eq!(code("{ calls( }").as_deref(), Some("\"GRAPHQL_PARSE_FAILED\""));
        assert!(!refusal.locations.is_empty());
        assert!(check(Request::new("{ calls { nodes { id } } }")).is_ok());
    }
}
