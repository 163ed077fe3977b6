//! Secrets are cut out of everything a batch holds, before it is queued.

use mcptap_model::redact::{REDACTED, Redactor};
use mcptap_model::{Batch, Call, Payload};

use super::Stop;

/// Redacts a batch; false where it was stopped half-way.
pub(super) fn batch(redactor: &Redactor, batch: &mut Batch, stop: Stop<'_>) -> bool {
    for observation in &mut batch.observations {
        if stop() {
            return false;
        }
        call(redactor, &mut observation.call);
    }
    for http in &mut batch.https {
        text(redactor, &mut http.user_agent);
    }
    for line in &mut batch.logs {
        if stop() {
            return false;
        }
        redactor.redact_in_place(&mut line.body);
        redactor.redact_object(&mut line.attributes);
    }
    true
}

fn call(redactor: &Redactor, call: &mut Call) {
    for field in [
        &mut call.error_message,
        &mut call.stack_trace,
        &mut call.resource_uri,
        &mut call.user_agent,
    ] {
        text(redactor, field);
    }
    for body in [&mut call.request, &mut call.response].into_iter().flatten() {
        payload(redactor, body);
    }
    redactor.redact_object(&mut call.attributes);
}

fn text(redactor: &Redactor, text: &mut Option<String>) {
    text.as_mut().map(|text| redactor.redact_in_place(text));
}

/// A sender may have cut secrets out already.
fn payload(redactor: &Redactor, payload: &mut Payload) {
    payload.redacted |= redactor.redact_in_place(&mut payload.text) || payload.text.contains(REDACTED);
}
