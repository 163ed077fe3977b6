//! One connection of an rmcp server, read where its messages pass: between rmcp and the transport. So what rmcp answers by
//! itself is seen, and progress, log messages, cancellations and what the server asks its client.

mod spoken;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use mcptap_model::semconv;
use opentelemetry::{Context, KeyValue};
use rmcp::RoleServer;
use rmcp::model::{
    ClientNotification, ErrorData, Extensions, GetExtensions, JsonRpcMessage, JsonRpcRequest,
    ServerNotification, ServerRequest, ServerResult,
};
use rmcp::service::{OriginatingRequestId, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Serialize;

pub(crate) use spoken::{answered, asked, body_of, id_of, with_meta};

use crate::jsonrpc::{Id, Message};
use crate::layer::client_address;
use crate::observer::{Answering, Call, Carrier, Conversation, Ended, Key, Observer, Scope, Side};
use crate::span::Ending;

/// Methods whose answers say what holds for later requests.
const TELLING: [&str; 2] = ["initialize", "server/discover"];

/// What one connection of a server recorded.
pub(crate) struct Wire {
    observer: Observer,
    carrier: Carrier,
    conversation: Mutex<Conversation>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) fn new(observer: &Observer) -> Arc<Self> {
        Arc::new(Self {
            observer: observer.clone(),
            carrier: Carrier::pipe(),
            conversation: Mutex::new(Conversation::new(observer.clone())),
        })
    }

    fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's traffic must go on whatever happens here.
    fn guarded(act: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(act)).is_err() {
            tracing::error!("recording a message broke; the traffic goes on");
        }
    }

    /// The open request with this id, for who handles it, and the context to handle it in. `extensions`: what goes with it, and
    /// tells it from others with the same id.
    pub(crate) fn begin(&self, id: &Id, extensions: &Extensions) -> Option<(Key, Context)> {
        let mut conversation = self.conversation();
        let key = match extensions.get::<Key>() {
            Some(key) => *key,
            None => conversation.named(Side::Client, id)?,
        };
        let call = conversation.call_mut(key)?;
        call.is_handled = true;
        Some((key, call.context()))
    }

    /// The handler of a cancelled request has not answered in time.
    pub(crate) fn gave_up(&self, key: Key) {
        let mut conversation = self.conversation();
        let reason = conversation.call(key).and_then(|call| call.cancelled.clone());
        conversation.end(key, Ended::Cancelled, Ending::cancelled(reason.flatten()));
    }

    /// The handler of a cancelled request answered, and nobody sends that.
    pub(crate) fn answered_in_vain(&self, key: Key, answer: &mut Result<ServerResult, ErrorData>) {
        let cap = self.observer.cap();
        let mut conversation = self.conversation();
        let Some(call) = conversation.call(key) else {
            return;
        };
        call.set([KeyValue::new(semconv::OUTCOME, semconv::CANCELLED)]);
        let cap = call.keeps_bodies().then_some(cap);
        if let Some(said) = answered(answer.as_mut().map_err(|error| &*error), cap) {
            conversation.answer_key(key, &said);
        }
    }

    /// The handler panicked; the answer is still to come.
    pub(crate) fn panicked(&self, key: Key, said: Option<String>) {
        if let Some(call) = self.conversation().call_mut(key) {
            call.panicked(said);
        }
    }

    fn received(&self, message: &mut RxJsonRpcMessage<RoleServer>) {
        if !self.observer.is_on() {
            return;
        }
        match message {
            JsonRpcMessage::Request(asking) => self.asked(asking),
            JsonRpcMessage::Notification(told) => {
                if let ClientNotification::CancelledNotification(cancelled) = &told.notification {
                    let id = cancelled.params.request_id.as_ref().map(id_of);
                    let reason = cancelled.params.reason.clone();
                    if id.is_none_or(|id| !self.cancel_handled(&id, reason)) {
                        self.told(Side::Client, message);
                    }
                }
            }
            JsonRpcMessage::Response(answer) => {
                let id = id_of(&answer.id);
                self.answered_by_client(&id, message);
            }
            JsonRpcMessage::Error(answer) => {
                if let Some(id) = answer.id.as_ref().map(id_of) {
                    self.answered_by_client(&id, message);
                }
            }
        }
    }

    /// Notes that a request was cancelled, if it is handled: its handler is told, and may answer yet.
    fn cancel_handled(&self, id: &Id, reason: Option<String>) -> bool {
        let mut conversation = self.conversation();
        let key = conversation.named(Side::Client, id);
        let call = key.and_then(|key| conversation.call_mut(key));
        let Some(call) = call.filter(|call| call.is_handled) else {
            return false;
        };
        call.cancelled = Some(reason);
        true
    }

    fn asked(&self, asking: &mut JsonRpcRequest<rmcp::model::ClientRequest>) {
        let JsonRpcRequest { id, request, .. } = asking;
        // Who the client is holds for later requests, which may be recorded.
        let is_telling = matches!(
            request,
            rmcp::model::ClientRequest::InitializeRequest(_) | rmcp::model::ClientRequest::DiscoverRequest(_)
        );
        if !is_telling && self.observer.is_idle() {
            return;
        }
        let Some(head) = asked(id, request) else { return };
        let of_http = request
            .extensions()
            .get::<Parts>()
            .map(|parts| Carrier::http_handled(parts, client_address(parts, &[])));
        let carrier = of_http.as_ref().unwrap_or(&self.carrier);
        let cap = self.observer.cap();
        let body = || body_of(request, cap);
        let mut conversation = self.conversation();
        let key = conversation.take_request(Side::Client, &head, carrier, Scope::Only, body);
        drop(conversation);
        if let Some(key) = key {
            request.extensions_mut().insert(key);
        }
    }

    /// Takes a message as it is, whole.
    fn told(&self, from: Side, message: &impl Serialize) {
        if let Some(said) = Message::of(message, self.observer.cap()) {
            self.conversation().take(from, &said, &self.carrier, Scope::Only);
        }
    }

    fn answered_by_client(&self, id: &Id, message: &impl Serialize) {
        let asked = self.conversation().named(Side::Server, id);
        if asked.is_some() {
            self.told(Side::Client, message);
        }
    }

    /// Reads what is about to be sent. Returns the request that it answers: how that ends is known when it was sent.
    fn sending(&self, message: &mut TxJsonRpcMessage<RoleServer>) -> Option<Answering> {
        if !self.observer.is_on() {
            return None;
        }
        match message {
            JsonRpcMessage::Response(answer) => {
                let id = id_of(&answer.id);
                return self.answered(&id, Ok(&mut answer.result));
            }
            JsonRpcMessage::Error(answer) => {
                let id = answer.id.as_ref().map(id_of)?;
                return self.answered(&id, Err(&answer.error));
            }
            JsonRpcMessage::Request(asking) => self.asked_back(asking),
            JsonRpcMessage::Notification(told) => {
                let is_about_calls = matches!(
                    &told.notification,
                    ServerNotification::ProgressNotification(_)
                        | ServerNotification::LoggingMessageNotification(_)
                        | ServerNotification::CancelledNotification(_)
                );
                if is_about_calls && self.conversation().records_any() {
                    self.told(Side::Server, message);
                }
            }
        }
        None
    }

    /// The answer to a request of the client.
    fn answered(&self, id: &Id, answer: Result<&mut ServerResult, &ErrorData>) -> Option<Answering> {
        let found = {
            let conversation = self.conversation();
            let key = conversation.named(Side::Client, id);
            key.and_then(|key| Some((key, conversation.call(key)?.reads_answer(&TELLING)?)))
        };
        let Some((key, keeps_body)) = found else {
            let mut conversation = self.conversation();
            if let Some(key) = conversation.named(Side::Client, id) {
                conversation.end(key, Ended::Answered, Ending::over());
            }
            return None;
        };
        let cap = keeps_body.then(|| self.observer.cap());
        let said = answered(answer, cap);
        let mut conversation = self.conversation();
        let Some(said) = said else {
            conversation.end(key, Ended::Answered, Ending::over());
            return None;
        };
        conversation.begin_answer(key, &said)
    }

    /// The server asks its client.
    fn asked_back(&self, asking: &JsonRpcRequest<ServerRequest>) {
        if self.observer.is_idle() {
            return;
        }
        let within = asking.request.extensions().get::<OriginatingRequestId>();
        let context = within.and_then(|within| {
            let conversation = self.conversation();
            let key = conversation.named(Side::Client, &id_of(&within.0))?;
            conversation.call(key).map(Call::context)
        });
        let Some(said) = Message::of(asking, self.observer.cap()) else {
            return;
        };
        let mut carrier = self.carrier.clone();
        carrier.asked_in = context;
        self.conversation()
            .take(Side::Server, &said, &carrier, Scope::Only);
    }

    fn close(&self) {
        let mut conversation = self.conversation();
        conversation.close("the connection ended before the answer", Scope::Only);
        conversation.end_session();
    }
}

/// A transport whose messages are recorded as they pass.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    wire: Arc<Wire>,
}

impl<T> Watched<T> {
    pub(crate) fn new(inner: T, wire: Arc<Wire>) -> Self {
        Self { inner, wire }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Watched<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        mut item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let mut answering = None;
        Wire::guarded(|| answering = self.wire.sending(&mut item));
        let sending = self.inner.send(item);
        async move {
            let sent = sending.await;
            if let Some(answering) = answering {
                let failure = sent.as_ref().err().map(ToString::to_string);
                Wire::guarded(|| answering.end(failure.as_deref()));
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let mut received = self.inner.receive().await;
        if let Some(message) = &mut received {
            Wire::guarded(|| self.wire.received(message));
        }
        received
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        Wire::guarded(|| self.wire.close());
        self.inner.close().await
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        Wire::guarded(|| self.wire.close());
    }
}
