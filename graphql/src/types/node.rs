//! `Node`: whatever has an id.

use async_graphql::{ID, Interface};

use super::{Call, Server, Session, Tool};

/// Anything that can be asked for again by its id.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "Identifies the object for good, here and in every other database of mcptap. Opaque."
))]
pub(crate) enum Node {
    /// A call.
    Call(Call),
    /// A server.
    Server(Server),
    /// A tool.
    Tool(Tool),
    /// A session.
    Session(Session),
}
