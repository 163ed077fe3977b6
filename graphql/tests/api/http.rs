//! GraphQL over HTTP: media types, status codes, origins.

use std::time::Duration;

use mcptap_graphql::{Introspection, Limits};
use reqwest::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN, VARY,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{World, call};

const NEW: &str = "application/graphql-response+json; charset=utf-8";
const OLD: &str = "application/json; charset=utf-8";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(
    world: &World,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> (StatusCode, String, Value) {
    let mut request = world.client.post(world.url()).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let media = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (response.status(), media, response.json().await.unwrap())
}

#[tokio::test]
async fn media_types_are_negotiated() {
    let world = World::new().await;
    let query = r#"{"query":"{ __typename }"}"#;
    for (accept, media) in [
        ("*/*", OLD),
        ("application/json", OLD),
        (
            "application/json;q=0.9, application/graphql-response+json; charset=utf-8",
            NEW,
        ),
    ] {
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("accept", accept),
        ];
        let (status, answered, body) = post(&world, &headers, query).await;
        assert_eq!((status, answered.as_str()), (StatusCode::OK, media), "{accept}");
        assert_eq!(body["data"], json!({"__typename": "Query"}));
        assert_eq!(
            body["extensions"]["cost"],
            json!({"complexity": 0, "maxComplexity": 500_000, "depth": 1, "maxDepth": 20})
        );
    }
    let (status, media, body) = post(&world, &[JSON, ("accept", "text/html")], query).await;
    assert_eq!((status, media.as_str()), (StatusCode::NOT_ACCEPTABLE, NEW));
    assert_eq!(body["errors"][0]["extensions"]["code"], "NOT_ACCEPTABLE");
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let (status, _, body) = post(&world, &[("content-type", media)], query).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media}");
        assert!(
            body["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("application/json")
        );
    }
}

#[tokio::test]
async fn bodies_are_json_in_utf_8_as_they_are() {
    let world = World::new().await;
    let query = r#"{"query":"{ __typename }"}"#;
    for (headers, why) in [
        (
            [
                ("content-type", "application/json; charset=iso-8859-1"),
                ("accept", "*/*"),
            ],
            "UTF-8",
        ),
        ([JSON, ("content-encoding", "gzip")], "Content-Encoding"),
    ] {
        let (status, _, body) = post(&world, &headers, query).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{why}");
        assert!(
            body["errors"][0]["message"].as_str().unwrap().contains(why),
            "{body}"
        );
    }
    let headers = [
        ("content-type", "Application/JSON;charset=\"UTF-8\""),
        ("content-encoding", "identity"),
    ];
    assert_eq!(post(&world, &headers, query).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_reason() {
    let world = World::new().await;
    for (body, expected, code) in [
        ("", 400, "INVALID_JSON"),
        ("{", 400, "INVALID_JSON"),
        ("nonsense", 400, "INVALID_JSON"),
        (r#"[{"query":"{ __typename }"}]"#, 422, "BATCH_TOO_LARGE"),
        (r#"["{ __typename }"]"#, 422, "BATCH_TOO_LARGE"),
        ("7", 422, "BAD_REQUEST"),
        ("{}", 422, "BAD_REQUEST"),
        (r#"{"query":1}"#, 422, "BAD_REQUEST"),
        (
            r#"{"query":"{ __typename }","operationName":1}"#,
            422,
            "BAD_REQUEST",
        ),
        (
            r#"{"query":"{ __typename }","variables":[1]}"#,
            422,
            "BAD_REQUEST",
        ),
        (
            r#"{"query":"{ __typename }","extensions":"x"}"#,
            422,
            "BAD_REQUEST",
        ),
    ] {
        let (status, media, answer) = post(&world, &[JSON], body).await;
        assert_eq!((status.as_u16(), media.as_str()), (expected, NEW), "{body}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
        assert_eq!(answer.get("data"), None);
    }
    let null =
        r#"{"query":"{ __typename }","operationName":null,"variables":null,"extensions":null,"more":1}"#;
    assert_eq!(post(&world, &[JSON], null).await.0, StatusCode::OK);
    let marked = "\u{feff}{\"query\":\"{ __typename }\"}";
    assert_eq!(post(&world, &[JSON], marked).await.0, StatusCode::OK);
    let refused = refused_early(&world, 400 * 1024 + 1).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    // As much as the limits allow, however it is escaped.
    let query = format!("{{ __typename }} #{}", "\n".repeat(64 * 1024 - 20));
    let variables = serde_json::json!({"unused": "x".repeat(256 * 1024 - 20)});
    let full = serde_json::json!({"query": query, "variables": variables}).to_string();
    let (status, _, answer) = post(&world, &[JSON], full).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // The room of bodies is the process's.
    let memory = world.store.memory();
    let others = memory
        .try_reserve(memory.limit() - memory.used() - 100_000)
        .unwrap();
    let refused = refused_early(&world, 200_000).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\"RESOURCE_EXHAUSTED\""), "{refused}");
    drop(others);
}

/// The answer to a body of so many blanks, which comes before the server has read all of them.
async fn refused_early(world: &World, length: usize) -> String {
    let mut socket = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        world.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // This server hangs up on who still sends.
    let _ = socket.write_all(&vec![b' '; length]).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_not_executed_has_no_data() {
    let world = World::new().await;
    let refused = [
        ("{ calls( }", 400, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", 422, "GRAPHQL_VALIDATION_FAILED"),
        (
            "query a { __typename } query b { __typename }",
            422,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("query ($id: ID!) { node(id: $id) { id } }", 422, "BAD_USER_INPUT"),
        (
            "subscription { calls { __typename } }",
            422,
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ];
    for (query, expected, code) in refused {
        let body = json!({"query": query}).to_string();
        for accept in ["application/json", "application/graphql-response+json"] {
            let (status, media, answer) = post(&world, &[JSON, ("accept", accept)], body.clone()).await;
            assert_eq!((status.as_u16(), media.as_str()), (expected, NEW), "{query}");
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
            assert_eq!(answer.get("data"), None, "{answer}");
        }
    }
}

#[tokio::test]
async fn data_with_errors_is_a_partial_success() {
    let world = World::new().await;
    let query = "{ __typename a: call(id: \"x\") { id } b: calls(first: 1) { nodes { id } } }";
    let (status, media, answer) = post(&world, &[JSON], json!({"query": query}).to_string()).await;
    assert_eq!((status.as_u16(), media.as_str()), (294, OLD), "{answer}");
    assert_eq!(
        answer["data"],
        json!({"__typename": "Query", "a": null, "b": {"nodes": []}})
    );
    assert_eq!(answer["errors"][0]["path"], json!(["a"]));
    let query = "{ __typename calls(first: 0) { nodes { id } } }";
    let (status, _, answer) = post(&world, &[JSON], json!({"query": query}).to_string()).await;
    assert_eq!(status.as_u16(), 294, "{answer}");
    assert_eq!(answer["data"], Value::Null, "a page cannot be null: {answer}");
}

#[tokio::test]
async fn fields_stand_in_the_order_of_the_selection() {
    let world = World::new().await;
    world.write([crate::support::full_call(1)]).await;
    let query = "{ calls { nodes { request { text } method ... on Call { response { text } tool } id } } }";
    let answer = world.client.post(world.url()).json(&json!({"query": query}));
    let text = answer.send().await.unwrap().text().await.unwrap();
    let places =
        ["request", "method", "response", "tool", "id"].map(|name| text.find(&format!("\"{name}\":")));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
}

#[tokio::test]
async fn queries_come_by_get_too() {
    let world = World::new().await;
    let get = async |parameters: &[(&str, &str)], accept: &str| {
        let request = world
            .client
            .get(world.url_with(parameters))
            .header(ACCEPT, accept);
        request.send().await.unwrap()
    };
    let query = "query A($first: Int) { calls(first: $first) { nodes { id } } } query B { __typename }";
    let parameters = [
        ("query", query),
        ("operationName", "A"),
        ("variables", "{\"first\": 1}"),
        ("extensions", "{}"),
    ];
    let answer = get(&parameters, NEW).await;
    assert_eq!(
        (answer.status(), &answer.headers()[CONTENT_TYPE]),
        (StatusCode::OK, &NEW.parse().unwrap())
    );
    assert_eq!(
        answer.json::<Value>().await.unwrap()["data"],
        json!({"calls": {"nodes": []}})
    );
    for (parameters, expected) in [
        (vec![("query", "mutation { __typename }")], 405),
        (vec![("query", "subscription { calls { __typename } }")], 422),
        (
            vec![(
                "query",
                "subscription { calls { __typename } b: calls { __typename } }",
            )],
            422,
        ),
        (vec![("query", "{ __typename }"), ("variables", "[]")], 422),
        (vec![("query", "{ __typename }"), ("variables", "x")], 422),
        (vec![("query", "{ __typename }"), ("operationName", "null")], 422),
        (vec![], 422),
    ] {
        let answer = get(&parameters, "*/*").await;
        assert_eq!(answer.status().as_u16(), expected, "{parameters:?}");
        let allow = answer.headers().get("allow").cloned();
        assert_eq!(allow.is_some(), expected == 405, "{parameters:?}");
        let body: Value = answer.json().await.unwrap();
        assert!(
            body["errors"][0]["message"].is_string() && body.get("data").is_none(),
            "{body}"
        );
    }
    let operation = [("query", "query null { __typename }"), ("operationName", "null")];
    assert_eq!(get(&operation, "*/*").await.status(), StatusCode::OK);
    let empty = [
        ("query", "{ __typename }"),
        ("operationName", ""),
        ("variables", ""),
    ];
    assert_eq!(get(&empty, "*/*").await.status(), StatusCode::OK);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = world
            .client
            .request(method.clone(), world.url())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers()["allow"], "GET, HEAD, POST");
    }
}

#[tokio::test]
async fn too_much_at_once_is_refused() {
    let world = World::new().await;
    let nodes = "first: 500) { nodes { request { text } response { text } id startedAt } }";
    let aliases: String = (0..20).map(|n| format!("a{n}: calls({nodes} ")).collect();
    let (code, message) = world.error(&format!("{{ {aliases} }}"), json!({})).await;
    assert_eq!(code, "QUERY_TOO_COMPLEX", "{message}");
    assert!(message.contains("500000 (max_complexity)"), "{message}");
    let many: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    let (code, message) = world
        .error(&format!("{{ node(id: \"x\") {{ {many} }} }}"), json!({}))
        .await;
    assert_eq!(code, "TOO_MANY_ALIASES", "{message}");
    let deep = format!(
        "{{ calls {{ nodes {{ {}id{} }} }} }}",
        "session { calls { nodes { ".repeat(7),
        " } } }".repeat(7)
    );
    let (code, message) = world.error(&deep, json!({})).await;
    assert_eq!(code, "QUERY_TOO_DEEP", "{message}");
    let variables = json!({"filter": {"search": "x".repeat(256 * 1024)}});
    let (code, message) = world
        .error(
            "query ($filter: CallFilter) { calls(filter: $filter) { nodes { id } } }",
            variables,
        )
        .await;
    assert_eq!(code, "VARIABLES_TOO_LARGE", "{message}");
}

#[tokio::test]
async fn batches_are_taken_when_they_are_allowed() {
    let world = World::with(Limits {
        max_batch: 2,
        ..Limits::default()
    })
    .await;
    let one = r#"{"query":"{ __typename }"}"#;
    let (status, _, answer) = post(&world, &[JSON], format!("[{one},{{\"query\":\"{{ x }}\"}}]")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer[0]["data"], json!({"__typename": "Query"}));
    assert_eq!(
        answer[1]["errors"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED"
    );
    let (status, _, answer) = post(&world, &[JSON], format!("[{one},{one},{one}]")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let expected = json!({"code": "BATCH_TOO_LARGE", "limit": "max_batch", "max": 2, "found": 3});
    assert_eq!(answer["errors"][0]["extensions"], expected);
}

#[tokio::test]
async fn the_schema_can_be_kept_back() {
    for introspection in [Introspection::Off, Introspection::Authenticated] {
        let world = World::with(Limits {
            introspection,
            ..Limits::default()
        })
        .await;
        for query in [
            "{ __schema { queryType { name } } }",
            "{ ...F } fragment F on Query { __type(name: \"Call\") { name } }",
        ] {
            assert_eq!(world.error(query, json!({})).await.0, "INTROSPECTION_OFF");
        }
        let (_, message) = world
            .error("{ call { id } cals { nodes { id } } }", json!({}))
            .await;
        assert!(!message.contains("Did you mean"), "{message}");
        assert_eq!(
            world.data("{ __typename }", json!({})).await["__typename"],
            "Query"
        );
    }
}

#[tokio::test]
async fn only_so_many_subscriptions_and_only_so_long() {
    let world = World::with(Limits {
        max_subscriptions: 1,
        ..Limits::default()
    })
    .await;
    let mut first = world.follow(None, json!(null), 10).await;
    assert_eq!(first.event().await["__typename"], "CaughtUp");
    let mut second = world.follow(None, json!(null), 10).await;
    let refused = second.receive().await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS",
        "{refused}"
    );
    assert_eq!(refused["payload"][0]["extensions"]["max"], 1);
    first.send(json!({"type": "complete", "id": "1"})).await;
    first.send(json!({"type": "ping"})).await;
    assert_eq!(first.receive().await, json!({"type": "pong"}));
    second.send(json!({"type": "subscribe", "id": "2", "payload": {"query": "subscription { calls { __typename } }"}})).await;
    assert_eq!(second.receive().await["type"], "next");

    let query = r#"{"query":"{ calls(first: 500) { nodes { id attributes } } }"}"#;
    for (code, limits) in [
        (
            "TOO_MANY_OPERATIONS",
            Limits {
                max_operations: 0,
                timeout: Duration::from_millis(1),
                ..Limits::default()
            },
        ),
        (
            "TIMED_OUT",
            Limits {
                timeout: Duration::ZERO,
                ..Limits::default()
            },
        ),
    ] {
        let world = World::with(limits).await;
        world.write((1..=500).map(call)).await;
        let (status, media, answer) = post(&world, &[JSON], query).await;
        assert_eq!(
            (status, media.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, NEW),
            "{answer}"
        );
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
    }
}

#[tokio::test]
async fn introspection_as_tools_send_it_passes() {
    let world = World::new().await;
    let types = "kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
        ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }";
    let query = format!(
        "query IntrospectionQuery {{ __schema {{ description queryType {{ name kind }} subscriptionType {{ name kind }}
            types {{ ...FullType }} directives {{ name isRepeatable args {{ ...InputValue }} }} }} }}
        fragment FullType on __Type {{ kind name specifiedByURL
            fields(includeDeprecated: true) {{ name args(includeDeprecated: true) {{ ...InputValue }}
                type {{ ...TypeRef }} }}
            inputFields(includeDeprecated: true) {{ ...InputValue }} interfaces {{ ...TypeRef }}
            enumValues(includeDeprecated: true) {{ name }} possibleTypes {{ ...TypeRef }} }}
        fragment InputValue on __InputValue {{ name type {{ ...TypeRef }} defaultValue }}
        fragment TypeRef on __Type {{ {types} }}"
    );
    let data = world.data(&query, json!({})).await;
    assert_eq!(data["__schema"]["subscriptionType"]["name"], "Subscription");
    let description = data["__schema"]["description"].as_str().unwrap();
    assert!(
        description.contains("traffic log of MCP servers"),
        "{description}"
    );
    let renamed = world.data("{ __schema { d: description } }", json!({})).await;
    assert_eq!(renamed["__schema"]["d"], description);
}

#[tokio::test]
async fn pages_from_elsewhere_are_kept_out() {
    let world = World::new().await;
    let own = format!("http://{}", world.address);
    let send = |method: Method, origin: &str| {
        let request = world.client.request(method, world.url()).header(ORIGIN, origin);
        request
            .header(CONTENT_TYPE, "application/json")
            .body(r#"{"query":"{ __typename }"}"#)
            .send()
    };
    assert_eq!(send(Method::POST, &own).await.unwrap().status(), StatusCode::OK);
    let foreign = send(Method::POST, "http://evil.example").await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert_eq!(foreign.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
    let listed = send(Method::POST, "https://ui.example.org").await.unwrap();
    assert_eq!(listed.status(), StatusCode::OK);
    assert_eq!(
        listed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://ui.example.org"
    );
    assert_eq!(
        listed.headers()[ACCESS_CONTROL_EXPOSE_HEADERS],
        "retry-after, www-authenticate"
    );
    assert_eq!(
        send(Method::OPTIONS, "http://evil.example")
            .await
            .unwrap()
            .status(),
        StatusCode::FORBIDDEN
    );
}

/// Clients and what instruments them send ever other headers: Apollo's, Sentry's, those of traces.
#[tokio::test]
async fn pages_of_listed_origins_may_send_whatever_headers_they_ask_for() {
    let world = World::new().await;
    let asked =
        "apollographql-client-name,baggage,cache-control,content-type,sentry-trace,traceparent,x-api-key";
    let preflight = |origin: &str| {
        let request = world.client.request(Method::OPTIONS, world.url());
        request
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, asked)
            .send()
    };
    let answer = preflight("https://ui.example.org").await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let headers = answer.headers();
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://ui.example.org");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], asked);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "GET, POST");
    assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "7200");
    let varies: Vec<&str> = headers
        .get_all(VARY)
        .iter()
        .map(|name| name.to_str().unwrap())
        .collect();
    assert!(
        varies.contains(&"origin") && varies.contains(&"access-control-request-headers"),
        "{varies:?}"
    );
    let foreign = preflight("http://evil.example").await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert_eq!(foreign.headers().get(ACCESS_CONTROL_ALLOW_HEADERS), None);
}

#[tokio::test]
async fn who_takes_everything_gets_what_fits() {
    let world = World::new().await;
    let accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
    for (query, media) in [
        ("{ __typename }", NEW),
        ("{ nothing }", NEW),
        ("subscription { calls { __typename } }", "text/event-stream"),
        (
            "query Q { a: __typename b: __typename } subscription S { calls { __typename } }",
            "text/event-stream",
        ),
    ] {
        let body = json!({"query": query, "operationName": query.contains("query Q").then_some("S")});
        let request = world.client.post(world.url()).header(ACCEPT, accept).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], media, "{query}");
    }
}

#[tokio::test]
async fn subscriptions_come_as_events_too() {
    let world = World::new().await;
    let body = json!({"query": "subscription { calls { __typename } }"}).to_string();
    let request = world
        .client
        .post(world.url())
        .header(CONTENT_TYPE, "application/json");
    let mut response = request
        .header(ACCEPT, "text/event-stream")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let first = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let id = first
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();
    assert!(
        first.starts_with("event: next\nid: ")
            && first.contains("\ndata: {\"data\":{\"calls\":{\"__typename\":\"CaughtUp\"}}"),
        "{first}"
    );
    world.write([call(1)]).await;
    let second = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        second.contains("CallsAdded") && !second.contains("cost"),
        "{second}"
    );
    world.shutdown.cancel();
    assert_eq!(response.chunk().await.unwrap(), None);

    let world = world.again().await;
    // Browsers connect again by themselves, by GET, with the id of the last event.
    let parameters = [("query", "subscription { calls { __typename } }")];
    let request = world.client.get(world.url_with(&parameters));
    let request = request
        .header(ACCEPT, "text/event-stream")
        .header("last-event-id", id);
    let mut response = request.send().await.unwrap();
    let missed = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(missed.contains("CallsAdded"), "{missed}");

    let request = world
        .client
        .post(world.url())
        .header(CONTENT_TYPE, "application/json");
    let request = request
        .header(ACCEPT, "text/event-stream")
        .body(r#"{"query":"{ __typename }"}"#);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(
        text.starts_with("event: next\ndata: {\"data\":{\"__typename\":\"Query\"}"),
        "{text}"
    );
    assert!(text.ends_with("\n\nevent: complete\ndata: \n\n"), "{text}");
    let request = world
        .client
        .post(world.url())
        .header(CONTENT_TYPE, "application/json");
    let request = request
        .header(ACCEPT, "text/event-stream")
        .body(r#"{"query":"{ nothing }"}"#);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.text().await.unwrap();
    assert!(
        text.starts_with("event: next\ndata: {\"errors\":[{") && text.contains("event: complete"),
        "{text}"
    );
}

#[tokio::test]
async fn one_caller_has_a_share_of_the_subscriptions() {
    let world = World::with(Limits {
        max_subscriptions: 8,
        ..Limits::default()
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = world.follow(None, json!(null), 10).await;
        assert_eq!(socket.event().await["__typename"], "CaughtUp");
        open.push(socket);
    }
    let refused = world.follow(None, json!(null), 10).await.receive().await;
    let extensions = &refused["payload"][0]["extensions"];
    assert_eq!(extensions["code"], "TOO_MANY_SUBSCRIPTIONS", "{refused}");
    assert_eq!(extensions["max"], 2);
}
