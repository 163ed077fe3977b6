//! What belongs to one connection alone (RFC 9110, 7.6.1) and is not passed on to the next.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};

/// Always of one connection alone, named by `Connection` or not.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Everything else, in its order; without `Content-Length` where `Transfer-Encoding` tells the end of the body. (Removing from the map itself would reorder what stays.)
pub(super) fn end_to_end(headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = tokens(&headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    // The one counts, and the other is somebody's mistake or attack (RFC 9112, 6.3): whoever read on with it would see
    // another message.
    let length_is_void = headers.contains_key(TRANSFER_ENCODING);
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut current = None;
    for (name, value) in headers {
        // A name is given once for all its values.
        if name.is_some() {
            current = name;
        }
        if let Some(name) = &current
            && !HOP_BY_HOP.contains(name)
            && !named.contains(name)
            && !(length_is_void && name == CONTENT_LENGTH)
        {
            kept.append(name, value);
        }
    }
    kept
}

/// How `Transfer-Encoding` says that a body is coded (RFC 9112, 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferCoding {
    /// Not at all.
    None,
    /// In chunks, once.
    Chunked,
    /// In chunks, more than once.
    ChunkedAgain,
    /// Also in another way, which is not undone here.
    Other,
}

/// What the header says. It is of one connection alone and not passed on, so a coding that stays in the body must not be lost.
pub(super) fn transfer_coding(headers: &HeaderMap) -> TransferCoding {
    let mut chunked = 0;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let Ok(codings) = value.to_str() else {
            return TransferCoding::Other;
        };
        for coding in codings.split(',').map(str::trim) {
            match coding {
                // The old word for none.
                "" => {}
                coding if coding.eq_ignore_ascii_case("identity") => {}
                coding if coding.eq_ignore_ascii_case("chunked") => chunked += 1,
                _ => return TransferCoding::Other,
            }
        }
    }
    match chunked {
        0 => TransferCoding::None,
        1 => TransferCoding::Chunked,
        _ => TransferCoding::ChunkedAgain,
    }
}

/// Whether one of the comma-separated words of this header is the one asked for.
pub(super) fn has_token(headers: &HeaderMap, header: &HeaderName, token: &str) -> bool {
    tokens(headers, header).any(|word| word.eq_ignore_ascii_case(token))
}

fn tokens<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_body_is_chunked_once_or_coded_otherwise() {
        for (values, coding) in [
            (&[][..], TransferCoding::None),
            (&["identity"], TransferCoding::None),
            (&["chunked"], TransferCoding::Chunked),
            (&[" , CHUNKED,"], TransferCoding::Chunked),
            (&["chunked, chunked"], TransferCoding::ChunkedAgain),
            (&["chunked", "chunked"], TransferCoding::ChunkedAgain),
            (&["gzip, chunked"], TransferCoding::Other),
            (&["gzip", "chunked"], TransferCoding::Other),
            (&["chunked;a=b"], TransferCoding::Other),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(transfer_coding(&headers), coding, "{values:?}");
        }
    }

    #[test]
    fn only_what_is_of_one_connection_is_dropped_and_the_rest_keeps_its_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("a", "1"),
            ("connection", "close, X-Private"),
            ("set-cookie", "x"),
            ("x-private", "p"),
            ("keep-alive", "timeout=5"),
            ("b", "2"),
            ("set-cookie", "y"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("content-length", "1"),
            ("trailer", "x-sum"),
            ("proxy-connection", "close"),
            ("upgrade", "h2c"),
            ("www-authenticate", "Bearer"),
            ("connection", "x-other"),
            ("x-other", "o"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert!(has_token(&headers, &CONNECTION, "x-PRIVATE") && !has_token(&headers, &CONNECTION, "x"));
        let kept = end_to_end(headers);
        let kept: Vec<_> = kept
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            kept,
            [
                ("a", "1"),
                ("set-cookie", "x"),
                ("set-cookie", "y"),
                ("b", "2"),
                ("trailer", "x-sum"),
                ("www-authenticate", "Bearer"),
            ]
        );
    }
}
