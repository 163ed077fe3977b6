//! What callers make the server hold: answers, subscriptions, and connections that have not said whose they are.

use std::io::Read;

use flate2::read::GzDecoder;
use futures_util::future::join_all;
use mcptap::{ApiSettings, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, Database, TestProcess, TestServer, span};

#[tokio::test]
async fn an_answer_of_long_messages_takes_its_share_of_memory_and_no_more() {
    let database = Database::sqlite();
    let process = TestProcess::serve_with_budget(&database, "256MiB").await;
    for _ in 0..10 {
        let message = "e".repeat(65_000);
        process
            .export((0..20).map(|_| span("tools/call get_order").failed(&message)))
            .await;
    }
    let aliases: String = (0..30).map(|alias| format!("a{alias}: errorMessage ")).collect();
    let query = format!("{{ calls(first: 200) {{ nodes {{ {aliases} }} }} }}");
    let before = process.peak_memory();
    // Undisturbed it would be 390 MB, held three times.
    let (code, message) = process.graphql_error(&query, json!({})).await;
    assert_eq!(code, "RESPONSE_TOO_LARGE", "{message}");
    let more = process.peak_memory() - before;
    assert!(more < 150 << 20, "{} MiB more", more >> 20);
}

#[tokio::test]
async fn subscriptions_hold_what_they_were_asked_with_in_the_budget() {
    let database = Database::sqlite();
    let process = TestProcess::serve_with_budget(&database, "128MiB").await;
    let filter = json!({"tools": vec!["t".repeat(1_000); 240]});
    let before = process.memory();
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..150 {
        let mut events = process.try_follow(None, filter.clone()).await.unwrap();
        match events.message().await["type"].as_str() {
            Some("next") => open.push(events),
            _ => refused += 1,
        }
    }
    let more = process.memory().saturating_sub(before);
    assert!(
        more < 200 << 20,
        "{} MiB more for {} subscriptions",
        more >> 20,
        open.len()
    );
    assert!(
        !open.is_empty() && refused > 0,
        "{} open, {refused} refused",
        open.len()
    );
    let reserved = process.metric("memory_reserved_bytes").await;
    assert!(reserved >= 240_000 * open.len() as u64, "{reserved} bytes");
}

/// Asks with these headers; the media type and the coding of the answer, and its bytes so far.
async fn coded(client: &Client, query: &str, accept: &str) -> (String, String, Vec<u8>) {
    let mut answer = client
        .web()
        .post(client.url("/graphql"))
        .header("accept", accept)
        .header("accept-encoding", "gzip")
        .json(&json!({"query": query}))
        .send()
        .await
        .unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let (media, coding) = (header("content-type"), header("content-encoding"));
    let mut bytes = Vec::new();
    while let Some(some) = answer.chunk().await.unwrap() {
        bytes.extend_from_slice(&some);
        if media == "text/event-stream" && bytes.len() > 100_000 && bytes.ends_with(b"\n\n") {
            break;
        }
    }
    (media, coding, bytes)
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_can_read_it_and_streams_are_not() {
    let server = TestServer::start().await;
    server
        .export((0..200).map(|_| span("tools/call get_order").failed(&"e".repeat(500))))
        .await;
    for size in [20, 200] {
        let query = format!("{{ calls(first: {size}) {{ nodes {{ method tool errorMessage }} }} }}");
        let (_, coding, bytes) = coded(&server, &query, "application/json").await;
        assert_eq!(coding, "gzip");
        let mut plain = Vec::new();
        let read = GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(bytes.len() < read / 10, "{} of {read}", bytes.len());
        let answer: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(answer["data"], server.graphql(&query, json!({})).await);
    }
    let (_, coding, bytes) = coded(&server, "{ __typename }", "application/json").await;
    assert!(coding.is_empty() && bytes.starts_with(b"{"), "a small one");
    let oldest = server
        .graphql("{ calls(last: 1) { liveCursor } }", json!({}))
        .await;
    let follow = format!(
        "subscription {{ calls(after: {}, batchSize: 200) {{ ... on CallsAdded {{ edges {{ node {{ errorMessage }} }} }} }} }}",
        oldest["calls"]["liveCursor"]
    );
    let (media, coding, bytes) = coded(&server, &follow, "text/event-stream").await;
    assert_eq!((media.as_str(), coding.as_str()), ("text/event-stream", ""));
    assert!(bytes.len() > 100_000, "{} bytes", bytes.len());
    let page = server
        .web()
        .get(server.url("/metrics"))
        .header("accept-encoding", "gzip");
    let page = page.send().await.unwrap();
    assert_eq!(page.headers()["content-encoding"], "gzip");
}

/// Asks for a WebSocket, and says so many bytes of a message that never ends.
async fn say_without_a_name(client: &Client, bytes: usize) -> std::io::Result<TcpStream> {
    let address = client
        .url("")
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let mut socket = TcpStream::connect(&address).await?;
    let head = format!(
        "GET /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 101");
    // A masked frame of text; what it says is never read.
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&(300_u64 << 10).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    socket.write_all(&frame).await?;
    socket.write_all(&vec![b' '; bytes]).await?;
    Ok(socket)
}

#[tokio::test]
async fn who_has_not_said_who_it_is_holds_little() {
    let database = Database::sqlite();
    let process = TestProcess::serve(&database).await;
    let before = process.memory();
    // A little less than a whole message each. Who is cut off early may notice while it still speaks.
    let sockets = join_all((0..100).map(|_| say_without_a_name(&process, 290 << 10))).await;
    for mut socket in sockets.into_iter().flatten() {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), socket.read_to_end(&mut rest));
        assert!(
            ended.await.is_ok(),
            "it is cut off before the time for its name is over"
        );
    }
    let more = process.memory().saturating_sub(before);
    assert!(more < 15 << 20, "{} MiB more", more >> 20);
    // Little is heard.
    let quiet = say_without_a_name(&process, 10 << 10).await.unwrap();
    assert_eq!(process.get("/healthz").await.0, 200);
    drop(quiet);
}

/// While one address asks more than may be answered at once, another is answered.
#[tokio::test]
async fn one_caller_holds_up_nobody_else() {
    let settings = Settings {
        graphql: ApiSettings {
            max_operations: Some(8.into()),
            ..ApiSettings::default()
        },
        ..Settings::default()
    };
    let server = TestServer::with(Database::sqlite(), settings).await;
    let text = "alpha beta ".repeat(20_000);
    for _ in 0..5 {
        let spans =
            (0..4).map(|_| span("tools/call get_order").attr("gen_ai.tool.call.arguments", text.as_str()));
        server.export(spans).await;
    }
    // Both words are everywhere, but never side by side: every text is read.
    let query = r#"{ calls(filter: {search: "\"beta beta\""}) { nodes { id } } }"#;
    let slow = json!({"query": query});
    let from = |address: [u8; 4]| {
        let web = reqwest::Client::builder()
            .local_address(std::net::IpAddr::from(address))
            .no_proxy();
        web.build().unwrap()
    };
    let greedy = from([127, 0, 0, 2]);
    let asked = 40;
    let mut slow: futures_util::stream::FuturesUnordered<_> = (0..asked)
        .map(|_| tokio::spawn(greedy.post(server.url("/graphql")).json(&slow).send()))
        .collect();
    // All of them are on their way when the first is answered.
    futures_util::StreamExt::next(&mut slow)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let light = from([127, 0, 0, 3]).post(server.url("/graphql"));
    let light = light
        .json(&json!({"query": "{ viewer { __typename } }"}))
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = light.json().await.unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");
    let waiting = slow.iter().filter(|question| !question.is_finished()).count();
    // In one line with the others it would wait until all but eight of them had a place.
    assert!(waiting > 20, "{waiting} of {asked} still wait");
}
