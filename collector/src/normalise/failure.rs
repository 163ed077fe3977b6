//! How a span says that a request failed, and with what.

use mcptap_model::Evidence;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;

use super::body::{Body, is_content};
use super::dialect::Dialect;
use super::keys::{Attributes, Key};

/// What a span says of its failure.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure {
    pub(super) evidence: Evidence,
    pub(super) rpc_error_code: Option<i32>,
    pub(super) error_type: Option<String>,
    pub(super) error_message: Option<String>,
    pub(super) stack_trace: Option<String>,
}

/// Methods whose answer is a stream that stays open for as long as the client listens.
const STREAMS: &[&str] = &["subscriptions/listen"];
/// Where a JSON-RPC error code stands.
const CODES: &[Key] = &[
    Key::RpcResponseStatusCode,
    Key::RpcStatusCode,
    Key::RpcJsonrpcErrorCode,
    Key::McpErrorCode,
];
/// Status texts that are Sentry's names of statuses, not messages.
const STATUS_NAMES: &[&str] = &[
    "internal_error",
    "unknown_error",
    "invalid_argument",
    "not_found",
    "cancelled",
];
/// Exception classes that stand for a JSON-RPC error, not for a tool that raised.
const PROTOCOL_CLASSES: &[&str] = &[
    "MCPError",
    "McpError",
    "McpException",
    "McpProtocolException",
    "JsonException",
];
/// Error types that speak of the transport, whoever says so.
const TRANSPORT_TYPES: &[&str] = &["timeout", "connection_closed", "closed"];
/// Exception classes that speak of the transport when a client raises them; a tool may raise them on its own account.
const TRANSPORT_CLASSES: &[&str] = &[
    "TimeoutError",
    "ReadTimeout",
    "ConnectTimeout",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "ConnectError",
    "BrokenPipeError",
    "ClosedResourceError",
    "EndOfStream",
];
/// Error types that speak of a cancellation.
const CANCELLED_TYPES: &[&str] = &[
    "cancelled",
    "canceled",
    "CancelledError",
    "asyncio.CancelledError",
    "OperationCanceledException",
    "TaskCanceledException",
    "AbortError",
];

/// The class of a qualified exception name.
fn class(error_type: &str) -> &str {
    error_type.rsplit(['.', ':']).next().unwrap_or(error_type)
}

/// An HTTP status, or a class of them such as `5xx`.
fn is_http_status(error_type: &str) -> bool {
    error_type.len() == 3
        && error_type.starts_with(['4', '5'])
        && (error_type.ends_with("xx") || error_type.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads a span's failure.
pub(super) fn failure(
    attributes: &mut Attributes<'_>,
    dialect: &Dialect,
    span: &Span,
    method: &str,
    response: Option<&Body>,
) -> Failure {
    let of_tool = method == "tools/call";
    let status = span.status.as_ref();
    // The call's own span tells how it ended; this one's status and events are what somebody logged.
    let is_mirror = mark(attributes, Key::OurMirror);
    let status = status.filter(|_| !is_mirror);
    let failed = status.is_some_and(|status| status.code == StatusCode::Error as i32);
    let status_message = status.map(|status| status.message.as_str()).unwrap_or_default();
    let hides_lines = mark(attributes, Key::OurHushed);
    let exception = Some(exception(span)).filter(|_| !is_mirror).unwrap_or_default();
    let exception = if hides_lines {
        // The record itself says the type alone.
        Exception {
            kind: exception.kind,
            ..Exception::default()
        }
    } else {
        exception
    };
    let answer = response.and_then(|response| response.json.as_ref());
    let answered_error = answer
        .and_then(|answer| answer.get("error"))
        .filter(|error| error.is_object());

    let given_type = attributes.take_text(&[Key::ErrorType]);
    // Some put the code where the class of an exception belongs.
    let code_in_type = [&given_type, &exception.kind]
        .into_iter()
        .find_map(|text| text.as_deref()?.parse::<i32>().ok().filter(|code| *code < 0));
    let rpc_error_code = attributes
        .take_integer(CODES)
        .and_then(|code| i32::try_from(code).ok())
        .or_else(|| {
            answered_error
                .and_then(|error| error.get("code")?.as_i64())
                .and_then(|code| i32::try_from(code).ok())
        })
        .or(code_in_type);

    let said_tool_error = given_type.as_deref() == Some(mcptap_model::semconv::TOOL_ERROR)
        || [Key::McpToolResultIsError, Key::McpResultIsError].iter().any(|key| attributes.truth(*key) == Some(true))
        || attributes.text(Key::OutcomeText).as_deref() == Some("error_result")
        // ContextForge: the tool's failure, under a status of OK.
        || (attributes.truth(Key::Success) == Some(false) && !failed)
        || answer.and_then(|answer| answer.get("isError")?.as_bool()) == Some(true)
        // Traceloop's own form of a tool's result.
        || (of_tool && answer.and_then(|answer| answer.get("is_error")?.as_bool()) == Some(true))
        || (dialect.error_is_tools && of_tool && failed && given_type.is_none() && status_message.is_empty());

    let error_type = given_type
        .or_else(|| exception.kind.clone())
        .or_else(|| attributes.text(Key::McpErrorType))
        .or_else(|| said_tool_error.then(|| mcptap_model::semconv::TOOL_ERROR.to_owned()))
        .or_else(|| rpc_error_code.map(|code| code.to_string()))
        .or_else(|| failed.then(|| "_OTHER".to_owned()));
    let of_type = error_type.as_deref().map(class).unwrap_or_default();
    let is_code = of_type.parse::<i64>().is_ok();

    let our_outcome = attributes.text(Key::OurOutcome);
    // Its end is known, and not how it ended: that word is lost for good.
    let is_unknown = our_outcome.as_deref() == Some(mcptap_model::semconv::UNKNOWN);
    let cancelled = our_outcome.as_deref() == Some(mcptap_model::semconv::CANCELLED)
        || CANCELLED_TYPES.contains(&of_type);
    let transport = TRANSPORT_TYPES.contains(&of_type)
        || is_http_status(of_type)
        || (span.kind == SpanKind::Client as i32 && TRANSPORT_CLASSES.contains(&of_type));
    let raised =
        !matches!(of_type, "" | "_OTHER" | "tool_error") && !is_code && !PROTOCOL_CLASSES.contains(&of_type);
    let result_type = attributes
        .take_text(&[Key::OurResultType])
        .or_else(|| answer.and_then(|answer| Some(answer.get("resultType")?.as_str()?.to_owned())));

    let error_message = Some(status_message.to_owned())
        .filter(|text| !text.is_empty() && !STATUS_NAMES.contains(&text.as_str()))
        .filter(|text| !crate::value::parsed(text).is_some_and(|content| is_content(&content)))
        .or(exception.message)
        .or_else(|| {
            attributes.take_text(&[
                Key::RpcJsonrpcErrorMessage,
                Key::McpErrorMessage,
                Key::ErrorMessage,
            ])
        })
        .or_else(|| answered_error.and_then(|error| Some(error.get("message")?.as_str()?.to_owned())))
        .or_else(|| said_tool_error.then(|| first_text(answer?)).flatten())
        .or_else(|| Some(status_message.to_owned()).filter(|text| failed && !text.is_empty()));

    Failure {
        evidence: Evidence {
            cancelled,
            tool_error: said_tool_error,
            input_required: result_type.as_deref() == Some("input_required"),
            failed,
            transport: transport && failed,
            exception: raised,
            open: is_announcement(attributes) || is_unknown,
            lost: is_unknown,
            late: mark(attributes, Key::OurLate) || is_unknown,
            stream: mark(attributes, Key::OurStream) || STREAMS.contains(&method),
            ..Evidence::default()
        },
        rpc_error_code,
        error_type: error_type
            .filter(|_| failed || said_tool_error || rpc_error_code.is_some() || cancelled || raised),
        error_message,
        stack_trace: exception.stack,
    }
}

/// Whether the span bears one of our marks, which has a field of its own.
fn mark(attributes: &mut Attributes<'_>, key: Key) -> bool {
    attributes.take(key);
    attributes.truth(key) == Some(true)
}

/// Whether the span was made of an announcement: only there its kind is an attribute.
fn is_announcement(attributes: &mut Attributes<'_>) -> bool {
    attributes.take(Key::OurSpanKind);
    attributes.take(Key::OurSpanParent);
    attributes.get(Key::OurSpanKind).is_some()
}

/// The text of a failed tool's content.
fn first_text(answer: &Value) -> Option<String> {
    let content = answer.get("content").unwrap_or(answer).as_array()?;
    content
        .iter()
        .find_map(|item| Some(item.get("text")?.as_str()?.to_owned()))
}

/// An exception recorded as a span event.
#[derive(Default)]
struct Exception {
    kind: Option<String>,
    message: Option<String>,
    stack: Option<String>,
}

/// The last exception event: libraries record inner ones first, and some record one twice.
fn exception(span: &Span) -> Exception {
    let Some(event) = span.events.iter().rev().find(|event| event.name == "exception") else {
        return Exception::default();
    };
    let text = |name: &str| {
        let attribute = event.attributes.iter().find(|attribute| attribute.key == name)?;
        attribute
            .value
            .as_ref()
            .and_then(crate::value::text)
            .filter(|text| !text.is_empty())
    };
    Exception {
        kind: text(mcptap_model::semconv::EXCEPTION_TYPE),
        message: text(mcptap_model::semconv::EXCEPTION_MESSAGE),
        stack: text(mcptap_model::semconv::EXCEPTION_STACKTRACE),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::trace::v1::Status;
    use opentelemetry_proto::tonic::trace::v1::span::Event;

    use super::super::dialect;
    use super::*;

    fn attribute(key: &str, value: Any) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    /// The failure that is read of a span with an exception, with this attribute.
    fn read(said: KeyValue) -> Failure {
        let text = |text: &str| Any::StringValue(text.to_owned());
        let span = Span {
            status: Some(Status {
                message: "a line of a log".to_owned(),
                code: StatusCode::Error as i32,
            }),
            events: vec![Event {
                name: "exception".to_owned(),
                attributes: vec![attribute("exception.message", text("no cache"))],
                ..Event::default()
            }],
            attributes: vec![attribute("mcp.method.name", text("tools/call")), said],
            ..Span::default()
        };
        let mut attributes = Attributes::new(&span.attributes);
        let dialect = dialect::dialect("", &attributes, false);
        failure(&mut attributes, &dialect, &span, "tools/call", None)
    }

    #[test]
    fn a_mirror_knows_nothing_of_the_end() {
        let mirror = read(attribute("mcptap.mirror", Any::BoolValue(true)));
        assert_eq!(mirror.evidence, Evidence::default());
        assert_eq!((mirror.error_message, mirror.error_type), (None, None));
        let own = read(attribute("mcptap.mirror", Any::BoolValue(false)));
        assert!(own.evidence.failed);
        assert_eq!(own.error_message.as_deref(), Some("a line of a log"));
    }

    #[test]
    fn an_end_that_nobody_knows_is_lost_for_good() {
        let unknown = read(attribute(
            "mcptap.outcome",
            Any::StringValue("unknown".to_owned()),
        ));
        let (open, lost, late) = (
            unknown.evidence.open,
            unknown.evidence.lost,
            unknown.evidence.late,
        );
        assert!(open && lost && late);
    }
}
