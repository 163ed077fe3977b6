//! The newest calls, then each new one as it is stored, through restarts of the server and lost connections.
//!
//! ```sh
//! cargo run --example tail -- [http://127.0.0.1:6278/graphql]
//! ```
//!
//! The stream is GraphQL over Server-Sent Events. Needs `anyhow`, `reqwest` with `json`, `serde_json` and `tokio`.

use std::time::Duration;

use anyhow::bail;
use reqwest::header::ACCEPT;
use reqwest::{Client, Response};
use serde_json::{Value, json};

const PAGE: &str =
    "query ($first: Int!) { calls(first: $first) { nodes { startedAt outcome method target } liveCursor } }";
const FEED: &str = "subscription ($after: String!) { calls(after: $after) {
    ... on CallsAdded { cursor edges { node { startedAt outcome method target } } }
    ... on CallsUpdated { cursor edges { node { startedAt outcome method target } } }
    ... on CaughtUp { cursor }
} }";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:6278/graphql".to_owned());
    // Comments keep a silent stream alive: when even they stay away, the connection is lost.
    let client = Client::builder().read_timeout(Duration::from_secs(60)).build()?;

    let answer = ask(
        &client,
        &url,
        "application/graphql-response+json",
        PAGE,
        json!({"first": 10}),
    )
    .await?;
    let mut calls = data_of(answer.json().await?)?;
    // A page has the newest first.
    for call in calls["nodes"].as_array().into_iter().flatten().rev() {
        show(call);
    }
    // All that there is to remember: with it, nothing is missed and nothing comes twice.
    let mut cursor = calls["liveCursor"].take();
    loop {
        if let Ok(mut stream) = ask(&client, &url, "text/event-stream", FEED, json!({"after": cursor})).await
        {
            let mut buffer = Vec::new();
            while let Some(data) = next_event(&mut stream, &mut buffer).await {
                let mut event = data_of(serde_json::from_str(&data)?)?;
                for edge in event["edges"].as_array().into_iter().flatten() {
                    show(&edge["node"]);
                }
                cursor = event["cursor"].take();
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn ask(
    client: &Client,
    url: &str,
    accept: &str,
    query: &str,
    variables: Value,
) -> reqwest::Result<Response> {
    let request = client.post(url).header(ACCEPT, accept);
    request
        .json(&json!({"query": query, "variables": variables}))
        .send()
        .await
}

/// The calls of an answer. An answer with errors is the fault of what was asked: trying again does not help.
fn data_of(mut answer: Value) -> anyhow::Result<Value> {
    if let Some(error) = answer["errors"].get(0) {
        bail!("{}", error["message"].as_str().unwrap_or_default());
    }
    Ok(answer["data"]["calls"].take())
}

/// The data of the next event; `None` when the stream ends or breaks.
async fn next_event(stream: &mut Response, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = buffer.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event).into_owned();
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .collect();
            let data = data
                .iter()
                .map(|line| line.trim_start())
                .collect::<Vec<_>>()
                .join("\n");
            if !data.is_empty() {
                return Some(data);
            }
        }
        buffer.extend_from_slice(&stream.chunk().await.ok()??);
    }
}

#[expect(clippy::print_stdout, reason = "showing the calls is what it is for")]
fn show(call: &Value) {
    let text = |field: &str| call[field].as_str().unwrap_or_default();
    println!(
        "{} {} {} {}",
        text("startedAt"),
        text("outcome"),
        text("method"),
        text("target")
    );
}
