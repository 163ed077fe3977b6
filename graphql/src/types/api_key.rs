//! `ApiKey`: what lets somebody in.

use async_graphql::{Enum, ID, Object};
use mcptap_store::PageRequest;

use crate::connection::Connection;
use crate::cost::DEFAULT_SIZE;
use crate::cursor::{Cursor, KeyNumber};
use crate::scalars::DateTime;

/// Something that an API key may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "mcptap_model::Scope")]
pub(crate) enum Scope {
    /// To send spans and log lines over OTLP.
    Ingest,
    /// To read records: calls, facets, statistics, sessions, the live feed. Without what was said in them.
    Read,
    /// To read, with `READ`, what was said: bodies, log lines, error messages, stack traces, attributes.
    Payloads,
    /// To make and revoke keys, to delete calls, to read the audit. Not to read calls.
    Admin,
}

/// A key, without its secret.
pub(crate) struct ApiKey(pub(crate) mcptap_model::ApiKey);

impl ApiKey {
    /// A page of all keys, which are few.
    pub(crate) fn page(keys: Vec<mcptap_model::ApiKey>, page: &PageRequest<KeyNumber>) -> Connection<Self> {
        let after = page.after.map_or(0, |number| number.0);
        let size = page.first.unwrap_or(DEFAULT_SIZE);
        let mut keys: Vec<_> = keys.into_iter().filter(|key| key.id > after).collect();
        let more = keys.len() > size;
        keys.truncate(size);
        Connection::new(keys, (page.after.is_some(), more), |key| {
            (KeyNumber(key.id).encode(), Self(key))
        })
    }
}

/// A key that lets its holder in. The secret itself is told once, by `createApiKey`, and stored nowhere.
#[Object]
impl ApiKey {
    /// For `revokeApiKey`, and in the audit.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// What its maker called it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it allows.
    async fn scopes(&self) -> Vec<Scope> {
        self.0.scopes.iter().copied().map(Into::into).collect()
    }

    /// The names of the only servers whose calls it sends and sees. Empty: all.
    async fn servers(&self) -> &[String] {
        &self.0.servers
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it ends by itself. Null: never.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When it was last used, give or take a minute. Null: never.
    async fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }

    /// When it was revoked. Null: it was not.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }
}
