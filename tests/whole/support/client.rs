//! A client of all three ports, as any sender or reader of calls would be one.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::{Value, json};

use super::events::Ended;
use super::{Events, LogBuilder, PATIENCE, SpanBuilder, logs_request, traces_request};

/// The fields of the feed that tests look at.
const FEED: &str = "subscription ($after: String, $filter: CallFilter, $batchSize: Int) {
    calls(after: $after, filter: $filter, batchSize: $batchSize) {
        __typename
        ... on CallsAdded { cursor edges { node { ...seen } } }
        ... on CallsUpdated { cursor edges { node { ...seen } } }
        ... on CaughtUp { cursor }
    }
}
fragment seen on Call { id spanId traceId tool observedBy httpStatus requestId }";

/// Where a server is, and how to talk to it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    web: reqwest::Client,
    key: Option<String>,
    listen: SocketAddr,
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
}

/// Why an export was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Send it again after this delay.
    Later(Duration),
    /// Do not send it again.
    Never(String),
    /// There was no answer.
    Lost,
}

impl Client {
    pub(crate) fn new(listen: SocketAddr, otlp_grpc: SocketAddr, otlp_http: SocketAddr) -> Self {
        let web = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            web,
            key: None,
            listen,
            otlp_grpc,
            otlp_http,
        }
    }

    /// The same client with an API key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        let web = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .default_headers(headers)
            .build()
            .unwrap();
        Self {
            web,
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// Where the API is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// The key, if it has one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn otlp_http_url(&self) -> String {
        format!("http://{}", self.otlp_http)
    }

    pub(crate) fn otlp_grpc_url(&self) -> String {
        format!("http://{}", self.otlp_grpc)
    }

    /// The plain HTTP client.
    pub(crate) fn web(&self) -> &reqwest::Client {
        &self.web
    }

    /// Gets a page: its status and text.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self
            .web
            .get(format!("http://{}{path}", self.listen))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// One of the counters of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics").await;
        let name = format!("mcptap_{name}");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// The data of an answer without errors.
    pub(crate) async fn graphql(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.answer(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].take()
    }

    /// The first error of an answer: its code and message.
    pub(crate) async fn graphql_error(&self, query: &str, variables: Value) -> (String, String) {
        let answer = self.answer(query, variables).await;
        let error = &answer["errors"][0];
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("no error: {answer}"))
                .to_owned()
        };
        (text(&error["extensions"]["code"]), text(&error["message"]))
    }

    /// The whole answer.
    pub(crate) async fn answer(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        let answer = self
            .web
            .post(format!("http://{}/graphql", self.listen))
            .json(&body)
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    }

    /// These fields of all calls of a filter, oldest first.
    pub(crate) async fn calls(&self, filter: Value, fields: &str) -> Vec<Value> {
        let query = format!(
            "query ($filter: CallFilter, $before: String) {{ calls(filter: $filter, last: 500, before: $before) {{
                nodes {{ {fields} }} pageInfo {{ hasPreviousPage startCursor }} }} }}"
        );
        let (mut calls, mut before) = (Vec::new(), Value::Null);
        loop {
            let mut page = self
                .graphql(&query, json!({"filter": filter, "before": before}))
                .await["calls"]
                .take();
            calls.extend(page["nodes"].as_array().unwrap().iter().rev().cloned());
            before = page["pageInfo"]["startCursor"].take();
            if page["pageInfo"]["hasPreviousPage"] == false {
                return calls;
            }
        }
    }

    /// The span ids of all calls, sorted.
    pub(crate) async fn span_ids(&self) -> Vec<String> {
        let calls = self.calls(Value::Null, "spanId").await;
        sorted(
            calls
                .iter()
                .map(|call| call["spanId"].as_str().unwrap().to_owned()),
        )
    }

    /// Any subscription to calls.
    pub(crate) async fn subscribe(&self, query: &str, variables: Value) -> Events {
        Events::open(self.listen, self.key(), query, variables)
            .await
            .unwrap()
    }

    /// The feed from a cursor on, or from now on.
    pub(crate) async fn follow(&self, after: Option<&str>, filter: Value) -> Events {
        self.try_follow(after, filter).await.unwrap()
    }

    /// The feed, if there is anyone to give it.
    pub(crate) async fn try_follow(&self, after: Option<&str>, filter: Value) -> Result<Events, Ended> {
        Events::open(
            self.listen,
            self.key(),
            FEED,
            json!({"after": after, "filter": filter}),
        )
        .await
    }

    /// Exports spans over HTTP, and expects that all are stored.
    pub(crate) async fn export(&self, spans: impl IntoIterator<Item = SpanBuilder>) {
        self.send(&traces_request(spans)).await;
    }

    /// Sends an export over HTTP, and expects that all is stored.
    pub(crate) async fn send(&self, request: &ExportTraceServiceRequest) {
        let answer = self.try_send(request).await.unwrap();
        assert_eq!(answer.partial_success, None);
    }

    /// Sends an export over HTTP.
    pub(crate) async fn try_send(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, Refused> {
        let answer = self
            .post("/v1/traces", request.encode_to_vec())
            .await
            .map_err(|_| Refused::Lost)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.map_err(|_| Refused::Lost)?;
        match status {
            200 => Ok(ExportTraceServiceResponse::decode(body).unwrap()),
            429 | 503 => {
                let seconds = headers.get("retry-after").expect("Retry-After").to_str().unwrap();
                Err(Refused::Later(Duration::from_secs(seconds.parse().unwrap())))
            }
            _ => Err(Refused::Never(format!(
                "{status}: {}",
                String::from_utf8_lossy(&body)
            ))),
        }
    }

    /// Exports spans over gRPC, and expects that all are stored.
    pub(crate) async fn export_grpc(&self, spans: impl IntoIterator<Item = SpanBuilder>) {
        let answer = self
            .grpc()
            .await
            .export(traces_request(spans))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.partial_success, None);
    }

    /// A gRPC client for traces.
    pub(crate) async fn grpc(&self) -> TraceServiceClient<tonic::transport::Channel> {
        TraceServiceClient::connect(self.otlp_grpc_url()).await.unwrap()
    }

    /// Exports log records over HTTP, and expects that all are stored.
    pub(crate) async fn export_logs(&self, lines: impl IntoIterator<Item = LogBuilder>) {
        let answer = self
            .post("/v1/logs", logs_request(lines).encode_to_vec())
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let answer = ExportLogsServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
        assert_eq!(answer.partial_success, None);
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{path}", self.otlp_http_url());
        self.web
            .post(url)
            .header("content-type", "application/x-protobuf")
            .body(body)
            .send()
            .await
    }
}

/// In order.
pub(crate) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}
