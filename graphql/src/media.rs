//! Media types: what a client sends, and what it takes.

use axum::http::{HeaderMap, HeaderName, header};

/// In what form an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/graphql-response+json`: the HTTP status tells how it went.
    GraphQl,
    /// `application/json`, which every client understands.
    Json,
    /// `text/event-stream`: as many answers as there are.
    Events,
}

impl Media {
    /// Best first, where a client has no preference.
    const ALL: [Self; 3] = [Self::Events, Self::GraphQl, Self::Json];

    fn essence(self) -> &'static str {
        match self {
            Self::GraphQl => "application/graphql-response+json",
            Self::Json => "application/json",
            Self::Events => "text/event-stream",
        }
    }

    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Events => "text/event-stream",
        }
    }

    /// What the client likes best; `None` when it takes none of them. Without a wish, and for wildcards, it is plain JSON.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut wishes = list(headers, header::ACCEPT).peekable();
        if wishes.peek().is_none() && !headers.contains_key(header::ACCEPT) {
            return Some(Self::Json);
        }
        let wishes: Vec<(&str, f32)> = wishes.map(|item| (essence(item), quality(item))).collect();
        let wish = |media: &str| {
            let found = wishes
                .iter()
                .find(|(wanted, _)| wanted.eq_ignore_ascii_case(media));
            found.map(|(_, quality)| *quality)
        };
        let best = Self::ALL
            .into_iter()
            .filter_map(|media| Some((media, wish(media.essence()).filter(|quality| *quality > 0.0)?)))
            // The first of the best, where `max_by` would take the last.
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        let anything = wish("application/*")
            .or(wish("*/*"))
            .is_some_and(|quality| quality > 0.0);
        let json = anything && wish(Self::Json.essence()).is_none();
        best.map(|(media, _)| media).or(json.then_some(Self::Json))
    }
}

/// Why a body cannot be read, if it cannot: it must be JSON in UTF-8, as it is.
pub(crate) fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    let sent = list(headers, header::CONTENT_TYPE).next().unwrap_or_default();
    if !essence(sent).eq_ignore_ascii_case(Media::Json.essence()) {
        return Some("send the request with Content-Type: application/json");
    }
    let charset =
        parameters(sent).find_map(|(name, value)| name.eq_ignore_ascii_case("charset").then_some(value));
    if charset.is_some_and(|charset| {
        !["utf-8", "utf8"]
            .iter()
            .any(|known| charset.eq_ignore_ascii_case(known))
    }) {
        return Some("send the request in UTF-8: other character sets are not read");
    }
    let coded =
        list(headers, header::CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case("identity"));
    coded.then_some("send the request as it is: Content-Encoding is not understood here")
}

/// The items of all headers of a name.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// A media type without its parameters.
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn parameters(media: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = media.split(';').skip(1).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
}

/// How much an item of `Accept` is wanted, from 0 (not at all) to 1.
fn quality(item: &str) -> f32 {
    let quality =
        parameters(item).find_map(|(name, value)| name.eq_ignore_ascii_case("q").then(|| value.parse().ok()));
    quality.flatten().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_is_accepted() {
        for (accept, expected) in [
            (None, Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/*;q=0.2"), Some(Media::Json)),
            (Some("application/json"), Some(Media::Json)),
            (Some("application/graphql-response+json"), Some(Media::GraphQl)),
            (
                Some("Application/GraphQL-Response+JSON; charset=utf-8, application/json;q=0.9"),
                Some(Media::GraphQl),
            ),
            (
                Some("application/json, application/graphql-response+json"),
                Some(Media::GraphQl),
            ),
            (
                Some("application/json, application/graphql-response+json;q=0.5"),
                Some(Media::Json),
            ),
            (
                Some("application/graphql-response+json;q=0, */*"),
                Some(Media::Json),
            ),
            (Some("text/event-stream"), Some(Media::Events)),
            (Some("application/json;q=0, */*"), None),
            (Some("text/html"), None),
            (Some(""), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (header::ACCEPT, accept.parse().unwrap())));
            assert_eq!(Media::accepted(&headers), expected, "{accept:?}");
        }
    }
}
