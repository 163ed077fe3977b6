//! Who may send, and for which servers.

use axum::http::HeaderMap;
use mcptap_model::{Access, Scope, credential};

use crate::ingest::Collector;
use crate::normalise::{Normalised, may_send, not_allowed};
use crate::status::Refusal;

impl Collector {
    /// Who sends, if they may: headers of HTTP and metadata of gRPC are the same.
    pub(crate) async fn sender(&self, headers: &HeaderMap) -> Result<Access, Refusal> {
        let Some(gate) = self.gate() else {
            return Ok(Access::everything());
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let access = gate
            .admit(credential(text("authorization"), text("x-api-key")))
            .await?;
        if access.may(Scope::Ingest) {
            Ok(access)
        } else {
            Err(Refusal::Forbidden)
        }
    }
}

/// Takes out what a key that is bound to servers may not send: calls of other servers, and HTTP spans and log lines of other
/// services. Most of it was dropped before it was read; this is the last word.
pub(crate) fn keep_own(access: &Access, normalised: &mut Normalised) {
    if access.servers().is_empty() {
        return;
    }
    let mut batch = std::mem::take(&mut normalised.batch);
    let mut own = |kind: &str, name: Option<&str>| {
        let own = may_send(access, name);
        if !own {
            not_allowed(normalised, access, kind, name);
        }
        own
    };
    batch
        .observations
        .retain(|observation| own("server", Some(observation.call.server_name())));
    batch
        .https
        .retain(|http| own("service", http.origin.service.as_deref()));
    batch.logs.retain(|line| own("service", line.service.as_deref()));
    normalised.batch = batch;
}
