//! The newest calls, then each new one as it is stored, through restarts of the server and lost connections.
//!
//! ```sh
//! cargo run --example tail -- [http://127.0.0.1:6278/graphql]
//! ```
//!
//! The stream is GraphQL over Server-Sent Events. Needs `anyhow`, `reqwest` with `json`, `serde`, `serde_json` and `tokio`.

use std::time::Duration;

use anyhow::bail;
use reqwest::header::ACCEPT;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::{Value, json};

const PAGE: &str = "query ($first: Int!) {
    calls(first: $first) { nodes { startedAt outcome method target } liveCursor }
}";
const FEED: &str = "subscription ($after: String!) { calls(after: $after) {
    ... on CallsAdded { cursor edges { node { startedAt outcome method target } } }
    ... on CallsUpdated { cursor edges { node { startedAt outcome method target } } }
    ... on CaughtUp { cursor }
} }";

#[derive(Deserialize)]
struct Answer<T> {
    data: Option<Calls<T>>,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
    extensions: Extensions,
}

#[derive(Deserialize)]
struct Extensions {
    code: String,
}

#[derive(Deserialize)]
struct Calls<T> {
    calls: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    nodes: Vec<Call>,
    live_cursor: String,
}

#[derive(Deserialize)]
struct Event {
    cursor: String,
    #[serde(default)]
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    node: Call,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    started_at: String,
    outcome: String,
    method: String,
    target: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:6278/graphql".to_owned());
    // Comments keep a silent stream alive: when even they stay away, the connection is lost.
    let client = Client::builder().read_timeout(Duration::from_secs(60)).build()?;

    let media = "application/graphql-response+json";
    let answer = ask(&client, &url, media, PAGE, json!({"first": 10})).await?;
    let page: Page = data_of(answer.json().await?)?;
    // A page has the newest first.
    page.nodes.iter().rev().for_each(show);
    // All that there is to remember: with it, nothing is missed and nothing comes twice.
    let mut cursor = page.live_cursor;
    loop {
        let variables = json!({"after": cursor});
        if let Ok(mut stream) = ask(&client, &url, "text/event-stream", FEED, variables).await {
            let mut buffer = Vec::new();
            while let Some(data) = next_event(&mut stream, &mut buffer).await {
                let answer: Answer<Event> = serde_json::from_str(&data)?;
                // The server's database does not answer now: like a connection that is lost.
                let mut codes = answer.errors.iter().map(|problem| &problem.extensions.code);
                if codes.any(|code| code == "UNAVAILABLE") {
                    break;
                }
                let event = data_of(answer)?;
                event.edges.iter().for_each(|edge| show(&edge.node));
                cursor = event.cursor;
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
    let body = json!({"query": query, "variables": variables});
    let mut request = client.post(url).header(ACCEPT, accept).json(&body);
    // Needed where API keys exist: one with scope read, from `mcptap keys create`.
    if let Ok(key) = std::env::var("API_KEY") {
        request = request.bearer_auth(key);
    }
    request.send().await
}

/// An answer with errors is the fault of what was asked: trying again does not help.
fn data_of<T>(answer: Answer<T>) -> anyhow::Result<T> {
    match (answer.data, answer.errors.first()) {
        (Some(data), None) => Ok(data.calls),
        (_, Some(problem)) => bail!("{}", problem.message),
        (None, None) => bail!("an answer without data"),
    }
}

/// The data of the next event; `None` when the stream ends or breaks.
async fn next_event(stream: &mut Response, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = buffer.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            let data: String = event
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .collect();
            if !data.is_empty() {
                return Some(data);
            }
        }
        buffer.extend_from_slice(&stream.chunk().await.ok()??);
    }
}

#[expect(clippy::print_stdout, reason = "showing the calls is what it is for")]
fn show(call: &Call) {
    let target = call.target.as_deref().unwrap_or_default();
    println!("{} {} {} {target}", call.started_at, call.outcome, call.method);
}
