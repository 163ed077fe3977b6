//! Queries over stored calls.

use mcptap_model::{Call, NodeId, Payload, SessionSource, UnixNanos};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use crate::support::{NOON, World, call, full_call, log_line, span, trace};

const LIST: &str = "query ($filter: CallFilter, $first: Int, $after: String, $last: Int, $before: String) {
    calls(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        nodes { spanId } edges { cursor node { spanId } } liveCursor totalCount { value relation }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
}";

/// The numbers of the calls of a list.
fn numbers(list: &Value) -> Vec<u64> {
    let number = |node: &Value| u64::from_str_radix(node["spanId"].as_str().unwrap(), 16).unwrap();
    let nodes: Vec<u64> = list["nodes"].as_array().unwrap().iter().map(number).collect();
    let edges: Vec<u64> = list["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| number(&edge["node"]))
        .collect();
    assert_eq!(nodes, edges);
    nodes
}

#[tokio::test]
async fn a_page_has_what_was_observed_and_nothing_else() {
    let world = World::new().await;
    world.write([full_call(1), call(2)]).await;
    let query = "{ calls { totalCount { value relation } nodes {
        id server { id name firstSeenAt lastSeenAt } method target tool prompt resourceUri outcome httpStatus
        rpcErrorCode errorType errorMessage startedAt durationMs receivedAt sessionId session { id source }
        requestId protocolVersion transport observedBy clientName clientVersion clientIp country authorization
        userAgent traceId spanId parentSpanId } } }";
    let calls = world.data(query, json!({})).await["calls"].take();
    assert_eq!(calls["totalCount"], json!({"value": 2, "relation": "EXACT"}));
    // Fields come in the order in which they are ready.
    insta::with_settings!({sort_maps => true}, { insta::assert_json_snapshot!("page", calls["nodes"]) });
}

#[tokio::test]
async fn details_come_as_they_were_sent() {
    let world = World::new().await;
    let lines = vec![
        log_line(1, "one", 10),
        log_line(1, "two", 20),
        log_line(1, "three", 30),
    ];
    world.write_batch([full_call(1), call(2)], lines).await;
    let query = "{ calls { nodes {
        stackTrace attributes
        request { json text bytes truncated redacted } response { json text bytes truncated redacted }
        logs { nodes { time severity body attributes } pageInfo { hasNextPage hasPreviousPage } } } } }";
    let calls = world.data(query, json!({})).await["calls"].take();
    insta::with_settings!({sort_maps => true}, { insta::assert_json_snapshot!("details", calls["nodes"]) });

    let body = json!({"query": "{ calls(last: 1) { nodes { request { json } attributes } } }"}).to_string();
    let request = world
        .client
        .post(world.url())
        .header("content-type", "application/json")
        .body(body);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(
        text.contains("\"id\":9007199254740993") && text.contains("18446744073709551615"),
        "{text}"
    );
}

#[tokio::test]
async fn log_lines_have_pages_of_their_own() {
    let world = World::new().await;
    world
        .write_batch(
            [call(1)],
            (0..5).map(|n| log_line(1, &n.to_string(), n)).collect(),
        )
        .await;
    let query = "query ($after: String) { calls { nodes { logs(first: 2, after: $after) {
        nodes { body } pageInfo { hasNextPage hasPreviousPage endCursor } } } } }";
    let (mut after, mut seen) = (Value::Null, Vec::new());
    loop {
        let logs = world.data(query, json!({"after": after})).await["calls"]["nodes"][0]["logs"].take();
        seen.extend(
            logs["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line["body"].as_str().unwrap().to_owned()),
        );
        assert_eq!(logs["pageInfo"]["hasPreviousPage"], json!(!after.is_null()));
        after = logs["pageInfo"]["endCursor"].clone();
        if logs["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn an_empty_list_is_a_page_too() {
    let world = World::new().await;
    let list = world.data(LIST, json!({})).await["calls"].take();
    assert_eq!(numbers(&list), [0_u64; 0]);
    let nowhere =
        json!({"hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null});
    assert_eq!(list["pageInfo"], nowhere);
    assert_eq!(list["totalCount"], json!({"value": 0, "relation": "EXACT"}));
}

#[tokio::test]
async fn pages_say_where_they_lie() {
    let world = World::new().await;
    world.write((1..=9).map(call)).await;
    let list = async |variables: Value| world.data(LIST, variables).await["calls"].take();
    let around = |list: &Value| {
        (
            list["pageInfo"]["hasPreviousPage"] == true,
            list["pageInfo"]["hasNextPage"] == true,
        )
    };
    let newest = list(json!({"first": 3})).await;
    assert_eq!(
        (numbers(&newest), around(&newest)),
        (vec![9, 8, 7], (false, true))
    );
    let middle = list(json!({"first": 3, "after": newest["pageInfo"]["endCursor"]})).await;
    assert_eq!((numbers(&middle), around(&middle)), (vec![6, 5, 4], (true, true)));
    let oldest = list(json!({"last": 3})).await;
    assert_eq!(
        (numbers(&oldest), around(&oldest)),
        (vec![3, 2, 1], (true, false))
    );
    let back = list(json!({"last": 2, "before": oldest["pageInfo"]["startCursor"]})).await;
    assert_eq!((numbers(&back), around(&back)), (vec![5, 4], (true, true)));
    world.write([call(10)]).await;
    let again = list(json!({"first": 3, "after": newest["pageInfo"]["endCursor"]})).await;
    assert_eq!(numbers(&again), numbers(&middle));
}

#[test]
fn paging_yields_each_call_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Some begin at the same moment.
    let calls = || {
        (1..=40).map(|n| Call {
            started_at: UnixNanos(NOON + (n as i64 / 3)),
            ..call(n)
        })
    };
    let world = runtime.block_on(async {
        let world = World::new().await;
        world.write(calls()).await;
        world
    });
    let whole = runtime.block_on(async { numbers(&world.data(LIST, json!({"first": 500})).await["calls"]) });
    assert_eq!(whole.len(), 40);
    proptest!(|(sizes in vec(1..15_usize, 40), backwards in any::<bool>())| {
        let (size_of, from, next, cursor) = if backwards {
            ("last", "before", "hasPreviousPage", "startCursor")
        } else {
            ("first", "after", "hasNextPage", "endCursor")
        };
        let mut seen = Vec::new();
        let mut at = Value::Null;
        for size in sizes {
            let list = runtime.block_on(world.data(LIST, json!({size_of: size, from: at})));
            let page = numbers(&list["calls"]);
            seen = if backwards { [page, seen].concat() } else { [seen, page].concat() };
            at = list["calls"]["pageInfo"][cursor].clone();
            if list["calls"]["pageInfo"][next] == false {
                break;
            }
        }
        assert_eq!(&seen, &whole);
    });
}

#[tokio::test]
async fn the_filter_reaches_the_store_whole() {
    let world = World::new().await;
    world.write([full_call(1), call(2), call(3)]).await;
    let session = NodeId::Session(SessionSource::Wire, "shop".into(), "s-1".into()).to_string();
    for (filter, expected) in [
        (json!({}), vec![3, 2, 1]),
        (
            json!({"servers": ["shop"], "tools": ["buy"], "methods": ["tools/call"], "httpStatuses": [200, 404],
            "outcomes": ["TOOL_ERROR"], "sessionId": "s-1", "clientIps": ["203.0.113.7"], "countries": ["NL"],
            "clients": ["agent"], "from": "2026-11-22T12:00:00.123456789Z", "to": "2026-11-22T12:00:01Z",
            "minDurationMs": 1.5, "maxDurationMs": 1.5, "search": "\"sold out\" BUY arg*"}),
            vec![1],
        ),
        (json!({"from": "2026-11-22T13:00:02+01:00"}), vec![3, 2]),
        (json!({"to": "2026-11-22T12:00:02Z"}), vec![1]),
        (json!({"sessionId": session}), vec![1]),
        (json!({"traceId": trace(2).to_string()}), vec![2]),
        (json!({"not": {"tools": ["buy"]}}), vec![3, 2]),
        (
            json!({"or": [{"tools": ["buy"]}, {"traceId": trace(3).to_string()}], "tools": [], "not": null}),
            vec![3, 1],
        ),
        (json!({"search": "absent"}), vec![]),
    ] {
        let list = world.data(LIST, json!({"filter": filter})).await["calls"].take();
        assert_eq!(numbers(&list), expected, "{filter}");
        assert_eq!(list["totalCount"]["value"], expected.len(), "{filter}");
    }
}

#[tokio::test]
async fn objects_are_found_by_their_ids() {
    let world = World::new().await;
    world.write([full_call(1), call(2)]).await;
    let query =
        "query ($id: ID!) { node(id: $id) { __typename id ... on Call { method } ... on Server { name } } }";
    let (call_id, server_id) = (
        NodeId::Call(trace(1), span(1)).to_string(),
        NodeId::Server("shop".into()).to_string(),
    );
    let node = async |id: &str| world.data(query, json!({"id": id})).await["node"].take();
    assert_eq!(
        node(&call_id).await,
        json!({"__typename": "Call", "id": call_id, "method": "tools/call"})
    );
    assert_eq!(
        node(&server_id).await,
        json!({"__typename": "Server", "id": server_id, "name": "shop"})
    );
    for unknown in [NodeId::Call(trace(1), span(7)), NodeId::Server("none".into())] {
        assert_eq!(node(&unknown.to_string()).await, Value::Null, "{unknown:?}");
    }
    let call = "query ($id: ID!) { call(id: $id) { id } }";
    assert_eq!(
        world.data(call, json!({"id": call_id})).await["call"]["id"],
        call_id
    );
    let (code, message) = world.error(call, json!({"id": server_id})).await;
    assert_eq!(
        (code.as_str(), message.contains("id of a Server")),
        ("BAD_USER_INPUT", true),
        "{message}"
    );
}

/// PostgreSQL takes no text with NUL, so no database is asked with one.
#[tokio::test]
async fn no_text_with_nul_comes_to_the_store() {
    let world = World::new().await;
    for (mutation, field) in [
        ("saveView(input: {name: $text, filter: {}})", "name"),
        (
            "saveView(input: {name: \"n\", filter: {}, columns: [\"a\", $text]})",
            "columns",
        ),
        ("createApiKey(input: {name: $text, scopes: [ADMIN]})", "name"),
    ] {
        let query = format!(
            "mutation ($text: String!) {{ answer: {mutation} {{ __typename ... on InvalidInput {{ field message }} }} }}"
        );
        let answer = world.data(&query, json!({"text": "a\0b"})).await["answer"].take();
        assert_eq!(
            (&answer["__typename"], &answer["field"]),
            (&json!("InvalidInput"), &json!(field))
        );
        assert!(answer["message"].as_str().unwrap().contains("NUL"), "{answer}");
    }
    let saved =
        "mutation { saveView(input: {name: \"n\", filter: {}}) { ... on ViewSaved { view { id } } } }";
    let saved = world.data(saved, json!({})).await;
    let id = &saved["saveView"]["view"]["id"];
    let update = "mutation ($id: ID!) {
        updateView(id: $id, input: {name: \"a\\u0000b\", filter: {}}) { __typename ... on InvalidInput { field } }
    }";
    let answer = world.data(update, json!({"id": id})).await;
    assert_eq!(answer["updateView"]["field"], "name", "{answer}");
    for id in [
        NodeId::Server("a\0b".into()),
        NodeId::Tool("a".into(), "\0".into()),
        NodeId::Session(mcptap_model::SessionSource::Wire, "a".into(), "b\0".into()),
    ] {
        let (code, message) = world
            .error(
                "query ($id: ID!) { node(id: $id) { id } }",
                json!({"id": id.to_string()}),
            )
            .await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
    }
    // It ends words, and in names it stands for the character that is stored in its place.
    let found = "query ($filter: CallFilter) { calls(filter: $filter) { nodes { id } } }";
    for filter in [
        json!({"search": "a\0b \"c\0d\""}),
        json!({"tools": ["a\0b"], "sessionId": "\0"}),
    ] {
        let found = world.data(found, json!({"filter": filter})).await;
        assert_eq!(found["calls"]["nodes"], json!([]));
    }
}

#[tokio::test]
async fn wrong_arguments_are_told_apart() {
    let world = World::new().await;
    world.write([call(1)]).await;
    let list = world.data(LIST, json!({})).await["calls"].take();
    let (page, live) = (&list["pageInfo"]["endCursor"], &list["liveCursor"]);
    let many = vec!["x"; 501];
    let mut deep = json!({});
    for _ in 0..9 {
        deep = json!({"not": deep});
    }
    let mut told = Vec::new();
    for variables in [
        json!({"first": 5, "last": 5}),
        json!({"first": 0}),
        json!({"last": -1}),
        json!({"first": 501}),
        json!({"after": "nonsense"}),
        json!({"before": live}),
        json!({"filter": {"tools": many}}),
        json!({"filter": {"search": "x".repeat(1_001)}}),
        json!({"filter": {"traceId": "xyz"}}),
        json!({"filter": {"from": "yesterday"}}),
        json!({"filter": deep}),
        json!({"filter": {"or": vec![json!({}); 100]}}),
    ] {
        let (code, message) = world.error(LIST, variables.clone()).await;
        assert_eq!(code, "BAD_USER_INPUT", "{variables}: {message}");
        told.push(message);
    }
    for query in [
        "{ stats(buckets: 0) { callCount } }",
        "{ node(id: \"x\") { id } }",
        "{ session(id: \"Yw\") { id } }",
    ] {
        let (code, message) = world.error(query, json!({})).await;
        assert_eq!(code, "BAD_USER_INPUT", "{query}: {message}");
        told.push(message);
    }
    let (code, message) = world
        .error(
            "query ($c: String) { servers(after: $c) { nodes { id } } }",
            json!({"c": page}),
        )
        .await;
    assert_eq!(code, "BAD_USER_INPUT");
    told.push(message);
    insta::assert_json_snapshot!("wrong_arguments", told);
}

#[tokio::test]
async fn one_wrong_question_spoils_no_shape() {
    let world = World::new().await;
    world.write([call(1)]).await;
    let failed = world
        .answer(
            "{ good: calls { liveCursor } bad: calls(first: 0) { liveCursor } }",
            json!({}),
        )
        .await;
    assert_eq!(
        (failed.get("data"), &failed["errors"][0]["path"]),
        (Some(&Value::Null), &json!(["bad"]))
    );
}

#[tokio::test]
async fn bodies_are_bounded_over_a_whole_operation() {
    let world = World::new().await;
    let body = |number| Payload::whole(format!("{number}").repeat(1024 * 1024 / 2));
    world
        .write((10..20).map(|number| Call {
            request: Some(body(number)),
            ..call(number)
        }))
        .await;
    // Each page alone is far within the bound.
    let pages = (0..6).map(|page| format!("p{page}: calls {{ nodes {{ request {{ text }} }} }}"));
    let query = format!("{{ {} }}", pages.collect::<Vec<_>>().join(" "));
    let answer = world.answer(&query, json!({})).await;
    let given = (0..6).flat_map(|page| {
        answer["data"][format!("p{page}")]["nodes"]
            .as_array()
            .unwrap()
            .clone()
    });
    let given = given.filter(|node| !node["request"].is_null()).count();
    assert_eq!(given, 32);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "RESPONSE_TOO_LARGE");
    let one = world
        .data("{ calls { nodes { request { text } } } }", json!({}))
        .await;
    assert_eq!(one["calls"]["nodes"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn answers_are_held_in_the_budget_of_bytes() {
    let world = World::new().await;
    world
        .write([Call {
            request: Some(Payload::whole("x".repeat(1024 * 1024))),
            ..call(1)
        }])
        .await;
    let query = "{ calls { nodes { request { text } } } }";
    let taken = world.store.memory().limit() - world.store.memory().used() - 1024 * 1024;
    let others = world.store.memory().try_reserve(taken).unwrap();
    let (code, _) = world.error(query, json!({})).await;
    assert_eq!(code, "RESOURCE_EXHAUSTED");
    drop(others);
    let before = world.store.memory().used();
    world.data(query, json!({})).await;
    // What was sent is given back.
    for _ in 0..500 {
        if world.store.memory().used() < before + 256 * 1024 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{} bytes are still held", world.store.memory().used());
}

#[tokio::test]
async fn long_menus_say_that_there_is_more() {
    let world = World::new().await;
    world
        .write((1..=1_001).map(|number| Call {
            tool: Some(format!("tool {number}")),
            ..call(number)
        }))
        .await;
    let facets = world
        .data("{ facets { tools { value } more { tools servers } } }", json!({}))
        .await;
    assert_eq!(facets["facets"]["tools"].as_array().unwrap().len(), 1_000);
    assert_eq!(facets["facets"]["more"], json!({"tools": true, "servers": false}));
}

#[tokio::test]
async fn bodies_of_a_page_have_a_bound() {
    let world = World::new().await;
    let body = |number| Payload::whole(format!("{number}").repeat(1024 * 1024 / 2));
    world
        .write((10..50).map(|number| Call {
            request: Some(body(number)),
            ..call(number)
        }))
        .await;
    let query = "query ($first: Int) { calls(first: $first) { nodes { request { text } } } }";
    let answer = world.answer(query, json!({"first": 40})).await;
    let bodies = answer["data"]["calls"]["nodes"].as_array().unwrap();
    assert_eq!(
        bodies.iter().filter(|node| !node["request"].is_null()).count(),
        32
    );
    assert_eq!(answer["errors"][0]["extensions"]["code"], "RESPONSE_TOO_LARGE");
    let some = world.data(query, json!({"first": 20})).await;
    assert_eq!(some["calls"]["nodes"].as_array().unwrap().len(), 20);
}
