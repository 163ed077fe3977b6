//! `/graphql` as a WebSocket: the `graphql-transport-ws` protocol, server side.
//!
//! One task serves a connection. It takes the next answer of its operations only when the client has taken the last,
//! so a slow client holds back its own subscriptions and nothing piles up. The engine's own implementation is not
//! used because it neither pings nor says goodbye, answers misuse with other close codes than the protocol's, and
//! sets no bound on operations.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use async_graphql::{Request, Response, ServerError};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, SplitSink, SplitStream, abortable};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::router::refuse;
use crate::{Schema, document};

/// The only protocol spoken.
const PROTOCOL: &str = "graphql-transport-ws";
/// How large a message of a client may be, in bytes.
const MAX_MESSAGE: usize = 1024 * 1024;
/// How much is read from a client at once, in bytes. Clients say little, and every connection keeps as much ready.
const READ_BUFFER: usize = 4 * 1024;
/// How many operations may run on one connection.
const MAX_OPERATIONS: usize = 100;
/// How long a client may take to say `connection_init`.
const INIT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to take a message.
const SEND_PATIENCE: Duration = Duration::from_secs(60);
/// How often silence is broken; a client that is silent twice that long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may take to hang up after goodbye was said.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);
/// How much of a reason fits into a close frame, in bytes.
const MAX_REASON: usize = 123;

/// Becomes a WebSocket, if the client speaks the protocol.
pub(crate) fn upgrade(
    upgrade: WebSocketUpgrade,
    schema: Schema,
    shutdown: CancellationToken,
) -> axum::response::Response {
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the only WebSocket protocol spoken here is {PROTOCOL}");
        return refuse(StatusCode::BAD_REQUEST, &message).into_response();
    }
    upgrade.on_upgrade(move |socket| serve(socket, schema, shutdown))
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromClient {
    ConnectionInit {},
    Subscribe { id: String, payload: Box<Request> },
    Complete { id: String },
    Ping { payload: Option<serde_json::Value> },
    Pong {},
}

/// What is said to it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToClient<'a> {
    ConnectionAck,
    Next {
        id: &'a str,
        payload: &'a Response,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<serde_json::Value>,
    },
}

/// Why a connection ends.
enum End {
    /// We say so, with one of the protocol's codes.
    Close(u16, String),
    /// The client said goodbye.
    Left,
    /// The client is gone.
    Gone,
}

/// An operation's next answer, or its end.
struct Answer {
    id: String,
    /// Tells an operation from an earlier one of the same id.
    serial: u64,
    response: Option<Response>,
}

struct Operation {
    serial: u64,
    abort: AbortHandle,
}

struct Connection {
    sink: SplitSink<WebSocket, Message>,
    schema: Schema,
    shutdown: CancellationToken,
    acknowledged: bool,
    /// By the id that the client gave.
    operations: HashMap<String, Operation>,
    /// Their answers, whichever is ready first.
    answers: SelectAll<BoxStream<'static, Answer>>,
    serial: u64,
}

async fn serve(socket: WebSocket, schema: Schema, shutdown: CancellationToken) {
    let (sink, mut incoming) = socket.split();
    let mut connection = Connection {
        sink,
        schema,
        shutdown,
        acknowledged: false,
        operations: HashMap::new(),
        answers: SelectAll::new(),
        serial: 0,
    };
    let Err(end) = connection.talk(&mut incoming).await;
    // Whether the client hears it makes no difference any more.
    let _ = timeout(GOODBYE_PATIENCE, connection.part(end, incoming)).await;
}

impl Connection {
    /// Tells the client why, and waits until it has hung up too: a connection that is dropped with messages unread
    /// takes the reason with it.
    async fn part(mut self, end: End, mut incoming: SplitStream<WebSocket>) {
        let frame = match end {
            End::Close(code, mut reason) => {
                reason.truncate(reason.floor_char_boundary(MAX_REASON));
                Some(CloseFrame {
                    code,
                    reason: reason.into(),
                })
            }
            End::Left => None,
            End::Gone => return,
        };
        let said = match frame {
            Some(frame) => self.sink.send(Message::Close(Some(frame))).await,
            None => self.sink.close().await,
        };
        if said.is_ok() {
            while let Some(Ok(_)) = incoming.next().await {}
        }
    }

    async fn talk(&mut self, incoming: &mut SplitStream<WebSocket>) -> Result<Infallible, End> {
        let init = sleep(INIT_PATIENCE);
        tokio::pin!(init);
        let mut beat = interval(PING_EVERY);
        let mut heard = true;
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                // In this order: where the store is closing too, goodbye comes before the end of its feeds.
                biased;
                () = shutdown.cancelled() => return Err(going_away()),
                () = &mut init, if !self.acknowledged => {
                    return Err(End::Close(4408, "Connection initialisation timeout".into()));
                }
                _ = beat.tick() => {
                    if !std::mem::replace(&mut heard, false) {
                        return Err(End::Gone);
                    }
                    self.put(Message::Ping(Default::default())).await?;
                }
                message = incoming.next() => {
                    heard = true;
                    match message {
                        Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await?,
                        Some(Ok(Message::Binary(_))) => return Err(End::Close(4400, "messages are text".into())),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_))) => return Err(End::Left),
                        Some(Err(_)) | None => return Err(End::Gone),
                    }
                }
                Some(answer) = self.answers.next(), if !self.answers.is_empty() => self.pass_on(answer).await?,
            }
        }
    }

    async fn hear(&mut self, text: &str) -> Result<(), End> {
        match serde_json::from_str(text) {
            Ok(FromClient::ConnectionInit {}) if self.acknowledged => {
                Err(End::Close(4429, "Too many initialisation requests".into()))
            }
            Ok(FromClient::ConnectionInit {}) => {
                self.acknowledged = true;
                self.say(&ToClient::ConnectionAck).await
            }
            Ok(FromClient::Subscribe { .. }) if !self.acknowledged => {
                Err(End::Close(4401, "Unauthorized".into()))
            }
            Ok(FromClient::Subscribe { id, payload }) => self.begin(id, *payload),
            Ok(FromClient::Complete { id }) => {
                self.forget(&id);
                Ok(())
            }
            Ok(FromClient::Ping { payload }) => self.say(&ToClient::Pong { payload }).await,
            Ok(FromClient::Pong {}) => Ok(()),
            Err(error) => Err(End::Close(4400, format!("Invalid message: {error}"))),
        }
    }

    fn begin(&mut self, id: String, request: Request) -> Result<(), End> {
        if self.operations.contains_key(&id) {
            return Err(End::Close(4409, format!("Subscriber for {id} already exists")));
        }
        if self.operations.len() >= MAX_OPERATIONS {
            return Err(End::Close(
                4429,
                format!("Too many operations: at most {MAX_OPERATIONS} on a connection"),
            ));
        }
        self.serial += 1;
        let serial = self.serial;
        let (responses, abort) = abortable(document::stream(&self.schema, request));
        self.operations.insert(id.clone(), Operation { serial, abort });
        let ended = futures_util::stream::once(std::future::ready(None));
        let answers = responses.map(Some).chain(ended);
        self.answers.push(
            answers
                .map(move |response| Answer {
                    id: id.clone(),
                    serial,
                    response,
                })
                .boxed(),
        );
        Ok(())
    }

    /// What was refused is an error and ends the operation; what failed halfway is data with errors.
    async fn pass_on(&mut self, Answer { id, serial, response }: Answer) -> Result<(), End> {
        if self
            .operations
            .get(&id)
            .is_none_or(|operation| operation.serial != serial)
        {
            return Ok(());
        }
        match response {
            Some(response) if document::refused(&response) => {
                self.forget(&id);
                self.say(&ToClient::Error {
                    id: &id,
                    payload: &response.errors,
                })
                .await
            }
            Some(response) => {
                self.say(&ToClient::Next {
                    id: &id,
                    payload: &response,
                })
                .await
            }
            None => {
                self.forget(&id);
                self.say(&ToClient::Complete { id: &id }).await
            }
        }
    }

    fn forget(&mut self, id: &str) {
        if let Some(operation) = self.operations.remove(id) {
            operation.abort.abort();
        }
    }

    async fn say(&mut self, message: &ToClient<'_>) -> Result<(), End> {
        let text = serde_json::to_string(message)
            .map_err(|error| End::Close(1011, format!("an answer could not be written: {error}")))?;
        self.put(Message::Text(text.into())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), End> {
        tokio::select! {
            () = self.shutdown.cancelled() => Err(going_away()),
            sent = timeout(SEND_PATIENCE, self.sink.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(End::Gone),
            },
        }
    }
}

/// Clients take this code for a reason to connect again.
fn going_away() -> End {
    End::Close(1001, "the server is going away".into())
}
