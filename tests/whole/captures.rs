//! What real instrumentations sent, replayed through the real receiver: exactly the calls that their clients made,
//! as far as any span told of them. Each folder of `tests/captures` holds the OTLP bodies in the order in which they
//! came, and the truth: every call with its time window, as the client saw it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Client, TestServer, on_each_database};

/// What is compared and shown of a call.
const FIELDS: &str = "id spanId method target outcome httpStatus rpcErrorCode errorType errorMessage startedAt durationMs
    sessionId session { source callCount } requestId protocolVersion transport observedBy clientName clientVersion clientIp userAgent
    request { text json } response { text } server { name } stackTrace logs(first: 100) { nodes { severity body } }";

/// One body as it came over the wire.
struct Export {
    signal: String,
    json: bool,
    gzip: bool,
    body: Vec<u8>,
}

/// JavaScript's clocks of spans and of the client are apart by up to a millisecond, in nanoseconds.
const ROUNDING: i64 = 1_000_000;

/// Where a library's own fault makes the client see something else than the span says.
const OTHERWISE: &[(&str, &str)] = &[
    // It swallows the tool's exception, so that the client gets a protocol error instead.
    ("ts-shinzo-1.1.0-stdio", "rpc_error"),
];

macro_rules! captures {
    ($($test:ident = $folder:literal),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            replay($folder).await;
        })+

        #[test]
        fn every_capture_is_replayed() {
            let mut folders: Vec<_> = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            folders.sort();
            let mut replayed = vec![$($folder),+];
            replayed.sort_unstable();
            assert_eq!(folders, replayed, "add the new folder to the list in tests/whole/captures.rs");
        }
    };
}

captures! {
    contextforge = "contextforge-1.0.7-http",
    fastmcp_3 = "fastmcp-3.4.10-http",
    fastmcp_4 = "fastmcp-4.1.2-http",
    fastmcp_4_below_asgi = "fastmcp-4.1.2-http-asgi",
    fastmcp_4_modern = "fastmcp-4.1.2-http-modern",
    fastmcp_4_stdio = "fastmcp-4.1.2-stdio",
    logfire = "logfire-5.2.0-mcp1-http",
    python_sdk_below_asgi = "mcp-python-2.3.0-http-asgi",
    python_sdk_modern = "mcp-python-2.3.0-http-modern",
    openlit = "openlit-1.45.0-mcp1-http",
    traceloop = "traceloop-python-0.62.4-fastmcp2-http",
    typescript_http_only = "ts-sdk-1.32.2-instrumentation-http-http-json-gzip",
    sentry = "ts-sentry-10.78.0-http",
    shinzo = "ts-shinzo-1.1.0-stdio",
    agentcat = "ts-agentcat-1.0.1-http",
    fastmcp_4_modern_with_a_traced_client = "fastmcp-4.1.2-http-modern-traced-client",
    python_sdk_with_a_client_traced_twice = "mcp-python-2.3.0-http-asgi-traced-fastmcp-client",
    splunk_around_fastmcp_3 = "splunk-0.2.2-fastmcp3-http-asgi",
    traceloop_on_the_client_alone = "ts-traceloop-0.27.0-both-http-insthttp",
}

async fn replay(folder: &'static str) {
    let directory = root().join(folder);
    let exports = exports(&directory);
    let truth: Value =
        serde_json::from_slice(&std::fs::read(directory.join("ground_truth.json")).unwrap()).unwrap();
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        send(&server, &exports).await;
        let calls = server.calls(Value::Null, FIELDS).await;
        agree(folder, &calls, truth["calls"].as_array().unwrap());
        let told = tell(&calls);
        insta::assert_snapshot!(folder, told);

        let changes = changes(&server).await;
        send(&server, &exports).await;
        assert_eq!(
            tell(&server.calls(Value::Null, FIELDS).await),
            told,
            "sent again, nothing changes"
        );
        assert_eq!(
            self::changes(&server).await,
            changes,
            "sent again, the feed shows nothing"
        );
        drop(server.stop().await);
    })
    .await;

    let backwards = TestServer::start().await;
    let reversed: Vec<_> = exports.into_iter().rev().collect();
    send(&backwards, &reversed).await;
    let told = tell(&backwards.calls(Value::Null, FIELDS).await);
    insta::assert_snapshot!(folder, told);
    drop(backwards.stop().await);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn exports(directory: &Path) -> Vec<Export> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let named = files
        .iter()
        .filter_map(|path| Some((path, path.file_name()?.to_str()?)));
    named
        .filter(|(_, name)| *name != "ground_truth.json")
        .map(|(path, name)| Export {
            signal: name.split('.').nth(1).unwrap().to_owned(),
            json: name.contains(".json"),
            gzip: name.ends_with(".gz"),
            body: std::fs::read(path).unwrap(),
        })
        .collect()
}

async fn send(client: &Client, exports: &[Export]) {
    for export in exports {
        let url = format!("{}/v1/{}", client.otlp_http_url(), export.signal);
        let media = if export.json {
            "application/json"
        } else {
            "application/x-protobuf"
        };
        let mut request = client
            .web()
            .post(url)
            .header("content-type", media)
            .body(export.body.clone());
        if export.gzip {
            request = request.header("content-encoding", "gzip");
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }
}

/// How many calls were added and completed so far.
async fn changes(client: &Client) -> (u64, u64) {
    (
        client.metric("calls_total").await,
        client.metric("calls_completed_total").await,
    )
}

/// Each call is one that the client made, told once, and ended as the client saw it.
fn agree(folder: &str, calls: &[Value], truth: &[Value]) {
    let mut seen = Vec::new();
    for call in calls {
        let started: mcptap_model::UnixNanos = call["startedAt"].as_str().unwrap().parse().unwrap();
        let made = truth.iter().find(|made| {
            let within = made["start_unix_nano"].as_i64().unwrap() - ROUNDING
                ..=made["end_unix_nano"].as_i64().unwrap() + ROUNDING;
            // `initialize (+ notifications/initialized)` is one step of the client.
            made["method"].as_str().unwrap().split(' ').next() == call["method"].as_str()
                && within.contains(&started.0)
        });
        let made = made.unwrap_or_else(|| panic!("{folder}: nobody made {call:#}"));
        assert!(!seen.contains(&&made["n"]), "{folder}: told twice: {call:#}");
        seen.push(&made["n"]);
        if !call["target"].is_null() {
            assert_eq!(call["target"], made["target"], "{folder}");
        }
        let outcome = match made["got"].as_str().unwrap() {
            "ok" => "OK",
            got if OTHERWISE.contains(&(folder, got)) => "TOOL_ERROR",
            "tool_error" => "TOOL_ERROR",
            _ => "PROTOCOL_ERROR",
        };
        assert_eq!(call["outcome"], outcome, "{folder}: {made} {call:#}");
        let arguments = &call["request"]["json"]["params"]["arguments"];
        if !arguments.is_null() {
            assert_eq!(arguments, &made["arguments"], "{folder}");
        }
    }
}

/// The calls as a person would note them down.
fn tell(calls: &[Value]) -> String {
    calls.iter().map(tell_call).collect::<Vec<_>>().join("\n")
}

fn tell_call(call: &Value) -> String {
    let text = |name: &str| call[name].as_str().map(str::to_owned);
    let mut told = format!(
        "{} {}",
        call["method"].as_str().unwrap(),
        text("target").unwrap_or_default()
    );
    told = format!("{}\n  {}", told.trim_end(), call["outcome"].as_str().unwrap());
    let facts = [
        call["httpStatus"].as_i64().map(|status| format!("HTTP {status}")),
        call["rpcErrorCode"].as_i64().map(|code| format!("code {code}")),
        text("errorType"),
        text("errorMessage").map(|message| format!("{:?}", short(&message, 80))),
    ];
    told.extend(facts.into_iter().flatten().map(|fact| format!(" · {fact}")));
    let facts = [
        Some(format!("at {}", call["server"]["name"].as_str().unwrap())),
        text("observedBy").filter(|vantage| vantage != "SERVER"),
        text("transport"),
        text("protocolVersion"),
        text("requestId").map(|id| format!("id {id}")),
        text("sessionId").map(|id| format!("session {id}")),
        call["session"]["source"]
            .as_str()
            .map(|source| format!("{source} of {}", call["session"]["callCount"])),
        text("clientName").map(|name| format!("{name} {}", text("clientVersion").unwrap_or_default())),
        text("clientIp"),
        text("userAgent"),
        text("stackTrace").map(|_| "stack trace".to_owned()),
    ];
    let facts: Vec<_> = facts.into_iter().flatten().collect();
    told.push_str(&format!("\n  {}", facts.join(" · ")));
    for (name, sign) in [("request", ">"), ("response", "<")] {
        if let Some(body) = call[name]["text"].as_str() {
            told.push_str(&format!("\n  {sign} {}", short(body, 160)));
        }
    }
    for line in call["logs"]["nodes"].as_array().unwrap() {
        let body = short(line["body"].as_str().unwrap(), 100);
        told.push_str(&format!("\n  | {} {body}", line["severity"].as_str().unwrap()));
    }
    told
}

fn short(text: &str, at_most: usize) -> String {
    let line = text.replace('\n', "⏎");
    match line.char_indices().nth(at_most) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap()),
        None => line,
    }
}
