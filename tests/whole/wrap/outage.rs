//! The collector goes away: nothing is lost, nothing comes twice, and the server does not notice.

use std::fs::DirEntry;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::{Value, json};

use super::{ECHO, Wrapped, Wrapping, call_tool, calls_of, python};
use crate::support::{Database, TestProcess, eventually};

/// An address where nobody listens now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn call(wrapped: &mut Wrapped, id: u32) {
    let params = json!({"name": format!("tool-{id}"), "arguments": {}});
    let answer = wrapped.call(json!(id), "tools/call", params).await;
    assert_eq!(answer["id"], id);
}

fn tools(calls: &[Value]) -> Vec<String> {
    calls
        .iter()
        .map(|call| call["tool"].as_str().unwrap().to_owned())
        .collect()
}

fn numbered(ids: impl IntoIterator<Item = u32>) -> Vec<String> {
    ids.into_iter().map(|id| format!("tool-{id}")).collect()
}

#[tokio::test]
async fn a_collector_that_is_killed_and_comes_back() {
    let (database, otlp) = (Database::sqlite(), free_address());
    let wrapping = Wrapping::at(format!("http://{otlp}"));
    let mut wrapped = wrapping.run(&python(ECHO));
    let mut next = 0;
    for _ in 0..3 {
        let collector = TestProcess::serve_otlp_on(&database, otlp).await;
        for _ in 0..20 {
            call(&mut wrapped, next).await;
            next += 1;
        }
        // In the middle of what it is being told.
        collector.kill().await;
        for _ in 0..20 {
            call(&mut wrapped, next).await;
            next += 1;
        }
    }
    let collector = TestProcess::serve_otlp_on(&database, otlp).await;
    assert_eq!(wrapped.end().await.status.code(), Some(0));
    let calls = calls_of(&collector, next as usize, "tool").await;
    assert_eq!(tools(&calls), numbered(0..next));
}

#[tokio::test]
async fn what_one_wrapper_could_not_deliver_another_does() {
    let (database, otlp) = (Database::sqlite(), free_address());
    let wrapping = Wrapping::at(format!("http://{otlp}"));
    let mut wrapped = wrapping.run(&python(ECHO));
    for id in 0..10 {
        call(&mut wrapped, id).await;
    }
    assert_eq!(wrapped.end().await.status.code(), Some(0));

    let collector = TestProcess::serve_otlp_on(&database, otlp).await;
    let mut wrapped = wrapping.run(&python(ECHO));
    call(&mut wrapped, 10).await;
    // It delivers what it finds while it lives.
    let calls = calls_of(&collector, 11, "tool").await;
    assert_eq!(tools(&calls), numbered(0..11));
    assert_eq!(wrapped.end().await.status.code(), Some(0));
}

#[tokio::test]
async fn what_a_killed_wrapper_kept_another_delivers() {
    let (database, otlp) = (Database::sqlite(), free_address());
    let wrapping = Wrapping::at(format!("http://{otlp}"));
    let mut wrapped = wrapping.run(&python(ECHO));
    for id in 0..10 {
        call(&mut wrapped, id).await;
    }
    eventually("everything on disk", async || {
        (spans_in(wrapping.spool()) == 10).then_some(())
    })
    .await;
    wrapped.child.kill().await.unwrap();

    let collector = TestProcess::serve_otlp_on(&database, otlp).await;
    let mut wrapped = wrapping.run(&python(ECHO));
    call(&mut wrapped, 10).await;
    let calls = calls_of(&collector, 11, "tool").await;
    assert_eq!(tools(&calls), numbered(0..11));
    assert_eq!(wrapped.end().await.status.code(), Some(0));
}

/// How many spans are kept below a directory: the names of the files say it.
fn spans_in(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let count = |entry: DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        match name.trim_end_matches(".parcel").rsplit_once("-traces-") {
            Some((_, count)) => count.parse().unwrap(),
            None => spans_in(&entry.path()),
        }
    };
    entries.flatten().map(count).sum()
}

#[tokio::test]
async fn telemetry_that_is_off_or_wrong_does_not_stop_the_server() {
    let settings = [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("MCPTAP_CAPTURE", "off"),
        ("MCPTAP_CAPTURE", "perhaps"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://no-such-host.invalid:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "=,=;\u{7f}"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_RESOURCE_ATTRIBUTES", "%%%,,,=="),
        ("MCPTAP_SPOOL_BYTES", "a lot"),
        ("MCPTAP_SPOOL_BYTES", "off"),
        ("MCPTAP_SPOOL_DIR", "/proc/nowhere"),
        ("MCPTAP_SPOOL_DIR", "/dev/null"),
    ];
    for (name, value) in settings {
        let wrapping = Wrapping::at("http://127.0.0.1:9".to_owned()).with(name, value);
        let mut wrapped = wrapping.run(&python(ECHO));
        wrapped.send(call_tool(1, "sell")).await;
        assert!(wrapped.line().await.contains("sell"), "{name}={value}");
        assert_eq!(wrapped.end().await.status.code(), Some(0), "{name}={value}");
    }
}
