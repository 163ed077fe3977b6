//! `impl Store`: which tools have been called.

use mcptap_model::CallFilter;

use crate::{Error, Page, PageRequest, Store};

/// A tool of a server. Also its position: tools are ordered by name, then by server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The server's name.
    pub server: String,
}

impl Store {
    /// Tools with calls of the filter, by name, then by server.
    pub async fn tools(&self, _filter: &CallFilter, _page: PageRequest<Tool>) -> Result<Page<Tool>, Error> {
        Err(Error::Unsupported)
    }

    /// Whether that tool of that server has been called.
    pub async fn tool(&self, _server: &str, _name: &str) -> Result<Option<Tool>, Error> {
        Err(Error::Unsupported)
    }
}
