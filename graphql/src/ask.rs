//! What clients send: a document, the name of an operation in it, and variables. Read the same from a body, a URL and a
//! message on a WebSocket.

use async_graphql::{Request, ServerError};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Code;
use crate::limits::{Limits, bound};

/// The extension by which clients name a document that they do not send.
const PERSISTED: &str = "persistedQuery";

/// The words on which clients send the document itself, and name no other by its hash.
const NOT_SUPPORTED: &str = "PersistedQueryNotSupported";

/// A well-formed request, as it was sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ask {
    /// `None`: the client sent a hash of its document instead, as Apollo's automatic persisted queries do.
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    pub(crate) operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Box<RawValue>>,
    /// Checked to be an object. Of what it holds only `persistedQuery` is looked for.
    #[serde(default)]
    extensions: Option<Map<String, Value>>,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Body {
    One(Ask),
    Many(Vec<Ask>),
}

/// The parameters of a URL.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

impl Body {
    /// Reads a body. What is no JSON is told from what is no request.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ServerError> {
        // A byte order mark, which some editors and shells write, may be ignored (RFC 8259, 8.1).
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            let many: Vec<&RawValue> = parse(bytes)?;
            if limits.max_batch < 2 {
                return Err(
                    Code::BatchTooLarge.refusal("send one request at a time: batches are off (max_batch)")
                );
            }
            bound(
                Code::BatchTooLarge,
                ("max_batch", limits.max_batch),
                many.len(),
                "the number of requests in the batch is",
            )?;
            let many = many.into_iter().map(|one| Ask::read(one.get().as_bytes()));
            return many.collect::<Result<_, _>>().map(Self::Many);
        }
        Ask::read(bytes).map(Self::One)
    }
}

impl Ask {
    /// Reads one request from JSON.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ServerError> {
        let object: &RawValue = parse(bytes)?;
        if !object.get().starts_with('{') {
            return Err(malformed("it is no object"));
        }
        let ask: Self = parse(bytes)?;
        ask.checked()
    }

    /// Reads one request from the part of a URL after the question mark.
    pub(crate) fn from_url(uri: &axum::http::Uri) -> Result<Self, ServerError> {
        let axum::extract::Query(parameters) = axum::extract::Query::<Parameters>::try_from_uri(uri)
            .map_err(|error| malformed(error.body_text()))?;
        let json = |name: &str, text: Option<String>| {
            let text = text.filter(|text| !text.is_empty());
            text.map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(|error| malformed(format!("{name} in the URL are JSON: {error}")))
        };
        let extensions: Option<Box<RawValue>> = json("extensions", parameters.extensions)?;
        let ask = Self {
            query: parameters.query,
            operation_name: parameters.operation_name.filter(|name| !name.is_empty()),
            variables: json("variables", parameters.variables)?,
            extensions: match extensions {
                Some(raw) => parse(raw.get().as_bytes())?,
                None => None,
            },
        };
        if ask.query.is_none() && !ask.names_a_document() {
            let message = "the URL has no query: add ?query=…, send the request by POST, or open a WebSocket";
            return Err(Code::BadRequest.refusal(message));
        }
        ask.checked()
    }

    /// How many bytes came of what is kept: the document and the variables.
    pub(crate) fn bytes(&self) -> usize {
        self.query.as_ref().map_or(0, String::len)
            + self
                .variables
                .as_ref()
                .map_or(0, |variables| variables.get().len())
    }

    /// As the engine takes it.
    pub(crate) fn request(self, limits: &Limits) -> Result<Request, ServerError> {
        let named = self.names_a_document();
        let Some(query) = self.query.filter(|query| !named || !query.is_empty()) else {
            return Err(Code::PersistedQueryNotSupported.refusal(NOT_SUPPORTED));
        };
        let mut request = Request::new(query);
        request.operation_name = self.operation_name;
        if let Some(variables) = self.variables {
            bound(
                Code::VariablesTooLarge,
                ("max_variables", limits.max_variables),
                variables.get().len(),
                "the number of bytes in the variables is",
            )?;
            request.variables = serde_json::from_str(variables.get())
                .map_err(|error| malformed(format!("variables are an object: {error}")))?;
        }
        Ok(request)
    }

    /// Whether a document is named by its hash, which says nothing where the document itself is there.
    fn names_a_document(&self) -> bool {
        let extensions = self.extensions.as_ref();
        extensions.is_some_and(|extensions| extensions.get(PERSISTED).is_some_and(Value::is_object))
    }

    /// What the types alone do not say.
    fn checked(self) -> Result<Self, ServerError> {
        if self.query.is_none() && !self.names_a_document() {
            return Err(malformed("missing field `query`"));
        }
        match &self.variables {
            Some(raw) if !raw.get().starts_with('{') => Err(malformed("variables are an object")),
            _ => Ok(self),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ServerError> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => malformed(error),
        _ => Code::InvalidJson.refusal(format!("the body is no JSON: {error}")),
    })
}

fn malformed(why: impl std::fmt::Display) -> ServerError {
    let shape = r#"{"query": "…", "operationName": "…", "variables": {…}, "extensions": {…}}"#;
    Code::BadRequest.refusal(format!("this is no GraphQL request, such as {shape}: {why}"))
}
