use super::file::{DEPTHS, PAGES};
use super::*;

/// Asks the port of the API in the simplest way, and gives the answer: head and body.
async fn ask(path: &str, accept: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ports = signposts::Ports {
        listen: address,
        otlp_grpc: address,
        otlp_http: address,
    };
    let app = router().fallback(move |request| signposts::at_the_api(ports, request));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\naccept: {accept}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status line of an answer.
fn status(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

const HTML: &str = "text/html,*/*;q=0.8";
const NOTHING: &str = "HTTP/1.0 404 Not Found";

#[tokio::test]
async fn every_address_of_the_dashboard_can_be_opened_by_a_person() {
    let home = ask("/", HTML).await;
    assert_ne!(status(&home), NOTHING);
    for path in [
        "/calls/abc",
        "/sessions",
        "/sessions/a%2Fb",
        "/overview",
        "/servers/my%20server",
        "/setup",
        "/keys",
        "/docs/readme",
    ] {
        assert_eq!(status(&ask(path, HTML).await), status(&home), "{path}");
        assert_eq!(status(&ask(path, "application/json").await), NOTHING, "{path}");
    }
}

#[tokio::test]
async fn a_person_at_an_unknown_address_gets_the_dashboard_which_finds_its_files() {
    let deep = "/x".repeat(200);
    for (path, up) in [
        ("/nothing", "./"),
        ("/docs/nothing", "../"),
        ("/index.html", "./"),
        ("/graphiql.html", "./"),
        ("/nothing?call=7", "./"),
        ("/no/such", "../"),
        ("/no/such/page", "../../"),
        ("/calls/7/more", "../../"),
        ("/nothing/", "../"),
        ("//calls", "../"),
        ("/servers/a/b%2Fc/d/", "../../../../"),
        (deep.as_str(), &"../".repeat(199)),
    ] {
        let answer = ask(path, HTML).await;
        assert_eq!(status(&answer), NOTHING, "{path}");
        if !PAGES.is_empty() {
            assert!(answer.contains("content-type: text/html"), "{answer}");
            assert!(answer.contains("content-security-policy: "), "{answer}");
            assert!(!answer.contains("etag: "), "{answer}");
            assert!(answer.contains(&format!("src=\"{up}assets/index-")), "{answer}");
        }
        let told = ask(path, "*/*").await;
        assert_eq!(status(&told), NOTHING, "{path}");
        assert!(told.contains("nothing is here"), "{told}");
    }
    for path in ["/assets/nothing.js", "/assets/no/such.css", &"/x".repeat(5_000)] {
        let answer = ask(path, HTML).await;
        assert_eq!(status(&answer), NOTHING, "{path}");
        assert!(answer.contains("content-type: text/plain"), "{answer}");
    }
}

#[tokio::test]
async fn a_slash_too_many_leads_to_what_was_meant() {
    for (path, meant) in [
        ("/calls/", "../calls"),
        ("/calls/?tool=a&live=1", "../calls?tool=a&live=1"),
        ("/calls/7/", "../7"),
        ("/servers/a%2Fb//", "../../a%2Fb"),
        ("/graphql/", "../graphql"),
    ] {
        let answer = ask(path, HTML).await;
        assert_eq!(status(&answer), "HTTP/1.0 307 Temporary Redirect", "{path}");
        assert!(answer.contains(&format!("location: {meant}\r\n")), "{answer}");
        let told = ask(path, "*/*").await;
        assert!(told.contains("has no slash at its end"), "{told}");
    }
}

#[test]
fn every_view_has_its_form() {
    assert!(VIEWS.iter().all(|(_, depth)| *depth < DEPTHS));
}

#[tokio::test]
async fn a_binary_without_pages_says_so() {
    let response = find("no such page", 0, &HeaderMap::new()).await;
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    assert!(body.starts_with(b"<!doctype html>"));
    let index = find("index.html", 0, &HeaderMap::new()).await;
    assert_eq!(PAGES.is_empty(), index.status() == StatusCode::NOT_IMPLEMENTED);
}

#[test]
fn the_documents_are_those_that_the_pages_list() {
    let listed = include_str!("../../dashboard/src/pages/doc.tsx");
    let from = listed.find("const documents").unwrap();
    let lines = listed[from..].lines().skip(1).take_while(|line| *line != "];");
    let names: Vec<&str> = lines.filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, DOCUMENTS);
}
