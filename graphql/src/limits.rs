//! What clients may ask for at most. Each limit has a setting of its name, and an error that says both the limit and what
//! was found.

use std::time::Duration;

use async_graphql::{ServerError, Value};

use crate::bounds::MAX_BYTES;
use crate::error::Code;

/// Who may read the schema through introspection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Introspection {
    /// Everybody who may ask at all.
    #[default]
    On,
    /// Only those who said who they are.
    Authenticated,
    /// Nobody.
    Off,
}

/// How much one request, one connection and all of them together may take. The defaults leave room for the dashboard,
/// GraphiQL and generated clients, and keep the server usable for everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Who may read the schema through introspection. Default: everybody.
    pub introspection: Introspection,
    /// How deep fields may be nested, introspection aside. Default 20.
    pub max_depth: usize,
    /// What an operation may cost: a field is 1, a list its size times one item, and reading the database adds to it.
    /// Default 500,000: a full page of calls with every field, both bodies and a hundred log lines each.
    pub max_complexity: usize,
    /// How many fields may be renamed, fragments expanded. Default 30.
    pub max_aliases: usize,
    /// How many names, values and punctuators a document may have. Default 4,000.
    pub max_tokens: usize,
    /// How many fields an operation may have at its root. Default 20.
    pub max_root_fields: usize,
    /// How many bytes the variables may have, as JSON. Default 256 KiB.
    pub max_variables: usize,
    /// How many requests an HTTP request may have, as a JSON array; 1 takes no arrays. Default 1.
    pub max_batch: usize,
    /// How many operations may run on one WebSocket. Default 100.
    pub max_socket_operations: usize,
    /// How many queries may run at the same time, over all transports. Default 256.
    pub max_operations: usize,
    /// How many subscriptions may be open at the same time, over all transports. Default 5,000.
    pub max_subscriptions: usize,
    /// How long a query may run. Default 30 seconds.
    pub timeout: Duration,
    /// How long a WebSocket may stay open without `connection_init`. Default 10 seconds.
    pub init_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            introspection: Introspection::default(),
            max_depth: 20,
            max_complexity: 500_000,
            max_aliases: 30,
            max_tokens: 4_000,
            max_root_fields: 20,
            max_variables: 256 * 1024,
            max_batch: 1,
            max_socket_operations: 100,
            max_operations: 256,
            max_subscriptions: 5_000,
            timeout: Duration::from_secs(30),
            init_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How many bytes one request may have as JSON: the document, in which JSON escapes quotes and ends of lines, the
    /// variables, and a little besides.
    pub(crate) fn max_request(&self) -> usize {
        (2 * MAX_BYTES + 16 * 1024).saturating_add(self.max_variables)
    }
}

/// Refuses what is more than `max`. `what` is counted, as in "the document has 31 aliases".
pub(crate) fn bound(
    code: Code,
    (setting, max): (&str, usize),
    found: usize,
    what: &str,
) -> Result<(), ServerError> {
    if found <= max {
        return Ok(());
    }
    Err(over(code, (setting, max), found, &format!("{what} {found}")))
}

/// The refusal of what is more than `max`.
pub(crate) fn over(code: Code, (setting, max): (&str, usize), found: usize, message: &str) -> ServerError {
    let mut refusal = code.refusal(format!("{message}; at most {max} ({setting}) is allowed"));
    let extensions = refusal.extensions.get_or_insert_default();
    extensions.set("limit", setting);
    extensions.set("max", Value::from(max as u64));
    extensions.set("found", Value::from(found as u64));
    refusal
}
