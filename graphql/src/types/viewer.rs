//! `Viewer`: whoever asks.

use async_graphql::Object;

use super::{ApiKey, Scope};
use crate::access::Caller;

/// Whoever asks.
pub(crate) struct Viewer(pub(crate) Caller);

/// Whoever asks, and what they may do.
#[Object]
impl Viewer {
    /// Whether API keys exist. While none does, nobody is asked for one; from the first on everybody is.
    async fn keys_exist(&self) -> bool {
        self.0.keys_exist()
    }

    /// The key that was given. Null while none exists.
    async fn key(&self) -> Option<ApiKey> {
        let key = self.0.access().key()?;
        Some(ApiKey(mcptap_model::ApiKey::clone(key)))
    }

    /// What is allowed here and now. While no key exists that is everything, but `ADMIN` only where no other machine
    /// reaches the API.
    async fn scopes(&self) -> Vec<Scope> {
        let all = mcptap_model::Scope::ALL.into_iter();
        all.filter(|scope| self.0.may(*scope)).map(Into::into).collect()
    }

    /// The names of the only servers whose calls are seen. Empty: all.
    async fn servers(&self) -> &[String] {
        self.0.access().servers()
    }
}
