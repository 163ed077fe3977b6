//! Questions: pages, filters, facets, counts, bodies and errors, over what came in by OTLP.

use mcptap::Settings;
use serde_json::{Value, json};

use crate::support::{Client, SpanBuilder, TestServer, line, on_each_database, sorted, span};

const PAGE: &str = "query ($filter: CallFilter, $first: Int, $after: String, $last: Int, $before: String) {
    calls(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        nodes { spanId } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount { value relation }
    }
}";

async fn page(server: &Client, variables: Value) -> (Vec<String>, Value) {
    let mut page = server.graphql(PAGE, variables).await["calls"].take();
    let id = |node: &Value| node["spanId"].as_str().unwrap().to_owned();
    (
        page["nodes"].as_array().unwrap().iter().map(id).collect(),
        page["pageInfo"].take(),
    )
}

/// A day at the shop: 25 calls, one a second.
fn day() -> Vec<SpanBuilder> {
    let tools = ["get_order", "ship_order", "search"];
    let call = |number: usize| {
        let call = span(&format!("tools/call {}", tools[number % 3]))
            .at(number as f64 * 1000.0)
            .service(if number.is_multiple_of(2) {
                "shop"
            } else {
                "warehouse"
            })
            .attr("jsonrpc.request.id", number.to_string().as_str());
        if number.is_multiple_of(5) {
            call.attr("error.type", "tool_error").failed("sold out")
        } else {
            call
        }
    };
    (0..25).map(call).collect()
}

#[tokio::test]
async fn pages_go_both_ways_and_stay_stable() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let calls = day();
        server.export(calls.clone()).await;
        let newest_first: Vec<String> = calls.iter().rev().map(SpanBuilder::id).collect();
        let (mut forward, mut after) = (Vec::new(), Value::Null);
        loop {
            let (ids, info) = page(&server, json!({"first": 10, "after": after})).await;
            assert_eq!(info["hasPreviousPage"], !after.is_null());
            forward.extend(ids);
            after = info["endCursor"].clone();
            // What comes in meanwhile stands before the page.
            server.export([span("tools/call meanwhile").at(100_000.0)]).await;
            if info["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(forward, newest_first);
        let (mut backward, mut before) = (Vec::new(), Value::Null);
        let known = json!({"tools": ["get_order", "ship_order", "search"]});
        loop {
            let (mut ids, info) = page(&server, json!({"filter": known, "last": 10, "before": before})).await;
            assert_eq!(info["hasNextPage"], !before.is_null());
            ids.extend(backward);
            backward = ids;
            before = info["startCursor"].clone();
            if info["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(backward, newest_first);
    })
    .await;
}

#[tokio::test]
async fn filters_facets_and_counts_mean_the_same() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let calls = day();
        server.export(calls.clone()).await;
        server.export_logs([line(&calls[7], "the carrier answered 503")]).await;
        let at = |seconds: usize| format!("2026-11-22T12:00:{seconds:02}Z");
        let cases = [
            (json!({}), 25),
            (json!({"servers": []}), 25),
            (json!({"tools": ["get_order"]}), 9),
            (json!({"tools": ["get_order", "search"], "servers": ["shop"]}), 9),
            (json!({"outcomes": ["TOOL_ERROR"]}), 5),
            (json!({"not": {"outcomes": ["TOOL_ERROR"]}}), 20),
            (json!({"not": {"httpStatuses": [200]}}), 25),
            (json!({"from": at(10), "to": at(20)}), 10),
            (json!({"minDurationMs": 5.0, "maxDurationMs": 5.0}), 25),
            (json!({"minDurationMs": 5.1}), 0),
            (json!({"or": [{"tools": ["search"]}, {"outcomes": ["TOOL_ERROR"]}]}), 11),
            (json!({"search": "carrier 503"}), 1),
            (json!({"search": "\"sold out\""}), 5),
            (json!({"search": "ship*"}), 8),
            (json!({"traceId": calls[3].trace()}), 1),
        ];
        let query = "query ($filter: CallFilter) {
            calls(filter: $filter, first: 500) { nodes { id } totalCount { value relation } }
            stats(filter: $filter, buckets: 5) { callCount series { callCount } }
            facets(filter: $filter) { methods { value count } }
        }";
        for (filter, expected) in cases {
            let answer = server.graphql(query, json!({"filter": filter})).await;
            assert_eq!(answer["calls"]["nodes"].as_array().unwrap().len(), expected, "{filter}");
            assert_eq!(answer["calls"]["totalCount"], json!({"value": expected, "relation": "EXACT"}), "{filter}");
            assert_eq!(answer["stats"]["callCount"], expected, "{filter}");
            let series = answer["stats"]["series"].as_array().unwrap().iter();
            assert_eq!(series.map(|bucket| bucket["callCount"].as_u64().unwrap()).sum::<u64>(), expected as u64, "{filter}");
            let methods = if expected == 0 { json!([]) } else { json!([{"value": "tools/call", "count": expected}]) };
            assert_eq!(answer["facets"]["methods"], methods, "{filter}");
        }
        let query = "query ($filter: CallFilter) { facets(filter: $filter) {
            servers { value count } tools { value count } outcomes { value count } httpStatuses { value count } } }";
        let facets = server.graphql(query, json!({"filter": {"servers": ["shop"]}})).await["facets"].take();
        // The servers are all offered; the tools follow the chosen one.
        insta::allow_duplicates! {
            // Fields come in the order in which they are ready.
            insta::with_settings!({ sort_maps => true }, {
                insta::assert_json_snapshot!(facets, @r#"
                {
                  "httpStatuses": [],
                  "outcomes": [
                    {
                      "count": 10,
                      "value": "OK"
                    },
                    {
                      "count": 3,
                      "value": "TOOL_ERROR"
                    }
                  ],
                  "servers": [
                    {
                      "count": 13,
                      "value": "shop"
                    },
                    {
                      "count": 12,
                      "value": "warehouse"
                    }
                  ],
                  "tools": [
                    {
                      "count": 5,
                      "value": "get_order"
                    },
                    {
                      "count": 4,
                      "value": "search"
                    },
                    {
                      "count": 4,
                      "value": "ship_order"
                    }
                  ]
                }
                "#)
            });
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_come_back_as_they_were_sent() {
    on_each_database(async |database| {
        let cap = 4096;
        let settings = Settings {
            body_cap: Some(cap.into()),
            ..Settings::default()
        };
        let server = TestServer::with(database, settings).await;
        let result = json!({"content": [{"type": "text", "text": "ä".repeat(cap)}]}).to_string();
        let arguments = r#"{"id":9007199254740993,"empty":{},"list":[1,2.50],"text":"naïve"}"#;
        let request =
            format!(r#"{{"method":"tools/call","params":{{"name":"get_order","arguments":{arguments}}}}}"#);
        let sent = span("tools/call get_order").attr("mcptap.request.body", request.as_str());
        server
            .export([sent.attr("mcptap.response.body", result.as_str())])
            .await;
        let fields =
            "request { text json bytes truncated redacted } response { text json bytes truncated redacted }";
        let call = server.calls(Value::Null, fields).await.remove(0);
        assert_eq!(call["request"]["text"], request);
        assert_eq!(
            call["request"]["json"]["params"]["arguments"]["id"].to_string(),
            "9007199254740993"
        );
        assert_eq!(call["request"]["truncated"], false);
        let kept = call["response"]["text"].as_str().unwrap();
        // Cut between two characters.
        assert!(
            result.starts_with(kept) && (cap - 1..=cap).contains(&kept.len()),
            "{}",
            kept.len()
        );
        let (json, bytes, truncated) = (
            &call["response"]["json"],
            &call["response"]["bytes"],
            &call["response"]["truncated"],
        );
        assert_eq!(
            (json, bytes, truncated),
            (&Value::Null, &json!(result.len()), &json!(true))
        );
        // Not captured is not empty.
        server.export([span("tools/list")]).await;
        let listed = server
            .calls(
                json!({"methods": ["tools/list"]}),
                "request { text } response { text }",
            )
            .await;
        assert_eq!(listed, [json!({"request": null, "response": null})]);
    })
    .await;
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_have_codes() {
    let server = TestServer::start().await;
    let cases = [
        (
            "{ calls(first: 1, last: 1) { nodes { id } } }",
            "BAD_USER_INPUT",
            "last",
        ),
        ("{ calls(first: 0) { nodes { id } } }", "BAD_USER_INPUT", "first"),
        ("{ calls(last: -1) { nodes { id } } }", "BAD_USER_INPUT", "last"),
        ("{ calls(first: 501) { nodes { id } } }", "BAD_USER_INPUT", "500"),
        (
            "{ calls(after: \"nonsense\") { nodes { id } } }",
            "BAD_USER_INPUT",
            "after",
        ),
        ("{ call(id: \"nonsense\") { id } }", "BAD_USER_INPUT", "nonsense"),
        (
            "{ calls(filter: {traceId: \"xyz\"}) { nodes { id } } }",
            "BAD_USER_INPUT",
            "trace id",
        ),
        (
            "{ calls(filter: {from: \"yesterday\"}) { nodes { id } } }",
            "BAD_USER_INPUT",
            "",
        ),
        (
            "{ calls { nodes { colour } } }",
            "GRAPHQL_VALIDATION_FAILED",
            "colour",
        ),
        ("{ calls {", "GRAPHQL_PARSE_FAILED", ""),
    ];
    for (query, code, said) in cases {
        let (given, message) = server.graphql_error(query, json!({})).await;
        assert_eq!(given, code, "{query}: {message}");
        assert!(message.contains(said), "{query}: {message}");
    }
    let unknown = server
        .graphql(
            "query ($id: ID!) { call(id: $id) { id } }",
            json!({"id": "YwAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAQ"}),
        )
        .await;
    assert_eq!(unknown, json!({"call": null}));
}

#[tokio::test]
async fn servers_tools_and_sessions_are_found_and_can_be_asked_for_again() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let calls = day().into_iter().map(|call| {
            call.attr("mcp.session.id", "s-1")
                .attr("mcp.client.name", "agent")
        });
        server.export(calls).await;
        let query = "{
            servers { nodes { id name firstSeenAt lastSeenAt } }
            tools { nodes { id name server { name } stats { callCount errorCount p50Ms } } }
            sessions { nodes { id source server { name } clientName callCount errorCount startedAt lastCallAt
                calls(first: 2) { nodes { requestId } } } }
        }";
        let answer = server.graphql(query, json!({})).await;
        insta::with_settings!({ sort_maps => true }, {
            insta::allow_duplicates! {
                insta::assert_json_snapshot!(answer, @r#"
                {
                  "servers": {
                    "nodes": [
                      {
                        "firstSeenAt": "2026-11-22T12:00:00Z",
                        "id": "c3Nob3A",
                        "lastSeenAt": "2026-11-22T12:00:24Z",
                        "name": "shop"
                      },
                      {
                        "firstSeenAt": "2026-11-22T12:00:01Z",
                        "id": "c3dhcmVob3VzZQ",
                        "lastSeenAt": "2026-11-22T12:00:23Z",
                        "name": "warehouse"
                      }
                    ]
                  },
                  "sessions": {
                    "nodes": [
                      {
                        "callCount": 13,
                        "calls": {
                          "nodes": [
                            {
                              "requestId": "0"
                            },
                            {
                              "requestId": "2"
                            }
                          ]
                        },
                        "clientName": "agent",
                        "errorCount": 3,
                        "id": "djQ6V0lSRTQ6c2hvcDM6cy0x",
                        "lastCallAt": "2026-11-22T12:00:24Z",
                        "server": {
                          "name": "shop"
                        },
                        "source": "WIRE",
                        "startedAt": "2026-11-22T12:00:00Z"
                      },
                      {
                        "callCount": 12,
                        "calls": {
                          "nodes": [
                            {
                              "requestId": "1"
                            },
                            {
                              "requestId": "3"
                            }
                          ]
                        },
                        "clientName": "agent",
                        "errorCount": 2,
                        "id": "djQ6V0lSRTk6d2FyZWhvdXNlMzpzLTE",
                        "lastCallAt": "2026-11-22T12:00:23Z",
                        "server": {
                          "name": "warehouse"
                        },
                        "source": "WIRE",
                        "startedAt": "2026-11-22T12:00:01Z"
                      }
                    ]
                  },
                  "tools": {
                    "nodes": [
                      {
                        "id": "dDQ6c2hvcDk6Z2V0X29yZGVy",
                        "name": "get_order",
                        "server": {
                          "name": "shop"
                        },
                        "stats": {
                          "callCount": 5,
                          "errorCount": 1,
                          "p50Ms": 5.0
                        }
                      },
                      {
                        "id": "dDk6d2FyZWhvdXNlOTpnZXRfb3JkZXI",
                        "name": "get_order",
                        "server": {
                          "name": "warehouse"
                        },
                        "stats": {
                          "callCount": 4,
                          "errorCount": 1,
                          "p50Ms": 5.0
                        }
                      },
                      {
                        "id": "dDQ6c2hvcDY6c2VhcmNo",
                        "name": "search",
                        "server": {
                          "name": "shop"
                        },
                        "stats": {
                          "callCount": 4,
                          "errorCount": 1,
                          "p50Ms": 5.0
                        }
                      },
                      {
                        "id": "dDk6d2FyZWhvdXNlNjpzZWFyY2g",
                        "name": "search",
                        "server": {
                          "name": "warehouse"
                        },
                        "stats": {
                          "callCount": 4,
                          "errorCount": 1,
                          "p50Ms": 5.0
                        }
                      },
                      {
                        "id": "dDQ6c2hvcDEwOnNoaXBfb3JkZXI",
                        "name": "ship_order",
                        "server": {
                          "name": "shop"
                        },
                        "stats": {
                          "callCount": 4,
                          "errorCount": 1,
                          "p50Ms": 5.0
                        }
                      },
                      {
                        "id": "dDk6d2FyZWhvdXNlMTA6c2hpcF9vcmRlcg",
                        "name": "ship_order",
                        "server": {
                          "name": "warehouse"
                        },
                        "stats": {
                          "callCount": 4,
                          "errorCount": 0,
                          "p50Ms": 5.0
                        }
                      }
                    ]
                  }
                }
                "#);
            }
        });
        let all = ["servers", "tools", "sessions"]
            .map(|list| answer[list]["nodes"].as_array().unwrap().clone())
            .concat();
        for node in all {
            let again = server
                .graphql(
                    "query ($id: ID!) { node(id: $id) { id } }",
                    json!({"id": node["id"]}),
                )
                .await;
            assert_eq!(again["node"]["id"], node["id"]);
        }
        // By the wire id and by the session's own.
        let session = answer["sessions"]["nodes"][0].clone();
        let of_both = sorted(
            server
                .calls(json!({"sessionId": "s-1"}), "spanId")
                .await
                .iter()
                .map(Value::to_string),
        );
        assert_eq!(of_both.len(), 25);
        let of_one = server
            .calls(json!({"sessionId": session["id"]}), "server { name }")
            .await;
        assert_eq!(
            of_one.len(),
            usize::try_from(session["callCount"].as_u64().unwrap()).unwrap()
        );
        assert!(of_one.iter().all(|call| call["server"] == session["server"]));
    })
    .await;
}
