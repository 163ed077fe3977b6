//! A server before telemetry is set up, in a process of its own: nothing is recorded and nothing lost of what comes later.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::{Arc, Mutex};

use mcptap_sdk::{Call, Telemetry, instrument, instrument_with};
use opentelemetry::global;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, MetaObject, RequestMetaObject,
};
use rmcp::service::{RequestContext, RunningService};
use rmcp::{RoleClient, RoleServer, ServerHandler, Service, ServiceExt};
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Notes whether it runs in a recorded call, and in which trace.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(bool, String)>>>);

impl ServerHandler for Notes {
    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let current = opentelemetry::Context::current();
        let trace = current.span().span_context().trace_id().to_string();
        self.0.lock().unwrap().push((Call::current().is_some(), trace));
        Ok(CallToolResult::success(vec![]).into())
    }
}

type Client = RunningService<RoleClient, ()>;

async fn connect(server: impl Service<RoleServer>) -> Client {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        rmcp::serve_server(server, server_end)
            .await
            .unwrap()
            .waiting()
            .await
    });
    ().serve(client_end).await.unwrap()
}

async fn call(client: &Client) {
    let mut call = CallToolRequestParams::new("note");
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let meta = json!({"traceparent": traceparent}).as_object().cloned().unwrap();
    call.meta = Some(RequestMetaObject(MetaObject(meta)));
    client.call_tool(call).await.unwrap();
}

#[tokio::test]
async fn where_nothing_records_a_request_passes_with_its_trace_and_what_comes_later_is_recorded() {
    // Switched off, watched at the connection and below it.
    let off = Telemetry::builder("off").without_spans().without_logs().start();
    let off = off.unwrap();
    // Not set up yet.
    let notes = Notes::default();
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let watched = instrument(notes.clone());
    tokio::spawn(async move { watched.serve(server_end).await.unwrap().waiting().await });
    let watched: Client = ().serve(client_end).await.unwrap();
    let plain = connect(instrument(notes.clone()).into_service()).await;
    let switched_off = connect(instrument_with(notes.clone(), &off).into_service()).await;
    for client in [&watched, &plain, &switched_off] {
        call(client).await;
    }
    let noted = std::mem::take(&mut *notes.0.lock().unwrap());
    assert_eq!(noted, vec![(false, TRACE.to_owned()); 3]);

    let memory = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(memory.clone())
        .build();
    global::set_tracer_provider(provider);
    for client in [&watched, &plain, &switched_off] {
        call(client).await;
    }
    let noted = std::mem::take(&mut *notes.0.lock().unwrap());
    let (here, there) = ((true, TRACE.to_owned()), (false, TRACE.to_owned()));
    assert_eq!(noted, [here.clone(), here, there]);
    for client in [watched, plain, switched_off] {
        client.cancel().await.unwrap();
    }
    let spans = memory.get_finished_spans().unwrap();
    let clients: Vec<_> = spans
        .iter()
        .map(|span| {
            let mut attributes = span.attributes.iter();
            let client = attributes.find(|known| known.key.as_str() == "mcp.client.name");
            (span.name.to_string(), client.is_some())
        })
        .collect();
    // The client told who it is before anybody recorded.
    assert_eq!(clients, vec![("tools/call note".to_owned(), true); 2]);
}
