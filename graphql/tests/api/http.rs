//! GraphQL over HTTP: media types, status codes, origins.

use reqwest::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, ORIGIN};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::World;

const NEW: &str = "application/graphql-response+json";

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
        ("*/*", "application/json"),
        ("application/json", "application/json"),
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
        assert_eq!(body, json!({"data": {"__typename": "Query"}}));
    }
    let headers = [("content-type", "application/json"), ("accept", "text/html")];
    assert_eq!(post(&world, &headers, query).await.0, StatusCode::NOT_ACCEPTABLE);
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
async fn what_is_no_request_is_refused_with_a_reason() {
    let world = World::new().await;
    let json = [("content-type", "application/json")];
    for body in [
        "",
        "{",
        "nonsense",
        "[{\"query\":\"{ __typename }\"}]",
        "{\"query\":1}",
    ] {
        let (status, _, answer) = post(&world, &json, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "BAD_REQUEST",
            "{answer}"
        );
        assert_eq!(answer.get("data"), None);
    }
    let large = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(post(&world, &json, large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn what_is_not_executed_has_no_data() {
    let world = World::new().await;
    let refused = [
        ("{ calls( }", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "query a { __typename } query b { __typename }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("query ($id: ID!) { node(id: $id) { id } }", "BAD_USER_INPUT"),
        (
            "subscription { calls { __typename } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ];
    for (query, code) in refused {
        let body = json!({"query": query}).to_string();
        let (status, _, answer) = post(&world, &[("content-type", "application/json")], body.clone()).await;
        assert_eq!(status, StatusCode::OK, "{query}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
        assert_eq!(answer.get("data"), None, "{answer}");
        let (status, ..) = post(
            &world,
            &[("content-type", "application/json"), ("accept", NEW)],
            body,
        )
        .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn too_much_at_once_is_refused() {
    let world = World::new().await;
    let nodes = "first: 500) { nodes { request { text } response { text } id startedAt } }";
    let aliases: String = (0..20).map(|n| format!("a{n}: calls({nodes} ")).collect();
    let deep = format!(
        "{{ __schema {{ types {{ {}name{} }} }} }}",
        "ofType { ".repeat(30),
        " }".repeat(30)
    );
    for query in [format!("{{ {aliases} }}"), deep] {
        let (code, message) = world.error(&query, json!({})).await;
        assert_eq!(code, "QUERY_TOO_COMPLEX", "{message}");
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
    let preflight = send(Method::OPTIONS, "https://ui.example.org").await.unwrap();
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        send(Method::OPTIONS, "http://evil.example")
            .await
            .unwrap()
            .status(),
        StatusCode::FORBIDDEN
    );
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
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(
        first,
        "event: next\ndata: {\"data\":{\"calls\":{\"__typename\":\"CaughtUp\"}}}\n\n"
    );
    world.shutdown.cancel();
    assert_eq!(response.chunk().await.unwrap(), None);

    let world = World::new().await;
    let request = world
        .client
        .post(world.url())
        .header(CONTENT_TYPE, "application/json");
    let request = request
        .header(ACCEPT, "text/event-stream")
        .body(r#"{"query":"{ __typename }"}"#);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(
        text,
        "event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\nevent: complete\n\n"
    );
}
