//! The shape of an answer: what the GraphQL specification says of it, and async-graphql 7.2 does not do by itself.
//!
//! Fields stand in the order in which they were selected; the engine puts them in the order in which they were ready. And
//! a field that failed is null, or what it stands in is where it cannot be null; the engine leaves it out.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationDefinition, Selection, SelectionSet, Type, TypeKind,
    TypeSystemDefinition,
};
use async_graphql::{Name, PathSegment, Response, Value};

/// The type of every field of every object and interface.
#[derive(Debug, Default)]
pub(crate) struct Fields(HashMap<Name, HashMap<Name, Type>>);

impl Fields {
    /// Reads a schema. What cannot be read has no fields; the schema printed by the engine can.
    pub(crate) fn of(sdl: &str) -> Self {
        let definitions = parse_schema(sdl).map_or_else(|_| Vec::new(), |document| document.definitions);
        let types = definitions.into_iter().filter_map(|definition| {
            let TypeSystemDefinition::Type(definition) = definition else {
                return None;
            };
            let fields = match definition.node.kind {
                TypeKind::Object(object) => object.fields,
                TypeKind::Interface(interface) => interface.fields,
                _ => return None,
            };
            let fields = fields
                .into_iter()
                .map(|field| (field.node.name.node, field.node.ty.node));
            Some((definition.node.name.node, fields.collect()))
        });
        Self(types.collect())
    }

    fn ty(&self, parent: &str, field: &str) -> Option<&Type> {
        self.0.get(parent)?.get(field)
    }
}

/// The selected fields, in order, by the names that the answer uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape(IndexMap<Name, Selected>);

/// A field of the answer.
#[derive(Clone, Debug)]
struct Selected {
    field: Name,
    /// The type that the field was selected on; `None` where it is the type of what it stands in.
    on: Option<Name>,
    inner: Shape,
}

impl Shape {
    /// What an operation selects. The document must be within bounds: fragments are put in place.
    pub(crate) fn of(document: &ExecutableDocument, operation: &OperationDefinition) -> Self {
        let mut shape = Self::default();
        shape.add(document, &operation.selection_set.node, None);
        shape
    }

    /// How many fields the answer has at most.
    pub(crate) fn root_fields(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, document: &ExecutableDocument, set: &SelectionSet, on: Option<&Name>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let selected = self
                        .0
                        .entry(field.node.response_key().node.clone())
                        .or_insert_with(|| Selected {
                            field: field.node.name.node.clone(),
                            on: on.cloned(),
                            inner: Self::default(),
                        });
                    selected.inner.add(document, &field.node.selection_set.node, None);
                }
                Selection::InlineFragment(inline) => {
                    let condition = inline.node.type_condition.as_ref().map(|on| &on.node.on.node);
                    self.add(document, &inline.node.selection_set.node, condition.or(on));
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        let condition = &fragment.node.type_condition.node.on.node;
                        self.add(document, &fragment.node.selection_set.node, Some(condition));
                    }
                }
            }
        }
    }

    /// Puts fields in the order of the selection. Between two fragments on different types, the first goes first.
    fn arrange(&self, value: &mut Value) {
        match value {
            Value::List(items) => items.iter_mut().for_each(|item| self.arrange(item)),
            Value::Object(fields) if !self.0.is_empty() => {
                for (key, value) in fields.iter_mut() {
                    if let Some(selected) = self.0.get(key) {
                        selected.inner.arrange(value);
                    }
                }
                if !fields.keys().map(|key| self.0.get_index_of(key)).is_sorted() {
                    fields.sort_by_cached_key(|key, _| self.0.get_index_of(key));
                }
            }
            _ => {}
        }
    }

    /// How much of the path of a failed field is left: the last part is null, because it is the innermost that may be.
    /// Nothing is left where all data is null.
    fn null_at(&self, fields: &Fields, root: &str, path: &[PathSegment]) -> usize {
        let (mut shape, mut parent, mut list) = (self, root, None);
        let mut left = 0;
        for (index, segment) in path.iter().enumerate() {
            let ty = match segment {
                PathSegment::Field(key) => {
                    let Some(selected) = shape.0.get(key.as_str()) else {
                        break;
                    };
                    shape = &selected.inner;
                    fields.ty(selected.on.as_deref().unwrap_or(parent), &selected.field)
                }
                PathSegment::Index(_) => list,
            };
            let Some(ty) = ty else { break };
            if ty.nullable {
                left = index + 1;
            }
            match &ty.base {
                BaseType::List(item) => list = Some(item.as_ref()),
                BaseType::Named(name) => parent = name,
            }
        }
        left
    }

    /// Gives an answer that was executed the shape that it must have.
    pub(crate) fn mend(&self, fields: &Fields, root: &str, response: &mut Response) {
        let mut nulls: Vec<&[PathSegment]> = response
            .errors
            .iter()
            .filter(|error| !error.path.is_empty())
            .filter_map(|error| error.path.get(..self.null_at(fields, root, &error.path)))
            .collect();
        // The outermost last: it takes the others with it.
        nulls.sort_by_key(|path| Reverse(path.len()));
        for path in nulls {
            set_null(&mut response.data, path);
        }
        if response.data == Value::Null && response.errors.is_empty() {
            // Everything was skipped.
            response.data = Value::Object(IndexMap::new());
        }
        self.arrange(&mut response.data);
    }
}

/// Puts null at the end of a path. An object that the engine made null because nothing in it was left is one again.
fn set_null(value: &mut Value, path: &[PathSegment]) {
    let Some((first, rest)) = path.split_first() else {
        *value = Value::Null;
        return;
    };
    match (first, value) {
        (PathSegment::Field(key), value) => {
            if *value == Value::Null {
                *value = Value::Object(IndexMap::new());
            }
            if let Value::Object(fields) = value {
                set_null(fields.entry(Name::new(key)).or_insert(Value::Null), rest);
            }
        }
        (PathSegment::Index(index), Value::List(items)) => {
            if let Some(item) = items.get_mut(*index) {
                set_null(item, rest);
            }
        }
        (PathSegment::Index(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::{ServerError, value};

    use super::*;

    const SDL: &str = "type Query { a: A  must: A!  list: [A!]!  maybe: [A]! }
        interface Named { name: String! } type A implements Named { name: String!  note: String  b: B!  any: Named }
        type B { c: Int! }";

    fn mended(query: &str, data: Value, paths: &[&[&str]]) -> Value {
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let shape = Shape::of(&document, &operation.node);
        let mut response = Response::new(data);
        response.errors.extend(paths.iter().map(|path| {
            let segment = |text: &&str| match text.parse() {
                Ok(index) => PathSegment::Index(index),
                Err(_) => PathSegment::Field((*text).to_owned()),
            };
            ServerError::new("x", None).with_path(path.iter().map(segment).collect())
        }));
        shape.mend(&Fields::of(SDL), "Query", &mut response);
        response.data
    }

    /// As text, because equality of objects does not look at the order.
    fn text(value: &Value) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn fields_stand_as_selected() {
        let query =
            "{ y: list { ...F b { c } } x: must { any { ... on A { note name } } } must { __typename } }
            fragment F on A { note name }";
        let data = value!({"must": {"__typename": "A"}, "x": {"any": {"name": "n", "note": null}},
            "y": [{"b": {"c": 1}, "name": "n", "note": null}]});
        let expected = r#"{"y":[{"note":null,"name":"n","b":{"c":1}}],"x":{"any":{"note":null,"name":"n"}},"must":{"__typename":"A"}}"#;
        assert_eq!(text(&mended(query, data, &[])), expected);
    }

    #[test]
    fn nulls_propagate_to_what_may_be_null() {
        let query = "{ a { name note b { c } any { ... on A { b { c } } } } must { note b { c } } list { note name } maybe { name } }";
        let whole = || {
            value!({"a": {"name": "n", "note": "t", "b": {"c": 1}, "any": {"b": {"c": 1}}}, "must": {"note": "t", "b": {"c": 1}},
            "list": [{"note": "t", "name": "n"}], "maybe": [{"name": "n"}, {"name": "m"}]})
        };
        let check = |paths: &[&[&str]], place: &str, expected: &str| {
            let mended: serde_json::Value = mended(query, whole(), paths).into_json().unwrap();
            let found = mended.pointer(place).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(expected), "{paths:?}: {mended}");
        };
        check(&[&["a", "note"]], "/a/note", "null");
        check(&[&["a", "b", "c"]], "/a", "null");
        check(&[&["a", "any", "b", "c"]], "/a/any", "null");
        check(&[&["must", "b", "c"]], "", "null");
        check(
            &[&["list", "0", "note"]],
            "/list/0",
            r#"{"note":null,"name":"n"}"#,
        );
        check(&[&["list", "0", "name"]], "", "null");
        check(&[&["maybe", "1", "name"]], "/maybe", r#"[{"name":"n"},null]"#);
        check(&[&["a", "note"], &["a", "name"]], "/a", "null");
        check(&[&["a"]], "/a", "null");
    }

    #[test]
    fn what_is_left_of_an_object_is_an_object() {
        let mended_data = mended("{ a { note } }", value!({"a": null}), &[&["a", "note"]]);
        assert_eq!(text(&mended_data), r#"{"a":{"note":null}}"#);
        assert_eq!(
            text(&mended("{ a { note } }", Value::Null, &[&["a", "note"]])),
            r#"{"a":{"note":null}}"#
        );
        assert_eq!(
            text(&mended("{ a @skip(if: true) { note } }", Value::Null, &[])),
            "{}"
        );
    }
}
