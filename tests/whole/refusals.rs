//! Exports that are refused stand in the server's own log, with the sender and the reason.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::commands::mcptap;
use crate::support::{Database, TestProcess, eventually};

#[tokio::test]
async fn the_log_tells_who_is_refused_and_why_and_counts_the_rest() {
    let database = Database::sqlite();
    let server = TestProcess::serve(&database).await;
    let post = async |url: String, kind: &'static str, body: Vec<u8>| {
        let sent = server.web().post(url).header("content-type", kind).body(body);
        sent.send().await.unwrap().status().as_u16()
    };
    let at = |path: &str| format!("{}{path}", server.otlp_http_url());
    let json = "application/json";
    for _ in 0..3 {
        assert_eq!(post(at("/v1/traces"), "text/plain", b"hello".to_vec()).await, 415);
    }
    assert_eq!(
        post(at("/v1/traces"), json, b"no JSON\nWARN forged".to_vec()).await,
        400
    );
    assert_eq!(post(at("/v1/logs"), json, vec![b' '; (16 << 20) + 1]).await, 413);
    assert_eq!(post(at("/v1/spans"), json, b"{}".to_vec()).await, 404);
    assert_eq!(post(server.url("/v1/traces"), json, b"{}".to_vec()).await, 404);
    // What is no export is nobody's refusal.
    assert_eq!(server.get("/nowhere").await.0, 404);
    assert_eq!(post(at("/v1/traces"), json, b"{}".to_vec()).await, 200);
    let grpc = format!("{}/nowhere.Service/Export", server.otlp_grpc_url());
    assert_eq!(post(grpc, json, b"{}".to_vec()).await, 415);
    // The beginning of a TLS handshake, as of an endpoint with https.
    for url in [server.otlp_http_url(), server.otlp_grpc_url()] {
        let address = url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
    }
    // From the first key on everybody needs one.
    let folder = tempfile::tempdir().unwrap();
    let create = [
        "keys",
        "create",
        "--name=a",
        "--scope=read",
        "--database-url",
        database.url(),
    ];
    let made = mcptap(folder.path(), &create, &[]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let refused = async |key: Option<&str>| {
        let mut sent = server
            .web()
            .post(at("/v1/traces"))
            .header("content-type", json)
            .body("{}");
        if let Some(key) = key {
            sent = sent.header("x-api-key", key);
        }
        sent.send().await.unwrap().status().as_u16()
    };
    let known = async || (refused(None).await == 401).then_some(());
    eventually("the key is known", known).await;
    assert_eq!(refused(Some(&key)).await, 403);
    assert_eq!(refused(Some("mcptap_wrong")).await, 401);

    let log = server.stopped().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("refused")).collect();
    let told = |words: &[&str]| {
        let found = lines
            .iter()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(found.count(), 1, "{words:?}: {log}");
    };
    told(&[
        "refused an export from 127.0.0.1:",
        "at OTLP/HTTP: 415",
        "\\\"text/plain\\\"",
    ]);
    told(&["refused 2 more exports from 127.0.0.1 at OTLP/HTTP: 415"]);
    told(&["refused an export", "at OTLP/HTTP: 400"]);
    told(&["refused an export", "at OTLP/HTTP: 413", "smaller batches"]);
    told(&[
        "refused an export",
        "at OTLP/HTTP: 404",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]);
    told(&["refused an export", "at the API's port: 404", "/v1/traces"]);
    told(&["refused an export", "at OTLP/gRPC: 415"]);
    told(&[
        "refused an export",
        "at OTLP/HTTP: it does not speak HTTP",
        "https://",
    ]);
    told(&["refused an export", "at OTLP/gRPC: it does not speak HTTP"]);
    told(&["refused an export", "at OTLP/HTTP: 403", "no scope ingest"]);
    assert!(!log.contains("mcptap_wrong") && !log.contains(&key), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("WARN forged")), "{log}");
    let keyless = lines.iter().filter(|line| line.contains("401"));
    assert!(keyless.count() >= 2, "without a key, and with a wrong one: {log}");
}
