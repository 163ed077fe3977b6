//! The names of headers as their standard writes them. HTTP does not care, but some clients do: Python's gql looks for
//! `Sec-WebSocket-Protocol`, and where that is not found to the letter it speaks a protocol of 2018.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Extensions, Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

/// Headers of an answer that opens a WebSocket (RFC 6455), whose names title case would write as `Sec-Websocket-…`.
const NAMES: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSec-WebSocket-Accept: x\r\n\
    Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Extensions: x\r\nSec-WebSocket-Version: x\r\n\r\n";

/// Extensions of an answer that make hyper write these names so. Only hyper can make them, from what it reads: it gives a
/// request's to whoever answers, and takes them from an answer. Empty where that failed: then names are in title case.
pub(super) async fn of_websockets() -> Extensions {
    let (mut ours, theirs) = tokio::io::duplex(NAMES.len() * 4);
    let read = Arc::new(Mutex::new(Extensions::new()));
    let keep = Arc::clone(&read);
    let service = service_fn(move |mut request: Request<Incoming>| {
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(request.extensions_mut());
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let reading = http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(theirs), service);
    let done = match ours.write_all(NAMES).await {
        Ok(()) => reading.await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = done {
        tracing::debug!(error, "names of headers are in title case only");
    }
    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *read)
}
