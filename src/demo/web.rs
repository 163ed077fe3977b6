//! HTTP spans around the demo's MCP server, as the instrumentation of a web framework sends them. The MCP spans know
//! neither status nor client; mcptap takes both from here.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::USER_AGENT;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use mcptap_model::semconv;
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracerProvider;

/// Ends its span when the answer is through, or given up.
struct Open(Context);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.span().end();
    }
}

/// Records one HTTP request, from its head to the end of its answer.
pub(super) async fn record(
    State(provider): State<SdkTracerProvider>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let tracer = provider.tracer("demo-web");
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let mut attributes = vec![
        KeyValue::new(semconv::HTTP_REQUEST_METHOD, method.clone()),
        KeyValue::new("url.path", path.clone()),
        KeyValue::new(semconv::CLIENT_ADDRESS, peer.ip().to_string()),
    ];
    if let Some(agent) = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
    {
        attributes.push(KeyValue::new(semconv::USER_AGENT_ORIGINAL, agent.to_owned()));
    }
    let span = tracer
        .span_builder(format!("{method} {path}"))
        .with_kind(SpanKind::Server)
        .with_attributes(attributes);
    let context = Context::new().with_span(span.start_with_context(&tracer, &Context::new()));
    // The SDK finds it there and makes it the parent.
    request.extensions_mut().insert(context.clone());
    let open = Open(context);
    let response = next.run(request).await;
    let status = i64::from(response.status().as_u16());
    open.0
        .span()
        .set_attribute(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, status));
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _until_the_end = &open;
            chunk
        }))
    })
}
