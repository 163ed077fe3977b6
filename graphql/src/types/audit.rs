//! `AuditEntry`: something that was done with the rights of an administrator.

use async_graphql::{ID, Object};

use crate::scalars::DateTime;

/// An entry of the audit.
pub(crate) struct AuditEntry(pub(crate) mcptap_store::AuditEntry);

/// Something that was done with the rights of an administrator. Entries are never changed.
#[Object]
impl AuditEntry {
    /// When it was done.
    async fn time(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// The `id` of the API key by which it was done. Null: no key existed yet, or it was done on the command line.
    async fn key_id(&self) -> Option<ID> {
        self.0.key.map(|key| ID(key.to_string()))
    }

    /// What was done: the name of the mutation, such as `createApiKey`.
    async fn action(&self) -> &str {
        &self.0.what
    }

    /// To what, in words: which key, how many calls. Never what was in the calls, nor what they were searched by.
    async fn subject(&self) -> &str {
        &self.0.subject
    }
}
