//! Who may send, and for which servers.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use axum::middleware::Next;
use mcptap_model::{Access, Batch, Scope, credential};

use crate::ingest::Collector;
use crate::normalise::Normalised;
use crate::status::Refusal;

/// Lets a gRPC request in before its message is read, or answers why not.
pub(crate) async fn grpc(
    State(collector): State<Collector>,
    mut request: Request,
    next: Next,
) -> Response<axum::body::Body> {
    match collector.sender(request.headers()).await {
        Ok(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(refusal) => {
            collector.refused();
            refusal.grpc_status().into_http()
        }
    }
}

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
/// services.
pub(crate) fn keep_own(access: &Access, normalised: &mut Normalised) {
    if access.servers().is_empty() {
        return;
    }
    let Batch {
        observations,
        https,
        logs,
    } = &mut normalised.batch;
    let rejections = &mut normalised.rejections;
    let mut own = |kind: &str, name: Option<&str>| {
        let own = name.is_some_and(|name| access.reaches(name));
        if !own {
            rejections.push(format!(
                "{kind} {:?} is not among those that this API key may send for ({})",
                name.unwrap_or_default(),
                access.servers().join(", ")
            ));
        }
        own
    };
    observations.retain(|observation| own("server", Some(observation.call.server_name())));
    https.retain(|http| own("service", http.origin.service.as_deref()));
    logs.retain(|line| own("service", line.service.as_deref()));
}
