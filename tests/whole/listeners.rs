//! The listeners of the server: peers that say nothing, half, or the wrong thing, at every port.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    Client, Database, PATIENCE, TestProcess, TestServer, eventually, on_each_database, span, traces_request,
};

/// The client's half of HTTP/2 and its settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A request of HTTP/2 for `/`, by a client that then reads nothing: the window of each stream is 0.
const FROZEN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01x";

fn ports(client: &Client) -> [SocketAddr; 3] {
    [client.url(""), client.otlp_http_url(), client.otlp_grpc_url()]
        .map(|url| url.trim_start_matches("http://").parse().unwrap())
}

async fn open(address: SocketAddr, begun: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A full server may hang up at any time.
    let _ = socket.write_all(begun).await;
    socket
}

async fn everything_works(client: &Client) {
    assert_eq!(client.get("/healthz").await.0, 200);
    assert_eq!(client.get("/readyz").await.0, 200);
    client.export([span("tools/call over_http")]).await;
    client.export_grpc([span("tools/call over_grpc")]).await;
    assert!(client.calls(Value::Null, "id").await.len() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_shut_nobody_out() {
    let database = Database::sqlite();
    let process = TestProcess::serve_with_files(&database, 128).await;
    let head = b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n".as_slice();
    for port in ports(&process) {
        let mut silent = Vec::new();
        for begun in [b"".as_slice(), head, PREFACE].repeat(60) {
            silent.push(open(port, begun).await);
        }
        everything_works(&process).await;
    }
    // Nor do all ports together.
    let mut silent = Vec::new();
    for port in ports(&process).repeat(60) {
        silent.push(open(port, b"").await);
    }
    everything_works(&process).await;
    let (_, metrics) = process.get("/metrics").await;
    for port in ["api", "otlp_http", "otlp_grpc"] {
        let counter = format!("mcptap_connections_displaced_total{{port=\"{port}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&counter));
        assert!(count.is_some_and(|count| count != "0"), "{port}: {metrics}");
    }
    process.terminate().await;
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_connections_leave_all_ports_open() {
    // Both ends count, and this process holds one of each connection.
    raise_limit();
    let database = Database::sqlite();
    let process = TestProcess::serve_with_files(&database, 1024).await;
    for port in ports(&process) {
        let mut silent = Vec::new();
        for _ in 0..1_000 {
            silent.push(open(port, b"").await);
        }
        everything_works(&process).await;
    }
    process.terminate().await;
    assert_eq!(process.ended().await.code(), Some(0));
}

/// Asks for a WebSocket.
const UPGRADE: &[u8] =
    b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

/// A text of so many bytes as a client sends it, masked with zeros.
fn text_frame(length: u32) -> Vec<u8> {
    let head = [&[0x81, 0xff, 0, 0, 0, 0][..], &length.to_be_bytes(), &[0; 4]].concat();
    [head, vec![b' '; length as usize]].concat()
}

#[tokio::test]
async fn a_websocket_that_sends_too_much_is_told_so() {
    let server = TestServer::start().await;
    let [api, ..] = ports(&server);
    // Said at once by the length of a message, or after what somebody may say who has not said who it is.
    for (length, why) in [
        (17 << 10, "too much was sent before connection_init"),
        (1 << 20, "a message may have"),
    ] {
        let mut socket = open(api, UPGRADE).await;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // A frame that comes together with the request is not counted.
        while !answer.ends_with(b"\r\n\r\n") {
            let read = socket.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
        // The server does not read all of it.
        let _ = socket.write_all(&text_frame(length)).await;
        while !String::from_utf8_lossy(&answer).contains(why) {
            let read = socket.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
        let at = answer.iter().position(|byte| *byte == 0x88).unwrap();
        assert_eq!(answer[at + 2..at + 4], 1009_u16.to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_says_not_who_it_is_keeps_no_place() {
    // A ping of the WebSocket, which is answered to anybody.
    const PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];
    let database = Database::sqlite();
    let process = TestProcess::serve_with_files(&database, 128).await;
    let mut feed = process.follow(None, Value::Null).await;
    assert_eq!(feed.history().await.len(), 0);
    let [api, ..] = ports(&process);
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut socket = open(api, UPGRADE).await;
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
        let _ = socket.write_all(PING).await;
        held.push(socket);
    }
    everything_works(&process).await;
    let displaced = process.metric("connections_displaced_total{port=\"api\"}").await;
    assert!(displaced >= 30, "{displaced}");
    let (_, calls) = feed.calls().await;
    assert!(!calls.is_empty(), "who said who it is keeps its place");
}

/// A WebSocket that has said who it is, and nothing else.
async fn entered(api: SocketAddr) -> TcpStream {
    let init = br#"{"type":"connection_init"}"#;
    let frame = [&[0x81, 0x80 | init.len() as u8, 0, 0, 0, 0][..], init].concat();
    let mut socket = open(api, UPGRADE).await;
    let mut answer = Vec::new();
    let mut said = false;
    while !String::from_utf8_lossy(&answer).contains("connection_ack") {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
        if !said && answer.ends_with(b"\r\n\r\n") {
            socket.write_all(&frame).await.unwrap();
            said = true;
        }
    }
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_without_an_operation_gives_its_place_up() {
    let database = Database::sqlite();
    let process = TestProcess::serve_with_files(&database, 128).await;
    let mut feed = process.follow(None, Value::Null).await;
    assert_eq!(feed.history().await.len(), 0);
    let [api, ..] = ports(&process);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(entered(api).await);
    }
    everything_works(&process).await;
    let displaced = process.metric("connections_displaced_total{port=\"api\"}").await;
    assert!(displaced >= 30, "{displaced}");
    let (_, calls) = feed.calls().await;
    assert!(!calls.is_empty(), "who subscribed keeps its place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_messages_of_websockets_take_from_the_budget() {
    const BYTES: usize = 200 << 10;
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    let [api, ..] = ports(&process);
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut socket = entered(api).await;
        // All but a little of it.
        let frame = text_frame(BYTES as u32 + 100);
        socket.write_all(&frame[..BYTES]).await.unwrap();
        held.push(socket);
    }
    let reserved = async || process.metric("memory_reserved_bytes").await;
    eventually("they are reserved", async || {
        (reserved().await >= (20 * BYTES) as u64).then_some(())
    })
    .await;
    drop(held);
    eventually("they are given back", async || {
        (reserved().await < BYTES as u64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_dashboard_are_in_memory_once() {
    const READERS: usize = 100;
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    let (_, home) = process.get("/").await;
    // Without Node.js there are none.
    let scripts = home
        .split("\"./")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let [api, ..] = ports(&process);
    for script in scripts.filter(|name| name.ends_with(".js")) {
        let path = format!("/{script}");
        let length = process.get(&path).await.1.len() as u64;
        let before = process.memory();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut unread = Vec::new();
        for _ in 0..READERS {
            unread.push(open(api, request.repeat(16).as_bytes()).await);
        }
        assert_eq!(process.get("/healthz").await.0, 200);
        let grown = process.memory().saturating_sub(before);
        println!("{path}: {length} bytes, {grown} more for {READERS} readers");
        assert!(grown < (16 << 20) + 8 * length, "{path}: {grown}");
    }
}

/// Enough open files for a thousand connections.
fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[tokio::test]
async fn a_silent_connection_costs_little() {
    const CONNECTIONS: u64 = 400;
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    for port in ports(&process) {
        // What is needed once, by the first of all.
        for _ in 0..CONNECTIONS / 4 {
            open(port, b"").await;
        }
        assert_eq!(process.get("/healthz").await.0, 200);
        let before = process.memory();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(open(port, b"").await);
        }
        // They are accepted in the order in which they came.
        assert_eq!(process.get("/healthz").await.0, 200);
        let each = process.memory().saturating_sub(before) / CONNECTIONS;
        println!("{each} bytes a silent connection");
        assert!(each < 16 << 10, "{each} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_open_keeps_a_server_that_is_told_to_stop() {
    on_each_database(async |database| {
        let process = TestProcess::serve(&database).await;
        process.export([span("tools/call get_order")]).await;
        let body = b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: 99\r\n\r\nhalf";
        let post = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
        let events = b"GET /graphql?query=subscription%20%7B%20calls%20%7B%20__typename%20%7D%20%7D HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
        let mut held = Vec::new();
        for port in ports(&process) {
            for begun in [b"".as_slice(), b"POST /v1/tr", body, post, events, PREFACE, FROZEN] {
                held.push(open(port, begun).await);
            }
        }
        for port in ports(&process).repeat(70) {
            held.push(open(port, b"").await);
        }
        // Peers that are frozen: connected, and read nothing any more.
        let mut grpc = process.grpc().await;
        grpc.export(traces_request([span("tools/call frozen")])).await.unwrap();
        let _feed = process.follow(None, Value::Null).await;
        process.terminate().await;
        assert_eq!(process.ended().await.code(), Some(0));
        drop(held);
    })
    .await;
}

#[tokio::test]
async fn answers_are_what_they_say_they_are() {
    let server = TestServer::on(Database::sqlite()).await;
    for url in [
        server.url("/"),
        server.url("/graphql?query=%7B__typename%7D"),
        server.url("/metrics"),
        server.url("/healthz"),
        server.url("/readyz"),
        server.url("/none/at/all"),
        format!("{}/v1/traces", server.otlp_http_url()),
        format!("{}/none", server.otlp_http_url()),
        format!("{}/v1/traces", server.otlp_grpc_url()),
    ] {
        let answer = server.web().get(&url).send().await.unwrap();
        let told = answer.headers().get("x-content-type-options").cloned();
        assert_eq!(told.unwrap(), "nosniff", "{url}");
    }
}

#[tokio::test]
async fn the_wrong_port_or_path_is_told_the_right_one() {
    let server = TestServer::on(Database::sqlite()).await;
    let post = async |url: String| {
        let post = server.web().post(url).header("content-type", "application/json");
        let answer = post.body("{}").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for path in ["/", "/v1", "/traces", "/api/v1/traces", "/v1/traces/v2/traces"] {
        let (status, text) = post(format!("{}{path}", server.otlp_http_url())).await;
        assert!(
            status == 404 && text.contains("/v1/traces"),
            "{path}: {status} {text}"
        );
    }
    let (status, text) = post(server.url("/v1/traces")).await;
    let http = server.otlp_http_url();
    assert!(status == 404 && text.contains(&http), "{status} {text}");
    let (status, text) = post(format!("{}/v1/traces", server.otlp_grpc_url())).await;
    assert!(status == 415 && text.contains(&http), "{status} {text}");
    for url in [server.otlp_http_url(), server.url("")] {
        let mut grpc =
            opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient::connect(url)
                .await
                .unwrap();
        let status = grpc.export(traces_request([span("ping")])).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(status.message().contains(&server.otlp_grpc_url()), "{status}");
    }
}

#[tokio::test]
async fn whoever_looks_at_an_address_in_a_browser_is_told_what_is_there() {
    let server = TestServer::on(Database::sqlite()).await;
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics", "//v1/traces/"] {
        for method in [
            reqwest::Method::GET,
            reqwest::Method::PUT,
            reqwest::Method::DELETE,
        ] {
            let url = format!("{}{path}", server.otlp_http_url());
            let answer = server.web().request(method, url).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["allow"]),
                (405, &"POST".parse().unwrap())
            );
            let text = answer.text().await.unwrap();
            assert!(
                text.contains("by POST") && text.contains(&server.url("/")),
                "{path}: {text}"
            );
        }
    }
    for (path, told) in [
        ("/graphql/", "/graphql has no slash at its end"),
        ("/calls/", "/calls has no slash at its end"),
        ("/graphiql", "the API at /graphql"),
        ("/v1/graphql", "the API at /graphql"),
    ] {
        let (status, text) = server.get(path).await;
        assert!(status == 404 && text.contains(told), "{path}: {status} {text}");
    }
    let post = server
        .web()
        .post(server.url("/graphql/"))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(post.status().as_u16(), 404);
    assert!(post.text().await.unwrap().contains("no slash"));
}

#[tokio::test]
async fn http_1_and_2_are_spoken_at_the_same_port() {
    let server = TestServer::on(Database::sqlite()).await;
    for port in ports(&server) {
        let mut socket = open(port, PREFACE).await;
        let mut frame = [0; 4];
        socket.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "settings");
    }
}

/// Header names of HTTP/1.1 have no case, but Python's gql looks for `Sec-WebSocket-Protocol` as most servers write it, and
/// speaks another protocol where it does not find it.
#[tokio::test]
async fn names_of_headers_are_written_as_most_servers_do() {
    let server = TestServer::on(Database::sqlite()).await;
    let upgrade =
        b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-protocol: graphql-transport-ws\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let head = head(&mut open(ports(&server)[0], upgrade).await).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for name in [
        "Sec-WebSocket-Protocol: graphql-transport-ws",
        "Sec-WebSocket-Accept: ",
        "Upgrade: websocket",
    ] {
        assert!(head.contains(&format!("\r\n{name}")), "{head}");
    }
    for port in ports(&server) {
        let head = self::head(&mut open(port, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await).await;
        assert!(head.contains("\r\nContent-Type: "), "{head}");
    }
}

/// The head of an answer, as it was written.
async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            tokio::time::timeout(PATIENCE, socket.read_u8())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    String::from_utf8(head).unwrap()
}
