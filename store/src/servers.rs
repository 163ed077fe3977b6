//! `impl Store`: which MCP servers have been seen.

use mcptap_model::UnixNanos;

use crate::{Error, Page, PageRequest, Store};

/// An MCP server that calls were made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name, which identifies it.
    pub name: String,
    /// The earliest start of a call of it.
    pub first_seen_at: UnixNanos,
    /// The latest start of a call of it.
    pub last_seen_at: UnixNanos,
}

impl Store {
    /// Servers, by name.
    pub async fn servers(&self, _page: PageRequest<String>) -> Result<Page<Server>, Error> {
        Err(Error::Unsupported)
    }

    /// The server of that name.
    pub async fn server(&self, _name: &str) -> Result<Option<Server>, Error> {
        Err(Error::Unsupported)
    }
}
