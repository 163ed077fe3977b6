//! HTTP/2 from clients and to upstreams, and TLS.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Peer, ProxyProcess, Upstream};
use crate::support::PATIENCE;

type Http2 = Client<HttpConnector, Full<Bytes>>;

/// A client that speaks HTTP/2 without being asked to.
fn http2() -> Http2 {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

fn get(proxy: &ProxyProcess, path: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://{}{path}", proxy.address);
    Request::get(uri)
        .header("te", "trailers")
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn http2_from_a_client_is_passed_on() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let client = http2();
    // Two at once, over one connection, answered in the other order.
    let first = tokio::spawn(client.request(get(&proxy, "/first?x=%20")));
    let mut to_first = upstream.accept().await;
    let head = to_first.head().await;
    assert!(head.starts_with("GET /first?x=%20 HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("host: {}\r\n", upstream.address())),
        "{head}"
    );
    assert!(
        head.contains(&format!("x-forwarded-host: {}\r\n", proxy.address)),
        "{head}"
    );
    let second = tokio::spawn(client.request(get(&proxy, "/second")));
    let mut to_second = upstream.accept().await;
    to_second.head().await;
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nConnection: close\r\nSet-Cookie: b\r\nTrailer: X-Sum\r\n\
                  Transfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\nX-Sum: 8\r\n\r\n";
    to_second.send(answer).await;
    let second = tokio::time::timeout(PATIENCE, second)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(second.version(), Version::HTTP_2);
    let cookies: Vec<_> = second.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a", "b"]);
    let body = second.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap().get("x-sum").unwrap(), "8");
    assert_eq!(body.to_bytes(), "ho");
    to_first
        .send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        .await;
    let first = tokio::time::timeout(PATIENCE, first)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.status(), 401);
}

#[tokio::test]
async fn a_stream_of_http2_that_is_given_up_ends_its_request_alone() {
    let upstream = Upstream::bind().await;
    let proxy = ProxyProcess::start(&upstream.url()).await;
    let client = http2();
    let given_up = tokio::spawn(client.request(get(&proxy, "/given-up")));
    let mut abandoned = upstream.accept().await;
    abandoned.head().await;
    let kept = tokio::spawn(client.request(get(&proxy, "/kept")));
    let mut server = upstream.accept().await;
    server.head().await;
    given_up.abort();
    assert_eq!(abandoned.rest_text().await, "");
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n")
        .await;
    let mut kept = kept.await.unwrap().unwrap().into_body();
    assert_eq!(kept.frame().await.unwrap().unwrap().into_data().unwrap(), "data");
    drop(server);
    assert!(kept.frame().await.unwrap().is_err(), "a break is no end");
}

/// An upstream with TLS that tells how it was asked.
async fn https(versions: &[&[u8]]) -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let builder = auto::Builder::new(TokioExecutor::new());
                let served = builder.serve_connection(TokioIo::new(stream), service_fn(tell));
                drop(served.await);
            });
        }
    });
    (port, cert.pem())
}

async fn tell(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let head = format!("{:?} {}", request.version(), request.uri());
    let host = format!("{:?}", request.headers().get("host"));
    let body = request.into_body().collect().await.unwrap();
    let sum = body
        .trailers()
        .and_then(|trailers| trailers.get("x-sum").cloned());
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", sum.unwrap_or_else(|| "none".parse().unwrap()));
    let frames = [Frame::data(body.to_bytes()), Frame::trailers(trailers)];
    let answer = Response::builder().header("x-asked", head).header("x-host", host);
    Ok(answer
        .body(StreamBody::new(futures_util::stream::iter(frames.map(Ok))))
        .unwrap())
}

async fn with_certificate(
    port: u16,
    certificate: &str,
    flags: &[&str],
) -> (ProxyProcess, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let environment = [
        ("SSL_CERT_FILE", file.path().to_str().unwrap()),
        ("SSL_CERT_DIR", "/nowhere"),
    ];
    let proxy = ProxyProcess::with(&format!("https://localhost:{port}/mcp"), flags, &environment).await;
    (proxy, file)
}

#[tokio::test]
async fn an_upstream_with_tls_is_spoken_to_in_the_version_it_knows() {
    let request = "POST /mcp?x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    for (versions, flags, asked) in [
        (
            &[b"h2".as_slice(), b"http/1.1"][..],
            &[][..],
            "HTTP/2.0 https://localhost:PORT/mcp?x",
        ),
        (&[b"http/1.1"], &[], "HTTP/1.1 /mcp?x"),
        (&[], &[], "HTTP/1.1 /mcp?x"),
        // In HTTP/2 the host is upstream's own.
        (&[b"h2", b"http/1.1"], &["--preserve-host"], "HTTP/1.1 /mcp?x"),
    ] {
        let (port, certificate) = https(versions).await;
        let (proxy, _file) = with_certificate(port, &certificate, flags).await;
        let mut client = Peer::connect(proxy.address).await;
        client.send(request).await;
        let answer = client.rest_text().await;
        let asked = format!("x-asked: {}\r\n", asked.replace("PORT", &port.to_string()));
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(&asked),
            "{asked}: {answer}"
        );
        assert_eq!(
            answer.contains("x-host: Some(\"h\")\r\n"),
            !flags.is_empty(),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn http2_on_both_sides_keeps_trailers() {
    let (port, certificate) = https(&[b"h2"]).await;
    let (proxy, _file) = with_certificate(port, &certificate, &[]).await;
    let client: Client<_, StreamBody<_>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    let frames = [Frame::data(Bytes::from("hi")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
    let request = Request::post(format!("http://{}/mcp", proxy.address))
        .body(body)
        .unwrap();
    let answer = client.request(request).await.unwrap();
    assert_eq!(
        answer.headers()["x-asked"],
        format!("HTTP/2.0 https://localhost:{port}/mcp")
    );
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    assert_eq!(body.to_bytes(), "hi");
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let (port, _) = https(&[b"h2"]).await;
    let (_, other) = https(&[]).await;
    let (proxy, _file) = with_certificate(port, &other, &[]).await;
    let mut client = Peer::connect(proxy.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let answer = client.rest_text().await;
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("certificate"),
        "{answer}"
    );
}
