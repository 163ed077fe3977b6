//! Requests of one connection, as HTTP hands them over, and what the listener itself answers.

use std::future::ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ConnectInfo;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Extensions, HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tonic_types::{ErrorDetails, StatusExt};

use super::activity::{Activity, OpenRequest};
use super::body::{BoxError, Received, Sent};
use super::connection::{Service, Wire};
use super::port::{Counters, Port};

/// When refused clients may come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// One client's connection, as HTTP sees it.
pub(super) struct Client<W: Wire, S> {
    pub(super) service: S,
    pub(super) port: Port,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: SocketAddr,
    pub(super) link: W::Link,
    /// How the names of a WebSocket's headers are written.
    pub(super) names: Arc<Extensions>,
}

type Answered<B> = Result<Response<Sent<B>>, BoxError>;
type Answering<B> = Pin<Box<dyn Future<Output = Answered<B>> + Send>>;

impl<W: Wire, S: Service> hyper::service::Service<Request<Incoming>> for Client<W, S> {
    type Response = Response<Sent<S::Body>>;
    type Error = BoxError;
    type Future = Answering<S::Body>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.activity.begin();
        let pages = self.port.pages.as_ref();
        let Some(page) = pages.and_then(|pages| pages.find(&request)) else {
            return self.answer(request, open);
        };
        // A browser shows a page no refusal of a preflight, so none is refused: it asks for nothing.
        let answer = match page.preflight(&request) {
            Some(preflight) => {
                let mut answer = preflight.map(|()| Sent::text(String::new(), open));
                no_sniffing(answer.headers_mut());
                Box::pin(ready(Ok(answer)))
            }
            None => self.answer(request, open),
        };
        Box::pin(async move {
            let mut answer = answer.await?;
            page.show(answer.headers_mut());
            Ok(answer)
        })
    }
}

impl<W: Wire, S: Service> Client<W, S> {
    fn answer(&self, request: Request<Incoming>, open: OpenRequest) -> Answering<S::Body> {
        // HTTP/2 ends one stream and keeps the connection. A client that asked whether it may send has not sent anything.
        // The proxy leaves it to its upstream.
        let discards = request.version() < Version::HTTP_2
            && !request.headers().contains_key(EXPECT)
            && !self.port.limits.transparent;
        let mut request =
            request.map(|body| Received::new(body, Arc::clone(&self.port.limits), &open, discards));
        W::begin(&self.link, &mut request);
        // As axum's own server leaves it, and plainly for the proxy.
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(self.peer);
        let exempt = matches!(request.uri().path(), "/healthz" | "/readyz");
        let permit = self.port.take_request(self.peer.ip());
        if let Err(why) = permit
            && !exempt
        {
            Counters::add(&self.port.counters().refused);
            let message = why.message();
            if let Some(watch) = &self.port.watch {
                watch.tell(Some(self.peer), message.to_owned());
            }
            let refusal = too_many(message, request.headers());
            return Box::pin(async move { Ok(refusal.map(|text| Sent::text(text, open))) });
        }
        let (service, activity) = (self.service.clone(), Arc::clone(&self.activity));
        let (late, grpc) = (request.body().late(), is_grpc(request.headers()));
        let transparent = self.port.limits.transparent;
        let counters = Arc::clone(self.port.counters());
        let names = Arc::clone(&self.names);
        Box::pin(async move {
            let mut answer = service.answer(request).await?;
            drop(permit);
            if late.load(Ordering::Relaxed) {
                Counters::add(&counters.timed_out);
                if !grpc {
                    return Ok(request_timeout().map(|text| Sent::text(text, open)));
                }
            }
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                activity.upgrade(answer.extensions().get().cloned());
                if !transparent {
                    answer.extensions_mut().extend(Extensions::clone(&names));
                }
            }
            if !transparent {
                no_sniffing(answer.headers_mut());
            }
            Ok(answer.map(|body| Sent::new(body, open)))
        })
    }
}

/// Browsers take answers for what they say they are.
fn no_sniffing(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"))
}

/// Too many requests are in work: this one may come again.
fn too_many(message: &str, headers: &HeaderMap) -> Response<String> {
    if is_grpc(headers) {
        let details = ErrorDetails::with_retry_info(Some(COME_AGAIN));
        return tonic::Status::with_error_details(tonic::Code::Unavailable, message, details).into_http();
    }
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, message);
    answer
        .headers_mut()
        .insert(RETRY_AFTER, COME_AGAIN.as_secs().into());
    answer
}

fn request_timeout() -> Response<String> {
    let mut answer = text(
        StatusCode::REQUEST_TIMEOUT,
        "the rest of the request did not come in time",
    );
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn text(status: StatusCode, message: &str) -> Response<String> {
    let mut answer = Response::new(format!("{message}\n"));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    no_sniffing(answer.headers_mut());
    answer
}
