//! Names of any length: a filter by the name that was sent, and one by the name that is answered, which is cut where it is too
//! long, find the same calls.

use mcptap_model::{NewKey, Scope};
use mcptap_store::Actor;
use serde_json::{Value, json};

use crate::support::{Client, SpanBuilder, TestServer, eventually, on_each_database, span, traces_request};

/// A name of so many bytes.
fn name(what: &str, bytes: usize) -> String {
    let mut name = format!("{what}-{bytes}-");
    while name.len() + 2 <= bytes {
        name.push('ü');
    }
    name.push_str(&"x".repeat(bytes.saturating_sub(name.len())));
    name
}

/// The names of one call, by the fields of filters that ask for them.
fn names(bytes: usize) -> Vec<(&'static str, String)> {
    let mut names: Vec<_> = ["servers", "tools", "clients", "sessionId"]
        .map(|field| (field, name(field, bytes)))
        .into();
    // PostgreSQL keeps no NUL.
    for (_, name) in names.iter_mut().filter(|_| bytes == 700) {
        name.push('\0');
    }
    names
}

fn called(names: &[(&str, String)]) -> SpanBuilder {
    let name = |wanted: &str| {
        names
            .iter()
            .find(|(field, _)| *field == wanted)
            .unwrap()
            .1
            .as_str()
    };
    span(&format!("tools/call {}", name("tools")))
        .service(name("servers"))
        .attr("mcp.client.name", name("clients"))
        .attr("mcp.session.id", name("sessionId"))
}

/// The filter of one name.
fn filter(field: &str, name: &str) -> Value {
    if field == "sessionId" {
        json!({ field: name })
    } else {
        json!({ field: [name] })
    }
}

const FIELDS: &str = "spanId tool clientName sessionId server { name }";

fn answered<'v>(call: &'v Value, field: &str) -> &'v str {
    let value = match field {
        "servers" => &call["server"]["name"],
        "tools" => &call["tool"],
        "clients" => &call["clientName"],
        _ => &call["sessionId"],
    };
    value.as_str().unwrap()
}

async fn found(client: &Client, filter: &Value) -> Vec<Value> {
    let calls = client.calls(filter.clone(), "spanId").await;
    let count = "query ($f: CallFilter) { stats(filter: $f) { callCount }
        tools(filter: $f) { nodes { name } } sessions(filter: $f) { nodes { id } } }";
    let told = client.graphql(count, json!({ "f": filter })).await;
    assert_eq!(told["stats"]["callCount"], calls.len(), "{told}");
    assert_eq!(
        told["tools"]["nodes"].as_array().unwrap().len(),
        calls.len(),
        "{told}"
    );
    assert_eq!(
        told["sessions"]["nodes"].as_array().unwrap().len(),
        calls.len(),
        "{told}"
    );
    calls.into_iter().map(|mut call| call["spanId"].take()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_any_length_finds_its_call() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        for bytes in [600, 700, 1024, 1025, 5_000, 60_000] {
            let names = names(bytes);
            // Followers that wait, and that read what was before.
            let mut followers = Vec::new();
            for (field, name) in &names {
                let mut follower = server.follow(None, filter(field, name)).await;
                assert_eq!(follower.history().await, []);
                followers.push(follower);
            }
            let sent = called(&names);
            let id = json!(sent.id());
            server.export([sent]).await;
            for (mut follower, (field, _)) in followers.into_iter().zip(&names) {
                let (_, calls) = follower.calls().await;
                assert_eq!(calls.len(), 1, "{field} of {bytes} bytes");
            }
            let calls = server.calls(filter("tools", &names[1].1), FIELDS).await;
            assert_eq!(calls.len(), 1, "tools of {bytes} bytes");
            for (field, name) in &names {
                let kept = answered(&calls[0], field);
                assert!(kept.len() <= 1024, "{field} of {bytes} bytes");
                for asked in [name.as_str(), kept] {
                    let by = filter(field, asked);
                    assert_eq!(
                        found(&server, &by).await,
                        std::slice::from_ref(&id),
                        "{field} of {bytes} bytes"
                    );
                    let nested = json!({ "or": [{ "not": { "not": by } }] });
                    assert_eq!(
                        found(&server, &nested).await,
                        std::slice::from_ref(&id),
                        "{field} of {bytes} bytes"
                    );
                }
            }
        }
        // One that begins alike is another.
        let long = name("tools", 5_000);
        server.export([span(&format!("tools/call {long}y"))]).await;
        let found = server.calls(filter("tools", &long), "spanId").await;
        assert_eq!(found.len(), 1);
        // A name deletes the calls that it finds, and no others.
        let delete =
            "mutation ($f: CallFilter!) { deleteCalls(filter: $f) { ... on CallsDeleted { count } } }";
        let told = server
            .graphql(delete, json!({ "f": filter("tools", &long) }))
            .await;
        assert_eq!(told["deleteCalls"]["count"], 1, "{told}");
        let other = server.calls(filter("tools", &format!("{long}y")), "spanId").await;
        assert_eq!(other.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_bound_to_a_server_by_a_name_of_any_length() {
    on_each_database(async |database| {
        let server = TestServer::on(database).await;
        let (_writer, store) = server.store_beside().await;
        let long = name("servers", 3_000);
        server.export([called(&names(3_000))]).await;
        let kept = server.calls(json!({}), FIELDS).await;
        let kept = answered(&kept[0], "servers").to_owned();
        for (index, bound) in [&long, &kept].into_iter().enumerate() {
            let checked = NewKey {
                name: "a key".into(),
                scopes: vec![Scope::Ingest, Scope::Read],
                servers: vec![bound.clone()],
                expires_at: None,
            };
            let unchecked = checked.clone();
            let checked = checked.checked(mcptap_store::now()).unwrap();
            assert_eq!(checked.servers, [kept.as_str()]);
            // Older versions stored names of keys as they were given.
            let new = if index == 0 { unchecked } else { checked };
            let (_, secret) = store.create_key(new, Actor::CommandLine).await.unwrap();
            let holder = server.with_key(secret.reveal());
            eventually("the key", async || {
                (holder
                    .web()
                    .post(holder.url("/graphql"))
                    .json(&json!({"query": "{ viewer { keysExist } }"}))
                    .send()
                    .await
                    .unwrap()
                    .status()
                    == 200)
                    .then_some(())
            })
            .await;
            // By its service, by an attribute, and in a log record of the service.
            let by_service = span("tools/call one").service(&long);
            let by_name = span("tools/call two").attr("mcp.server.name", long.as_str());
            let answer = holder
                .try_send(&traces_request([by_service, by_name]))
                .await
                .unwrap();
            assert_eq!(answer.partial_success, None, "{answer:?}");
            assert_eq!(holder.calls(json!({}), "id").await.len(), 3 + 2 * index);
            let foreign = span("tools/call foreign").service(&format!("{long}x"));
            let answer = holder.try_send(&traces_request([foreign])).await.unwrap();
            let partial = answer.partial_success.unwrap();
            assert_eq!(partial.rejected_spans, 1);
            assert!(partial.error_message.len() < 1_000, "{partial:?}");
        }
    })
    .await;
}
