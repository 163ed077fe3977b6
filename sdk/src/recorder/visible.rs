//! A call as a span of `tracing`.
//!
//! Where the application sends spans of `tracing` to OpenTelemetry, the layer that does makes one of this too. If it goes where
//! the call's own would go, that one is the call's: there are not two of one call.

use mcptap_model::semconv;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::field::{self, Empty};

use super::{Rules, Start};

/// The attributes of a call that are fields of its span.
const FIELDS: [&str; 3] = [
    semconv::MCP_METHOD_NAME,
    semconv::GEN_AI_TOOL_NAME,
    semconv::JSONRPC_REQUEST_ID,
];

/// The span of a call, and what became of it.
pub(super) struct Visible {
    pub(super) span: tracing::Span,
    /// The context in which the application's layer has its span of OpenTelemetry, if there is such a layer.
    pub(super) bridged: Option<Context>,
}

impl Visible {
    /// Begins it, below the parent of the call. Whoever listens to `tracing` is given no secret, whatever the provider of the call
    /// cuts out itself.
    pub(super) fn begin(start: &Start, rules: &Rules) -> Self {
        let _below = start.parent.clone().attach();
        let said = |key| said(start, key, rules).map(field::display);
        // What follows is asked for where somebody listens.
        let span = tracing::info_span!(
            target: "mcptap",
            "mcp.call",
            otel.name = name(start, rules),
            otel.kind = "server",
            mcp.method.name = said(semconv::MCP_METHOD_NAME),
            gen_ai.tool.name = said(semconv::GEN_AI_TOOL_NAME),
            jsonrpc.request.id = said(semconv::JSONRPC_REQUEST_ID),
            enduser.id = Empty,
            mcptap.hushed = Empty,
            mcptap.mirror = Empty,
        );
        let mut bridged = None;
        if !span.is_disabled() {
            let within = span.in_scope(Context::current);
            let is_other = |context: &SpanContext| {
                context.is_valid() && context.span_id() != start.parent.span().span_context().span_id()
            };
            if is_other(within.span().span_context()) {
                bridged = Some(within);
            }
        }
        Self { span, bridged }
    }
}

/// Whether the application's layer has this attribute from the fields of the span.
pub(super) fn is_field(key: &str) -> bool {
    FIELDS.contains(&key)
}

fn name(start: &Start, rules: &Rules) -> String {
    let mut name = start.name.clone();
    rules.redaction.text(&mut name);
    name
}

fn said(start: &Start, key: &str, rules: &Rules) -> Option<String> {
    let mut attributes = start.attributes.iter();
    let found = attributes.find(|known| known.key.as_str() == key)?;
    let mut said = [found.clone()];
    rules.redaction.attributes(&mut said);
    let [said] = said;
    Some(said.value.as_str().into_owned())
}
