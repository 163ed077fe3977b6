//! The dashboard and GraphiQL, served from the binary itself: nothing is fetched from anywhere else, so
//! they work offline.

mod accept;
mod file;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::signposts;

use accept::{is_browser, takes_html};
use file::{BY_PATH, POLICY, serve, serve_deep};

const WITHOUT_PAGES: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>mcptap</title>\
    <h1>mcptap was built without its pages</h1>\
    <p>The dashboard and GraphiQL are built with Node.js 20.19 or later and npm, which were missing or failed when \
    this binary was built. Everything else works: the API answers at <code>/graphql</code>.</p>\
    <p>To have the pages, install Node.js, then run <code>touch build.rs</code> and \
    <code>cargo build</code> again: the build prints what npm said.</p></html>\n";

/// Addresses inside the dashboard, and how many folders each lies below its root. The script behind
/// `index.html` shows the right one; people open them directly, from bookmarks and links.
const VIEWS: [(&str, usize); 12] = [
    ("/", 0),
    ("/calls", 0),
    ("/calls/{id}", 1),
    ("/sessions", 0),
    ("/sessions/{id}", 1),
    ("/overview", 0),
    ("/servers", 0),
    ("/servers/{name}", 1),
    ("/setup", 0),
    ("/docs", 0),
    ("/docs/{name}", 1),
    ("/keys", 0),
];

/// The documents that the pages carry, by their names in addresses: those that `pages/doc.tsx` lists.
const DOCUMENTS: [&str; 8] = [
    "readme",
    "instrumenting",
    "api",
    "dashboard",
    "security",
    "database",
    "architecture",
    "changelog",
];

/// The dashboard at each of its addresses, and all files that the pages load: one route, because routes cost memory and
/// files are many.
pub(crate) fn router() -> Router {
    let views = VIEWS.iter().fold(Router::new(), |router, (path, depth)| {
        let view = async move |method: Method, uri: Uri, headers: HeaderMap| {
            if is_unknown_document(uri.path()) {
                return nowhere(&method, &uri, &headers).await;
            }
            // a program that asks for what only a person can look at is told that there is nothing
            if *path == "/" || takes_html(&headers) {
                find("index.html", *depth, &headers).await
            } else {
                (StatusCode::NOT_FOUND, [(VARY, "accept")]).into_response()
            }
        };
        router.route(path, get(view))
    });
    views
        .route("/assets/{*path}", get(asset))
        .route("/{file}", get(file))
}

/// A file that a page loads.
async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    match BY_PATH.get(uri.path().trim_start_matches('/')) {
        Some(file) => serve(file, 0, &headers).await,
        None => signposts::nowhere(uri.path()),
    }
}

/// A file of the pages by its path.
async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    match BY_PATH.get(uri.path().trim_start_matches('/')) {
        // The pages have addresses of their own.
        Some(file) if !uri.path().ends_with(".html") => serve(file, 0, &headers).await,
        _ => nowhere(&method, &uri, &headers).await,
    }
}

/// There is nothing of ours at this address. A person is sent to what was meant, or sees so in the dashboard, from which
/// they can go on; a program is told what there is.
pub(crate) async fn nowhere(method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path();
    if !is_browser(method, headers) {
        return signposts::nowhere(path);
    }
    if signposts::without_slash(path).is_some()
        && let Some(meant) = above(uri)
    {
        let about = [
            (LOCATION, meant),
            (VARY, HeaderValue::from_static("accept")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        return (StatusCode::TEMPORARY_REDIRECT, about).into_response();
    }
    let page = match BY_PATH.get("index.html") {
        Some(index) => serve_deep(index, depth(path)).await,
        None => None,
    };
    page.unwrap_or_else(|| signposts::nowhere(path))
}

/// By how many folders an address lies below the root. Browsers count empty ones too.
fn depth(path: &str) -> usize {
    path.matches('/').count().saturating_sub(1)
}

/// From an address that ends in a few slashes to the same without them. Relative, as a reverse proxy may serve all of this
/// below some path.
fn above(uri: &Uri) -> Option<HeaderValue> {
    let without = uri.path().trim_end_matches('/');
    let slashes = uri.path().len().saturating_sub(without.len());
    let climb = "../".repeat(Some(slashes).filter(|slashes| *slashes < 10)?);
    let last = without.rsplit('/').next()?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    HeaderValue::try_from(format!("{climb}{last}{query}")).ok()
}

/// Whether this is where a document would be that there is not.
fn is_unknown_document(path: &str) -> bool {
    path.strip_prefix("/docs/")
        .is_some_and(|name| !DOCUMENTS.contains(&name))
}

/// Whether the dashboard is at this address.
pub(crate) fn is_view(path: &str) -> bool {
    !is_unknown_document(path)
        && VIEWS.iter().any(|(view, _)| match view.split_once('{') {
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

#[cfg(test)]
mod tests;
