//! Why there is no answer from upstream, as the answer that the client gets instead.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};

use super::body::Streamed;
use super::upstream::Upstream;

/// Why a request could not be forwarded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The request means different things to different readers, or is none that a proxy forwards.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The request's body has a transfer coding that is not undone here (RFC 9112, 6.1).
    #[error(
        "this proxy knows no transfer coding but chunked: send the body without it; Content-Encoding passes as it is"
    )]
    Coding,
    /// The client's body does not keep to the form that its head tells.
    #[error("the body of this request cannot be read: {0}")]
    BadBody(String),
    /// A tunnel was asked for.
    #[error("this is a reverse proxy; it opens no tunnels to other hosts")]
    Tunnel,
    /// The request is for a name that is not the proxy's, as it is when a web page lets its own name point here.
    #[error(
        "this proxy does not answer to the name {0:?}: add it to allowed_hosts of [proxy] (--allowed-hosts, \
         MCPTAP_PROXY_ALLOWED_HOSTS), or use the proxy's address"
    )]
    Misdirected(String),
    /// Upstream could not be reached in time.
    #[error("{upstream} could not be reached within {after:?}")]
    ConnectTimeout { upstream: Upstream, after: Duration },
    /// Upstream could not be reached.
    #[error("{upstream} cannot be reached: {reason}")]
    Connect { upstream: Upstream, reason: String },
    /// The client closed its connection, and upstream gave no answer to that.
    #[error("the client went away before {upstream} answered")]
    Abandoned { upstream: Upstream },
    /// Upstream's answer would read differently if it were passed on.
    #[error("{upstream} answered with a transfer coding other than chunked once, which nobody asked for")]
    UnknownCoding { upstream: Upstream },
    /// Upstream was reached and broke off before it answered.
    #[error("{upstream} ended the connection before it answered: {reason}")]
    Broken { upstream: Upstream, reason: String },
}

/// Advice where upstream speaks another protocol than its URL says.
fn other_protocol(error: &(dyn Error + 'static), upstream: &Upstream) -> &'static str {
    if mcptap_sdk::internals::is_no_tls(error) {
        return "; the server there does not speak TLS: if it speaks plain HTTP, let upstream begin with http://";
    }
    let http = error.downcast_ref::<hyper::Error>();
    if !upstream.is_https() && http.is_some_and(hyper::Error::is_parse) {
        return "; the server there does not speak plain HTTP: if it speaks TLS, let upstream begin with https://";
    }
    ""
}

/// Whether upstream's connection ended because the body that was to be sent to it is none: the fault is its sender's. A client
/// that went away is something else.
fn is_malformed_body(error: &(dyn Error + 'static)) -> bool {
    if !error
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_user)
    {
        return false;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::InvalidInput | ErrorKind::InvalidData)) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// What happened; the errors around it say where.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}

/// The connection was not made in time. It travels inside the client's error.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?}")]
pub(super) struct ConnectTimedOut(pub(super) Duration);

impl Failure {
    /// What an error of the client means.
    pub(super) fn of(error: &hyper_util::client::legacy::Error, upstream: &Upstream) -> Self {
        let (upstream, mut reason) = (upstream.clone(), error.to_string());
        let mut cause = error.source();
        let mut advice = "";
        while let Some(inner) = cause {
            if let Some(ConnectTimedOut(after)) = inner.downcast_ref() {
                return Self::ConnectTimeout {
                    upstream,
                    after: *after,
                };
            }
            if is_malformed_body(inner) {
                return Self::BadBody(innermost(inner));
            }
            if advice.is_empty() {
                advice = other_protocol(inner, &upstream);
            }
            // The innermost one is what happened; the others say where.
            reason = inner.to_string();
            cause = inner.source();
        }
        reason.push_str(advice);
        if error.is_connect() {
            Self::Connect { upstream, reason }
        } else {
            Self::Broken { upstream, reason }
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::BadBody(_) => StatusCode::BAD_REQUEST,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Tunnel => StatusCode::METHOD_NOT_ALLOWED,
            Self::ConnectTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect { .. }
            | Self::Abandoned { .. }
            | Self::UnknownCoding { .. }
            | Self::Broken { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// The answer, in words.
    pub(super) fn answer(&self) -> Response<Streamed> {
        let reason = format!("mcptap proxy: {self}");
        let text = Full::from(format!("{reason}\n"));
        let mut answer = Response::new(text.map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = self.status();
        answer
            .extensions_mut()
            .insert(mcptap_sdk::internals::NotForwarded(reason));
        if matches!(self, Self::Abandoned { .. }) {
            answer.extensions_mut().insert(mcptap_sdk::internals::Abandoned);
        }
        let headers = answer.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, plain);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if matches!(self, Self::BadRequest(_) | Self::Coding | Self::BadBody(_)) {
            // Where such a request ends, and the next one begins, is not known for sure.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}
