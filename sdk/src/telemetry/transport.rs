//! One attempt to deliver one parcel, by HTTP or by gRPC.
//!
//! Both are the same HTTP client: a gRPC request is a parcel with five bytes before it, so that parcels need not
//! be decoded, and one that is compressed stays so.

use std::error::Error as StdError;
use std::fmt::Write;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::Bytes;

use super::connector::{Connector, advice};
use super::parcel::Parcel;
use super::route::Route;
use super::verdict::Verdict;

/// The most of an answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 * 1024;
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// Whether the message is compressed, and its length.
const GRPC_PREFIX: usize = 5;

/// Delivers the parcels of one signal.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client<Connector, Full<Bytes>>,
    route: Route,
}

impl Transport {
    pub(super) fn new(route: Route) -> Self {
        let connector = route.security.connector(route.timeout, route.is_grpc);
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        #[cfg(feature = "grpc")]
        client.http2_only(route.is_grpc);
        Self {
            client: client.build(connector),
            route,
        }
    }

    /// Where parcels go, without credentials.
    pub(super) fn url(&self) -> &http::Uri {
        &self.route.url
    }

    /// Sends the parcel, and waits for the answer as long as the user allows.
    pub(super) async fn send(&self, parcel: &Parcel) -> Verdict {
        let Some(request) = self.request(parcel) else {
            return Verdict::Refused {
                why: "the request could not be made up".to_owned(),
                unread: false,
            };
        };
        match tokio::time::timeout(self.route.timeout, self.ask(parcel, request)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Verdict::silence(format!("{}{}", chain(&error), advice(&error))),
            Err(_) => Verdict::silence(format!("no answer within {:?}", self.route.timeout)),
        }
    }

    async fn ask(
        &self,
        parcel: &Parcel,
        request: Request<Full<Bytes>>,
    ) -> Result<Verdict, hyper_util::client::legacy::Error> {
        let (parts, body) = self.client.request(request).await?.into_parts();
        let answer = Limited::new(body, ANSWER_BYTES).collect().await;
        let (trailers, body) = match answer {
            Ok(answer) => (answer.trailers().cloned(), Some(answer.to_bytes())),
            // An endless answer, or one that broke off: its head says enough.
            Err(_) => (None, None),
        };
        if !self.route.is_grpc || !parts.status.is_success() {
            let answer = Response::from_parts(parts, ());
            return Ok(Verdict::of_http(
                parcel.signal,
                answer.status(),
                answer.headers(),
                body.as_deref(),
            ));
        }
        let heads = [trailers.as_ref(), Some(&parts.headers)];
        let message = body.as_ref().and_then(|body| body.get(GRPC_PREFIX..));
        let verdict = Verdict::of_grpc(parcel.signal, heads, message.unwrap_or_default());
        Ok(verdict.unwrap_or_else(|| Verdict::silence("the answer of the collector broke off".to_owned())))
    }

    fn request(&self, parcel: &Parcel) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::post(self.route.url.clone());
        *request.headers_mut()? = self.route.headers.clone();
        if self.route.is_grpc {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
                .header(TE, HeaderValue::from_static("trailers"));
        } else {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        }
        if let Some(encoding) = &parcel.encoding {
            let name = if self.route.is_grpc {
                GRPC_ENCODING
            } else {
                CONTENT_ENCODING
            };
            request = request.header(name, encoding.as_str());
        }
        let body = if self.route.is_grpc {
            framed(parcel)?
        } else {
            parcel.body.clone()
        };
        request.body(Full::new(body)).ok()
    }
}

/// The parcel as a gRPC message.
fn framed(parcel: &Parcel) -> Option<Bytes> {
    let length = u32::try_from(parcel.body.len()).ok()?;
    let mut message = Vec::with_capacity(GRPC_PREFIX + parcel.body.len());
    message.push(u8::from(parcel.encoding.is_some()));
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&parcel.body);
    Some(message.into())
}

/// An error with its causes: the outer ones say little.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing into a string does not fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
