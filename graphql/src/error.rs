//! Errors as clients see them: a message that is safe to show, and a stable `extensions.code`.

use std::fmt::Display;

use async_graphql::{Error, ErrorExtensionValues, PathSegment, Response, ServerError, Value};

/// The values of `extensions.code`. Clients branch on them: never rename one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// An argument or a variable has a value that cannot be.
    BadUserInput,
    /// What was sent is no GraphQL request.
    BadRequest,
    /// The document cannot be parsed.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// The document asks for more than one request may.
    TooComplex,
    /// The bodies of a page are more than one answer may carry.
    TooLarge,
    /// It is not known who asks.
    Unauthenticated,
    /// Whoever asks may not.
    Forbidden,
    /// What was there a moment ago is gone: retention removed it.
    Gone,
    /// The database cannot be reached now. The same request may succeed later.
    Unavailable,
    /// Our fault. The log has the details.
    Internal,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::BadRequest => "BAD_REQUEST",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::TooComplex => "QUERY_TOO_COMPLEX",
            Self::TooLarge => "RESPONSE_TOO_LARGE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::Gone => "GONE",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    pub(crate) fn error(self, message: impl Into<String>) -> Error {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.as_str());
        Error {
            extensions: Some(extensions),
            ..Error::new(message)
        }
    }

    /// The same, as the reason why a request is not executed at all.
    pub(crate) fn refusal(self, message: impl Into<String>) -> ServerError {
        let mut refusal = ServerError::new(message, None);
        refusal.extensions = self.error("").extensions;
        refusal
    }
}

/// An argument that cannot be, and why.
pub(crate) fn bad_input(message: impl Display) -> Error {
    Code::BadUserInput.error(message.to_string())
}

/// Something that a record still points to, but that retention has removed.
pub(crate) fn gone(what: &str) -> Error {
    Code::Gone.error(format!("{what} is no longer stored"))
}

/// The store's error: logged here, once, and masked, because it may quote SQL, addresses or data.
pub(crate) fn from_store(error: mcptap_store::Error) -> Error {
    match error {
        mcptap_store::Error::Database(cause) => {
            tracing::error!(%cause, "the database failed while answering a query");
            Code::Unavailable.error("the database does not answer now; try again")
        }
        mcptap_store::Error::Stopping => Code::Unavailable.error("the server is stopping; try again later"),
        error => {
            tracing::error!(%error, "a query could not be answered");
            Code::Internal.error("something went wrong inside the server; its log says what")
        }
    }
}

/// Gives every error of the engine itself a code too. Ours have one already; what remains with a path is an argument
/// that did not parse, and without a path a document that does not fit.
pub(crate) fn complete(mut response: Response) -> Response {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_some() {
            continue;
        }
        let code = if !error.path.is_empty() {
            Code::BadUserInput
        } else if TOO_MUCH.iter().any(|start| error.message.starts_with(start)) {
            Code::TooComplex
        } else {
            Code::ValidationFailed
        };
        extensions.set("code", code.as_str());
    }
    if response
        .errors
        .iter()
        .any(|error| is_left_out(&response.data, error))
    {
        response.data = Value::Null;
    }
    response
}

/// Whether a field of the root that may not be null failed: async-graphql 7.2 leaves it out of the answer, where the
/// whole answer must be null (GraphQL specification, "Handling Execution Errors").
fn is_left_out(data: &Value, error: &ServerError) -> bool {
    let (Value::Object(fields), Some(PathSegment::Field(root))) = (data, error.path.first()) else {
        return false;
    };
    !fields.contains_key(root.as_str())
}

/// How the engine begins its messages about limits.
const TOO_MUCH: [&str; 3] = [
    "Query is too complex",
    "Query is nested too deep",
    "The recursion depth",
];
