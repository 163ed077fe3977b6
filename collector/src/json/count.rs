//! Counts what an export would become, before anything is built of it.

use super::node::Node;
use crate::census::{Census, Part};

/// How deep the objects stand that have a resource and its scopes: in the list of the whole.
const GROUPS: usize = 2;

/// Counts by the names of lists, wherever they stand: what stands elsewhere than in OTLP is counted, but not read.
pub(super) fn count(node: &Node<'_>, part: Option<Part>, depth: usize, census: &mut Census) {
    match node {
        Node::List(items) => {
            for item in items {
                if let Some(part) = part {
                    census.note(part);
                }
                count(item, None, depth + 1, census);
            }
        }
        Node::Object(entries) => {
            let (mut resource, mut scopes) = (0_usize, 0_usize);
            for (name, value) in entries {
                let before = census.built();
                let part = named(name);
                count(value, part, depth + 1, census);
                if depth == GROUPS && name == "resource" {
                    resource = census.built() - before + texts(value);
                }
                if depth == GROUPS && part == Some(Part::Scope) {
                    scopes = scopes.saturating_add(value.as_list().map_or(0, <[_]>::len));
                }
            }
            census.copies(resource, scopes);
        }
        _ => {}
    }
}

/// The kind of the entries of a list of this name.
fn named(name: &str) -> Option<Part> {
    Some(match name {
        "resourceSpans" | "resource_spans" | "resourceLogs" | "resource_logs" => Part::Group,
        "scopeSpans"
        | "scope_spans"
        | "scopeLogs"
        | "scope_logs"
        | "instrumentationLibrarySpans"
        | "instrumentation_library_spans"
        | "instrumentationLibraryLogs"
        | "instrumentation_library_logs" => Part::Scope,
        "spans" => Part::Span,
        "logRecords" | "log_records" => Part::Record,
        "events" => Part::Event,
        "links" => Part::Link,
        // Values of an array or of a map; those of a map take more.
        "attributes" | "values" => Part::Attribute,
        _ => return None,
    })
}

/// How many bytes the texts below have.
fn texts(node: &Node<'_>) -> usize {
    match node {
        Node::Text(text) => text.len(),
        Node::List(items) => items.iter().map(texts).sum(),
        Node::Object(entries) => entries
            .iter()
            .map(|(name, value)| name.len() + texts(value))
            .sum(),
        _ => 8,
    }
}
