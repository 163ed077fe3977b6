//! `/graphql` as a WebSocket: the `graphql-transport-ws` protocol, server side.
//!
//! One task serves a connection. It takes the next answer of its operations only when the client has taken the last,
//! so a slow client holds back its own subscriptions and nothing piles up. The engine's own implementation is not
//! used because it neither pings nor says goodbye, answers misuse with other close codes than the protocol's, and
//! sets no bound on operations.

mod message;
mod standing;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, ready};
use std::io;
use std::time::Duration;

use async_graphql::ServerError;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, SplitSink, SplitStream, abortable, once};
use futures_util::{FutureExt, SinkExt, StreamExt};
use mcptap_store::Reservation;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite;
use tokio_util::sync::CancellationToken;

use crate::access::{Caller, Entry, Refused};
use crate::answer::Written;
use crate::ask::Ask;
use crate::engine::{Engine, Safety, refused};
use crate::error::Code;
use crate::limits::over;
use crate::resume::Place;
use crate::router::refuse;
pub use standing::Standing;

use message::{End, FromClient, ToClient, going_away, invalid, unwritten};

/// The only protocol spoken.
const PROTOCOL: &str = "graphql-transport-ws";
/// How much is read from a client at once, in bytes. Clients say little, and every connection keeps as much ready.
const READ_BUFFER: usize = 4 * 1024;
/// How long a client may take to take a message.
const SEND_PATIENCE: Duration = Duration::from_secs(60);
/// How often silence is broken; a client that is silent twice that long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may take to hang up after goodbye was said.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);
/// Permits for connections that wait to be hung up on while a message that is too large lies unread: each holds room for all
/// of it. The others are dropped at once, and may lose the reason.
static LINGERING: Semaphore = Semaphore::const_new(16);
/// The code of a close frame: a message is larger than any that is read.
const TOO_LARGE: u16 = 1009;
/// The code of a close frame: a message did not come whole in time ("policy violation").
const TOO_SLOW: u16 = 1008;
/// The code of a close frame: try again later (registry of close codes).
const TRY_AGAIN: u16 = 1013;
/// How much of a reason fits into a close frame, in bytes.
const MAX_REASON: usize = 123;

/// Becomes a WebSocket, if the client speaks the protocol.
pub(crate) fn upgrade(
    upgrade: WebSocketUpgrade,
    engine: Engine,
    entry: Entry,
    shutdown: CancellationToken,
) -> Response {
    let max_message = engine.limits().max_request();
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(max_message)
        .max_frame_size(max_message);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the only WebSocket protocol spoken here is {PROTOCOL}");
        let mut refusal = refuse(&Code::BadRequest.refusal(message));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return refusal;
    }
    let standing = match engine.memory() {
        Ok(memory) => Standing::new(memory),
        Err(refusal) => return refuse(&refusal),
    };
    let told = standing.clone();
    let mut answer = upgrade.on_upgrade(move |socket| serve(socket, engine, entry, standing, shutdown));
    answer.extensions_mut().insert(told);
    answer
}

/// An operation's next answer, or its end.
struct Answer {
    id: String,
    /// Tells an operation from an earlier one of the same id.
    serial: u64,
    response: Option<crate::answer::Answer>,
}

struct Operation {
    serial: u64,
    abort: AbortHandle,
}

struct Connection {
    sink: SplitSink<WebSocket, Message>,
    engine: Engine,
    shutdown: CancellationToken,
    entry: Entry,
    standing: Standing,
    /// Who it is, from `connection_init` on.
    caller: Option<Caller>,
    /// Ends when the caller may not stay.
    left: BoxFuture<'static, Refused>,
    /// By the id that the client gave.
    operations: HashMap<String, Operation>,
    /// Their answers, whichever is ready first; where several always are, each in turn.
    answers: SelectAll<BoxStream<'static, Answer>>,
    serial: u64,
    /// Room of the largest answer so far: the buffer that it was sent from stays as large.
    largest: Option<Reservation>,
}

async fn serve(
    socket: WebSocket,
    engine: Engine,
    entry: Entry,
    standing: Standing,
    shutdown: CancellationToken,
) {
    let (sink, mut incoming) = socket.split();
    let mut connection = Connection {
        sink,
        engine,
        shutdown,
        entry,
        standing,
        caller: None,
        left: pending().boxed(),
        operations: HashMap::new(),
        answers: SelectAll::new(),
        serial: 0,
        largest: None,
    };
    let Err(end) = connection.talk(&mut incoming).await;
    // Whether the client hears it makes no difference any more.
    let _ = timeout(GOODBYE_PATIENCE, connection.part(end, incoming)).await;
}

impl Connection {
    /// Tells the client why, and waits until it has hung up too: a connection that is dropped with messages unread
    /// takes the reason with it.
    async fn part(mut self, end: End, mut incoming: SplitStream<WebSocket>) {
        let unread = matches!(end, End::Close(TOO_LARGE, _));
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
            if unread && let Ok(_permit) = LINGERING.try_acquire() {
                // The rest of the message is never read, so its end is not seen.
                pending::<()>().await;
            }
        }
    }

    async fn talk(&mut self, incoming: &mut SplitStream<WebSocket>) -> Result<Infallible, End> {
        let init = sleep(self.engine.limits().init_timeout);
        tokio::pin!(init);
        // The first one after a while: until then nothing is said to whoever has not said who it is.
        let mut beat = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut heard = true;
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                // In this order: where the store is closing too, goodbye comes before the end of its feeds.
                biased;
                () = shutdown.cancelled() => return Err(going_away()),
                () = &mut init, if self.caller.is_none() => {
                    return Err(End::Close(4408, "Connection initialisation timeout".into()));
                }
                refused = &mut self.left => return Err(refused.into()),
                _ = beat.tick() => {
                    if !std::mem::replace(&mut heard, false) {
                        return Err(End::Gone);
                    }
                    if self.standing.is_overdue(std::time::Instant::now()) {
                        return Err(End::Close(TOO_SLOW, "the message did not come whole in time".into()));
                    }
                    self.put(Message::Ping(Default::default())).await?;
                }
                message = incoming.next() => {
                    heard = true;
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            let heard = self.hear(text.as_str()).await;
                            drop(text);
                            self.standing.took_message();
                            heard?;
                        }
                        Some(Ok(Message::Binary(_))) => return Err(End::Close(4400, "messages are text".into())),
                        Some(Ok(Message::Ping(said) | Message::Pong(said))) => self.standing.took_control(said.len()),
                        Some(Ok(Message::Close(_))) => return Err(End::Left),
                        Some(Err(error)) => return Err(self.too_large(&error).unwrap_or(End::Gone)),
                        None => return Err(End::Gone),
                    }
                }
                Some(answer) = self.answers.next(), if !self.answers.is_empty() => self.pass_on(answer).await?,
            }
        }
    }

    /// Why no more is read, if that is because there is too much: a message of too many bytes, or more than the listener
    /// takes from somebody who has not said who it is.
    fn too_large(&self, error: &axum::Error) -> Option<End> {
        let why = match error.source()?.downcast_ref()? {
            tungstenite::Error::Capacity(_) => {
                let max = self.engine.limits().max_request();
                format!("a message may have {max} bytes")
            }
            tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                if self.caller.is_some() {
                    let why = "there is no room for the message now; try again later";
                    return Some(End::Close(TRY_AGAIN, why.into()));
                }
                "too much was sent before connection_init".to_owned()
            }
            _ => return None,
        };
        Some(End::Close(TOO_LARGE, why))
    }

    async fn hear(&mut self, text: &str) -> Result<(), End> {
        let mut message: FromClient = serde_json::from_str(text).map_err(invalid)?;
        match message.kind.as_str() {
            "connection_init" => {
                let payload = message.object()?;
                if self.caller.is_some() {
                    return Err(End::Close(4429, "Too many initialisation requests".into()));
                }
                let payload: Option<serde_json::Value> = payload
                    .map(|payload| serde_json::from_str(payload.get()))
                    .transpose()
                    .map_err(invalid)?;
                let caller = self.entry.enter(payload.as_ref()).await?;
                self.left = ended(caller.clone()).boxed();
                self.engine = self.engine.on_behalf_of(caller.clone());
                self.caller = Some(caller);
                self.standing.entered();
                self.say(&ToClient::ConnectionAck).await
            }
            "subscribe" => {
                let id = message.id()?;
                let payload = message
                    .payload
                    .ok_or_else(|| invalid("\"subscribe\" needs a payload"))?;
                let ask = Ask::read(payload.get().as_bytes()).map_err(|refusal| invalid(refusal.message))?;
                if self.caller.is_none() {
                    return Err(End::Close(4401, "Unauthorized".into()));
                }
                self.begin(id, ask).await
            }
            "complete" => {
                let id = message.id()?;
                self.forget(&id);
                Ok(())
            }
            "ping" => {
                let payload = message.object()?;
                self.say(&ToClient::Pong { payload }).await
            }
            "pong" => message.object().map(drop),
            other => Err(invalid(format!("there is no message of type {other:?}"))),
        }
    }

    async fn begin(&mut self, id: String, ask: Ask) -> Result<(), End> {
        if self.operations.contains_key(&id) {
            return Err(End::Close(4409, format!("Subscriber for {id} already exists")));
        }
        let max = self.engine.limits().max_socket_operations;
        if self.operations.len() >= max {
            let limit = ("max_socket_operations", max);
            let message = "too many operations run on this connection; complete one first";
            let refusal = over(Code::TooManyOperations, limit, self.operations.len() + 1, message);
            let payload = &[refusal];
            return self.say(&ToClient::Error { id: &id, payload }).await;
        }
        self.serial += 1;
        let serial = self.serial;
        let engine = self.engine.clone();
        let responses = once(async move {
            match engine.prepare(ask, Safety::Any).await {
                Ok(prepared) => engine.answers(prepared, Place::default()),
                Err(refusal) => once(ready(refusal)).boxed(),
            }
        });
        let (responses, abort) = abortable(responses.flatten().boxed());
        self.operations.insert(id.clone(), Operation { serial, abort });
        self.standing.runs(self.operations.len());
        let answers = responses.map(Some).chain(once(ready(None)));
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

    /// A refusal is an error and ends the operation; a failure halfway is data with errors.
    async fn pass_on(&mut self, Answer { id, serial, response }: Answer) -> Result<(), End> {
        if self
            .operations
            .get(&id)
            .is_none_or(|operation| operation.serial != serial)
        {
            return Ok(());
        }
        match response {
            Some(response) if refused(&response) => {
                self.forget(&id);
                self.say(&ToClient::Error {
                    id: &id,
                    payload: &response.errors,
                })
                .await
            }
            Some(response) => match response.write().await {
                Ok(written) => self.hand_over(&id, written).await,
                Err(refusal) => self.end_with(&id, refusal).await,
            },
            None => {
                self.forget(&id);
                self.say(&ToClient::Complete { id: &id }).await
            }
        }
    }

    /// Sends an answer as it was written. Whoever sends it copies it once more, and keeps the room for the next.
    async fn hand_over(&mut self, id: &str, written: Written) -> Result<(), End> {
        let id_text = serde_json::to_string(id).map_err(unwritten)?;
        let before = format!(r#"{{"type":"next","id":{id_text},"payload":"#);
        let mut written = written.between(&before, "}");
        let bytes = written.len();
        let held = match written.room_for_copy() {
            Ok(held) => held,
            Err(refusal) => return self.end_with(id, refusal).await,
        };
        let text = Utf8Bytes::try_from(written.into_bytes()).map_err(unwritten)?;
        self.put(Message::Text(text)).await?;
        if let Some(mut held) = held
            && held.bytes() > 0
            && bytes > self.largest.as_ref().map_or(0, Reservation::bytes)
        {
            held.shrink_to(bytes);
            self.largest = Some(held);
        }
        Ok(())
    }

    async fn end_with(&mut self, id: &str, refusal: ServerError) -> Result<(), End> {
        self.forget(id);
        let payload = &[refusal];
        self.say(&ToClient::Error { id, payload }).await
    }

    fn forget(&mut self, id: &str) {
        if let Some(operation) = self.operations.remove(id) {
            operation.abort.abort();
            self.standing.runs(self.operations.len());
        }
    }

    async fn say(&mut self, message: &ToClient<'_>) -> Result<(), End> {
        let text = serde_json::to_string(message).map_err(unwritten)?;
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

async fn ended(caller: Caller) -> Refused {
    caller.ended().await
}
