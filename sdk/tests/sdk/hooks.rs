//! An application's own functions over what is recorded, methods that are left out or sampled, and names of servers.

use mcptap_sdk::{Capture, Watch};
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use rmcp::model::{CallToolRequestParams, ClientRequest, PingRequest};
use rmcp::service::RunningService;
use rmcp::{ClientServiceExt, RoleClient};
use serde_json::json;

use crate::support::{Client, LEGACY, Shop, Spans, said};

pub(crate) type Connected = RunningService<RoleClient, Client>;

/// A shop and its client at two ends of a pipe.
pub(crate) async fn shop(watch: Watch) -> Connected {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = watch.instrument(Shop);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap()
}

/// The same without a watched connection, as over HTTP: the handler sees its requests alone.
async fn handler(watch: Watch) -> Connected {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = watch.instrument(Shop).into_service();
    tokio::spawn(async move {
        rmcp::serve_server(server, server_end)
            .await
            .unwrap()
            .waiting()
            .await
    });
    Client.serve_with_lifecycle(client_end, LEGACY).await.unwrap()
}

pub(crate) async fn ping(client: &Connected) {
    let ping = ClientRequest::PingRequest(PingRequest::default());
    client.send_request(ping).await.unwrap();
}

pub(crate) fn tool(name: &'static str) -> CallToolRequestParams {
    CallToolRequestParams::new(name)
}

fn watch(spans: &Spans, capture: Capture) -> Watch {
    Watch::through(&spans.provider, None).capture(capture)
}

#[tokio::test]
async fn a_method_that_is_excluded_is_answered_and_not_recorded() {
    for is_watched in [true, false] {
        let spans = Spans::new();
        let watch = watch(&spans, Capture::full().exclude_methods(["ping", "prompts/*"]));
        let client = if is_watched {
            shop(watch).await
        } else {
            handler(watch).await
        };
        ping(&client).await;
        let prompt = rmcp::model::GetPromptRequestParams::new("greet");
        client.get_prompt(prompt).await.unwrap();
        client.call_tool(tool("span")).await.unwrap();
        spans.named("tools/call span").await;
        let names: Vec<_> = spans.all().into_iter().map(|span| span.name).collect();
        assert_eq!(names, ["initialize", "tools/call span"], "watched: {is_watched}");
    }
}

#[tokio::test]
async fn a_sampled_methods_records_say_for_how_many_they_stand_and_every_failure_is_there() {
    for is_watched in [true, false] {
        let spans = Spans::new();
        let watch = watch(&spans, Capture::full().sample_method("tools/call", 3));
        let client = if is_watched {
            shop(watch).await
        } else {
            handler(watch).await
        };
        // The first, the fourth and the seventh that begin are chosen.
        for name in ["span", "fail", "span", "span", "broken", "span", "span", "span"] {
            let _failed_as_it_is_to = client.call_tool(tool(name)).await;
        }
        ping(&client).await;
        spans.named("ping").await;
        let calls: Vec<_> = spans
            .all()
            .into_iter()
            .filter(|span| span.name.starts_with("tools/call"))
            .map(|span| (span.name.to_string(), said(&span, "mcptap.weight")))
            .collect();
        let is = |name: &str, weight: Option<&str>| (format!("tools/call {name}"), weight.map(str::to_owned));
        assert_eq!(
            calls,
            [
                is("span", Some("1")),
                is("fail", None),
                is("span", Some("2")),
                is("broken", None),
                is("span", Some("2")),
            ],
            "watched: {is_watched}"
        );
        let failed = spans.named("tools/call fail").await;
        assert!(matches!(failed.status, Status::Error { .. }));
        assert!(
            said(&failed, "mcptap.response.body")
                .unwrap()
                .contains("no stock")
        );
        let broken = spans.named("tools/call broken").await;
        assert_eq!(said(&broken, "error.type").as_deref(), Some("-32603"));
        assert!(broken.end_time >= broken.start_time);
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_recorded_also_where_it_was_not_chosen() {
    let spans = Spans::new();
    let client = shop(watch(&spans, Capture::full().sample_method("tools/call", 10))).await;
    client.call_tool(tool("span")).await.unwrap();
    client.call_tool(tool("panic")).await.unwrap_err();
    let panicked = spans.named("tools/call panic").await;
    assert_eq!(said(&panicked, "error.type").as_deref(), Some("panic"));
}

#[tokio::test]
async fn the_applications_function_has_every_text_after_ours() {
    let spans = Spans::new();
    let capture = Capture::full().redact_with(|text| {
        // Had it been asked first, the secret would be there to see.
        assert!(!text.contains("hunter2"));
        text.contains("ACME-7")
            .then(|| text.replace("ACME-7", "[customer]"))
    });
    let client = shop(watch(&spans, capture)).await;
    let arguments = json!({"customer": "ACME-7", "password": "hunter2hunter2"});
    let call = tool("span").with_arguments(arguments.as_object().cloned().unwrap());
    client.call_tool(call).await.unwrap();
    let span = spans.named("tools/call span").await;
    let body = said(&span, "mcptap.request.body").unwrap();
    assert!(
        body.contains("[customer]") && body.contains("[redacted]"),
        "{body}"
    );
    assert!(!format!("{:?}", spans.all()).contains("ACME-7"));
}

#[tokio::test]
async fn functions_that_panic_cost_no_request() {
    let spans = Spans::new();
    let capture = Capture::full()
        .redact_with(|text| {
            assert!(!text.contains("database"), "of the application");
            None
        })
        .tag_with(|call| {
            assert_ne!(call.method(), "tools/call", "of the application");
            vec![KeyValue::new("tagged", true)]
        });
    let client = shop(watch(&spans, capture)).await;
    let error = client.call_tool(tool("broken")).await.unwrap_err();
    assert!(error.to_string().contains("database is gone"), "{error}");
    let broken = spans.named("tools/call broken").await;
    assert_eq!(broken.status, Status::error("[redacted]"));
    assert_eq!(
        said(&broken, "mcptap.response.body").as_deref(),
        Some("[redacted]")
    );
    assert_eq!(said(&broken, "tagged"), None);
    assert_eq!(
        said(&spans.named("initialize").await, "tagged").as_deref(),
        Some("true")
    );
}

#[tokio::test]
async fn a_call_is_tagged_from_its_parts_without_secrets() {
    let spans = Spans::new();
    let capture = Capture::full().tag_with(|call| {
        let client = call.get("mcp.client.name").map(ToString::to_string);
        let tenant = call.meta().map(|meta| meta["test/tenant"].to_string());
        vec![
            KeyValue::new("tool", call.tool().unwrap_or_default().to_owned()),
            KeyValue::new("enduser.id", client.unwrap_or_default()),
            KeyValue::new("tenant", tenant.unwrap_or_default()),
            KeyValue::new("note", "password=hunter2hunter2"),
        ]
    });
    let client = shop(watch(&spans, capture)).await;
    let mut call = tool("span");
    let meta = json!({"test/tenant": 17}).as_object().cloned().unwrap();
    call.meta = Some(rmcp::model::RequestMetaObject(rmcp::model::MetaObject(meta)));
    client.call_tool(call).await.unwrap();
    let span = spans.named("tools/call span").await;
    assert_eq!(said(&span, "tool").as_deref(), Some("span"));
    assert_eq!(said(&span, "enduser.id").as_deref(), Some("probe"));
    assert_eq!(said(&span, "tenant").as_deref(), Some("17"));
    assert_eq!(said(&span, "note").as_deref(), Some("password=[redacted]"));
}

#[tokio::test]
async fn servers_of_one_process_have_names_of_their_own() {
    let spans = Spans::new();
    for name in ["orders", "stock"] {
        let client = shop(Watch::from(&spans.provider).server_name(name)).await;
        ping(&client).await;
    }
    let names: Vec<_> = spans
        .all()
        .iter()
        .map(|span| said(span, "mcp.server.name").unwrap())
        .collect();
    assert_eq!(names, ["orders", "orders", "stock", "stock"]);
}
