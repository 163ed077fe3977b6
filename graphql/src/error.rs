//! Errors as clients see them: a message that is safe to show, and a stable `extensions.code`.

use std::fmt::Display;
use std::sync::Arc;

use async_graphql::{Error, ErrorExtensionValues, Response, ServerError, Value};
use axum::http::StatusCode;

/// The values of `extensions.code`. Clients branch on them: never rename one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// An argument or a variable has a value that cannot be.
    BadUserInput,
    /// What was sent is no GraphQL request.
    BadRequest,
    /// The body is no JSON.
    InvalidJson,
    /// The document was named by its hash, which is not known here. Clients send it whole on that.
    PersistedQueryNotSupported,
    /// The HTTP method is not for this.
    MethodNotAllowed,
    /// The client takes no media type that is spoken here.
    NotAcceptable,
    /// The body is of no media type that is read here.
    UnsupportedMediaType,
    /// The HTTP request is larger than any.
    RequestTooLarge,
    /// The document cannot be parsed.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// The schema is not shown.
    IntrospectionOff,
    /// The document asks for more than one request may.
    TooComplex,
    /// Fields are nested too deep.
    TooDeep,
    /// Too many fields are renamed.
    TooManyAliases,
    /// The document has too many words.
    TooManyTokens,
    /// The operation asks too many questions.
    TooManyRootFields,
    /// The variables are too large.
    VariablesTooLarge,
    /// Too many requests come as one.
    BatchTooLarge,
    /// Too much runs already, here or on this connection.
    TooManyOperations,
    /// Too many subscriptions are open already.
    TooManySubscriptions,
    /// It took too long.
    TimedOut,
    /// The bodies of a page are more than one answer may carry.
    TooLarge,
    /// The server holds as many bytes as it may. The same request may succeed later.
    ResourceExhausted,
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
    /// The same to clients: the database's files are damaged.
    Damaged,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::BadRequest => "BAD_REQUEST",
            Self::InvalidJson => "INVALID_JSON",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NotAcceptable => "NOT_ACCEPTABLE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RequestTooLarge => "REQUEST_TOO_LARGE",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::IntrospectionOff => "INTROSPECTION_OFF",
            Self::TooComplex => "QUERY_TOO_COMPLEX",
            Self::TooDeep => "QUERY_TOO_DEEP",
            Self::TooManyAliases => "TOO_MANY_ALIASES",
            Self::TooManyTokens => "TOO_MANY_TOKENS",
            Self::TooManyRootFields => "TOO_MANY_ROOT_FIELDS",
            Self::VariablesTooLarge => "VARIABLES_TOO_LARGE",
            Self::BatchTooLarge => "BATCH_TOO_LARGE",
            Self::TooManyOperations => "TOO_MANY_OPERATIONS",
            Self::TooManySubscriptions => "TOO_MANY_SUBSCRIPTIONS",
            Self::TimedOut => "TIMED_OUT",
            Self::TooLarge => "RESPONSE_TOO_LARGE",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::Gone => "GONE",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal | Self::Damaged => "INTERNAL",
        }
    }

    /// The HTTP status of an answer without data, whose reason this is (GraphQL over HTTP, "Status Codes").
    pub(crate) fn status(self) -> StatusCode {
        match self {
            // As Apollo's own server does: some of its clients look into no body of another status.
            Self::PersistedQueryNotSupported => StatusCode::OK,
            Self::InvalidJson | Self::ParseFailed => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyOperations
            | Self::TooManySubscriptions
            | Self::TimedOut
            | Self::ResourceExhausted
            | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal | Self::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// The code of an error that has been through [`complete`], or is of our own making.
    pub(crate) fn of(error: &ServerError) -> Self {
        error.source::<Self>().copied().unwrap_or(Self::Internal)
    }

    pub(crate) fn error(self, message: impl Into<String>) -> Error {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.as_str());
        Error {
            extensions: Some(extensions),
            source: Some(Arc::new(self)),
            ..Error::new(message)
        }
    }

    /// The same, as the reason why a request is not executed at all.
    pub(crate) fn refusal(self, message: impl Into<String>) -> ServerError {
        let mut refusal = ServerError::new(message, None);
        Error {
            extensions: refusal.extensions,
            source: refusal.source,
            ..
        } = self.error("");
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

/// Of a database that answers questions and takes no changes.
const READ_ONLY: &str = "this database is read-only, so nothing can be changed: its server is a standby, or \
    default_transaction_read_only is on; ask an mcptap that is connected to the primary";

const DAMAGED: &str = "the database is damaged; the server's log says what to do";

/// The store's error: logged here, once, and masked, because it may quote SQL, addresses or data.
pub(crate) fn from_store(error: mcptap_store::Error) -> Error {
    match error {
        error if error.is_read_only() => {
            tracing::error!(%error, "the database takes no changes");
            Code::Unavailable.error(READ_ONLY)
        }
        mcptap_store::Error::Database(cause) => {
            tracing::error!(%cause, "the database failed while answering a query");
            Code::Unavailable.error("the database does not answer now; try again")
        }
        // The store has logged why, once for all followers.
        error @ mcptap_store::Error::Away => Code::Unavailable.error(error.to_string()),
        mcptap_store::Error::Full(cause) => {
            tracing::error!(%cause, "the disk is full");
            Code::Unavailable.error("the database's disk is full; try again when there is space")
        }
        mcptap_store::Error::Refused(cause) => {
            tracing::error!(%cause, "the database refuses access");
            Code::Unavailable.error("the database refuses the server; its log says why")
        }
        error @ mcptap_store::Error::Corrupt(_) => {
            tracing::error!(%error, "a query could not be answered");
            Code::Damaged.error(DAMAGED)
        }
        error @ (mcptap_store::Error::Damaged { .. } | mcptap_store::Error::Incomplete { .. }) => {
            tracing::error!(%error, "a query could not be answered");
            Code::Internal.error(DAMAGED)
        }
        error @ (mcptap_store::Error::Replaced | mcptap_store::Error::LogReplaced) => {
            tracing::error!(%error, "a query could not be answered");
            Code::Unavailable.error("a file of the database was replaced; the server's log says what to do")
        }
        mcptap_store::Error::TimedOut => Code::TimedOut.error(
            "the database took longer than a query may (timeout); ask for less, such as a shorter time",
        ),
        mcptap_store::Error::Busy => Code::TimedOut.error(
            "the query waited for its turn among those that read much until its time was over (timeout); try again \
             later, or ask for less at once",
        ),
        mcptap_store::Error::Memory(exhausted) => Code::ResourceExhausted.error(exhausted.to_string()),
        mcptap_store::Error::Denied(denied) => Code::Unauthenticated.error(denied.to_string()),
        mcptap_store::Error::Stopping => Code::Unavailable.error("the server is stopping; try again later"),
        error @ mcptap_store::Error::Internal(_) => {
            tracing::error!(%error, "the database refused a statement that it should never refuse");
            Code::Internal.error("the database is not as mcptap made it; the server's log says what is wrong")
        }
        error => {
            tracing::error!(%error, "a query could not be answered");
            Code::Internal.error("something went wrong inside the server; its log says what")
        }
    }
}

/// Whether nothing could be answered because the database is away: the same question may be answered later.
pub(crate) fn is_of_outage(response: &Response) -> bool {
    response.data == Value::Null
        && response
            .errors
            .iter()
            .any(|error| Code::of(error) == Code::Unavailable)
}

/// Whether reading for an answer came upon damage in the database's files.
pub(crate) fn is_of_damage(response: &Response) -> bool {
    response
        .errors
        .iter()
        .any(|error| Code::of(error) == Code::Damaged)
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
        error.source = Some(Arc::new(code));
    }
    response
}

/// How the engine begins its messages about limits of its own.
const TOO_MUCH: [&str; 2] = ["The recursion depth", "The number of directives"];
