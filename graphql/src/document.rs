//! Documents before the engine sees them. The engine's own limits come after it has parsed and expanded a document;
//! a small one that is nested without end, or whose fragments multiply each other, would keep it busy (or overflow
//! its stack) before that.

use std::future::ready;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, VariableDefinition,
};
use async_graphql::{Name, Request, Response, ServerError, Value, Variables};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once};

use crate::Schema;
use crate::bounds::{MAX_BYTES, MAX_FIELDS, MAX_NESTING, expands_within_bounds, nesting};
use crate::error::{Code, complete};

/// A request whose document was read and found reasonable.
#[derive(Debug)]
struct Checked {
    request: Request,
    subscription: bool,
}

/// Answers a request once.
pub(crate) async fn execute(schema: &Schema, request: Request) -> Response {
    match check(request) {
        Ok(checked) => complete(schema.execute(checked.request).await),
        Err(refusal) => Response::from_errors(vec![refusal]),
    }
}

/// Answers a request for as long as there are answers: a subscription many times, anything else once.
pub(crate) fn stream(schema: &Schema, request: Request) -> BoxStream<'static, Response> {
    match check(request) {
        Ok(Checked {
            request,
            subscription,
        }) => {
            let finish = move |response| {
                let response = complete(response);
                if subscription {
                    end_of_source(response)
                } else {
                    response
                }
            };
            schema.execute_stream(request).map(finish).boxed()
        }
        Err(refusal) => once(ready(Response::from_errors(vec![refusal]))).boxed(),
    }
}

/// Whether a response says that nothing was executed: then it has no data, not even null.
pub(crate) fn refused(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
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

/// The failure of a subscription's source is no event with an error in it: nothing follows, and clients must be told
/// so. Only such a failure has the subscription's own field, and no field within it, for a path.
fn end_of_source(mut response: Response) -> Response {
    if response.data == Value::Null && response.errors.iter().all(|error| error.path.len() <= 1) {
        response.errors.iter_mut().for_each(|error| error.path.clear());
    }
    response
}

fn check(mut request: Request) -> Result<Checked, ServerError> {
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
    if !expands_within_bounds(&document) {
        return Err(Code::TooComplex.refusal(format!(
            "with its fragments in place the document has more than {MAX_FIELDS} fields, is nested more than \
             {MAX_NESTING} deep, asks for the schema again and again, or has fragments that contain themselves"
        )));
    }
    let operation = operation(&document, request.operation_name.as_deref());
    if let Some(variable) = operation.and_then(|operation| missing_variable(operation, &request.variables)) {
        let message = format!(
            "variable ${} of type {} is missing",
            variable.name.node, variable.var_type.node
        );
        return Err(Code::BadUserInput.refusal(message));
    }
    let subscription = operation.is_some_and(|operation| operation.ty == OperationType::Subscription);
    request.set_parsed_query(document);
    Ok(Checked {
        request,
        subscription,
    })
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
    fn introspection_that_multiplies_is_refused() {
        let nested = |times: usize| {
            let (open, close) = ("fields { type { ofType { ".repeat(times), " } } }".repeat(times));
            format!("{{ __schema {{ types {{ {open} name {close} }} }} }}")
        };
        assert!(check(Request::new(nested(2))).is_ok());
        assert_eq!(code(nested(3)).as_deref(), Some("\"QUERY_TOO_COMPLEX\""));
    }

    #[test]
    fn what_does_not_parse_says_where() {
        let refusal = check(Request::new("{ calls( }")).err().unwrap();
        assert_eq!(code("{ calls( }").as_deref(), Some("\"GRAPHQL_PARSE_FAILED\""));
        assert!(!refusal.locations.is_empty());
        assert!(check(Request::new("{ calls { nodes { id } } }")).is_ok());
        assert_eq!(
            code("query ($id: ID!) { node(id: $id) { id } }").as_deref(),
            Some("\"BAD_USER_INPUT\"")
        );
        let deep = format!("{{ a(b: {}1{}) }}", "[".repeat(60), "]".repeat(60));
        assert!(check(Request::new(deep)).is_ok());
    }
}
