//! The dashboard and GraphiQL, served from the binary itself: nothing is fetched from anywhere else, so
//! they work offline.

use std::{
    collections::HashMap,
    io::Read,
    sync::{LazyLock, OnceLock},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{
            ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
            ETAG, IF_NONE_MATCH, REFERRER_POLICY, UPGRADE, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::read::GzDecoder;

use crate::signposts;

/// One file of the built dashboard, as the build script wrote it down.
#[derive(Debug)]
struct Page {
    path: &'static str,
    content_type: &'static str,
    compressed: bool,
    etag: &'static str,
    bytes: &'static [u8],
}

/// Empty when the binary was built without Node.js.
static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

static BY_PATH: LazyLock<HashMap<&'static str, File>> =
    LazyLock::new(|| PAGES.iter().map(|page| (page.path, File::of(page))).collect());

/// A page with its plain forms. Each is made at most once, because anybody may ask for it, as often as they like, and an
/// answer that its peer does not take is held for as long as the connection lasts.
#[derive(Debug)]
struct File {
    page: &'static Page,
    /// By how many folders the address lies below the root. `None`: it cannot be unpacked.
    plain: [OnceLock<Option<Bytes>>; DEPTHS],
}

impl File {
    fn of(page: &'static Page) -> Self {
        Self {
            page,
            plain: Default::default(),
        }
    }

    /// The page as it is for an address `depth` folders below the root. Made on a thread that may be busy with it: a script
    /// has megabytes.
    async fn plain(&'static self, depth: usize) -> Option<Bytes> {
        match self.plain.get(depth)?.get() {
            Some(made) => made.clone(),
            None => tokio::task::spawn_blocking(move || self.make(depth)).await.ok()?,
        }
    }

    /// All answers share these bytes.
    fn make(&self, depth: usize) -> Option<Bytes> {
        let form = self.plain.get(depth)?;
        form.get_or_init(|| match depth {
            0 => unpacked(self.page),
            _ => Some(climb(&self.make(0)?, depth).into()),
        })
        .clone()
    }
}

/// How many depths the addresses in [`VIEWS`] have.
const DEPTHS: usize = 2;

/// Scripts, styles and connections of our own origin only, and no page of anyone else's around ours.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// GraphiQL's editor writes its styles into the page and carries its fonts and icons inside its style sheet.
const GRAPHIQL_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                               font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
                               frame-ancestors 'none'";

const WITHOUT_PAGES: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>mcptap</title>\
    <h1>mcptap was built without its pages</h1>\
    <p>The dashboard and GraphiQL are built with Node.js 20.19 or later and npm, which were missing or failed when \
    this binary was built. Everything else works: the API answers at <code>/graphql</code>.</p>\
    <p>To have the pages, install Node.js, then run <code>touch build.rs</code> and \
    <code>cargo build</code> again: the build prints what npm said.</p></html>\n";

/// Addresses inside the dashboard, and how many folders each lies below its root. The script behind
/// `index.html` shows the right one; people open them directly, from bookmarks and links.
const VIEWS: [(&str, usize); 10] = [
    ("/", 0),
    ("/calls", 0),
    ("/calls/{id}", 1),
    ("/sessions", 0),
    ("/sessions/{id}", 1),
    ("/overview", 0),
    ("/servers", 0),
    ("/servers/{name}", 1),
    ("/setup", 0),
    ("/keys", 0),
];

/// The dashboard at each of its addresses, and all files that the pages load: one route, because routes cost memory and
/// files are many.
pub(crate) fn router() -> Router {
    let views = VIEWS.iter().fold(Router::new(), |router, (path, depth)| {
        let view = async move |headers: HeaderMap| {
            // a program that asks for what only a person can look at is told that there is nothing
            if *path == "/" || listed(&headers, ACCEPT.as_str(), "text/html") {
                find("index.html", *depth, &headers).await
            } else {
                (StatusCode::NOT_FOUND, [(VARY, "accept")]).into_response()
            }
        };
        router.route(path, get(view))
    });
    views
        .route("/assets/{*path}", get(file))
        .route("/{file}", get(file))
}

/// A file of the pages by its path.
async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    match BY_PATH.get(path) {
        Some(file) => serve(file, 0, &headers).await,
        None => signposts::nowhere(uri.path()),
    }
}

/// Whether the dashboard is at this address.
pub(crate) fn is_view(path: &str) -> bool {
    VIEWS.iter().any(|(view, _)| match view.split_once('{') {
        Some((beginning, _)) => path
            .strip_prefix(beginning)
            .is_some_and(|id| !id.is_empty() && !id.contains('/')),
        None => *view == path,
    })
}

/// A route layer for the GraphQL API: a person who opens it in a browser gets GraphiQL, and every
/// program, WebSocket or event stream gets the API.
pub(crate) async fn graphiql_for_browsers(request: Request, next: Next) -> Response {
    if is_browser(request.method(), request.headers()) {
        find("graphiql.html", 0, request.headers()).await
    } else {
        let mut response = next.run(request).await;
        response
            .headers_mut()
            .append(VARY, HeaderValue::from_static("accept"));
        response
    }
}

fn is_browser(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && !headers.contains_key(UPGRADE)
        && listed(headers, ACCEPT.as_str(), "text/html")
}

async fn find(path: &str, depth: usize, headers: &HeaderMap) -> Response {
    match BY_PATH.get(path) {
        Some(file) => serve(file, depth, headers).await,
        None => {
            let about = [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CONTENT_SECURITY_POLICY, POLICY),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (CACHE_CONTROL, "no-store"),
            ];
            (StatusCode::NOT_IMPLEMENTED, about, WITHOUT_PAGES).into_response()
        }
    }
}

/// `depth`: how many folders the address lies below the root. A page names its files relative to itself, so that
/// it also works below some path of a reverse proxy; deeper addresses have further to go.
async fn serve(file: &'static File, depth: usize, headers: &HeaderMap) -> Response {
    let page = file.page;
    let mut response = Response::new(Body::empty());
    let about = response.headers_mut();
    let mut say = |name, value| about.insert(name, HeaderValue::from_static(value));
    say(CONTENT_TYPE, page.content_type);
    say(X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(REFERRER_POLICY, "same-origin");
    say(
        VARY,
        if page.path.ends_with(".html") {
            "accept, accept-encoding"
        } else {
            "accept-encoding"
        },
    );
    say(ETAG, page.etag);
    // the name of an asset holds a hash of its content; all else is asked for again
    let named_by_content = page.path.starts_with("assets/");
    say(
        CACHE_CONTROL,
        if named_by_content {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        },
    );
    match page.path {
        "graphiql.html" => say(CONTENT_SECURITY_POLICY, GRAPHIQL_POLICY),
        _ => say(CONTENT_SECURITY_POLICY, POLICY),
    };

    if depth == 0 && listed(headers, IF_NONE_MATCH.as_str(), page.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if page.compressed && depth == 0 && listed(headers, ACCEPT_ENCODING.as_str(), "gzip") {
        say(CONTENT_ENCODING, "gzip");
        *response.body_mut() = Body::from(page.bytes);
    } else if let Some(plain) = file.plain(depth).await {
        if depth > 0 {
            // the tag is that of the page as the root has it
            about.remove(ETAG);
        }
        *response.body_mut() = Body::from(plain);
    } else {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

fn unpacked(page: &'static Page) -> Option<Bytes> {
    if !page.compressed {
        return Some(Bytes::from_static(page.bytes));
    }
    let mut plain = Vec::new();
    GzDecoder::new(page.bytes).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

/// The same page for an address `depth` folders down: `"./x"` is `"../x"` there.
fn climb(html: &[u8], depth: usize) -> String {
    String::from_utf8_lossy(html).replace("\"./", &format!("\"{}", "../".repeat(depth)))
}

/// Whether a header that is a list names a value, and not with `q=0`.
fn listed(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    let items = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    items.map(|item| item.split(';').map(str::trim)).any(|mut parts| {
        parts.next().is_some_and(|item| item.eq_ignore_ascii_case(wanted))
            && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "hello" and a line feed, compressed.
    const HELLO: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 203, 72, 205, 201, 201, 231, 2, 0, 32, 48, 58, 54, 6, 0, 0, 0,
    ];

    static ASSET: Page = Page {
        path: "assets/hello-1a2b.js",
        content_type: "text/javascript; charset=utf-8",
        compressed: true,
        etag: "W/\"0011\"",
        bytes: HELLO,
    };

    fn file_of(page: &'static Page) -> &'static File {
        Box::leak(Box::new(File::of(page)))
    }

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    async fn body(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap()
            .to_vec()
    }

    #[tokio::test]
    async fn compressed_for_those_who_accept_it_and_plain_for_the_others() {
        let asset = file_of(&ASSET);
        let response = serve(asset, 0, &headers(&[("accept-encoding", "br, gzip;q=0.8")])).await;
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(
            response.headers()["content-type"],
            "text/javascript; charset=utf-8"
        );
        assert_eq!(
            response.headers()["cache-control"],
            "public, max-age=31536000, immutable"
        );
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(body(response).await, HELLO);

        for refused in [&[][..], &[("accept-encoding", "gzip;q=0, br")]] {
            let response = serve(asset, 0, &headers(refused)).await;
            assert!(!response.headers().contains_key("content-encoding"));
            assert_eq!(body(response).await, b"hello\n");
        }
    }

    /// The only frame of an answer.
    async fn frame(response: Response) -> Bytes {
        use http_body_util::BodyExt as _;
        let frame = response.into_body().frame().await.unwrap().unwrap();
        frame.into_data().unwrap()
    }

    #[tokio::test]
    async fn many_answers_hold_the_bytes_of_one() {
        let plain = &headers(&[]);
        let asset = file_of(&ASSET);
        let (one, other) = (serve(asset, 0, plain).await, serve(asset, 0, plain).await);
        assert_eq!(frame(one).await.as_ptr(), frame(other).await.as_ptr());
        static PAGE: Page = Page {
            path: "index.html",
            compressed: false,
            bytes: br#"<script src="./assets/a.js"></script>"#,
            ..ASSET
        };
        let page = file_of(&PAGE);
        let (one, other) = (serve(page, 1, plain).await, serve(page, 1, plain).await);
        let (one, other) = (frame(one).await, frame(other).await);
        assert_eq!(one.as_ref(), br#"<script src="../assets/a.js"></script>"#);
        assert_eq!(one.as_ptr(), other.as_ptr());
    }

    #[test]
    fn a_page_is_unpacked_beside_the_workers() {
        use std::future::Future as _;
        use std::task::{Context, Waker};
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asset = file_of(&ASSET);
        let headers = headers(&[]);
        let mut context = Context::from_waker(Waker::noop());
        {
            let _entered = runtime.enter();
            let mut answer = std::pin::pin!(serve(asset, 0, &headers));
            assert!(answer.as_mut().poll(&mut context).is_pending());
            runtime.block_on(answer);
            // Once it is made, nobody waits.
            let mut answer = std::pin::pin!(serve(asset, 0, &headers));
            assert!(answer.as_mut().poll(&mut context).is_ready());
        }
    }

    #[test]
    fn every_view_has_its_form() {
        assert!(VIEWS.iter().all(|(_, depth)| *depth < DEPTHS));
    }

    #[tokio::test]
    async fn what_the_browser_has_is_not_sent_again() {
        let response = serve(
            file_of(&ASSET),
            0,
            &headers(&[("if-none-match", "W/\"9\", W/\"0011\"")]),
        )
        .await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()["etag"], "W/\"0011\"");
        assert!(body(response).await.is_empty());
    }

    #[test]
    fn only_a_browser_that_navigates_gets_graphiql() {
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(is_browser(&Method::GET, &headers(&[("accept", accept)])));
        assert!(!is_browser(&Method::POST, &headers(&[("accept", accept)])));
        assert!(!is_browser(&Method::GET, &headers(&[("accept", "*/*")])));
        assert!(!is_browser(
            &Method::GET,
            &headers(&[("accept", "text/event-stream")])
        ));
        assert!(!is_browser(
            &Method::GET,
            &headers(&[("accept", accept), ("upgrade", "websocket")])
        ));
        assert!(!is_browser(&Method::GET, &headers(&[])));
    }

    #[tokio::test]
    async fn every_file_that_a_page_names_is_in_the_binary() {
        for page in PAGES.iter().filter(|page| page.path.ends_with(".html")) {
            let html =
                String::from_utf8(body(serve(file_of(page), 0, &HeaderMap::new()).await).await).unwrap();
            let named: Vec<&str> = html
                .split("\"./")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            assert!(!named.is_empty(), "{} names no files", page.path);
            for name in named
                .into_iter()
                .filter(|name| !name.is_empty() && *name != "graphql")
            {
                assert!(
                    PAGES.iter().any(|page| page.path == name),
                    "{} names {name}",
                    page.path
                );
            }
            assert!(
                !html.contains("://"),
                "{} must not load from anywhere else",
                page.path
            );
        }
    }

    #[test]
    fn a_page_further_down_names_the_same_files() {
        let html =
            br#"<script src="./assets/a.js"></script><link href="./assets/b.css"><a href="/x">"./</a>"#;
        let deeper = climb(html, 1);
        assert!(deeper.contains(r#"src="../assets/a.js""#), "{deeper}");
        assert!(deeper.contains(r#"href="../assets/b.css""#), "{deeper}");
        assert!(deeper.contains(r#"href="/x""#), "{deeper}");
        assert!(climb(html, 2).contains(r#""../../assets/a.js""#));
    }

    /// The status line with which the pages answer a request of the simplest kind.
    async fn ask(path: &str, accept: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router()).await });
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\naccept: {accept}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    #[tokio::test]
    async fn every_address_of_the_dashboard_can_be_opened_by_a_person() {
        let home = ask("/", "text/html").await;
        let nothing = "HTTP/1.0 404 Not Found";
        assert_ne!(home, nothing);
        for path in [
            "/calls/abc",
            "/sessions",
            "/sessions/a%2Fb",
            "/overview",
            "/servers/my%20server",
            "/setup",
            "/keys",
        ] {
            assert_eq!(ask(path, "text/html,*/*;q=0.8").await, home, "{path}");
            assert_eq!(ask(path, "application/json").await, nothing, "{path}");
        }
        assert_eq!(ask("/no/such/page", "text/html").await, nothing);
    }

    #[tokio::test]
    async fn a_binary_without_pages_says_so() {
        let response = find("no such page", 0, &HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
        assert!(body(response).await.starts_with(b"<!doctype html>"));
        assert_eq!(
            PAGES.is_empty(),
            find("index.html", 0, &HeaderMap::new()).await.status() == StatusCode::NOT_IMPLEMENTED
        );
    }
}
