//! `impl Store`: what lists leave out, for many calls at once.

use std::collections::HashMap;

use mcptap_model::Payload;
use serde_json::{Map, Value};

use crate::{Error, Store};

/// The heavy part of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// What the client sent.
    pub request: Option<Payload>,
    /// What the server answered.
    pub response: Option<Payload>,
    /// The stack trace of the exception.
    pub stack_trace: Option<String>,
    /// Everything the span carried that has no field of its own, and where it came from: `otel.scope.name`,
    /// `otel.scope.version` and `resource`, an object.
    pub attributes: Map<String, Value>,
}

impl Store {
    /// The details of the calls in these rows, in one query. Rows that do not exist are left out.
    pub async fn details(&self, _rows: &[i64]) -> Result<HashMap<i64, Details>, Error> {
        Err(Error::Unsupported)
    }
}
