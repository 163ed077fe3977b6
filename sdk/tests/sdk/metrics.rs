//! Durations of requests and sessions, as the conventions for MCP have them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderMap, Method};
use axum::routing::any;
use mcptap_sdk::{Capture, Watch};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, HistogramDataPoint, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use rmcp::model::CallToolRequestParams;
use serde_json::json;

use crate::hooks::{ping, shop, tool};
use crate::layer::{POST, send};
use crate::support::Spans;

const OPERATION: &str = "mcp.server.operation.duration";
const SESSION: &str = "mcp.server.session.duration";

/// The bounds that the conventions give.
const BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

struct Meters {
    memory: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

impl Meters {
    fn new() -> Self {
        let memory = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(memory.clone()).build();
        Self {
            memory,
            provider: SdkMeterProvider::builder().with_reader(reader).build(),
        }
    }

    /// How often each set of attributes was measured of an instrument.
    fn counts(&self, name: &str) -> BTreeMap<String, u64> {
        self.memory.reset();
        self.provider.force_flush().unwrap();
        let mut counts = BTreeMap::new();
        for resource in self.memory.get_finished_metrics().unwrap() {
            let metrics = resource.scope_metrics().flat_map(|scope| scope.metrics());
            for metric in metrics.filter(|metric| metric.name() == name) {
                assert_eq!(metric.unit(), "s");
                let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else {
                    panic!("{name} is no histogram");
                };
                for point in histogram.data_points() {
                    assert!(point.bounds().eq(BOUNDS));
                    assert!(point.min().unwrap() >= 0.0);
                    counts.insert(attributes(point), point.count());
                }
            }
        }
        counts
    }

    /// Waits until an instrument has measured as often in all.
    async fn wait(&self, name: &str, count: u64) -> BTreeMap<String, u64> {
        for _ in 0..3_000 {
            let counts = self.counts(name);
            if counts.values().sum::<u64>() >= count {
                return counts;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{name}: {:?}", self.counts(name));
    }
}

fn attributes(point: &HistogramDataPoint<f64>) -> String {
    let mut said: Vec<_> = point
        .attributes()
        .map(|known| format!("{}={}", known.key, known.value))
        .collect();
    said.sort();
    said.join(" ")
}

#[tokio::test]
async fn each_request_is_measured_whether_it_is_recorded_or_not() {
    let (spans, meters) = (Spans::new(), Meters::new());
    let capture = Capture::full()
        .exclude_methods(["ping"])
        .sample_method("tools/call", 10);
    let watch = Watch::through(&spans.provider, None)
        .capture(capture)
        .metrics(&meters.provider);
    let client = shop(watch).await;
    ping(&client).await;
    for name in ["span", "span", "fail", "broken", "nothing", "panic"] {
        let _failed_as_it_is_to = client.call_tool(tool(name)).await;
    }
    let pipe = "mcp.protocol.version=2025-11-25 network.transport=pipe";
    let call = |more: &str, name: &str| {
        format!(
            "{more}gen_ai.operation.name=execute_tool gen_ai.tool.name={name} mcp.method.name=tools/call {pipe}"
        )
    };
    let expected = [
        (format!("mcp.method.name=initialize {pipe}"), 1),
        (format!("mcp.method.name=ping {pipe}"), 1),
        (call("", "span"), 2),
        (call("error.type=tool_error ", "fail"), 1),
        (
            call("error.type=-32603 ", "broken") + " rpc.response.status_code=-32603",
            1,
        ),
        (call("", "nothing") + " rpc.response.status_code=-32602", 1),
        (
            call("error.type=panic ", "panic") + " rpc.response.status_code=-32603",
            1,
        ),
    ];
    assert_eq!(meters.wait(OPERATION, 8).await, BTreeMap::from(expected));

    assert!(meters.counts(SESSION).is_empty(), "it is not over");
    client.cancel().await.unwrap();
    let sessions = meters.wait(SESSION, 1).await;
    assert_eq!(sessions, BTreeMap::from([(pipe.to_owned(), 1)]));
}

#[tokio::test]
async fn no_secret_is_an_attribute_and_switched_off_is_off() {
    let (spans, meters) = (Spans::new(), Meters::new());
    let watch = Watch::from(&spans.provider).metrics(&meters.provider);
    let client = shop(watch).await;
    let secret = CallToolRequestParams::new("sk-live-0123456789abcdefghij");
    client.call_tool(secret).await.unwrap_err();
    let counts = meters.wait(OPERATION, 2).await;
    let told = format!("{counts:?}");
    assert!(
        told.contains("gen_ai.tool.name=[redacted]") && !told.contains("0123456789"),
        "{told}"
    );

    let meters = Meters::new();
    let off = Watch::from(&spans.provider)
        .capture(Capture::off())
        .metrics(&meters.provider);
    let client = shop(off).await;
    ping(&client).await;
    client.cancel().await.unwrap();
    assert!(meters.counts(OPERATION).is_empty() && meters.counts(SESSION).is_empty());
}

async fn answer(method: Method, headers: HeaderMap, body: String) -> axum::response::Response {
    use axum::response::IntoResponse;
    if method == Method::DELETE {
        return ([("x-gone", "yes")], "").into_response();
    }
    let asked: serde_json::Value = serde_json::from_str(&body).unwrap();
    let result = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "serverInfo": {"name": "plain", "version": "1"}});
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string();
    let json = ("content-type", "application/json");
    match headers.contains_key("mcp-session-id") {
        true => ([json], answer).into_response(),
        false => ([json, ("mcp-session-id", "s-1")], answer).into_response(),
    }
}

#[tokio::test]
async fn a_session_over_http_lasts_until_it_is_deleted() {
    let (spans, meters) = (Spans::new(), Meters::new());
    let layer = Watch::from(&spans.provider).metrics(&meters.provider).layer();
    let router = Router::new().route("/mcp", any(answer)).layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    assert_eq!(send(address, POST, &initialize.to_string()).await.0, 200);
    meters.wait(OPERATION, 1).await;
    assert!(meters.counts(SESSION).is_empty(), "it is not over");
    let delete = "DELETE /mcp HTTP/1.1\r\nmcp-session-id: s-1";
    assert_eq!(send(address, delete, "").await.0, 200);
    let http = "mcp.protocol.version=2025-06-18 network.protocol.name=http network.protocol.version=1.1 \
                network.transport=tcp";
    assert_eq!(
        meters.wait(SESSION, 1).await,
        BTreeMap::from([(http.to_owned(), 1)])
    );
}
