//! Who asks: the one seam between transports and what may be asked.
//!
//! Every request passes [`admit`], which turns its headers into a [`Caller`]; a WebSocket may say who it is in
//! `connection_init` instead. The caller goes into the context of the request, and every root field takes its filter
//! from [`asked`], which narrows it to what this caller may see.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_graphql::{Context, Error};
use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use mcptap_model::{Access, CallFilter, Scope, credential};
use mcptap_store::{Actor, Attempts, Denied, Gate};
use serde_json::Value;

use crate::error::Code;
use crate::input::{CallFilterInput, filter};

/// The media type whose clients get it back.
const GRAPHQL: &str = "application/graphql-response+json";

/// Where callers come in.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// `None`: nobody is asked.
    pub(crate) gate: Option<Gate>,
    /// Whether only programs of this machine reach it.
    pub(crate) local: bool,
    /// Counts wrong keys.
    pub(crate) attempts: Attempts,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    access: Access,
    door: Door,
}

/// Why somebody was not let in, or may not stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not known who it is.
    Unknown(Denied),
    /// It is known, and may not.
    Forbidden,
    /// Too many wrong keys came from there; another may be tried after this time.
    TooMany(Duration),
}

impl Refused {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unknown(denied) => denied.to_string(),
            Self::Forbidden => "this API key may not read: it needs the scope read or admin".to_owned(),
            Self::TooMany(wait) => {
                format!(
                    "too many wrong API keys came from your address; try again in {} s",
                    wait.as_secs()
                )
            }
        }
    }

    /// The close code of a WebSocket.
    pub(crate) fn close_code(&self) -> u16 {
        match self {
            // "Try again later" (RFC 6455, registry of close codes).
            Self::Unknown(Denied::Unavailable) => 1013,
            Self::Unknown(_) | Self::TooMany(_) => 4401,
            Self::Forbidden => 4403,
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let (status, code, challenge) = match self {
            Self::Unknown(Denied::Missing) => (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "Bearer"),
            Self::Unknown(Denied::Unavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "Bearer")
            }
            Self::Unknown(_) | Self::TooMany(_) => (
                StatusCode::UNAUTHORIZED,
                Code::Unauthenticated,
                "Bearer error=\"invalid_token\"",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                Code::Forbidden,
                "Bearer error=\"insufficient_scope\", scope=\"read\"",
            ),
        };
        let errors = serde_json::json!({"errors": [code.refusal(self.message())]});
        let mut answer = (status, [(header::WWW_AUTHENTICATE, challenge)], Json(errors)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let soon = HeaderValue::from_static("1");
            answer.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        let accepts = headers.get_all(header::ACCEPT).iter();
        if accepts
            .filter_map(|value| value.to_str().ok())
            .any(|media| media.contains(GRAPHQL))
        {
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(GRAPHQL));
        }
        answer
    }
}

impl Door {
    async fn enter(&self, secret: Option<&str>) -> Result<Caller, Refused> {
        let access = match &self.gate {
            Some(gate) => gate.admit(secret).await.map_err(Refused::Unknown)?,
            None => Access::everything(),
        };
        if !access.may(Scope::Read) && !access.may(Scope::Admin) {
            return Err(Refused::Forbidden);
        }
        Ok(Caller {
            access,
            door: self.clone(),
        })
    }
}

/// How a WebSocket came: its door, and who it is if its headers said so.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    door: Door,
    caller: Option<Caller>,
    peer: Option<IpAddr>,
}

impl Entry {
    /// Who it is by the payload of `connection_init`, else by the headers.
    pub(crate) async fn enter(&self, payload: Option<&Value>) -> Result<Caller, Refused> {
        let said = |names: &[&str]| {
            let members = payload?.as_object()?;
            let member = members
                .iter()
                .find(|(name, _)| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)));
            member?.1.as_str()
        };
        let secret = credential(said(&["authorization"]), said(&["apiKey", "x-api-key"]));
        match &self.caller {
            Some(caller) if secret.is_none() => {
                caller.still().map_err(Refused::Unknown)?;
                Ok(caller.clone())
            }
            _ => {
                if let (Some(secret), Some(peer), Some(gate)) = (secret, self.peer, &self.door.gate) {
                    let held_back = self.door.attempts.hold_back(gate, peer, secret).await;
                    held_back.map_err(Refused::TooMany)?;
                }
                let entered = self.door.enter(secret).await;
                let wrong =
                    matches!(&entered, Err(Refused::Unknown(denied)) if *denied != Denied::Unavailable);
                if let (true, Some(_), Some(peer)) = (wrong, secret, self.peer) {
                    self.door.attempts.failed(peer).map_err(Refused::TooMany)?;
                }
                entered
            }
        }
    }
}

/// Lets a request in or answers why not. A stream of events ends when its caller may not stay.
pub(crate) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let secret = credential(text("authorization"), text("x-api-key"));
    let is_socket = becomes_socket(&request);
    let caller = match door.enter(secret).await {
        Ok(caller) => Some(caller),
        // It may still say who it is.
        Err(_) if is_socket && secret.is_none() => None,
        Err(refused) => return refused.answer(headers),
    };
    if is_socket {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| address.ip());
        request.extensions_mut().insert(Entry { door, caller, peer });
        return next.run(request).await;
    }
    let Some(caller) = caller else {
        return unknown(request.headers());
    };
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    let streams = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().starts_with(b"text/event-stream"));
    if !streams {
        return response;
    }
    let (head, body) = response.into_parts();
    let ended = Box::pin(async move { caller.ended().await });
    Response::from_parts(head, Body::from_stream(body.into_data_stream().take_until(ended)))
}

/// The answer to somebody of whom nothing is known.
pub(crate) fn unknown(headers: &HeaderMap) -> Response {
    Refused::Unknown(Denied::Missing).answer(headers)
}

/// Whether a request really becomes a WebSocket, which may say later who it is. Any other that only claims to, by
/// `Upgrade`, is a request like all.
fn becomes_socket(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
        && has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// Some proxies send `Connection` twice, for themselves and for the upgrade, and only one line is read later.
pub(crate) fn in_one_line(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Caller {
    /// Whether it is known by a key who it is.
    pub(crate) fn gave_a_key(&self) -> bool {
        self.access.key().is_some()
    }

    /// Ends when the caller may not stay.
    pub(crate) async fn ended(&self) -> Refused {
        match &self.door.gate {
            Some(gate) => Refused::Unknown(gate.ended(&self.access).await),
            None => std::future::pending().await,
        }
    }

    fn still(&self) -> Result<(), Denied> {
        let gate = self.door.gate.as_ref();
        gate.map_or(Ok(()), |gate| gate.still(&self.access))
    }

    /// What the caller may do.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Whether this is allowed. What changes something is allowed without a key only where nobody else can ask.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        let kept = scope == Scope::Admin && self.access.key().is_none() && !self.door.local;
        self.access.may(scope) && !kept
    }

    /// Whether any key exists.
    pub(crate) fn keys_exist(&self) -> bool {
        self.door.gate.as_ref().is_some_and(Gate::keys_exist)
    }

    /// Who the audit says it was.
    pub(crate) fn actor(&self) -> Actor {
        match self.access.key() {
            Some(key) => Actor::Key(key.id),
            None if self.door.gate.is_some() => Actor::Anybody,
            None => Actor::Embedding,
        }
    }

    /// Why the caller may not do what scope `admin` is for.
    pub(crate) fn no_admin(&self) -> &'static str {
        if self.access.key().is_some() {
            "this needs a key with scope admin"
        } else {
            "without keys this is only done on the machine itself: make the first one with mcptap keys create"
        }
    }
}

/// Who asks.
pub(crate) fn caller<'a>(ctx: &Context<'a>) -> Result<&'a Caller, Error> {
    ctx.data_opt()
        .ok_or_else(|| Code::Internal.error("it is not known who asks"))
}

/// What a reader may see.
pub(crate) fn reader<'a>(ctx: &Context<'a>) -> Result<&'a Access, Error> {
    let caller = caller(ctx)?;
    if caller.may(Scope::Read) {
        Ok(&caller.access)
    } else {
        Err(Code::Forbidden.error("this needs a key with scope read"))
    }
}

/// An administrator.
pub(crate) fn admin<'a>(ctx: &Context<'a>) -> Result<&'a Caller, Error> {
    let caller = caller(ctx)?;
    if caller.may(Scope::Admin) {
        Ok(caller)
    } else {
        Err(Code::Forbidden.error(caller.no_admin()))
    }
}

/// Whether the reader may see what was said in calls.
pub(crate) fn sees_payloads(ctx: &Context<'_>) -> Result<bool, Error> {
    Ok(reader(ctx)?.may(Scope::Payloads))
}

/// The filter of a root field, as this caller may ask it.
pub(crate) fn asked(ctx: &Context<'_>, input: Option<CallFilterInput>) -> Result<CallFilter, Error> {
    Ok(reader(ctx)?.narrow(filter(input)?))
}
