//! The files that the binary carries, and answers that hold them.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{LazyLock, OnceLock};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use flate2::read::GzDecoder;

use super::accept::listed;

/// One file of the built dashboard, as the build script wrote it down.
#[derive(Debug)]
pub(super) struct Page {
    path: &'static str,
    content_type: &'static str,
    compressed: bool,
    etag: &'static str,
    bytes: &'static [u8],
}

/// Empty when the binary was built without Node.js.
pub(super) static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

pub(super) static BY_PATH: LazyLock<HashMap<&'static str, File>> =
    LazyLock::new(|| PAGES.iter().map(|page| (page.path, File::of(page))).collect());

/// A page with its plain forms. Each is made at most once, because anybody may ask for it, as often as they like, and an
/// answer that its peer does not take is held for as long as the connection lasts.
#[derive(Debug)]
pub(super) struct File {
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
            _ => Some(climb(&String::from_utf8_lossy(&self.make(0)?), depth).into()),
        })
        .clone()
    }
}

/// How many depths the addresses of views have.
pub(super) const DEPTHS: usize = 2;

/// How many folders below the root an address can lie whose answer is a page. The page names its files by going up as
/// often, so it grows with the address.
const MAX_DEPTH: usize = 1_000;

/// Scripts, styles and connections of our own origin only, and no page of anyone else's around ours.
pub(super) const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// GraphiQL's editor writes its styles into the page and carries its fonts and icons inside its style sheet.
const GRAPHIQL_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                               font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
                               frame-ancestors 'none'";

/// `depth`: how many folders the address lies below the root. A page names its files relative to itself, so that
/// it also works below some path of a reverse proxy; deeper addresses have further to go.
pub(super) async fn serve(file: &'static File, depth: usize, headers: &HeaderMap) -> Response {
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

/// The page for an address where there is nothing, `depth` folders below the root. `None`: that is too deep to say so with
/// it, or it cannot be unpacked.
pub(super) async fn serve_deep(file: &'static File, depth: usize) -> Option<Response> {
    let plain = file.plain(0).await.filter(|_| depth <= MAX_DEPTH)?;
    let mut response = serve(file, 0, &HeaderMap::new()).await;
    // The tag is that of the page where it belongs.
    response.headers_mut().remove(ETAG);
    *response.status_mut() = StatusCode::NOT_FOUND;
    *response.body_mut() = Body::from(climb(&without_preloads(&plain), depth));
    Some(response)
}

fn unpacked(page: &'static Page) -> Option<Bytes> {
    if !page.compressed {
        return Some(Bytes::from_static(page.bytes));
    }
    let mut plain = Vec::new();
    GzDecoder::new(page.bytes).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

/// The page without what it only loads ahead of time: dozens of names, each of which grows with the depth.
fn without_preloads(html: &[u8]) -> String {
    let html = String::from_utf8_lossy(html);
    let lines = html.split_inclusive('\n');
    lines.filter(|line| !line.contains("modulepreload")).collect()
}

/// The same page for an address `depth` folders down: `"./x"` is `"../x"` there.
fn climb(html: &str, depth: usize) -> String {
    let up = if depth == 0 { "./" } else { "" };
    html.replace("\"./", &format!("\"{up}{}", "../".repeat(depth)))
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
        // The only thread that may be busy is held until somebody has been seen to wait for it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || held.recv());
        let asset = file_of(&ASSET);
        let headers = headers(&[]);
        let mut context = Context::from_waker(Waker::noop());
        {
            let _entered = runtime.enter();
            let mut answer = std::pin::pin!(serve(asset, 0, &headers));
            assert!(answer.as_mut().poll(&mut context).is_pending());
            drop(hold);
            runtime.block_on(answer);
            // Once it is made, nobody waits.
            let mut answer = std::pin::pin!(serve(asset, 0, &headers));
            assert!(answer.as_mut().poll(&mut context).is_ready());
        }
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
        let html = r#"<script src="./assets/a.js"></script><link href="./assets/b.css"><a href="/x">"./</a>"#;
        let deeper = climb(html, 1);
        assert!(deeper.contains(r#"src="../assets/a.js""#), "{deeper}");
        assert!(deeper.contains(r#"href="../assets/b.css""#), "{deeper}");
        assert!(deeper.contains(r#"href="/x""#), "{deeper}");
        assert!(climb(html, 2).contains(r#""../../assets/a.js""#));
        assert_eq!(climb(html, 0), html);
    }
}
