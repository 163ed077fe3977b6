//! A small client of `graphql-transport-ws` with one subscription.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

/// A running subscription.
pub(crate) struct Events {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Where to resume: the cursor of the last event.
    pub(crate) cursor: Option<String>,
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server said goodbye, with this code.
    Closed(u16),
    /// The connection broke.
    Broken,
}

impl Events {
    /// Connects and subscribes.
    pub(crate) async fn open(
        address: SocketAddr,
        key: Option<&str>,
        query: &str,
        variables: Value,
    ) -> Result<Self, Ended> {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = connect_async(request).await.map_err(|_| Ended::Broken)?;
        let cursor = variables["after"].as_str().map(str::to_owned);
        let mut events = Self { socket, cursor };
        let init = match key {
            Some(key) => {
                json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {key}")}})
            }
            None => json!({"type": "connection_init"}),
        };
        events.send(init).await?;
        assert_eq!(events.receive().await?, json!({"type": "connection_ack"}));
        let payload = json!({"query": query, "variables": variables});
        events
            .send(json!({"type": "subscribe", "id": "1", "payload": payload}))
            .await?;
        Ok(events)
    }

    /// The next event: the field that was subscribed to.
    pub(crate) async fn next(&mut self) -> Value {
        self.try_next().await.unwrap()
    }

    /// The next event, or how it ended.
    pub(crate) async fn try_next(&mut self) -> Result<Value, Ended> {
        let mut message = self.receive().await?;
        assert_eq!(message["type"], "next", "{message}");
        assert_eq!(message["payload"].get("errors"), None, "{message}");
        let event = message["payload"]["data"]["calls"].take();
        self.cursor = event["cursor"].as_str().map(str::to_owned).or(self.cursor.take());
        Ok(event)
    }

    /// The next message, whatever it is.
    pub(crate) async fn message(&mut self) -> Value {
        self.receive().await.unwrap()
    }

    /// The next calls: what happened, and the nodes.
    pub(crate) async fn calls(&mut self) -> (String, Vec<Value>) {
        loop {
            let event = self.next().await;
            let kind = event["__typename"]
                .as_str()
                .expect("events are asked for their __typename")
                .to_owned();
            if kind != "CaughtUp" {
                return (kind, nodes(&event));
            }
        }
    }

    /// The calls of each event up to the end of history.
    pub(crate) async fn history(&mut self) -> Vec<(String, Vec<Value>)> {
        let mut history = Vec::new();
        loop {
            let event = self.next().await;
            match event["__typename"].as_str() {
                Some("CaughtUp") => return history,
                kind => history.push((kind.unwrap_or_default().to_owned(), nodes(&event))),
            }
        }
    }

    async fn send(&mut self, message: Value) -> Result<(), Ended> {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .map_err(|_| Ended::Broken)
    }

    async fn receive(&mut self) -> Result<Value, Ended> {
        let receiving = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(Some(frame)))) => {
                        // Reading on sends the answer to it, and ends when the server is gone.
                        let _end = self.socket.next().await;
                        return Err(Ended::Closed(frame.code.into()));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(_) | Err(_)) | None => return Err(Ended::Broken),
                }
            }
        };
        tokio::time::timeout(PATIENCE, receiving)
            .await
            .expect("an event in time")
    }
}

/// The calls of an event.
fn nodes(event: &Value) -> Vec<Value> {
    event["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| edge["node"].clone())
        .collect()
}
