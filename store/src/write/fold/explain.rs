//! The words of a failure: a span's own, else those of an exception that was logged inside it. Of several logged ones
//! the longest stack counts: an exception raised from another tells of both, and is the one that was answered. So it
//! does not matter which arrives first.

use mcptap_model::semconv::{EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE};
use mcptap_model::{Call, Evidence, LogLine};
use serde_json::Value;

/// Fills in the words of another view of the same request.
pub(super) fn fill(call: &mut Call, message: Option<String>, stack: Option<String>, evidence: Evidence) {
    let unknown = call.error_message.is_none();
    if !evidence.worded && message.is_some() && (unknown || call.evidence.worded) {
        call.error_message.clone_from(&message);
        call.evidence.worded = false;
    }
    let message = message.filter(|_| evidence.worded);
    match stack {
        Some(stack) if evidence.explained => {
            logged(call, stack, message);
        }
        Some(stack) if call.stack_trace.is_none() || call.evidence.explained => {
            call.stack_trace = Some(stack);
            call.evidence.explained = false;
        }
        _ if call.error_message.is_none() && message.is_some() => {
            call.error_message = message;
            call.evidence.worded = true;
        }
        _ => {}
    }
}

/// Whether a line is of an exception, which may explain a failure.
pub(super) fn may_explain(line: &LogLine) -> bool {
    line.attributes.contains_key(EXCEPTION_STACKTRACE)
}

/// An exception logged inside a failed call explains the failure, where no span does.
pub(super) fn explain(call: &mut Call, line: &LogLine) {
    let said = |name: &str| {
        line.attributes
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if let Some(stack) = said(EXCEPTION_STACKTRACE)
        && call.outcome().is_error()
        && logged(call, stack, said(EXCEPTION_MESSAGE))
    {
        call.error_type = call.error_type.take().or_else(|| said(EXCEPTION_TYPE));
    }
}

/// Takes over a logged stack and its message, if they are better than what there is. Whether it did.
fn logged(call: &mut Call, stack: String, message: Option<String>) -> bool {
    let better = match &call.stack_trace {
        None => true,
        Some(known) => call.evidence.explained && (known.len(), known) < (stack.len(), &stack),
    };
    if better {
        call.stack_trace = Some(stack);
        call.evidence.explained = true;
        if call.error_message.is_none() || call.evidence.worded {
            call.evidence.worded = message.is_some();
            call.error_message = message;
        }
    }
    better
}
