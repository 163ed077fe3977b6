//! Secrets are cut out of everything a batch holds, before it is queued.

use mcptap_model::redact::{REDACTED, Redactor};
use mcptap_model::{Batch, Call, Payload};

/// Redacts a batch.
pub(super) fn batch(redactor: &Redactor, batch: &mut Batch) {
    for observation in &mut batch.observations {
        call(redactor, &mut observation.call);
    }
    for http in &mut batch.https {
        text(redactor, &mut http.user_agent);
    }
    for line in &mut batch.logs {
        redactor.redact_in_place(&mut line.body);
        redactor.redact_object(&mut line.attributes);
    }
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
