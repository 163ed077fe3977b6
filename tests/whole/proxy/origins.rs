//! Servers that write their own address into answers: clients come back through the proxy all the same.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::ProxyProcess;
use crate::support::{TestServer, eventually};

/// The host that a server believes to be asked for.
#[derive(Clone, Copy)]
enum Believes {
    Host,
    Forwarded,
}

impl Believes {
    fn base(self, headers: &HeaderMap) -> String {
        let name = match self {
            Self::Host => "host",
            Self::Forwarded => "x-forwarded-host",
        };
        format!("http://{}", headers[name].to_str().unwrap())
    }
}

/// A server as Starlette and FastMCP are: `/mcp` is at `/mcp/`, and every address is made from what it believes.
async fn start_server(believes: Believes) -> SocketAddr {
    let answer = move |request: Request| async move {
        let base = believes.base(request.headers());
        match request.uri().path() {
            "/mcp" => (
                StatusCode::TEMPORARY_REDIRECT,
                [
                    ("location", format!("{base}/mcp/")),
                    ("link", format!("<{base}/mcp/>; rel=canonical")),
                ],
            )
                .into_response(),
            "/mcp/" => {
                let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
                let asked: Value = serde_json::from_slice(&body).unwrap();
                axum::Json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": []}}))
                    .into_response()
            }
            "/.well-known/oauth-protected-resource/mcp" => {
                axum::Json(json!({"resource": format!("{base}/mcp"), "authorization_servers": [base]}))
                    .into_response()
            }
            _ => refused(&base),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(any(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn refused(base: &str) -> Response {
    let metadata = format!("{base}/.well-known/oauth-protected-resource/mcp");
    let challenge = format!("Bearer resource_metadata=\"{metadata}\"");
    (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
}

#[tokio::test]
async fn a_redirect_leads_back_through_the_proxy() {
    let server = TestServer::start().await;
    let mut proxies = Vec::new();
    for flags in [&["--name", "shop"][..], &["--name", "shop", "--preserve-host"]] {
        let upstream = start_server(Believes::Host).await;
        let spool = tempfile::tempdir().unwrap();
        let proxy = ProxyProcess::with(
            &format!("http://{upstream}"),
            flags,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http_url()),
                ("MCPTAP_SPOOL_DIR", spool.path().to_str().unwrap()),
            ],
        )
        .await;
        let url = format!("http://{}/mcp", proxy.address);
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "sell"}});
        // As the official clients do it: only to the origin that they know.
        let origin = format!("http://{}/", proxy.address);
        let policy = Policy::custom(move |attempt| {
            if attempt.url().as_str().starts_with(&origin) && attempt.previous().len() < 5 {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let client = reqwest::Client::builder().redirect(policy).build().unwrap();
        let answer = client.post(&url).json(&call).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{flags:?}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["result"], json!({"content": []}));

        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .build()
            .unwrap();
        let answer = client.post(&url).json(&call).send().await.unwrap();
        let link = format!("<{url}/>; rel=canonical");
        assert_eq!(answer.headers()["location"], format!("{url}/"));
        assert_eq!(answer.headers()["link"], link);
        proxies.push((proxy, spool));
    }
    let calls = eventually("every request", async || {
        let calls = server.calls(Value::Null, "httpStatus outcome").await;
        (calls.len() == 6).then_some(calls)
    })
    .await;
    assert!(calls.iter().all(|call| call["outcome"] == "OK"), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call["httpStatus"] == 200).count(), 2);
}

/// As the documentation has it.
#[tokio::test]
async fn the_metadata_of_oauth_names_the_proxy_where_the_server_can_know_of_it() {
    for (believes, flags, names_proxy) in [
        (Believes::Forwarded, &[][..], true),
        (Believes::Host, &["--preserve-host"], true),
        (Believes::Host, &[], false),
    ] {
        let upstream = start_server(believes).await;
        let proxy = ProxyProcess::with(
            &format!("http://{upstream}"),
            flags,
            &[("OTEL_SDK_DISABLED", "true")],
        )
        .await;
        let named = if names_proxy { proxy.address } else { upstream };
        let client = reqwest::Client::new();
        let get = |path: &str| client.get(format!("http://{}{path}", proxy.address)).send();
        let refused = get("/else").await.unwrap();
        assert_eq!(refused.status(), 401);
        let metadata = "/.well-known/oauth-protected-resource/mcp";
        // The proxy sees to where it is, and cannot see to what it says.
        assert_eq!(
            refused.headers()["www-authenticate"],
            format!("Bearer resource_metadata=\"http://{}{metadata}\"", proxy.address)
        );
        let resource: Value = get(metadata).await.unwrap().json().await.unwrap();
        assert_eq!(resource["resource"], format!("http://{named}/mcp"));
    }
}
