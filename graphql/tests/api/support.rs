//! A store that vanishes with the test, calls to put into it, and clients of both transports.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use mcptap_graphql::{Limits, Options, router, schema};
use mcptap_model::{
    Batch, Call, Evidence, LogLine, Observation, Origin, Payload, SessionKey, SessionSource, SpanId, TraceId,
    Transport, UnixNanos, testing,
};
use mcptap_store::{Store, Writer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_348_800_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// A running API over an empty store.
pub(crate) struct World {
    pub(crate) writer: Writer,
    pub(crate) store: Store,
    pub(crate) shutdown: CancellationToken,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::over(tempfile::tempdir().unwrap(), limits).await
    }

    /// Over what `test.db` in the directory holds.
    pub(crate) async fn over(directory: tempfile::TempDir, limits: Limits) -> Self {
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("test.db").display());
        let options = mcptap_store::Options {
            retention: None,
            ..Default::default()
        };
        let (writer, store) = mcptap_store::open(&url, options).await.unwrap();
        Self::serve(writer, store, directory, limits).await
    }

    /// Closes the store; gives the directory of its file.
    pub(crate) async fn close(self) -> tempfile::TempDir {
        drop(self.writer);
        self.store.close().await;
        self._directory
    }

    /// The store's file.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        self._directory.path().join("test.db")
    }

    /// Another server over the same store.
    pub(crate) async fn again(self) -> Self {
        Self::serve(self.writer, self.store, self._directory, Limits::default()).await
    }

    async fn serve(writer: Writer, store: Store, directory: tempfile::TempDir, limits: Limits) -> Self {
        let shutdown = CancellationToken::new();
        let options = Options {
            allowed_origins: vec!["https://ui.example.org".into()],
            limits,
            local: true,
            gate: Some(store.gate().clone()),
            shutdown: shutdown.clone(),
            ..Options::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router(schema(store.clone()), options)).into_future());
        Self {
            writer,
            store,
            shutdown,
            address,
            client: reqwest::Client::new(),
            _directory: directory,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// The same with parameters.
    pub(crate) fn url_with(&self, parameters: &[(&str, &str)]) -> reqwest::Url {
        reqwest::Url::parse_with_params(&self.url(), parameters).unwrap()
    }

    pub(crate) async fn write(&self, calls: impl IntoIterator<Item = Call>) {
        self.write_batch(calls, Vec::new()).await;
    }

    pub(crate) async fn write_batch(&self, calls: impl IntoIterator<Item = Call>, logs: Vec<LogLine>) {
        let observations = calls
            .into_iter()
            .map(|call| Observation {
                call,
                links: Vec::new(),
            })
            .collect();
        self.writer
            .write(Batch {
                observations,
                logs,
                ..Batch::default()
            })
            .await
            .unwrap();
    }

    /// The whole answer.
    pub(crate) async fn answer(&self, query: &str, variables: Value) -> Value {
        let request = self
            .client
            .post(self.url())
            .json(&json!({"query": query, "variables": variables}));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The data of an answer without errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.answer(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].take()
    }

    /// The first error's code and message.
    pub(crate) async fn error(&self, query: &str, variables: Value) -> (String, String) {
        let answer = self.answer(query, variables).await;
        let error = answer["errors"]
            .get(0)
            .unwrap_or_else(|| panic!("no error: {query}: {answer}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&error["extensions"]["code"]), text(&error["message"]))
    }

    /// A WebSocket after `connection_init`.
    pub(crate) async fn connect(&self) -> Socket {
        let mut socket = self.open().await;
        socket.send(json!({"type": "connection_init"})).await;
        assert_eq!(socket.receive().await, json!({"type": "connection_ack"}));
        socket
    }

    /// A WebSocket before `connection_init`.
    pub(crate) async fn open(&self) -> Socket {
        let mut request = format!("ws://{}/graphql", self.address)
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (stream, response) = connect_async(request).await.unwrap();
        assert_eq!(
            response.headers()["sec-websocket-protocol"],
            "graphql-transport-ws"
        );
        Socket(stream)
    }

    /// The live feed of all calls.
    pub(crate) async fn follow(&self, after: Option<&str>, filter: Value, batch_size: i32) -> Socket {
        let mut socket = self.connect().await;
        let variables = json!({"after": after, "filter": filter, "batchSize": batch_size});
        socket
            .send(json!({"type": "subscribe", "id": "1", "payload": {"query": FEED, "variables": variables}}))
            .await;
        socket
    }
}

const FEED: &str = "subscription ($after: String, $filter: CallFilter, $batchSize: Int) {
    calls(after: $after, filter: $filter, batchSize: $batchSize) {
        __typename
        ... on CallsAdded { cursor edges { cursor node { spanId requestId request { text } } } }
        ... on CallsUpdated { cursor edges { cursor node { spanId requestId request { text } } } }
        ... on CaughtUp { cursor }
    }
}";

/// A client of `graphql-transport-ws`.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message, or the close frame as `{"code", "reason"}`.
    pub(crate) async fn receive(&mut self) -> Value {
        let wait = std::time::Duration::from_secs(20);
        loop {
            match tokio::time::timeout(wait, self.0.next())
                .await
                .expect("an answer in time")
            {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return json!({"code": u16::from(frame.code), "reason": frame.reason.as_str()});
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next event of [`World::follow`].
    pub(crate) async fn event(&mut self) -> Value {
        let mut message = self.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        assert_eq!(message["payload"].get("errors"), None, "{message}");
        message["payload"]["data"]["calls"].take()
    }

    pub(crate) async fn close(mut self) {
        self.0
            .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            }))
            .await
            .unwrap();
    }
}

pub(crate) fn span(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

pub(crate) fn trace(number: u64) -> TraceId {
    TraceId::from_bytes(&(u128::from(number) | 1 << 100).to_be_bytes()).unwrap()
}

/// Call number `number`, a second after the one before it, with only what every call has.
pub(crate) fn call(number: u64) -> Call {
    let started_at = UnixNanos(NOON + number as i64 * SECOND);
    Call {
        origin: Arc::new(Origin {
            scope: "demo".into(),
            ..Origin::default()
        }),
        server: Some("shop".into()),
        started_at,
        duration_nanos: 1_500_000,
        received_at: started_at.plus(2 * SECOND),
        request_id: Some(number.to_string()),
        ..testing::call(trace(number), span(number))
    }
}

/// A call with everything that a call can have.
pub(crate) fn full_call(number: u64) -> Call {
    let origin = Origin {
        service: Some("shop-service".into()),
        instance: Some("1".into()),
        scope: "demo".into(),
        scope_version: Some("0.1".into()),
        resource: serde_json::Map::from_iter([("service.name".to_owned(), json!("shop-service"))]),
    };
    let request = r#"{"method":"tools/call","params":{"name":"buy","arguments":{"id":9007199254740993}}}"#;
    Call {
        parent_span_id: Some(span(99)),
        origin: Arc::new(origin),
        tool: Some("buy".into()),
        evidence: Evidence {
            failed: true,
            tool_error: true,
            ..Evidence::default()
        },
        http_status: Some(200),
        error_type: Some("tool_error".into()),
        error_message: Some("sold out".into()),
        stack_trace: Some("at buy".into()),
        started_at: UnixNanos(NOON + 123_456_789),
        session_id: Some("s-1".into()),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: "s-1".into(),
        }),
        protocol_version: Some("2025-11-25".into()),
        transport: Some(Transport::StreamableHttp),
        client_name: Some("agent".into()),
        client_version: Some("2.0".into()),
        client_ip: Some("203.0.113.7".into()),
        country: Some("NL".into()),
        authorization: Some("Bearer eyJ…".into()),
        user_agent: Some("agent/2.0".into()),
        request: Some(Payload::whole(request.into())),
        response: Some(Payload {
            text: "{\"isErr".into(),
            bytes: 3_000_000_000,
            truncated: true,
            redacted: true,
        }),
        attributes: serde_json::Map::from_iter([("big".to_owned(), json!(18_446_744_073_709_551_615_u64))]),
        ..call(number)
    }
}

/// A line written during call `number`.
pub(crate) fn log_line(number: u64, body: &str, offset_nanos: i64) -> LogLine {
    LogLine {
        trace_id: trace(number),
        span_id: Some(span(number)),
        service: None,
        time: UnixNanos(NOON + offset_nanos),
        severity: "INFO".into(),
        body: body.into(),
        attributes: serde_json::Map::from_iter([("thread".to_owned(), json!(1))]),
    }
}
