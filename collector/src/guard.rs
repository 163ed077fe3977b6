//! Who may send, and for which servers.

use std::sync::Arc;

use axum::http::HeaderMap;
use mcptap_model::{Access, Observation, Origin, Scope, credential};

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
    let mut undated = std::mem::take(&mut normalised.undated);
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
    undated.retain(|line| own("service", line.service.as_deref()));
    name_by_server(access, &mut batch.observations);
    normalised.batch = batch;
    normalised.undated = undated;
}

/// Gives what a bound key sends under the name of a service that it does not reach the server's name for that of its service:
/// by the service of others it would pass for one of their spans. The resource keeps what was sent.
fn name_by_server(access: &Access, observations: &mut [Observation]) {
    // Spans of one scope share their origin, and mostly their server.
    let mut last: Option<(Arc<Origin>, Arc<Origin>)> = None;
    for Observation { call, .. } in observations {
        let service = call.origin.service.as_deref();
        if service.is_some_and(|service| access.reaches(service)) {
            continue;
        }
        let own = match last.take() {
            Some((origin, own))
                if Arc::ptr_eq(&origin, &call.origin)
                    && own.service.as_deref() == Some(call.server_name()) =>
            {
                own
            }
            _ => Arc::new(Origin {
                service: Some(call.server_name().to_owned()),
                ..Origin::clone(&call.origin)
            }),
        };
        let given = std::mem::replace(&mut call.origin, Arc::clone(&own));
        last = Some((given, own));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mcptap_model::{ApiKey, Batch, Call, SpanId, TraceId, UnixNanos};

    use super::*;

    fn bound_to(servers: &[&str]) -> Access {
        Access::of(Arc::new(ApiKey {
            id: 1,
            name: "bound".to_owned(),
            scopes: vec![Scope::Ingest],
            servers: servers.iter().map(|name| (*name).to_owned()).collect(),
            created_at: UnixNanos(0),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        }))
    }

    fn sent(origins: &[(&Arc<Origin>, Option<&str>)]) -> Normalised {
        let observations = (1..).zip(origins).map(|(number, (origin, server))| Observation {
            call: Call {
                origin: Arc::clone(origin),
                server: server.map(str::to_owned),
                ..Call::bare(
                    TraceId::from_bytes(&[1; 16]).unwrap(),
                    SpanId::from_bytes(&[number; 8]).unwrap(),
                )
            },
            links: Vec::new(),
        });
        Normalised {
            batch: Batch {
                observations: observations.collect(),
                ..Batch::default()
            },
            ..Normalised::default()
        }
    }

    fn of_service(service: Option<&str>) -> Arc<Origin> {
        Arc::new(Origin {
            service: service.map(str::to_owned),
            ..Origin::default()
        })
    }

    #[test]
    fn a_bound_key_speaks_for_no_service_but_its_own() {
        let (python, alpha, none) = (
            of_service(Some("python")),
            of_service(Some("alpha")),
            of_service(None),
        );
        let sent_by = |servers: &[&str]| {
            let mut normalised = sent(&[
                (&python, Some("notes")),
                (&python, Some("notes")),
                (&alpha, Some("notes")),
                (&none, Some("notes")),
                (&alpha, None),
            ]);
            keep_own(&bound_to(servers), &mut normalised);
            normalised.batch.observations
        };
        let services = |observations: &[Observation]| -> Vec<Option<String>> {
            let calls = observations.iter().map(|one| &one.call);
            calls.map(|call| call.origin.service.clone()).collect()
        };
        let notes = || Some("notes".to_owned());
        let kept = sent_by(&["notes"]);
        assert_eq!(services(&kept), [notes(), notes(), notes(), notes()]);
        let origins: BTreeSet<_> = kept.iter().map(|one| Arc::as_ptr(&one.call.origin)).collect();
        assert_eq!(origins.len(), 3, "spans of one scope still share its origin");
        assert_eq!(
            services(&sent_by(&["notes", "alpha"])),
            [
                notes(),
                notes(),
                Some("alpha".to_owned()),
                notes(),
                Some("alpha".to_owned())
            ]
        );
        let mut everybodys = sent(&[(&alpha, Some("notes"))]);
        keep_own(&Access::everything(), &mut everybodys);
        assert!(Arc::ptr_eq(&everybodys.batch.observations[0].call.origin, &alpha));
    }
}
