//! `impl Store`: sessions, which are what their calls say.

use mcptap_model::{CallFilter, SessionSource, UnixNanos};

use crate::{Error, Page, PageRequest, Store};

/// What belongs together in one client's visit to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it was recognised by.
    pub source: SessionSource,
    /// The server's name.
    pub server: String,
    /// The id, in the terms of the source.
    pub key: String,
    /// The client's own name, from its latest call that says one.
    pub client_name: Option<String>,
    /// The client's own version, from the same call.
    pub client_version: Option<String>,
    /// When its first call began.
    pub started_at: UnixNanos,
    /// When its last call began.
    pub last_call_at: UnixNanos,
    /// How many calls it has.
    pub call_count: u64,
    /// How many of them are errors.
    pub error_count: u64,
    /// Its row.
    pub row: i64,
}

impl Session {
    /// Where it stands in the order of pages.
    pub fn position(&self) -> SessionPosition {
        SessionPosition { last_call_at: self.last_call_at, row: self.row }
    }
}

/// Where a session stands: newest activity first, then by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionPosition {
    /// When its last call began.
    pub last_call_at: UnixNanos,
    /// Its row.
    pub row: i64,
}

impl Store {
    /// The session of that natural key.
    pub async fn session(&self, _source: SessionSource, _server: &str, _key: &str) -> Result<Option<Session>, Error> {
        Err(Error::Unsupported)
    }

    /// Sessions with calls of the filter, newest activity first. Counts and times are of the whole session.
    pub async fn sessions(
        &self,
        _filter: &CallFilter,
        _page: PageRequest<SessionPosition>,
    ) -> Result<Page<Session>, Error> {
        Err(Error::Unsupported)
    }
}
