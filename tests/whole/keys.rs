//! Who may do what, through every door: keys and their scopes, servers they are bound to, their end on open connections;
//! erasure; names that the server answers to.

use std::process::Command;

use mcptap::{ApiSettings, Settings, Shown};
use mcptap_model::{NewKey, Scope};
use mcptap_store::{Actor, Store};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    BINARY, Client, Ended, PATIENCE, SpanBuilder, TestServer, eventually, line, logs_request,
    on_each_database, sorted, span, traces_request,
};

use Scope::{Admin, Ingest, Payloads, Read};

async fn make(store: &Store, scopes: &[Scope], servers: &[&str]) -> (i64, String) {
    let new = NewKey {
        name: "a key".into(),
        scopes: scopes.to_vec(),
        servers: servers.iter().map(ToString::to_string).collect(),
        expires_at: None,
    };
    let (key, secret) = store.create_key(new, Actor::CommandLine).await.unwrap();
    (key.id, secret.reveal().to_owned())
}

/// A server that knows of keys, and its clients with each.
async fn shut(server: &TestServer, store: &Store) {
    eventually("the shut gate", async || {
        let answer = server.web().get(server.url("/metrics")).send().await.unwrap();
        (answer.status() == 401).then_some(())
    })
    .await;
    assert!(store.gate().keys_exist());
}

/// What comes of knocking at each door, as HTTP statuses. gRPC and WebSockets are told in theirs.
async fn knock(client: &Client) -> Vec<(&'static str, u16)> {
    let mut answers = Vec::new();
    let export = traces_request([span("tools/call knock")]).encode_to_vec();
    let logs = logs_request([line(&span("ping"), "a line")]).encode_to_vec();
    for (door, body) in [
        ("/v1/traces", export),
        ("/v1/logs", logs),
        ("/v1/metrics", Vec::new()),
    ] {
        let post = client.web().post(format!("{}{door}", client.otlp_http_url()));
        let post = post.header("content-type", "application/x-protobuf").body(body);
        answers.push((door, post.send().await.unwrap().status().as_u16()));
    }
    let mut request = tonic::Request::new(traces_request([span("tools/call knock")]));
    if let Some(key) = client.key() {
        let metadata = request.metadata_mut();
        metadata.insert("x-api-key", key.parse().unwrap());
    }
    let grpc = match client.grpc().await.export(request).await {
        Ok(_) => 200,
        Err(status) if status.code() == tonic::Code::Unauthenticated => 401,
        Err(status) if status.code() == tonic::Code::PermissionDenied => 403,
        Err(status) => panic!("{status}"),
    };
    answers.push(("gRPC", grpc));
    for (door, query, accept) in [
        ("calls", "{ calls { nodes { id } } }", "application/json"),
        (
            "viewer",
            "{ viewer { keysExist } }",
            "application/graphql-response+json",
        ),
        ("apiKeys", "{ apiKeys { nodes { id } } }", "application/json"),
        ("events", "{ calls { nodes { id } } }", "text/event-stream"),
    ] {
        let post = client.web().post(client.url("/graphql")).header("accept", accept);
        let answer = post.json(&json!({"query": query})).send().await.unwrap();
        let mut status = answer.status().as_u16();
        if status == 401 {
            assert!(
                answer.headers()["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Bearer")
            );
        }
        let text = answer.text().await.unwrap();
        if matches!(status, 200 | 294) && text.contains("FORBIDDEN") {
            status = 403;
        } else if status != 200 {
            let code = if status == 401 {
                "UNAUTHENTICATED"
            } else {
                "FORBIDDEN"
            };
            assert!(text.contains(code), "{door}: {text}");
        }
        answers.push((door, status));
    }
    let socket = match client.try_follow(None, Value::Null).await {
        Ok(mut events) => {
            let first = events.message().await;
            if first["type"] == "next" { 200 } else { 403 }
        }
        Err(Ended::Closed(code)) => code - 4000,
        Err(Ended::Broken) => panic!("the socket broke"),
    };
    answers.push(("socket", socket));
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        let answer = client.web().get(client.url(path)).send().await.unwrap();
        // Without Node.js the page is a text that says so.
        let status = answer.status().as_u16();
        answers.push((path, if status == 501 { 200 } else { status }));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scope_at_every_door() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        // As long as no key exists, everybody may everything.
        for (door, status) in knock(&server).await {
            assert_eq!(status, 200, "{door}");
        }
        let (_writer, store) = server.store_beside().await;
        let doors = [
            "/v1/traces",
            "/v1/logs",
            "/v1/metrics",
            "gRPC",
            "calls",
            "viewer",
            "apiKeys",
            "events",
            "socket",
            "/metrics",
            "/healthz",
            "/readyz",
            "/",
        ];
        let (revoked, gone) = make(&store, &Scope::ALL, &[]).await;
        store.revoke_key(revoked, Actor::CommandLine).await.unwrap();
        shut(&server, &store).await;
        let mut rows = vec![
            ("none".to_owned(), Client::clone(&server), [401; 13]),
            ("wrong".to_owned(), server.with_key("mcptap_0"), [401; 13]),
            ("revoked".to_owned(), server.with_key(&gone), [401; 13]),
        ];
        for (scopes, [ingest, calls, api, keys]) in [
            (&[Ingest][..], [200, 403, 403, 403]),
            (&[Read], [403, 200, 200, 403]),
            (&[Read, Payloads], [403, 200, 200, 403]),
            (&[Admin], [403, 403, 200, 200]),
            (&[Ingest, Read], [200, 200, 200, 403]),
            (&Scope::ALL, [200, 200, 200, 200]),
        ] {
            let (_, secret) = make(&store, scopes, &[]).await;
            let expected = [
                ingest, ingest, ingest, ingest, calls, api, keys, calls, calls, api, 200, 200, 200,
            ];
            rows.push((format!("{scopes:?}"), server.with_key(&secret), expected));
        }
        for (who, client, expected) in rows {
            let open = |at: usize, status: u16| if at >= 10 { 200 } else { status };
            let expected: Vec<_> = doors
                .into_iter()
                .zip(expected)
                .enumerate()
                .map(|(at, (door, status))| (door, open(at, status)))
                .collect();
            assert_eq!(knock(&client).await, expected, "{who}");
        }
    })
    .await;
}

/// A word that stands in everything that was said in a call.
const SAID: &str = "confidence";

#[tokio::test]
async fn without_scope_payloads_nothing_said_is_seen_or_found() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let call = span("tools/call get_order")
            .attr("gen_ai.tool.call.arguments", json!({"a": SAID}).to_string())
            .attr("gen_ai.tool.call.result", SAID)
            .attr("note", SAID)
            .attr("error.type", "tool_error")
            .failed(SAID)
            .event(
                "exception",
                &[("exception.message", SAID), ("exception.stacktrace", SAID)],
            );
        server.export([span("ping"), call.clone()]).await;
        server.export_logs([line(&call, SAID)]).await;
        let (_writer, store) = server.store_beside().await;
        let (_, reads) = make(&store, &[Read], &[]).await;
        let (_, sees) = make(&store, &[Read, Payloads], &[]).await;
        shut(&server, &store).await;
        let query = "{ calls(filter: {tools: [\"get_order\"]}) { nodes { tool outcome errorType errorMessage stackTrace attributes
            request { text json bytes } response { text } logs { nodes { body } } } } }";
        let whole = server.with_key(&sees).graphql(query, json!({})).await.to_string();
        assert!(whole.matches(SAID).count() >= 6, "{whole}");
        let reader = server.with_key(&reads);
        assert_eq!(
            reader.graphql(query, json!({})).await["calls"]["nodes"],
            json!([{
                "tool": "get_order", "outcome": "TOOL_ERROR", "errorType": "tool_error", "errorMessage": null,
                "stackTrace": null, "attributes": {}, "request": null, "response": null, "logs": {"nodes": []},
            }])
        );
        // A search must not tell what it may not show, wherever and however it is asked.
        let search = "query ($filter: CallFilter) { calls(filter: $filter) { totalCount { value } nodes { id } }
            stats(filter: $filter) { callCount } facets(filter: $filter) { tools { count } }
            tools(filter: $filter) { nodes { name stats { callCount } } } sessions(filter: $filter) { nodes { id } } }";
        let nothing = reader.graphql(search, json!({"filter": {"search": "absent"}})).await;
        let all = reader
            .graphql(search, json!({"filter": {"tools": ["get_order"]}}))
            .await;
        for (word, found) in [(SAID, &nothing), ("conf*", &nothing), ("order", &all)] {
            for (filter, found) in [
                (json!({"search": word}), found),
                (json!({"or": [{"search": word}, {"tools": ["none"]}]}), found),
                (json!({"not": {"not": {"search": word}}}), found),
            ] {
                assert_eq!(reader.graphql(search, json!({"filter": filter})).await, *found, "{filter}");
            }
        }
        let found = server.with_key(&sees).graphql(search, json!({"filter": {"search": SAID}})).await;
        assert_eq!(found["calls"]["totalCount"]["value"], 1);
        let beginning = json!({"search": SAID});
        let start = reader.graphql("{ calls(last: 1) { liveCursor } }", json!({})).await;
        let mut events = reader.follow(start["calls"]["liveCursor"].as_str(), beginning).await;
        assert_eq!(events.history().await, []);
    })
    .await;
}

/// Says this to a port, and what comes back as far as the first blank line.
async fn raw(url: String, request: String) -> String {
    let address = url.trim_start_matches("http://").to_owned();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(
            tokio::time::timeout(PATIENCE, socket.read_u8())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn without_a_key_nothing_is_answered_whatever_the_request_claims_to_become() {
    let server = TestServer::on(crate::support::Database::sqlite()).await;
    let (_writer, store) = server.store_beside().await;
    let (_, secret) = make(&store, &[Read], &[]).await;
    shut(&server, &store).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let body = r#"{"query":"{ __schema { queryType { name } } }"}"#;
    let post = |headers: &str| {
        let length = body.len();
        format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        )
    };
    let get = |headers: &str| {
        format!("GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
    };
    let socket = "sec-websocket-version: 13\r\nsec-websocket-protocol: graphql-transport-ws\r\n";
    for request in [
        post(upgrade),
        post("upgrade: websocket\r\n"),
        post(&format!("{upgrade}accept: text/event-stream\r\n")),
        post(&format!(
            "{upgrade}{socket}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )),
        post("accept: text/event-stream\r\n"),
        get(""),
        get("upgrade: websocket\r\n"),
        get(upgrade),
        get(&format!("{upgrade}{socket}")),
        get("upgrade: h2c\r\nconnection: upgrade\r\n"),
    ] {
        let head = raw(server.url(""), request.clone()).await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{request}\n{head}");
    }
    // What becomes a WebSocket may say who it is there; some proxies say twice that it does.
    let twice = "connection: keep-alive\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
    for lines in [upgrade, twice] {
        let request = get(&format!(
            "{lines}{socket}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ));
        let head = raw(server.url(""), request).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
    assert!(matches!(
        server.try_follow(None, Value::Null).await,
        Err(Ended::Closed(4401))
    ));
    server.with_key(&secret).follow(None, Value::Null).await;
}

#[tokio::test]
async fn a_bound_key_learns_nothing_of_what_all_servers_do() {
    let server = TestServer::on(crate::support::Database::sqlite()).await;
    let save = "mutation { saveView(input: {name: \"all\", filter: {servers: [\"other\"]}, columns: []}, shared: true)
        { ... on ViewSaved { view { id } } } }";
    // From the time without keys.
    let shared = server.graphql(save, json!({})).await["saveView"]["view"]["id"].take();
    assert!(shared.is_string(), "{shared}");
    let (_writer, store) = server.store_beside().await;
    let (_, bound) = make(&store, &[Read], &["shop"]).await;
    let (_, free) = make(&store, &[Read], &[]).await;
    shut(&server, &store).await;
    let (bound, free) = (server.with_key(&bound), server.with_key(&free));
    assert_eq!(
        free.graphql("{ views { name } }", json!({})).await["views"],
        json!([{"name": "all"}])
    );
    assert_eq!(
        bound.graphql("{ views { name } }", json!({})).await["views"],
        json!([])
    );
    assert_eq!(free.get("/metrics").await.0, 200);
    let (status, text) = bound.get("/metrics").await;
    assert!(status == 403 && text.contains("bound"), "{status} {text}");
}

// The server may hold the lock that the renaming waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_wrong_keys_are_held_back_at_every_door_and_good_ones_work() {
    // A page of a listed origin sees every refusal; a browser shows it no other.
    const PAGE: &str = "https://ui.example.org";
    let settings = Settings {
        allowed_origins: Some(vec![PAGE.to_owned()]),
        ..Settings::default()
    };
    let server = TestServer::with(crate::support::Database::sqlite(), settings).await;
    let (_writer, store) = server.store_beside().await;
    let (_, good) = make(&store, &Scope::ALL, &[]).await;
    shut(&server, &store).await;
    let wrong = server.with_key("mcptap_wrong");
    let ask = async || wrong.web().get(wrong.url("/metrics")).send().await.unwrap();
    let refused = async {
        loop {
            let answer = ask().await;
            if answer.status() != 401 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("a refusal of another kind");
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let post = wrong
        .web()
        .post(wrong.url("/graphql"))
        .header("origin", PAGE)
        .json(&json!({"query": "{ viewer { keysExist } }"}));
    let answer = post.send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    assert!(answer.text().await.unwrap().contains("TOO_MANY_REQUESTS"));
    let post = wrong.web().post(format!("{}/v1/traces", wrong.otlp_http_url()));
    let post = post.header("content-type", "application/json").body("{}");
    let answer = post.header("origin", PAGE).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    let mut request = tonic::Request::new(traces_request([span("ping")]));
    request
        .metadata_mut()
        .insert("x-api-key", "mcptap_wrong".parse().unwrap());
    let status = server.grpc().await.export(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let (_, text) = server.with_key(&good).get("/metrics").await;
    assert!(text.contains("mcptap_"));
    let good = server.with_key(&good);
    good.export([span("tools/call from_the_same_address")]).await;
    good.follow(None, Value::Null).await;
    // Whoever gives no key guesses none.
    assert_eq!(server.get("/metrics").await.0, 401);
    // A key that was made elsewhere is known before it would be refused.
    let (_, new) = make(&store, &Scope::ALL, &[]).await;
    assert_eq!(server.with_key(&new).get("/metrics").await.0, 200);
    // The others are not looked up: the database is not needed for it.
    hide_keys(&server, true);
    assert_eq!(ask().await.status(), 429);
    let refused = wrong.try_follow(None, Value::Null).await.err();
    assert!(refused.is_some());
}

/// Takes the keys away from the database, or gives them back.
fn hide_keys(server: &TestServer, away: bool) {
    let connection = rusqlite::Connection::open(server.database().file().unwrap()).unwrap();
    let (from, to) = if away {
        ("api_keys", "away")
    } else {
        ("away", "api_keys")
    };
    connection
        .busy_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    connection
        .execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}"))
        .unwrap();
}

// The server may hold the lock that the renaming waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_looked_up_is_no_guess() {
    let server = TestServer::on(crate::support::Database::sqlite()).await;
    let (_writer, store) = server.store_beside().await;
    make(&store, &Scope::ALL, &[]).await;
    shut(&server, &store).await;
    hide_keys(&server, true);
    let made_elsewhere = server.with_key("mcptap_made_elsewhere");
    for _ in 0..30 {
        for url in [
            server.url("/metrics"),
            server.url("/graphql?query=%7B__typename%7D"),
        ] {
            let answer = made_elsewhere.web().get(&url).send().await.unwrap();
            assert_eq!(answer.status(), 503, "{url}");
            assert_eq!(answer.headers()["retry-after"], "1", "{url}");
        }
    }
    hide_keys(&server, false);
    assert_eq!(made_elsewhere.get("/metrics").await.0, 401);
}

#[tokio::test]
async fn a_bound_key_sees_only_its_servers() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let call = |service: &str, tool: &str| {
            let call = span(&format!("tools/call {tool}")).service(service);
            call.attr("mcp.session.id", format!("session-of-{service}"))
                .attr("client.address", "198.51.100.7")
        };
        let other = call("warehouse", "restock");
        server
            .export([
                call("shop", "get_order"),
                call("shop", "ship_order"),
                other.clone(),
            ])
            .await;
        let everything = "{
            calls { nodes { id server { name firstSeenAt } session { id } } totalCount { value } }
            servers { nodes { id name } } tools { nodes { id name server { name } stats { callCount } } }
            sessions { nodes { id server { name } calls { nodes { id } } } }
            facets { servers { value } tools { value } methods { count } } stats { callCount }
        }";
        let whole = server.graphql(everything, json!({})).await;
        let (_writer, store) = server.store_beside().await;
        let (_, secret) = make(&store, &[Read, Payloads], &["shop"]).await;
        let (_, all) = make(&store, &[Read, Payloads], &[]).await;
        shut(&server, &store).await;
        let bound = server.with_key(&secret);

        let seen = bound.graphql(everything, json!({})).await;
        for part in ["warehouse", "restock"] {
            assert!(
                whole.to_string().contains(part) && !seen.to_string().contains(part),
                "{seen}"
            );
        }
        assert_eq!(seen["calls"]["totalCount"]["value"], 2);
        assert_eq!(seen["stats"]["callCount"], 2);
        assert_eq!(seen["facets"]["methods"], json!([{"count": 2}]));
        assert_eq!(seen["sessions"]["nodes"].as_array().unwrap().len(), 1);

        // By the ids of what it does not see.
        let ids = |list: &str| {
            let nodes = whole[list]["nodes"].as_array().unwrap().iter();
            let foreign = nodes.filter(|node| node.to_string().contains("warehouse"));
            foreign
                .map(|node| node["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let foreign = ["calls", "servers", "tools", "sessions"].map(ids).concat();
        assert_eq!(foreign.len(), 4);
        for id in &foreign {
            let query = "query ($id: ID!) { node(id: $id) { id } }";
            assert_eq!(bound.graphql(query, json!({"id": id})).await["node"], Value::Null);
            assert_ne!(
                server.with_key(&all).graphql(query, json!({"id": id})).await["node"],
                Value::Null
            );
        }
        let by_id = |field: &str, id: &str| format!("{{ {field}(id: \"{id}\") {{ id }} }}");
        for (field, id) in [("call", &foreign[0]), ("session", &foreign[3])] {
            assert_eq!(
                bound.graphql(&by_id(field, id), json!({})).await[field],
                Value::Null
            );
        }

        // By filters that speak of it.
        let count = "query ($filter: CallFilter) { calls(filter: $filter) { totalCount { value } }
            stats(filter: $filter) { callCount } facets(filter: $filter) { servers { value } tools { value } }
            tools(filter: $filter) { nodes { name } } sessions(filter: $filter) { nodes { id } } }";
        for filter in [
            json!({"servers": ["warehouse"]}),
            json!({"tools": ["restock"]}),
            json!({"not": {"servers": ["shop"]}}),
            json!({"or": [{"servers": ["warehouse"]}]}),
            json!({"traceId": other.trace()}),
            json!({"sessionId": "session-of-warehouse"}),
            json!({"search": "restock"}),
        ] {
            let found = bound.graphql(count, json!({"filter": filter})).await;
            assert_eq!(found["calls"]["totalCount"]["value"], 0, "{filter}");
            assert_eq!(found["stats"]["callCount"], 0, "{filter}");
            let text = found.to_string();
            assert!(
                !text.contains("warehouse") && !text.contains("restock"),
                "{filter}: {text}"
            );
        }
        let menu = bound
            .graphql(count, json!({"filter": {"servers": ["warehouse"]}}))
            .await;
        assert_eq!(menu["facets"]["servers"], json!([{"value": "shop"}]));

        // Live, from the beginning on.
        let page = server
            .with_key(&all)
            .graphql("{ calls(last: 1) { liveCursor } }", json!({}))
            .await;
        let mut events = bound
            .follow(page["calls"]["liveCursor"].as_str(), Value::Null)
            .await;
        let tools: Vec<String> = events
            .history()
            .await
            .into_iter()
            .flat_map(|(_, calls)| calls)
            .map(|call| call["tool"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(sorted(tools), ["get_order", "ship_order"]);
    })
    .await;
}

#[tokio::test]
async fn a_bound_key_sends_only_for_its_servers() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let (_writer, store) = server.store_beside().await;
        let (_, secret) = make(&store, &[Ingest, Read, Payloads], &["shop"]).await;
        let (_, all) = make(&store, &[Read, Payloads], &[]).await;
        shut(&server, &store).await;
        let (sender, reader) = (server.with_key(&secret), server.with_key(&all));
        let (own, foreign) = (
            span("tools/call own").service("shop"),
            span("tools/call foreign").service("bank"),
        );
        // A service may not speak in the name of another server either.
        let posing = span("tools/call posing")
            .service("shop")
            .attr("mcp.server.name", "bank");
        let answer = sender
            .try_send(&traces_request([own.clone(), foreign.clone(), posing]))
            .await
            .unwrap();
        let stored = sorted(
            reader
                .calls(json!({}), "tool server { name }")
                .await
                .iter()
                .map(ToString::to_string),
        );
        let partial = answer.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 2, "{partial:?}");
        assert!(
            partial.error_message.contains("\"bank\"") && partial.error_message.contains("(shop)"),
            "{partial:?}"
        );
        assert!(
            !stored.concat().contains("bank") && stored.concat().contains("own"),
            "{stored:?}"
        );

        let mut request = tonic::Request::new(traces_request([foreign]));
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {secret}").parse().unwrap());
        let answer: ExportTraceServiceResponse =
            sender.grpc().await.export(request).await.unwrap().into_inner();
        assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    })
    .await;
}

#[tokio::test]
async fn a_bound_key_takes_over_no_call_of_others() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let said = |call: SpanBuilder| call.service("alpha").attr("mcp.client.name", "alphas client");
        let calls: Vec<SpanBuilder> = (0..12)
            .map(|number| {
                let call = span("tools/call secret");
                said(if number < 6 { call } else { call.client() })
            })
            .collect();
        server.export(calls.clone()).await;
        let (_writer, store) = server.store_beside().await;
        let (_, sends) = make(&store, &[Ingest], &["beta"]).await;
        let (_, reads) = make(&store, &[Read, Payloads], &["beta"]).await;
        let (_, all) = make(&store, &[Read, Ingest], &[]).await;
        shut(&server, &store).await;
        let (sender, reader, all) = (
            server.with_key(&sends),
            server.with_key(&reads),
            server.with_key(&all),
        );
        // In all ways in which a span can be both under a name that the key reaches, and under the ids of another's.
        let ways: [fn(SpanBuilder) -> SpanBuilder; 6] = [
            |call| call.service("beta"),
            |call| call.service("alpha").attr("mcp.server.name", "beta"),
            |call| call.service("").attr("mcp.server.name", "beta"),
            |call| call.service("beta").client(),
            |call| call.service("beta").with(|span| span.kind = 1),
            |call| {
                call.service("beta")
                    .attr("mcp.server.name", "beta")
                    .lasting(-100.0, 100.0)
            },
        ];
        let forged = calls.iter().zip(ways.iter().cycle());
        let same_ids = |call: &SpanBuilder| {
            call.clone().with(|span| {
                span.kind = 2;
                span.attributes.retain(|one| one.key != "mcp.client.name");
            })
        };
        let forged: Vec<SpanBuilder> = forged.map(|(call, way)| way(same_ids(call))).collect();
        let answer = sender.try_send(&traces_request(forged)).await.unwrap();
        let partial = answer.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 12, "{partial:?}");
        assert!(partial.error_message.contains("another sender"), "{partial:?}");
        assert_eq!(reader.calls(json!({}), "clientName").await, Vec::<Value>::new());

        // Below a call of alpha's, under alpha's name: it is a call of its own.
        let below = span("tools/call secret")
            .service("alpha")
            .attr("mcp.server.name", "beta");
        let answer = sender
            .try_send(&traces_request([below.parent(&calls[0])]))
            .await
            .unwrap();
        assert_eq!(answer.partial_success, None);
        assert_eq!(
            reader.calls(json!({}), "clientName server { name }").await,
            [json!({"clientName": null, "server": {"name": "beta"}})]
        );
        let mut whole = all.calls(json!({}), "clientName server { name }").await;
        whole.retain(|call| call["server"]["name"] == "alpha" && call["clientName"] == "alphas client");
        assert_eq!(whole.len(), 12, "alpha has all of its calls");

        // Who knows the ids before their span comes is not given it either.
        let late = said(span("tools/call secret"));
        let early = same_ids(&late).attr("mcp.server.name", "beta");
        sender.send(&traces_request([early])).await;
        let answer = all.try_send(&traces_request([late])).await.unwrap();
        assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
        let seen = reader.calls(json!({}), "clientName").await;
        assert_eq!(seen, [json!({"clientName": null}), json!({"clientName": null})]);
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_ends_open_sockets_and_streams() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let mut nobody = server.follow(None, Value::Null).await;
        assert_eq!(nobody.history().await, []);
        let (_writer, store) = server.store_beside().await;
        let (id, secret) = make(&store, &[Read], &[]).await;
        // Whoever came in without a key goes when the first is made.
        assert_eq!(nobody.try_next().await, Err(Ended::Closed(4401)));
        let reader = server.with_key(&secret);
        let mut socket = reader.follow(None, Value::Null).await;
        assert_eq!(socket.history().await, []);
        let feed = "subscription { calls { __typename } }";
        let request = reader
            .web()
            .post(server.url("/graphql"))
            .header("accept", "text/event-stream");
        let mut stream = request.json(&json!({"query": feed})).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let caught_up = stream.chunk().await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&caught_up).contains("CaughtUp"));

        store.revoke_key(id, Actor::CommandLine).await.unwrap();
        assert_eq!(socket.try_next().await, Err(Ended::Closed(4401)));
        let rest = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(PATIENCE, rest)
            .await
            .expect("the stream ends");
        assert_eq!(
            reader.try_follow(None, Value::Null).await.err(),
            Some(Ended::Closed(4401))
        );
    })
    .await;
}

/// Runs `mcptap keys …` on the database of a server.
fn keys(server: &TestServer, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(BINARY)
        .arg("keys")
        .args(arguments)
        .args(["--database-url", server.database().url()])
        .current_dir(std::env::temp_dir())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_and_revoked_while_the_server_runs() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let (made, secret, said) = keys(
            &server,
            &[
                "create",
                "--name",
                "laptop",
                "--scope",
                "read, payloads",
                "--server",
                "shop",
                "--expires",
                "90d",
            ],
        );
        assert!(
            made && said.contains("laptop") && said.contains("first key"),
            "{said}"
        );
        let secret = secret.trim();
        assert!(secret.starts_with("mcptap_") && secret.len() == 50 && !said.contains(secret));
        let reader = server.with_key(secret);
        let viewer =
            "{ viewer { keysExist scopes servers key { id name scopes servers expiresAt revokedAt } } }";
        // Made by another process, it is known within seconds.
        let viewer = eventually("the key", async || {
            let viewer = reader.graphql(viewer, json!({})).await["viewer"].take();
            (viewer["key"]["name"] == "laptop").then_some(viewer)
        })
        .await;
        assert_eq!(viewer["scopes"], json!(["READ", "PAYLOADS"]));
        assert_eq!(viewer["servers"], json!(["shop"]));
        assert!(viewer["key"]["expiresAt"].is_string() && viewer["keysExist"] == true);
        let (listed, table, _) = keys(&server, &["list"]);
        assert!(
            listed && table.contains("laptop") && table.contains("read,payloads") && !table.contains(secret)
        );
        assert!(!contains(&server.database().bytes(), secret.as_bytes()));

        let (revoked, _, _) = keys(&server, &["revoke", viewer["key"]["id"].as_str().unwrap()]);
        assert!(revoked);
        eventually("the end of the key", async || {
            let answer = reader.web().get(server.url("/metrics")).send().await.unwrap();
            (answer.status() == 401).then_some(())
        })
        .await;
        for (arguments, wrong) in [
            (&["revoke", "77"][..], "no key 77"),
            (&["create", "--name", "x", "--scope", "payloads"], "scope read"),
            (&["create", "--name", "x", "--scope", "write"], "ingest, read"),
            (
                &["create", "--name", "x", "--scope", "read", "--expires", "soon"],
                "--expires",
            ),
        ] {
            let (done, _, said) = keys(&server, arguments);
            assert!(!done && said.contains(wrong), "{said}");
        }
    })
    .await;
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn administrators_make_keys_and_all_they_do_is_told() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let create = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename
            ... on ApiKeyCreated { secret apiKey { id name } } ... on InvalidInput { field message }
            ... on Forbidden { message } } }";
        let make = async |client: &Client, input: Value| {
            client.graphql(create, json!({"input": input})).await["createApiKey"].take()
        };
        let first = make(&server, json!({"name": "reader", "scopes": ["READ"]})).await;
        assert_eq!((&first["__typename"], &first["field"]), (&json!("InvalidInput"), &json!("scopes")));
        let made = make(&server, json!({"name": "boss", "scopes": ["ADMIN", "READ"]})).await;
        let boss = server.with_key(made["secret"].as_str().unwrap());
        let bad = make(&boss, json!({"name": " ", "scopes": ["READ"]})).await;
        assert_eq!(bad["field"], "name");
        let made = make(&boss, json!({"name": "reader", "scopes": ["READ"]})).await;
        let (id, reader) = (made["apiKey"]["id"].clone(), server.with_key(made["secret"].as_str().unwrap()));
        let refused = make(&reader, json!({"name": "x", "scopes": ["ADMIN"]})).await;
        assert_eq!(refused["__typename"], "Forbidden");
        let delete = "mutation($filter: CallFilter!) { deleteCalls(filter: $filter) { __typename ... on InvalidInput { message } } }";
        for filter in [json!({}), json!({"search": "-- ("}), json!({"or": [{"tools": ["x"]}, {}]})] {
            let filter = json!({"filter": filter});
            assert_eq!(reader.graphql(delete, filter.clone()).await["deleteCalls"]["__typename"], "Forbidden");
            let refused = boss.graphql(delete, filter).await["deleteCalls"].take();
            assert_eq!(refused["__typename"], "InvalidInput");
            assert!(refused["message"].as_str().unwrap().contains("everything: true"), "{refused}");
        }
        // Without bodies a search excludes less, and more would be deleted than is meant.
        let keeping = json!({"filter": {"not": {"search": "keep"}}});
        let refused = boss.graphql(delete, keeping).await["deleteCalls"].take();
        assert!(refused["message"].as_str().is_some_and(|message| message.contains("scope payloads")), "{refused}");

        // Views: one's own, and everybody's.
        let save = "mutation ($input: ViewInput!, $shared: Boolean!) { saveView(input: $input, shared: $shared) {
            __typename ... on ViewSaved { view { id name filter columns lastSeconds ownerId } } ... on InvalidInput { field message } } }";
        let keep = async |client: &Client, input: Value, shared: bool| {
            client.graphql(save, json!({"input": input, "shared": shared})).await["saveView"].take()
        };
        let input = json!({"name": "failures", "filter": {"outcomes": ["TOOL_ERROR"]}, "columns": ["tool"]});
        let mine = keep(&reader, input.clone(), false).await;
        assert_eq!(mine["view"]["filter"], json!({"outcomes": ["TOOL_ERROR"]}));
        assert_eq!(mine["view"]["ownerId"], id);
        assert_eq!(keep(&reader, input.clone(), true).await["__typename"], "Forbidden");
        assert_eq!(keep(&boss, input.clone(), true).await["view"]["ownerId"], Value::Null);
        let wrong = keep(&reader, json!({"name": "x", "filter": {"outcome": ["OK"]}}), false).await;
        assert_eq!(wrong["field"], "filter", "{wrong}");
        let hour = json!({"name": "hour", "filter": {"tools": ["a"]}, "lastSeconds": 3600});
        let hour = keep(&boss, hour, true).await["view"].take();
        assert_eq!(hour["lastSeconds"], 3600);
        let update = "mutation ($id: ID!) { updateView(id: $id, input: {name: \"all\", filter: {}}) {
            ... on ViewSaved { view { name lastSeconds } } } }";
        let updated = boss.graphql(update, json!({"id": hour["id"]})).await;
        assert_eq!(updated["updateView"]["view"], json!({"name": "all", "lastSeconds": null}));
        for (filter, seconds) in [(json!({}), 0), (json!({"from": "2026-11-22T12:00:00Z"}), 60)] {
            let wrong = json!({"name": "x", "filter": filter, "lastSeconds": seconds});
            assert_eq!(keep(&boss, wrong, true).await["field"], "lastSeconds");
        }
        let names = async |client: &Client| {
            let views = client.graphql("{ views { id ownerId } }", json!({})).await["views"].take();
            views.as_array().unwrap().len()
        };
        assert_eq!((names(&reader).await, names(&boss).await), (3, 3));
        let remove = "mutation ($id: ID!) { deleteView(id: $id) { __typename } }";
        let gone = reader.graphql(remove, json!({"id": mine["view"]["id"]})).await;
        assert_eq!(gone["deleteView"]["__typename"], "ViewDeleted");
        let again = reader.graphql(remove, json!({"id": mine["view"]["id"]})).await;
        assert_eq!(again["deleteView"]["__typename"], "NotFound");

        let revoke = "mutation ($id: ID!) { revokeApiKey(id: $id) { __typename ... on ApiKeyRevoked { apiKey { revokedAt } } } }";
        let revoked = boss.graphql(revoke, json!({"id": id})).await;
        assert!(revoked["revokeApiKey"]["apiKey"]["revokedAt"].is_string());
        // At once, in the process that did it.
        let answer = reader.web().get(server.url("/metrics")).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let audit = "{ audit(first: 20) { nodes { action keyId subject } } apiKeys { nodes { name revokedAt } } }";
        let told = boss.graphql(audit, json!({})).await;
        let actions: Vec<_> = told["audit"]["nodes"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
        assert_eq!(
            actions,
            [
                "revokeApiKey",
                "deleteView",
                "updateView",
                "saveView",
                "saveView",
                "saveView",
                "createApiKey",
                "createApiKey"
            ]
        );
        assert_eq!(told["apiKeys"]["nodes"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_leaves_nothing_in_the_files() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let doomed: Vec<_> = (0..30)
            .map(|number| {
                span("tools/call get_order")
                    .attr("gen_ai.tool.call.arguments", json!({"name": "pl4nted", "number": number}).to_string())
                    .attr("note", "pl4nted")
                    .failed("pl4nted")
            })
            .collect();
        server.export(doomed.clone()).await;
        server.export_logs(doomed.iter().map(|call| line(call, "pl4nted"))).await;
        // A line whose call never came.
        server.export_logs([line(&span("ping").beside(&doomed[0]), "pl4nted")]).await;
        server.export([span("tools/call kept")]).await;
        let delete = "mutation { deleteCalls(filter: {search: \"pl4nted\"}) { ... on CallsDeleted { count logLines } } }";
        let deleted = server.graphql(delete, json!({})).await["deleteCalls"].take();
        assert_eq!(deleted["count"], 30);
        assert_eq!(server.calls(json!({}), "tool").await, [json!({"tool": "kept"})]);
        // While the server still runs.
        assert!(!contains(&server.database().bytes(), b"pl4nted"));
    })
    .await;
}

#[tokio::test]
async fn the_schema_may_be_for_holders_of_keys() {
    let settings = Settings {
        graphql: ApiSettings {
            introspection: Some(Shown::Authenticated.into()),
            ..ApiSettings::default()
        },
        ..Settings::default()
    };
    let server = TestServer::with(crate::support::Database::sqlite(), settings).await;
    let schema = "{ __schema { queryType { name } } }";
    let (code, message) = server.graphql_error(schema, json!({})).await;
    assert_eq!(code, "INTROSPECTION_OFF", "{message}");
    let (_writer, store) = server.store_beside().await;
    let (_, secret) = make(&store, &[Read], &[]).await;
    let shown = server.with_key(&secret).graphql(schema, json!({})).await;
    assert_eq!(shown["__schema"]["queryType"]["name"], "Query");
}

#[tokio::test]
async fn only_names_of_its_own_are_answered_to() {
    let settings = Settings {
        allowed_hosts: Some(vec!["tap.example.org".into()]),
        ..Settings::default()
    };
    let server = TestServer::with(crate::support::Database::sqlite(), settings).await;
    let ask = async |host: &str, path: &str| {
        let get = server.web().get(server.url(path)).header("host", host);
        let answer = get.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for host in ["localhost:6278", "127.0.0.1", "[::1]:80", "tap.example.org"] {
        assert_eq!(ask(host, "/metrics").await.0, 200, "{host}");
    }
    for path in ["/metrics", "/graphql", "/"] {
        let (status, text) = ask("rebound.example", path).await;
        assert_eq!(status, 421);
        assert!(
            text.contains("rebound.example") && text.contains("--allowed-hosts"),
            "{text}"
        );
    }
    assert_eq!(ask("10.1.2.3", "/healthz").await.0, 200);
    // Programs send telemetry by whatever name; pages do not.
    let post = |origin: Option<&str>| {
        let post = server.web().post(format!("{}/v1/traces", server.otlp_http_url()));
        let post = post
            .header("host", "rebound.example")
            .header("content-type", "application/json");
        let post = origin
            .into_iter()
            .fold(post, |post, origin| post.header("origin", origin));
        post.body("{}").send()
    };
    assert_eq!(post(None).await.unwrap().status(), 200);
    assert_eq!(post(Some("http://rebound.example")).await.unwrap().status(), 421);
}
