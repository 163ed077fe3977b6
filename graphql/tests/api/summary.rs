//! What is told of many calls together: facets, servers, sessions, tools and statistics.

use mcptap_model::{Call, Evidence, NodeId, SessionKey, SessionSource};
use serde_json::{Value, json};

use crate::support::{World, call, full_call};

#[tokio::test]
async fn facets_are_counted_where_asked_for() {
    let world = World::new().await;
    let other = Call {
        server: Some("bank".into()),
        tool: Some("pay".into()),
        ..call(2)
    };
    world.write([full_call(1), other, call(3)]).await;
    let query = "query ($filter: CallFilter) { facets(filter: $filter) {
        servers { value count } tools { value count } methods { value count } httpStatuses { value count }
        outcomes { value count } countries { value count } clients { value count } } }";
    let facets = world.data(query, json!({})).await["facets"].take();
    insta::with_settings!({sort_maps => true}, { insta::assert_json_snapshot!("facets", facets) });
    let chosen = world.data(query, json!({"filter": {"servers": ["shop"]}})).await["facets"].take();
    assert_eq!(
        chosen["servers"],
        json!([{"value": "shop", "count": 2}, {"value": "bank", "count": 1}])
    );
    assert_eq!(chosen["tools"], json!([{"value": "buy", "count": 1}]));
    let some = world
        .data(
            "{ facets { a: tools { value } ...on CallFacets { clients { count } } } }",
            json!({}),
        )
        .await;
    assert_eq!(
        some["facets"],
        json!({"a": [{"value": "buy"}, {"value": "pay"}], "clients": [{"count": 1}]})
    );
}

#[tokio::test]
async fn servers_are_listed_by_name() {
    let world = World::new().await;
    let of = |number, name: &str| Call {
        server: Some(name.into()),
        ..call(number)
    };
    world
        .write([of(1, "b"), of(2, "a"), of(3, "c"), of(4, "b")])
        .await;
    let query = "query ($after: String) { servers(first: 2, after: $after) {
        nodes { name firstSeenAt lastSeenAt } pageInfo { hasNextPage endCursor } } }";
    let page = world.data(query, json!({})).await["servers"].take();
    let seen = json!([
        {"name": "a", "firstSeenAt": "2026-11-22T12:00:02Z", "lastSeenAt": "2026-11-22T12:00:02Z"},
        {"name": "b", "firstSeenAt": "2026-11-22T12:00:01Z", "lastSeenAt": "2026-11-22T12:00:04Z"},
    ]);
    assert_eq!(
        (&page["nodes"], &page["pageInfo"]["hasNextPage"]),
        (&seen, &json!(true))
    );
    let rest = world
        .data(query, json!({"after": page["pageInfo"]["endCursor"]}))
        .await["servers"]
        .take();
    assert_eq!(
        (&rest["nodes"][0]["name"], &rest["pageInfo"]["hasNextPage"]),
        (&json!("c"), &json!(false))
    );
}

#[tokio::test]
async fn tools_and_servers_come_in_the_order_that_is_asked_for() {
    let world = World::new().await;
    let of = |number, server: &str, tool: &str, failed| Call {
        server: Some(server.into()),
        tool: Some(tool.into()),
        ..in_session(number, "one", failed)
    };
    world
        .write([
            of(1, "shop", "once", true),
            of(2, "shop", "often", true),
            of(3, "shop", "often", true),
            of(4, "bank", "often", false),
            of(5, "bank", "often", false),
            of(6, "bank", "often", false),
            of(7, "bank", "never", false),
        ])
        .await;
    let query = "query ($order: AggregateOrder, $first: Int, $after: String) {
        tools(orderBy: $order, first: $first, after: $after) { nodes { name server { name } } pageInfo { hasNextPage endCursor } }
    }";
    let walk = async |order: Value| {
        let (mut walked, mut after) = (Vec::new(), Value::Null);
        loop {
            let variables = json!({"order": order, "first": 3, "after": after});
            let page = world.data(query, variables).await["tools"].take();
            for tool in page["nodes"].as_array().unwrap() {
                walked.push(format!("{} {}", tool["server"]["name"], tool["name"]).replace('"', ""));
            }
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                return (walked, after);
            }
        }
    };
    let by = |field: &str, direction: &str| json!({"field": field, "direction": direction});
    let names = ["bank never", "bank often", "shop often", "shop once"];
    for (order, expected) in [
        (Value::Null, names),
        (by("KEY", "ASC"), names),
        (
            by("KEY", "DESC"),
            ["shop once", "shop often", "bank often", "bank never"],
        ),
        (
            json!({"field": "CALL_COUNT"}),
            ["bank often", "shop often", "bank never", "shop once"],
        ),
        (
            by("CALL_COUNT", "ASC"),
            ["bank never", "shop once", "shop often", "bank often"],
        ),
        (
            by("ERROR_COUNT", "DESC"),
            ["shop often", "shop once", "bank never", "bank often"],
        ),
        (
            by("ERROR_RATE", "DESC"),
            ["shop often", "shop once", "bank never", "bank often"],
        ),
        (by("P95", "DESC"), names),
    ] {
        assert_eq!(walk(order.clone()).await.0, expected, "{order}");
    }
    let servers = "query ($order: AggregateOrder) { servers(orderBy: $order) { nodes { name } } }";
    for (order, expected) in [
        (by("KEY", "DESC"), ["shop", "bank"]),
        (by("CALL_COUNT", "DESC"), ["bank", "shop"]),
        (by("ERROR_COUNT", "DESC"), ["shop", "bank"]),
    ] {
        let nodes = world.data(servers, json!({"order": order})).await["servers"]["nodes"].take();
        assert_eq!(
            nodes,
            json!([{"name": expected[0]}, {"name": expected[1]}]),
            "{order}"
        );
    }
    // A cursor is of its list and of its order.
    let (_, by_calls) = walk(by("CALL_COUNT", "DESC")).await;
    let (_, by_name) = walk(Value::Null).await;
    for (order, after, told) in [
        (by("CALL_COUNT", "ASC"), &by_calls, "in another order"),
        (by("P95", "DESC"), &by_calls, "in another order"),
        (
            by("CALL_COUNT", "DESC"),
            &by_name,
            "this is a cursor of a list of tools; needed",
        ),
        (Value::Null, &by_calls, "in the order of a figure"),
    ] {
        let (code, message) = world.error(query, json!({"order": order, "after": after})).await;
        assert_eq!(code, "BAD_USER_INPUT");
        assert!(message.contains(told), "{message}");
    }
    let cost = async |order: Value| {
        world.answer(query, json!({"order": order})).await["extensions"]["cost"]["complexity"].clone()
    };
    let (plain, ranked) = (cost(Value::Null).await, cost(by("P95", "DESC")).await);
    assert!(
        ranked.as_u64().unwrap() > plain.as_u64().unwrap(),
        "all calls are counted for it"
    );
}

/// A call in a session of its own kind.
fn in_session(number: u64, key: &str, failed: bool) -> Call {
    Call {
        session: Some(SessionKey {
            source: SessionSource::Connection,
            key: key.into(),
        }),
        client_name: Some("agent".into()),
        tool: Some("buy".into()),
        evidence: Evidence {
            failed,
            tool_error: failed,
            ..Evidence::default()
        },
        ..call(number)
    }
}

#[tokio::test]
async fn a_session_says_the_latest_id_on_the_wire_of_its_calls() {
    let world = World::new().await;
    let with = |wire: &str, call: Call| Call {
        session_id: Some(wire.into()),
        ..call
    };
    world
        .write([
            with("w-2", in_session(2, "one", false)),
            with("w-1", in_session(1, "one", false)),
            in_session(3, "one", false),
            in_session(4, "two", false),
            full_call(5),
        ])
        .await;
    let query = "{ sessions { nodes { id wireId source } } }";
    let sessions = world.data(query, json!({})).await["sessions"]["nodes"].take();
    let ids: Vec<(&Value, &Value)> = sessions
        .as_array()
        .unwrap()
        .iter()
        .map(|session| (&session["source"], &session["wireId"]))
        .collect();
    let (connection, wire) = (json!("CONNECTION"), json!("WIRE"));
    let expected = [
        (&connection, &Value::Null),
        (&connection, &json!("w-2")),
        (&wire, &json!("s-1")),
    ];
    assert_eq!(ids, expected);
    // The session of a call, and an object by its id, say the same.
    let by_wire = "query ($id: ID!) { node(id: $id) { ... on Session { wireId } }
        calls(filter: {sessionId: \"w-1\"}) { nodes { requestId session { wireId } } } }";
    assert_eq!(
        world.data(by_wire, json!({"id": sessions[1]["id"]})).await,
        json!({"node": {"wireId": "w-2"}, "calls": {"nodes": [{"requestId": "1", "session": {"wireId": "w-2"}}]}})
    );
}

#[tokio::test]
async fn sessions_gather_their_calls() {
    let world = World::new().await;
    world
        .write([
            in_session(1, "one", false),
            in_session(2, "two", false),
            in_session(3, "one", true),
        ])
        .await;
    let query =
        "{ sessions { nodes { id source server { name } clientName startedAt lastCallAt callCount errorCount
        calls { nodes { requestId } pageInfo { hasNextPage hasPreviousPage } totalCount { value } } } } }";
    let sessions = world.data(query, json!({})).await["sessions"]["nodes"].take();
    let session = |key: &str, first: u64, last: u64, errors: u64, calls: &[&str]| {
        json!({
            "id": NodeId::Session(SessionSource::Connection, "shop".into(), key.into()).to_string(),
            "source": "CONNECTION", "server": {"name": "shop"}, "clientName": "agent",
            "startedAt": format!("2026-11-22T12:00:0{first}Z"), "lastCallAt": format!("2026-11-22T12:00:0{last}Z"),
            "callCount": calls.len(), "errorCount": errors,
            "calls": {
                "nodes": calls.iter().map(|id| json!({"requestId": id})).collect::<Vec<_>>(),
                "pageInfo": {"hasNextPage": false, "hasPreviousPage": false}, "totalCount": {"value": calls.len()},
            },
        })
    };
    assert_eq!(
        sessions,
        json!([
            session("one", 1, 3, 1, &["1", "3"]),
            session("two", 2, 2, 0, &["2"])
        ])
    );
    let paged = "query ($id: ID!, $after: String) { session(id: $id) {
        calls(first: 1, after: $after) { nodes { requestId } pageInfo { hasNextPage hasPreviousPage endCursor } } } }";
    let first = world.data(paged, json!({"id": sessions[0]["id"]})).await["session"]["calls"].take();
    let at = &first["pageInfo"];
    assert_eq!(
        (&first["nodes"][0]["requestId"], &at["hasNextPage"]),
        (&json!("1"), &json!(true))
    );
    let second = world
        .data(paged, json!({"id": sessions[0]["id"], "after": at["endCursor"]}))
        .await;
    let second = &second["session"]["calls"];
    assert_eq!(second["nodes"], json!([{"requestId": "3"}]));
    assert_eq!(
        (
            &second["pageInfo"]["hasNextPage"],
            &second["pageInfo"]["hasPreviousPage"]
        ),
        (&json!(false), &json!(true))
    );
}

#[tokio::test]
async fn tools_and_statistics_follow_the_filter() {
    let world = World::new().await;
    let pay = Call {
        tool: Some("pay".into()),
        ..in_session(3, "one", false)
    };
    world
        .write([in_session(1, "one", false), in_session(2, "one", true), pay])
        .await;
    let query = "query ($filter: CallFilter) { tools(filter: $filter) { nodes {
        id name server { name } stats { callCount errorCount p50Ms } } } }";
    let tools = world.data(query, json!({})).await["tools"]["nodes"].take();
    let stats = |tool: &Value| {
        (
            tool["name"].clone(),
            tool["stats"]["callCount"].clone(),
            tool["stats"]["errorCount"].clone(),
        )
    };
    assert_eq!(stats(&tools[0]), (json!("buy"), json!(2), json!(1)));
    assert_eq!(stats(&tools[1]), (json!("pay"), json!(1), json!(0)));
    let failed = world
        .data(query, json!({"filter": {"outcomes": ["TOOL_ERROR"]}}))
        .await["tools"]["nodes"]
        .take();
    assert_eq!(failed.as_array().unwrap().len(), 1);
    assert_eq!(stats(&failed[0]), (json!("buy"), json!(1), json!(1)));
    let node = "query ($id: ID!) { node(id: $id) { ... on Tool { stats { callCount series { start } } } } }";
    let buy = world.data(node, json!({"id": tools[0]["id"]})).await["node"].take();
    assert_eq!(
        (
            &buy["stats"]["callCount"],
            buy["stats"]["series"].as_array().unwrap().len()
        ),
        (&json!(2), 60)
    );
    let query = "{ stats(buckets: 3) { callCount errorCount p50Ms p95Ms p99Ms series { start callCount errorCount p50Ms } } }";
    let stats = world.data(query, json!({})).await["stats"].take();
    assert_eq!(
        (&stats["callCount"], &stats["errorCount"]),
        (&json!(3), &json!(1))
    );
    for percentile in ["p50Ms", "p95Ms", "p99Ms"] {
        assert!((stats[percentile].as_f64().unwrap() - 1.5).abs() < 0.1, "{stats}");
    }
    let series = stats["series"].as_array().unwrap();
    let counts: u64 = series
        .iter()
        .map(|bucket| bucket["callCount"].as_u64().unwrap())
        .sum();
    assert_eq!((series.len(), counts), (3, 3), "{stats}");
}
