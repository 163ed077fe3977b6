//! Secrets are cut out of everything a batch holds, before it is queued.

use mcptap_model::redact::{redact_in_place, redact_object};
use mcptap_model::{Batch, Call, LogLine, Payload};

/// Redacts a batch.
pub(super) fn batch(batch: &mut Batch) {
    for observation in &mut batch.observations {
        call(&mut observation.call);
    }
    for http in &mut batch.https {
        http.user_agent.as_mut().map(redact_in_place);
    }
    for line in &mut batch.logs {
        log(line);
    }
}

fn call(call: &mut Call) {
    for text in [
        &mut call.error_message,
        &mut call.stack_trace,
        &mut call.resource_uri,
        &mut call.user_agent,
    ] {
        text.as_mut().map(redact_in_place);
    }
    for body in [&mut call.request, &mut call.response] {
        body.as_mut().map(payload);
    }
    redact_object(&mut call.attributes);
}

fn payload(payload: &mut Payload) {
    payload.redacted |= redact_in_place(&mut payload.text);
}

fn log(line: &mut LogLine) {
    redact_in_place(&mut line.body);
    redact_object(&mut line.attributes);
}
