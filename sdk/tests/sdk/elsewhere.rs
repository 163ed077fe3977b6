//! Answers that may come on another stream than that of their request, and clients that never come back for them. Time
//! is the test's own: nothing here waits.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use mcptap_model::semconv;
use mcptap_sdk::Watch;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use serde_json::{Value, json};
use tower_service::Service;

use crate::layer::call;
use crate::pooled::{Streams, answer, say, scripted};
use crate::support::{Spans, json_said, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an answer is waited for that may come elsewhere, and how much longer at most.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const ROUND: Duration = Duration::from_secs(20);
const GONE: &str = "the client went away before the answer";

struct Server {
    spans: Spans,
    streams: Streams,
    router: Router,
}

impl Server {
    /// With a session that has begun.
    async fn new() -> Self {
        let (spans, streams) = (Spans::new(), Streams::default());
        let router = scripted(&streams).layer(Watch::through(&spans.provider, None).layer());
        let server = Self {
            spans,
            streams,
            router,
        };
        let client = json!({"name": "c", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = server.post(&initialize).await;
        answer.into_body().collect().await.unwrap();
        server
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().call(request).await.unwrap()
    }

    async fn post(&self, message: &Value) -> Response<Body> {
        let request = Request::post("/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let request = match message["method"].as_str() {
            Some("initialize") => request,
            _ => request.header("mcp-session-id", "pool"),
        };
        self.send(request.body(Body::from(message.to_string())).unwrap())
            .await
    }

    /// Calls a tool; the stream of its answer.
    async fn ask(&self, id: u32, tool: &str) -> Body {
        let answer = self.post(&serde_json::from_str(&call(id, tool)).unwrap()).await;
        answer.into_body()
    }

    /// Opens a stream, after an event if there is one.
    async fn listen(&self, after: Option<&str>) -> Body {
        let request = Request::get("/mcp")
            .header("accept", "text/event-stream")
            .header("mcp-session-id", "pool");
        let request = match after {
            Some(event) => request.header("last-event-id", event),
            None => request,
        };
        self.send(request.body(Body::empty()).unwrap()).await.into_body()
    }

    /// Has the server say something on a stream, and reads it there.
    async fn say(&self, stream: &mut Body, name: &str, event: &str) {
        say(&self.streams, name, event);
        stream.frame().await.unwrap().unwrap();
    }

    fn ended(&self, name: &str) -> Vec<SpanData> {
        let mut all = self.spans.all();
        all.retain(|span| span.name == name);
        all
    }
}

/// Time passes, and what is due happens.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_comes_back_for_its_answer_has_gone() {
    let server = Server::new().await;
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", "id: e-1\ndata:\n\n").await;
    drop(stream);
    let gone = SystemTime::now();
    pass(PATIENCE - ROUND).await;
    assert!(server.ended("tools/call slow").is_empty());
    pass(2 * ROUND).await;
    let [span] = &server.ended("tools/call slow")[..] else {
        panic!("{:?}", server.spans.all())
    };
    assert_eq!(span.status, Status::error(GONE));
    assert_eq!(said(span, semconv::ERROR_TYPE).as_deref(), Some("closed"));
    // It was over when the client went, and not when that became certain.
    assert!(span.end_time <= gone);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_with_a_call_keeps_it_for_as_long_as_it_is_open() {
    let server = Server::new().await;
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", "id: e-1\ndata:\n\n").await;
    drop(stream);
    pass(PATIENCE / 2).await;
    let mut resumed = server.listen(Some("e-1")).await;
    pass(DAY).await;
    server.say(&mut resumed, "e-1", "id: e-2\ndata:\n\n").await;
    drop(resumed);
    pass(PATIENCE - ROUND).await;
    let mut resumed = server.listen(Some("e-2")).await;
    pass(HOUR).await;
    assert!(server.ended("tools/call slow").is_empty());
    server.say(&mut resumed, "e-2", &answer("slow")).await;
    let span = server.spans.named("tools/call slow").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": "slow"}));
    assert_eq!(said(&span, semconv::ERROR_TYPE), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_back_before_the_server_knows_that_it_was_away() {
    let server = Server::new().await;
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", "id: e-1\ndata:\n\n").await;
    let mut resumed = server.listen(Some("e-1")).await;
    drop(stream);
    pass(HOUR).await;
    assert!(server.ended("tools/call slow").is_empty());
    server.say(&mut resumed, "e-1", &answer("slow")).await;
    let span = server.spans.named("tools/call slow").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE), None);
    // And its stream ends like any other that goes on with a call.
    let mut stream = server.ask(2, "slower").await;
    server.say(&mut stream, "slower", "id: f-1\ndata:\n\n").await;
    let resumed = server.listen(Some("f-1")).await;
    drop(stream);
    drop(resumed);
    pass(PATIENCE + ROUND).await;
    let [span] = &server.ended("tools/call slower")[..] else {
        panic!("{:?}", server.spans.all())
    };
    assert_eq!(span.status, Status::error(GONE));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_other_things_keeps_no_call() {
    let server = Server::new().await;
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", "id: e-1\ndata:\n\n").await;
    let listening = server.listen(None).await;
    drop(stream);
    pass(PATIENCE + ROUND).await;
    assert_eq!(server.ended("tools/call slow").len(), 1);
    drop(listening);
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_answered_on_a_stream_however_long_it_takes() {
    let server = Server::new().await;
    let mut listening = server.listen(None).await;
    for (id, tool) in [(1, "accepted-one"), (2, "accepted-two")] {
        server.ask(id, tool).await.collect().await.unwrap();
    }
    pass(DAY).await;
    assert!(server.ended("tools/call accepted-one").is_empty());
    server.say(&mut listening, "GET", &answer("one")).await;
    let one = server.spans.named("tools/call accepted-one").await;
    assert_eq!(json_said(&one, semconv::RESPONSE_BODY), json!({"of": "one"}));
    drop(listening);
    let gone = SystemTime::now();
    pass(PATIENCE - ROUND).await;
    assert!(server.ended("tools/call accepted-two").is_empty());
    // A client that comes back in time has its answer still to come.
    let listening = server.listen(None).await;
    pass(HOUR).await;
    assert!(server.ended("tools/call accepted-two").is_empty());
    drop(listening);
    pass(PATIENCE + ROUND).await;
    let two = server.spans.named("tools/call accepted-two").await;
    assert_eq!(two.status, Status::error(GONE));
    assert!(two.end_time > gone);
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_with_no_stream_anywhere_is_not_called_failed() {
    let server = Server::new().await;
    server.ask(1, "accepted").await.collect().await.unwrap();
    let accepted = SystemTime::now();
    pass(PATIENCE + ROUND).await;
    let span = server.spans.named("tools/call accepted").await;
    assert_eq!(said(&span, semconv::ERROR_TYPE), None);
    let note = said(&span, semconv::RESPONSE_UNREADABLE).unwrap();
    assert!(note.contains("the stream on which its answer comes is not known"));
    assert!(span.end_time <= accepted);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_went_away_from_may_be_cancelled_still() {
    let server = Server::new().await;
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", "id: e-1\ndata:\n\n").await;
    drop(stream);
    pass(MINUTE).await;
    let params = json!({"requestId": 1, "reason": "enough"});
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    assert_eq!(server.post(&cancelled).await.status(), StatusCode::ACCEPTED);
    let span = server.spans.named("tools/call slow").await;
    assert_eq!(said(&span, semconv::OUTCOME).as_deref(), Some("cancelled"));
    assert_eq!(span.status, Status::error("enough"));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asks_on_a_stream_that_ended_is_waited_for_no_longer() {
    let server = Server::new().await;
    let asked = |id: &str| {
        let message =
            json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {"message": "?"}});
        format!("id: {id}\ndata: {message}\n\n")
    };
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", &asked("q-1")).await;
    server.say(&mut stream, "slow", &asked("q-2")).await;
    let mut listening = server.listen(None).await;
    server.say(&mut listening, "GET", &asked("q-3")).await;
    pass(HOUR).await;
    drop(stream);
    drop(listening);
    pass(MINUTE).await;
    let answered = json!({"jsonrpc": "2.0", "id": "q-2", "result": {"action": "accept"}});
    server.post(&answered).await;
    pass(PATIENCE).await;
    let spans = server.ended("elicitation/create");
    let mut ended: Vec<_> = spans
        .iter()
        .map(|span| {
            (
                said(span, semconv::JSONRPC_REQUEST_ID).unwrap(),
                span.status.clone(),
            )
        })
        .collect();
    ended.sort_by(|one, other| one.0.cmp(&other.0));
    let gone = Status::error(GONE);
    let expected = [("q-1", gone.clone()), ("q-2", Status::Unset), ("q-3", gone)];
    assert_eq!(ended, expected.map(|(id, status)| (id.to_owned(), status)));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_known_until_it_was_idle_for_a_day() {
    let server = Server::new().await;
    let client = async |tool: &str| {
        let mut stream = server.ask(1, tool).await;
        server.say(&mut stream, tool, &answer(tool)).await;
        drop(stream);
        let span = server.spans.named(&format!("tools/call {tool}")).await;
        said(&span, semconv::MCP_CLIENT_NAME)
    };
    pass(DAY - MINUTE).await;
    assert_eq!(client("soon").await.as_deref(), Some("c"));
    // An open stream is use.
    let listening = server.listen(None).await;
    pass(3 * DAY).await;
    drop(listening);
    pass(MINUTE).await;
    assert_eq!(client("late").await.as_deref(), Some("c"));
    pass(DAY + MINUTE).await;
    assert_eq!(client("too-late").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_began_before_anybody_watched_is_known_from_then_on() {
    let server = Server::new().await;
    // The time makes the session unknown, as a start of the observer does.
    pass(2 * DAY).await;
    let mut stream = server.ask(1, "slow").await;
    server.say(&mut stream, "slow", "id: e-1\ndata:\n\n").await;
    drop(stream);
    let mut resumed = server.listen(Some("e-1")).await;
    server.say(&mut resumed, "e-1", &answer("slow")).await;
    let span = server.spans.named("tools/call slow").await;
    assert_eq!(json_said(&span, semconv::RESPONSE_BODY), json!({"of": "slow"}));
}
