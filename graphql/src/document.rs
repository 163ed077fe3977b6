//! Documents before the engine sees them. The engine's own limits come after it has parsed and expanded a document;
//! a small one that is nested without end, or whose fragments multiply each other, would keep it busy (or overflow
//! its stack) before that.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, VariableDefinition,
};
use async_graphql::{Name, Request, ServerError, Value, Variables};

use crate::bounds::{MAX_BYTES, MAX_FIELDS, MAX_NESTING, Size, look, measure};
use crate::error::Code;
use crate::limits::{Introspection, Limits, bound};
use crate::shape::Shape;

/// A request whose document was read and found reasonable.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) document: ExecutableDocument,
    /// What it is about to do; `None` when it is not clear which operation is meant, as the engine will say.
    pub(crate) kind: Option<OperationType>,
    /// The shape that the answer must have.
    pub(crate) shape: Shape,
    pub(crate) depth: usize,
}

/// How many values, lists and objects the variables may have together. Each is checked for every use of its variable; filters
/// have 500 values and 100 filters at most.
const MAX_VALUES: usize = 4_000;

fn values_in<'a>(values: impl Iterator<Item = &'a Value>) -> usize {
    let of = |value: &Value| match value {
        Value::List(items) => 1 + values_in(items.iter()),
        Value::Object(fields) => 1 + values_in(fields.values()),
        _ => 1,
    };
    values.map(of).sum()
}

/// Reads the document of a request. `known`: the one who asks gave a key.
pub(crate) fn check(request: &Request, limits: &Limits, known: bool) -> Result<Checked, ServerError> {
    let values = values_in(request.variables.values());
    if values > MAX_VALUES {
        return Err(Code::TooComplex.refusal(format!(
            "the variables have {values} values, more than {MAX_VALUES}; a filter takes 500 at most"
        )));
    }
    if request.query.len() > MAX_BYTES {
        return Err(Code::TooComplex.refusal(format!("the document is longer than {MAX_BYTES} bytes")));
    }
    let text = look(&request.query);
    if text.nesting > MAX_NESTING {
        return Err(Code::TooComplex.refusal(format!("the document is nested more than {MAX_NESTING} deep")));
    }
    bound(
        Code::TooManyTokens,
        ("max_tokens", limits.max_tokens),
        text.tokens,
        "the number of tokens in the document is",
    )?;
    let document = parse_query(&request.query).map_err(|error| {
        let error = ServerError::from(error);
        ServerError {
            locations: error.locations,
            ..Code::ParseFailed.refusal(error.message)
        }
    })?;
    let Some(size) = measure(&document) else {
        return Err(Code::TooComplex.refusal(format!(
            "with its fragments in place the document has more than {MAX_FIELDS} fields, is nested more than \
             {MAX_NESTING} deep, asks for the schema again and again, or has fragments that contain themselves"
        )));
    };
    within(&size, limits, known)?;
    let operation = operation(&document, request.operation_name.as_deref());
    if let Some(variable) = operation.and_then(|operation| missing_variable(operation, &request.variables)) {
        let message = format!(
            "variable ${} of type {} is missing",
            variable.name.node, variable.var_type.node
        );
        return Err(Code::BadUserInput.refusal(message));
    }
    let kind = operation.map(|operation| operation.ty);
    let shape = operation.map_or_else(Shape::default, |operation| Shape::of(&document, operation));
    if kind == Some(OperationType::Subscription) && shape.root_fields() > 1 {
        return Err(Code::ValidationFailed.refusal("a subscription has one field at its root"));
    }
    Ok(Checked {
        depth: size.depth,
        kind,
        shape,
        document,
    })
}

fn within(size: &Size, limits: &Limits, known: bool) -> Result<(), ServerError> {
    let bounds = [
        (
            Code::TooDeep,
            ("max_depth", limits.max_depth),
            size.depth,
            "the depth of the fields is",
        ),
        (
            Code::TooManyAliases,
            ("max_aliases", limits.max_aliases),
            size.aliases,
            "the number of aliases, fragments expanded, is",
        ),
        (
            Code::TooManyRootFields,
            ("max_root_fields", limits.max_root_fields),
            size.root_fields,
            "the number of fields at the root is",
        ),
    ];
    for (code, limit, found, what) in bounds {
        bound(code, limit, found, what)?;
    }
    let shown = match limits.introspection {
        Introspection::On => true,
        Introspection::Authenticated => known,
        Introspection::Off => false,
    };
    if shown || !size.introspects {
        return Ok(());
    }
    let to_whom = match limits.introspection {
        Introspection::Authenticated => " without an API key",
        _ => "",
    };
    Err(Code::IntrospectionOff.refusal(format!(
        "the schema is not shown here{to_whom} (introspection): schema.graphql of this version of mcptap says the same"
    )))
}

/// The operation that is asked for; `None` when it is not clear which, as the engine will say.
fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    let mut asked_for = document
        .operations
        .iter()
        .filter(|(found, _)| name.is_none() || found.map(Name::as_str) == name)
        .map(|(_, operation)| &operation.node);
    asked_for.next().filter(|_| asked_for.next().is_none())
}

/// The first variable that must be given and is not. The engine would notice only where the variable is used.
fn missing_variable<'a>(
    operation: &'a OperationDefinition,
    given: &Variables,
) -> Option<&'a VariableDefinition> {
    let mut required = operation
        .variable_definitions
        .iter()
        .map(|definition| &definition.node);
    required.find(|variable| {
        !variable.var_type.node.nullable
            && variable.default_value.is_none()
            && given
                .get(&variable.name.node)
                .is_none_or(|value| *value == Value::Null)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: impl Into<String>) -> Option<String> {
        let refusal = check(&Request::new(query), &Limits::default(), false).err()?;
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
    }

    #[test]
    fn each_limit_says_its_name_and_what_was_found() {
        let limits = Limits {
            max_depth: 3,
            max_aliases: 2,
            max_tokens: 40,
            max_root_fields: 2,
            introspection: Introspection::Off,
            ..Limits::default()
        };
        for (query, code, limit, found) in [
            (
                "{ a { b { c { d } } } }".to_owned(),
                "QUERY_TOO_DEEP",
                "max_depth",
                4,
            ),
            (
                "{ x { a: b ...F } y { ...F } } fragment F on T { c: d }".to_owned(),
                "TOO_MANY_ALIASES",
                "max_aliases",
                3,
            ),
            (
                "{ a b ... { c } }".to_owned(),
                "TOO_MANY_ROOT_FIELDS",
                "max_root_fields",
                3,
            ),
            ("a ".repeat(41), "TOO_MANY_TOKENS", "max_tokens", 41),
        ] {
            let refusal = check(&Request::new(&query), &limits, true).unwrap_err();
            let extensions = serde_json::to_value(refusal.extensions).unwrap();
            assert_eq!(extensions["code"], code, "{query}");
            assert_eq!(
                (&extensions["limit"], &extensions["found"]),
                (&limit.into(), &found.into()),
                "{query}"
            );
            assert!(refusal.message.contains(limit) && refusal.message.contains(&found.to_string()));
        }
        assert!(check(&Request::new("{ __typename a { b { c } } }"), &limits, false).is_ok());
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
    fn the_schema_is_shown_to_whom_it_may_be() {
        let modes = [
            (Introspection::On, [true, true]),
            (Introspection::Authenticated, [false, true]),
            (Introspection::Off, [false, false]),
        ];
        for (introspection, shown) in modes {
            let limits = Limits {
                introspection,
                ..Limits::default()
            };
            let request = Request::new("{ ... { __schema { types { name } } } }");
            let checked = [false, true].map(|known| check(&request, &limits, known));
            assert_eq!(checked.each_ref().map(Result::is_ok), shown, "{introspection:?}");
            let refused = checked.into_iter().filter_map(Result::err);
            refused.for_each(|refusal| assert_eq!(Code::of(&refusal), Code::IntrospectionOff));
        }
    }

    #[test]
    fn introspection_that_multiplies_is_refused() {
        let nested = |times: usize| {
            let (open, close) = ("fields { type { ofType { ".repeat(times), " } } }".repeat(times));
            format!("{{ __schema {{ types {{ {open} name {close} }} }} }}")
        };
        assert!(code(nested(2)).is_none());
        assert_eq!(code(nested(3)).as_deref(), Some("\"QUERY_TOO_COMPLEX\""));
    }

    #[test]
    fn variables_have_few_values() {
        let with = |filters: usize| {
            let filters = vec![serde_json::json!({ "tools": ["t"] }); filters];
            let variables = serde_json::json!({ "f": { "or": filters } });
            let request = Request::new("query ($f: CallFilter) { a(filter: $f) { b } }")
                .variables(Variables::from_json(variables));
            check(&request, &Limits::default(), false)
                .err()
                .map(|refusal| Code::of(&refusal))
        };
        assert_eq!(with(1_000), None);
        assert_eq!(with(4_000), Some(Code::TooComplex));
    }

    #[test]
    fn what_does_not_parse_says_where() {
        let refusal = check(&Request::new("{ calls( }"), &Limits::default(), false).unwrap_err();
        assert_eq!(code("{ calls( }").as_deref(), Some("\"GRAPHQL_PARSE_FAILED\""));
        assert!(!refusal.locations.is_empty());
        assert!(code("{ calls { nodes { id } } }").is_none());
        assert_eq!(
            code("query ($id: ID!) { node(id: $id) { id } }").as_deref(),
            Some("\"BAD_USER_INPUT\"")
        );
        let deep = format!("{{ a(b: {}1{}) }}", "[".repeat(60), "]".repeat(60));
        assert!(code(deep).is_none());
    }
}
