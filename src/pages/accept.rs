//! Media types that a request takes, and whether a browser sends it.

use axum::http::header::{ACCEPT, UPGRADE};
use axum::http::{HeaderMap, Method};

/// Whether a person looks: a browser that goes to an address, and no program, WebSocket or stream of events.
pub(super) fn is_browser(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && !headers.contains_key(UPGRADE) && takes_html(headers)
}

/// Whether a page can be the answer.
pub(super) fn takes_html(headers: &HeaderMap) -> bool {
    listed(headers, ACCEPT.as_str(), "text/html")
}

/// Whether a header that is a list names a value, and not with `q=0`.
pub(super) fn listed(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
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
    use axum::http::HeaderValue;

    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
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
}
