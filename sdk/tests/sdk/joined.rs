//! Telemetry beside an application's own: joined to its provider, installed for the process, or on its own.

use std::time::Duration;

use mcptap_sdk::{Capture, Error, Guard, Telemetry, Watch, instrument, instrument_with, layer};
use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::{ClientServiceExt, RoleClient};
use tokio::runtime::Runtime;

use crate::collector::{Collector, Received, free_address};
use crate::support::{Client, LEGACY, Shop};

/// A collector, and telemetry that is sent to it.
fn telemetry(name: &str) -> (Received, Collector, Telemetry) {
    let (received, address) = (Received::default(), free_address());
    let collector = Collector::start(address, &received);
    let telemetry = Telemetry::builder(name)
        .endpoint(format!("http://{address}"))
        .api_key("mcptap_7")
        .header("x-team", "checkout")
        .attribute("region", "north")
        .delay(Duration::from_millis(1))
        .in_memory();
    (received, collector, telemetry)
}

async fn shop(to: Option<Watch>) -> RunningService<RoleClient, Client> {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = match to {
        Some(watch) => instrument_with(Shop, watch),
        None => instrument(Shop),
    };
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap()
}

async fn call(client: &RunningService<RoleClient, Client>, tool: &'static str) -> CallToolResult {
    client.call_tool(CallToolRequestParams::new(tool)).await.unwrap()
}

fn flush(guard: &Guard) {
    guard.flush(Duration::from_secs(20)).unwrap();
}

#[test]
fn an_applications_provider_exports_to_both_and_calls_that_run_are_announced() {
    let (received, _collector, telemetry) = telemetry("shop");
    let telemetry = telemetry.start().unwrap();
    let mine = InMemorySpanExporter::default();
    let resource = Resource::builder_empty().with_service_name("application");
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(mine.clone())
        .with_span_processor(telemetry.span_processor())
        .with_resource(resource.build())
        .build();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(shop(Some(Watch::from(&provider))));
    let inner = runtime.block_on(call(&client, "span"));
    let tracer = provider.tracer("mine");
    tracer.start("of the application");
    // It runs until its client gives it up.
    let deaf = runtime.spawn(async move { client.call_tool(CallToolRequestParams::new("deaf")).await });
    received.wait_for(3, 1);
    let announced = received.logs();
    assert_eq!(announced[0].event_name, "mcptap.call.running");
    let names = received.names();
    for name in ["initialize", "tools/call span", "of the application"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    let exported = mine.get_finished_spans().unwrap();
    let call = exported
        .iter()
        .find(|span| span.name == "tools/call span")
        .unwrap();
    let text = inner.content[0].as_text().unwrap();
    assert_eq!(text.text, call.span_context.span_id().to_string());
    assert_eq!(received.header("x-api-key").as_deref(), Some("mcptap_7"));
    assert_eq!(received.header("x-team").as_deref(), Some("checkout"));
    // The one that runs ends with the telemetry it belongs to.
    telemetry.shutdown().unwrap();
    assert!(received.names().iter().any(|name| name == "tools/call deaf"));
    deaf.abort();
}

#[test]
fn open_calls_belong_to_the_telemetry_that_sends_them() {
    let (received, _collector, first) = telemetry("first");
    let first = first.start().unwrap();
    let (_, _other, second) = telemetry("second");
    let second = second.start().unwrap();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(shop(Some(Watch::with(&first))));
    let deaf = runtime.spawn(async move { client.call_tool(CallToolRequestParams::new("deaf")).await });
    received.wait_for(1, 1);
    second.shutdown().unwrap();
    flush(&first);
    assert_eq!(received.names(), ["initialize"]);
    first.shutdown().unwrap();
    assert_eq!(received.names(), ["initialize", "tools/call deaf"]);
    deaf.abort();
}

/// All that is global is in one test.
#[test]
fn telemetry_is_installed_once_and_again_when_the_first_has_ended() {
    let (received, _collector, builder) = telemetry("shop");
    let first = builder
        .capture(Capture::full().deny_tools(["span"]))
        .install()
        .unwrap();
    let (_, _other, second) = telemetry("shop");
    let error = second.install().unwrap_err();
    assert!(matches!(error, Error::Installed), "{error:?}");
    assert!(error.to_string().contains("Telemetry::start"), "{error}");
    // A server that was wrapped and a layer that was made before follow it.
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(shop(None));
    let _ = layer();
    runtime.block_on(call(&client, "span"));
    runtime.block_on(call(&client, "fail"));
    received.wait_for(3, 0);
    flush(&first);
    assert_eq!(
        received.names(),
        ["initialize", "tools/call span", "tools/call fail"]
    );
    let bodies = |name: &str| {
        let spans = received.spans();
        let span = spans.iter().find(|span| span.name == name).unwrap();
        span.attributes.iter().any(|at| at.key == "mcptap.request.body")
    };
    assert!(!bodies("tools/call span") && bodies("tools/call fail"));
    // Requests of the application carry the trace.
    let mut sent = std::collections::HashMap::<String, String>::new();
    let context = Context::current_with_span(global::tracer("mine").start("asks"));
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut sent));
    let trace = context.span().span_context().trace_id().to_string();
    assert!(sent["traceparent"].contains(&trace), "{sent:?}");
    first.shutdown().unwrap();
    let (received, _collector, again) = telemetry("shop");
    let again = again.install().unwrap();
    runtime.block_on(call(&client, "span"));
    received.wait_for(1, 0);
    flush(&again);
    assert_eq!(received.names(), ["tools/call span"]);
    drop(again);
    // The application's own provider stays the global one.
    let mine = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(mine.clone())
        .build();
    global::set_tracer_provider(provider);
    runtime.block_on(call(&client, "span"));
    // The client may have its answer a little before the call has ended.
    while mine.get_finished_spans().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(mine.get_finished_spans().unwrap().len(), 1);
    // So it does when telemetry is installed anew.
    let (_, _another, third) = telemetry("shop");
    let _third = third.install().unwrap();
    global::tracer("mine").start("of the application").end();
    assert_eq!(mine.get_finished_spans().unwrap()[1].name, "of the application");
}

#[test]
fn what_the_collector_refuses_is_an_error_of_the_end() {
    let (received, _collector, telemetry) = telemetry("shop");
    received.answer(&[401]);
    let telemetry = telemetry.start().unwrap();
    telemetry.tracer_provider().tracer("mine").start("refused");
    let error = telemetry.shutdown().unwrap_err();
    assert!(matches!(error, Error::Refused(1)), "{error:?}");
}

#[test]
fn choices_that_cannot_be_kept_are_errors_of_the_start() {
    for (telemetry, told) in [
        (Telemetry::builder("shop").api_key("a\nb"), "API key"),
        (Telemetry::builder("shop").header("a b", "c"), "\"a b\""),
        (Telemetry::builder("shop").endpoint("tap.example"), "tap.example"),
        (
            Telemetry::builder("shop")
                .endpoint("https://tap.example")
                .certificate("/no.pem"),
            "/no.pem",
        ),
    ] {
        let error = telemetry.in_memory().start().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
