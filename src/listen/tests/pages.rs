//! Pages of listed origins see every answer, the listener's own as well.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::any;
use mcptap_graphql::Origins;
use reqwest::{Method, Response};

use super::*;
use crate::cors::Pages;

const LISTED: &str = "https://ui.example.org";
const SHOWN: &str = "access-control-allow-origin";

/// A port that answers `/status/CODE` with that code, to pages of [`LISTED`].
async fn serve_pages(limits: Limits) -> SocketAddr {
    let status = any(async |Path(code): Path<u16>| StatusCode::from_u16(code).unwrap());
    let router = Router::new()
        .route("/status/{code}", status)
        .route("/echo", post(async |body: String| body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Pages::of_api(Origins::new(&[LISTED.to_owned()]));
    let port = Port::new("test", limits).shown_to(pages);
    let mut listeners = Listeners::default();
    listeners.serve(port, listener, Plain, router);
    tokio::spawn(async move { listeners.failed().await });
    address
}

async fn ask(to: SocketAddr, method: Method, path: &str, origin: &str) -> Response {
    let request = reqwest::Client::new().request(method, format!("http://{to}{path}"));
    let request = request.header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    request.send().await.unwrap()
}

fn is_shown(answer: &Response) -> bool {
    answer.headers().get(SHOWN).is_some_and(|shown| shown == LISTED)
}

#[tokio::test]
async fn they_see_every_status_and_others_none() {
    let address = serve_pages(patient()).await;
    for code in 200..600 {
        let answer = ask(address, Method::POST, &format!("/status/{code}"), LISTED).await;
        assert_eq!(answer.status(), code);
        assert!(is_shown(&answer), "{code}");
        let exposed = answer.headers()["access-control-expose-headers"]
            .to_str()
            .unwrap();
        assert!(exposed.contains("retry-after"), "{code}");
        assert_eq!(answer.headers()["vary"], "origin", "{code}");
    }
    for origin in ["http://ui.example.org", "https://evil.example", "null"] {
        for code in [200, 404, 429] {
            let answer = ask(address, Method::POST, &format!("/status/{code}"), origin).await;
            assert_eq!(answer.status(), code);
            assert!(!answer.headers().contains_key(SHOWN), "{origin}");
        }
    }
}

#[tokio::test]
async fn they_see_what_the_listener_refuses_and_are_told_before_that_they_may_ask() {
    let busy = Limits {
        requests: 0,
        ..patient()
    };
    let address = serve_pages(busy).await;
    let answer = ask(address, Method::POST, "/status/200", LISTED).await;
    assert_eq!(answer.status(), 503);
    assert!(is_shown(&answer));
    for path in ["/status/200", "/nothing"] {
        let preflight = ask(address, Method::OPTIONS, path, LISTED).await;
        assert_eq!(preflight.status(), 204);
        assert!(is_shown(&preflight));
        let answer = ask(address, Method::OPTIONS, path, "https://evil.example").await;
        assert_eq!(answer.status(), 503);
        assert!(!answer.headers().contains_key(SHOWN));
    }

    let hasty = Limits {
        body_pause: short(),
        ..patient()
    };
    let mut socket = TcpStream::connect(serve_pages(hasty).await).await.unwrap();
    let half = format!("POST /echo HTTP/1.1\r\nhost: x\r\norigin: {LISTED}\r\ncontent-length: 9\r\n\r\nhalf");
    socket.write_all(half.as_bytes()).await.unwrap();
    let answer = rest(&mut socket).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 408 "), "{answer}");
    assert!(answer.contains(&format!("\r\n{SHOWN}: {LISTED}\r\n")), "{answer}");
}
