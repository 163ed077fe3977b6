//! How much one answer may be, whichever fields it is made of, and what it holds meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mcptap_graphql::Limits;
use mcptap_model::{Call, LogLine, Origin, Payload};
use serde_json::{Map, Value, json};

use crate::support::{World, call, log_line};

/// The same field by many names.
fn aliases(field: &str, count: usize) -> String {
    (0..count).map(|alias| format!("a{alias}: {field} ")).collect()
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

/// The most bytes that the budget holds while it is asked.
async fn peak<T>(world: &World, asking: impl Future<Output = T>) -> (T, usize) {
    let (memory, peak) = (world.store.memory().clone(), Arc::new(AtomicUsize::new(0)));
    let (ended, most) = (Arc::new(AtomicBool::new(false)), Arc::clone(&peak));
    let over = Arc::clone(&ended);
    let watching = std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            most.fetch_max(memory.used(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    let answer = asking.await;
    ended.store(true, Ordering::Relaxed);
    watching.join().unwrap();
    (answer, peak.load(Ordering::Relaxed))
}

async fn full_of_texts() -> World {
    let world = World::with(Limits {
        max_aliases: 200,
        ..Limits::default()
    })
    .await;
    let resource = Map::from_iter([("text".to_owned(), json!("r".repeat(60_000)))]);
    let origin = Arc::new(Origin {
        resource,
        ..Origin::default()
    });
    let calls = (1..=60).map(|number| Call {
        error_message: Some("e".repeat(60_000)),
        resource_uri: Some("u".repeat(8_000)),
        tool: Some(format!("{number}{}", "t".repeat(1_000))),
        origin: Arc::clone(&origin),
        ..call(number)
    });
    let lines = (1..=60).flat_map(|number| {
        (0..2).map(move |line| LogLine {
            attributes: Map::from_iter([("text".to_owned(), json!("a".repeat(60_000)))]),
            severity: "S".repeat(60),
            ..log_line(number, "b", line)
        })
    });
    world.write_batch(calls, lines.collect()).await;
    world
}

#[tokio::test]
async fn every_text_counts_whichever_field_gives_it() {
    let world = full_of_texts().await;
    let logs = "logs { edges { node";
    for query in [
        format!(
            "{{ calls(first: 60) {{ nodes {{ {} }} }} }}",
            aliases("errorMessage", 30)
        ),
        format!(
            "{{ calls(first: 60) {{ nodes {{ {} }} }} }}",
            aliases("attributes", 30)
        ),
        format!(
            "{{ calls(first: 60) {{ nodes {{ {logs} {{ {} }} }} }} }} }} }}",
            aliases("attributes", 30)
        ),
        format!(
            "{{ {} }}",
            (0..20)
                .map(|page| format!(
                    "p{page}: calls(first: 60) {{ nodes {{ {} }} }} ",
                    aliases("resourceUri", 8)
                ))
                .collect::<String>()
        ),
    ] {
        let (answer, peak) = peak(&world, world.answer(&query, json!({}))).await;
        assert_eq!(
            code(&answer),
            "RESPONSE_TOO_LARGE",
            "{query}: {}",
            answer["errors"][0]
        );
        // 32 MiB of texts, written once more, and 64 MiB that were read for them.
        assert!(peak < 140 << 20, "{} MiB: {query}", peak >> 20);
        let errors = answer["errors"].as_array().unwrap().len();
        assert!(errors <= 1_001, "{errors} errors: {query}");
    }
    // Texts that have room are answered as ever.
    let some = world
        .data(
            "{ calls(first: 60) { nodes { errorMessage resourceUri tool logs { nodes { severity } } } } }",
            json!({}),
        )
        .await;
    assert_eq!(some["calls"]["nodes"].as_array().unwrap().len(), 60);
    assert_eq!(
        some["calls"]["nodes"][0]["errorMessage"].as_str().unwrap().len(),
        60_000
    );
    assert_eq!(
        some["calls"]["nodes"][0]["logs"]["nodes"][0]["severity"],
        "S".repeat(60)
    );
}

/// Lines are read whole, whichever of their fields is wanted.
#[tokio::test]
async fn lines_count_as_they_are_read() {
    let world = World::new().await;
    let calls: Vec<Call> = (1..=20).map(call).collect();
    let lines = (1..=20).flat_map(|number| {
        (0..20).map(move |line| LogLine {
            body: "b".repeat(20_000),
            ..log_line(number, "b", line)
        })
    });
    world.write_batch(calls, lines.collect()).await;
    // Eight megabytes a time.
    let query = |times: usize| {
        let logs =
            (0..times).map(|more| format!("l{more}: logs(first: {}) {{ nodes {{ time }} }} ", 20 + more));
        format!(
            "{{ calls(first: 20) {{ nodes {{ {} }} }} }}",
            logs.collect::<String>()
        )
    };
    let some = world.data(&query(4), json!({})).await;
    assert_eq!(
        some["calls"]["nodes"][0]["l3"]["nodes"].as_array().unwrap().len(),
        20
    );
    let (answer, peak) = peak(&world, world.answer(&query(12), json!({}))).await;
    assert_eq!(code(&answer), "RESPONSE_TOO_LARGE", "{}", answer["errors"][0]);
    assert!(peak < 140 << 20, "{} MiB", peak >> 20);
}

#[tokio::test]
async fn where_much_fails_the_answer_fails_as_a_whole() {
    let world = full_of_texts().await;
    let query = |first: usize| {
        format!(
            "{{ calls(first: {first}) {{ nodes {{ {} }} }} }}",
            aliases("errorMessage", 30)
        )
    };
    // 20 calls are 36 MB: some fields find no room.
    let some = world.answer(&query(20), json!({})).await;
    assert_eq!(code(&some), "RESPONSE_TOO_LARGE");
    assert_eq!(some["data"]["calls"]["nodes"].as_array().unwrap().len(), 20);
    // 60 calls are 108 MB: more than a thousand fields find none.
    let all = world.answer(&query(60), json!({})).await;
    assert_eq!(
        (all.get("data"), code(&all)),
        (None, &json!("RESPONSE_TOO_LARGE")),
        "{}",
        all["errors"]
    );
    assert_eq!(all["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_takes_its_bytes_from_the_budget_while_it_is_built() {
    let world = full_of_texts().await;
    let query = "{ calls(first: 60) { nodes { a: errorMessage b: errorMessage } } }";
    let room = 8 << 20;
    let taken = world.store.memory().limit() - world.store.memory().used() - room;
    let others = world.store.memory().try_reserve(taken).unwrap();
    let answer = world.answer(query, json!({})).await;
    assert_eq!(code(&answer), "RESOURCE_EXHAUSTED", "{}", answer["errors"][0]);
    drop(others);
    world.data(query, json!({})).await;
}

#[tokio::test]
async fn menus_cost_what_they_may_have() {
    let world = World::new().await;
    let lists: String = "servers tools methods httpStatuses outcomes countries clients"
        .split(' ')
        .map(|list| format!("{list} {{ value count }} "))
        .collect();
    let answer = world
        .answer(&format!("{{ facets {{ {lists} }} }}"), json!({}))
        .await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    let cost = answer["extensions"]["cost"]["complexity"].as_u64();
    assert!(cost.unwrap() > 7 * 2_000, "{cost:?}");
}

#[tokio::test]
async fn what_is_asked_is_held_while_it_is_answered() {
    let world = World::new().await;
    world.write([call(1)]).await;
    let memory = world.store.memory();
    let before = memory.used();
    let filter = json!({"tools": vec!["t".repeat(1_000); 200]});
    let mut socket = world.follow(None, filter, 10).await;
    assert_eq!(socket.event().await["__typename"], "CaughtUp");
    let held = memory.used() - before;
    // It is parsed, and kept by those who compare calls with it.
    assert!(held >= 4 * 200_000, "{held} bytes");
    let taken = memory.limit() - memory.used() - 1_000_000;
    let others = memory.try_reserve(taken).unwrap();
    let mut second = world
        .follow(None, json!({"tools": vec!["t".repeat(1_000); 200]}), 10)
        .await;
    let refused = second.receive().await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"], "RESOURCE_EXHAUSTED",
        "{refused}"
    );
    drop(others);
    drop((socket, second));
    for _ in 0..500 {
        if memory.used() <= before + (64 << 10) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes are still held", memory.used() - before);
}

#[tokio::test]
async fn long_json_is_passed_on_whole() {
    let world = World::new().await;
    let body = format!("{{\"text\":\"{}\",\"number\":1.10}}", "x".repeat(300_000));
    let cut = "{\"text\":\"".to_owned() + &"x".repeat(300_000);
    world
        .write([Call {
            request: Some(Payload::whole(body.clone())),
            response: Some(Payload::whole(cut)),
            attributes: Map::from_iter([("long".to_owned(), json!("y".repeat(60_000)))]),
            ..call(1)
        }])
        .await;
    let request = world
        .client
        .post(world.url())
        .json(&json!({"query": "{ calls { nodes { request { json } response { json } attributes } } }"}));
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains(&body), "the same bytes");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let node = &answer["data"]["calls"]["nodes"][0];
    assert_eq!(node["response"]["json"], Value::Null);
    assert_eq!(node["attributes"]["long"].as_str().unwrap().len(), 60_000);
}

/// Bytes in hexadecimal that no compression makes small.
fn noise(number: u64) -> String {
    let mut state = number;
    let words = (0..256).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    });
    words.collect()
}

#[tokio::test]
async fn damage_that_a_query_comes_upon_is_told_by_readiness() {
    let world = World::new().await;
    world
        .write((1..=400).map(|number| Call {
            request: Some(Payload::whole(noise(number))),
            ..call(number)
        }))
        .await;
    // Closing moves everything from the log into the file.
    let world = World::over(world.close().await, Limits::default()).await;
    // The pages are sound when the file is opened.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(world.store.ready().await.is_ok());
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(world.file())
        .unwrap();
    let length = file.metadata().unwrap().len();
    let zeros = vec![0; usize::try_from(length / 2).unwrap()];
    std::os::unix::fs::FileExt::write_all_at(&file, &zeros, length - length / 2).unwrap();
    let query = "{ calls(first: 200) { nodes { request { text } } } }";
    let (code, message) = world.error(query, json!({})).await;
    assert_eq!(code, "INTERNAL");
    assert!(message.contains("damaged"), "{message}");
    for _ in 0..2 {
        // An answer that is younger is given again.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = world.store.ready().await.unwrap_err();
        let damage = told.iter().find(|told| told.check == "schema");
        assert!(
            damage.is_some_and(|damage| damage.reason.contains("damaged")),
            "{told:?}"
        );
    }
}
