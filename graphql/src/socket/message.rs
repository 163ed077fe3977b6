//! The messages of `graphql-transport-ws`, and the reasons for which a connection ends.

use std::fmt::Display;

use async_graphql::ServerError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::access::Refused;

/// A message of a client.
#[derive(Deserialize)]
pub(super) struct FromClient {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    pub(super) payload: Option<Box<RawValue>>,
}

impl FromClient {
    /// The id that some messages must have.
    pub(super) fn id(&mut self) -> Result<String, End> {
        let id = self.id.take().filter(|id| !id.is_empty());
        id.ok_or_else(|| invalid(format!("{:?} needs an id that is not empty", self.kind)))
    }

    /// Some messages may carry an object.
    pub(super) fn object(self) -> Result<Option<Box<RawValue>>, End> {
        match &self.payload {
            Some(payload) if !payload.get().starts_with('{') => {
                Err(invalid(format!("the payload of {:?} is an object", self.kind)))
            }
            _ => Ok(self.payload),
        }
    }
}

pub(super) fn invalid(why: impl Display) -> End {
    End::Close(4400, format!("Invalid message: {why}"))
}

/// A message to a client, but for answers, which are written by themselves.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToClient<'a> {
    ConnectionAck,
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Box<RawValue>>,
    },
}

/// Why a connection ends.
pub(super) enum End {
    /// We say so, with one of the protocol's codes.
    Close(u16, String),
    /// The client said goodbye.
    Left,
    /// The client is gone.
    Gone,
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        Self::Close(refused.close_code(), refused.message())
    }
}

pub(super) fn unwritten(error: impl Display) -> End {
    End::Close(1011, format!("an answer could not be written: {error}"))
}

/// Clients take this code for a reason to connect again.
pub(super) fn going_away() -> End {
    End::Close(1001, "the server is going away".into())
}
