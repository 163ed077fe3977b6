//! Answers for those who knock at the wrong port or path: exporters show them to nobody but a log, so the text says what
//! to change. A path of OTLP that is only written otherwise is served.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_service::Service;

use crate::pages;

/// The paths of OTLP.
const SIGNALS: [&str; 3] = ["/v1/traces", "/v1/logs", "/v1/metrics"];

/// The paths of the API's port besides the dashboard's.
const OTHERS: [&str; 4] = ["/graphql", "/metrics", "/healthz", "/readyz"];

/// Where the ports really are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) listen: SocketAddr,
    pub(crate) otlp_grpc: SocketAddr,
    pub(crate) otlp_http: SocketAddr,
}

/// An address as somebody on this machine can use it.
fn shown(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Any path of the API's port that there is not.
pub(crate) async fn at_the_api(ports: Ports, request: Request) -> Response {
    if is_grpc(&request) {
        let place = shown(ports.otlp_grpc);
        wrong_for_grpc(&format!(
            "this is the port of the API; OTLP/gRPC is received at http://{place}"
        ))
    } else if is_export(&request) {
        let place = shown(ports.otlp_http);
        nothing(&format!(
            "this is the port of the API; OTLP over HTTP is received at /v1/traces and /v1/logs of http://{place}"
        ))
    } else {
        let (asked, _) = request.into_parts();
        pages::nowhere(&asked.method, &asked.uri, &asked.headers).await
    }
}

/// There is nothing of ours at this path of the API's port. A path that only ends in a slash too many is told the right one.
pub(crate) fn nowhere(path: &str) -> Response {
    if let Some(without) = without_slash(path) {
        return nothing(&format!("nothing is here; {without} has no slash at its end"));
    }
    nothing(
        "nothing is here: the dashboard is at /, the API at /graphql, metrics at /metrics, health at /healthz and /readyz",
    )
}

/// The path of ours that is meant by one that only ends in slashes too many.
pub(crate) fn without_slash(path: &str) -> Option<&str> {
    let without = path.trim_end_matches('/');
    let is_path = OTHERS.contains(&without) || pages::is_view(without);
    (without.len() < path.len() && is_path).then_some(without)
}

/// Any path of OTLP/HTTP that there is not: one that means another is served by the router of those that there are.
pub(crate) async fn at_otlp_http(mut otlp: Router, ports: Ports, mut request: Request) -> Response {
    if let Some(uri) = meant(request.uri()) {
        *request.uri_mut() = uri;
        return match otlp.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    if is_grpc(&request) {
        let place = shown(ports.otlp_grpc);
        return wrong_for_grpc(&format!(
            "this port speaks OTLP over HTTP; OTLP/gRPC is received at http://{place}"
        ));
    }
    let place = shown(ports.otlp_http);
    nothing(&format!(
        "OTLP is received at /v1/traces and /v1/logs: set OTEL_EXPORTER_OTLP_ENDPOINT to the address alone, such as \
         http://{place}, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to http://{place}/v1/traces"
    ))
}

/// Tells those who do anything but POST at OTLP/HTTP, people with a browser for example.
pub(crate) async fn posts_only(State(ports): State<Ports>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let message = format!(
            "OTLP is received here, by POST: there is nothing to look at. The calls are at http://{}/\n",
            shown(ports.listen)
        );
        let told = message.into_response();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        let kind = told.headers().get(header::CONTENT_TYPE).cloned();
        response
            .headers_mut()
            .extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        *response.body_mut() = told.into_body();
    }
    response
}

/// Tells those who speak anything but gRPC at its port.
pub(crate) async fn grpc_only(State(ports): State<Ports>, request: Request, next: Next) -> Response {
    if is_grpc(&request) {
        return next.run(request).await;
    }
    let message = format!(
        "this port speaks OTLP/gRPC; OTLP over HTTP is received at /v1/traces and /v1/logs of http://{}\n",
        shown(ports.otlp_http)
    );
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response()
}

/// The path of OTLP that is meant by one with slashes too many, or by one that was set whole where the address alone belongs,
/// to which exporters add the signal's path.
fn meant(uri: &Uri) -> Option<Uri> {
    let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty());
    let mut last = None;
    while let Some(version) = segments.next() {
        let signal = segments.next()?;
        let is = |path: &&&str| path.strip_prefix("/v1/") == Some(signal);
        last = Some(SIGNALS.iter().find(is).filter(|_| version == "v1")?);
    }
    let path = last.filter(|path| **path != uri.path())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(path));
    Uri::from_parts(parts).ok()
}

/// Whether a request is an export, wherever it came to.
pub(crate) fn is_export(request: &Request) -> bool {
    let path = request.uri().path();
    let is_http = request.method() == Method::POST && SIGNALS.iter().any(|signal| path.contains(signal));
    is_http || is_grpc(request)
}

fn is_grpc(request: &Request) -> bool {
    let media = request.headers().get(header::CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"))
}

fn wrong_for_grpc(message: &str) -> Response {
    tonic::Status::unimplemented(message).into_http()
}

fn nothing(message: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("{message}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_that_there_is_not_is_told_what_there_is() {
        for (path, told) in [
            ("/graphql/", "; /graphql has no slash at its end"),
            ("/calls/7//", "; /calls/7 has no slash at its end"),
            ("/readyz/", "; /readyz has no slash at its end"),
            ("/nowhere/", "the API at /graphql"),
            ("//", "the API at /graphql"),
            ("/v1/graphql", "the API at /graphql"),
        ] {
            let response = nowhere(path);
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(told), "{path}: {body}");
        }
    }

    #[test]
    fn paths_written_otherwise_are_understood() {
        for (path, expected) in [
            ("/v1/traces/", Some("/v1/traces")),
            ("//v1/traces", Some("/v1/traces")),
            ("//v1//logs//?x=1", Some("/v1/logs")),
            ("/v1/traces/v1/traces", Some("/v1/traces")),
            ("/v1/traces/v1/logs/", Some("/v1/logs")),
            ("/v1/traces/v1/traces/v1/metrics", Some("/v1/metrics")),
            (
                "http://tap.example:4318//v1/logs",
                Some("http://tap.example:4318/v1/logs"),
            ),
            // The router has it, whatever the method.
            ("/v1/traces", None),
            ("/", None),
            ("//", None),
            ("/v1", None),
            ("/v1/trace", None),
            ("/traces", None),
            ("/v2/traces", None),
            ("/v1/traces/x", None),
            ("/v1/traces/v1", None),
            ("/api/v1/traces", None),
        ] {
            let meant = meant(&path.parse().unwrap());
            assert_eq!(meant.map(|uri| uri.to_string()).as_deref(), expected, "{path}");
        }
    }
}
