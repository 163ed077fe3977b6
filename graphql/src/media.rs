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
}

/// What a client takes. Some name everything that they can read, with every request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Accepted {
    /// How one answer is best sent, and how much that is wanted.
    single: Option<(Media, f32)>,
    /// How much a stream of answers is wanted.
    events: Option<f32>,
}

impl Accepted {
    /// What the client takes; `None` when that is nothing that is spoken here. Without a wish, and for wildcards, it is
    /// plain JSON.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(header::ACCEPT) {
            return Some(Self {
                single: Some((Media::Json, 1.0)),
                events: None,
            });
        }
        let wishes: Vec<(&str, f32)> = list(headers, header::ACCEPT)
            .map(|item| (essence(item), quality(item)))
            .collect();
        let named = |media: &str| {
            let found = wishes
                .iter()
                .find(|(wanted, _)| wanted.eq_ignore_ascii_case(media));
            found.map(|(_, quality)| *quality)
        };
        let wanted = |media: Media| named(media.essence()).filter(|quality| *quality > 0.0);
        let single = match (wanted(Media::GraphQl), wanted(Media::Json)) {
            (Some(new), Some(old)) if old > new => Some((Media::Json, old)),
            (Some(new), _) => Some((Media::GraphQl, new)),
            (None, Some(old)) => Some((Media::Json, old)),
            (None, None) if named(Media::Json.essence()).is_some() => None,
            (None, None) => named("application/*")
                .or(named("*/*"))
                .filter(|quality| *quality > 0.0)
                .map(|quality| (Media::Json, quality)),
        };
        let events = wanted(Media::Events);
        (single.is_some() || events.is_some()).then_some(Self { single, events })
    }

    /// How a single answer is sent; with [`Media::Events`] it is a stream of one.
    pub(crate) fn single(self) -> Media {
        match (self.single, self.events) {
            (Some((_, single)), Some(events)) if events > single => Media::Events,
            (Some((media, _)), _) => media,
            (None, _) => Media::Events,
        }
    }

    /// Whether the client can follow a subscription.
    pub(crate) fn events(self) -> bool {
        self.events.is_some()
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
        let new = "application/graphql-response+json";
        for (accept, single, events) in [
            (None, Some(Media::Json), false),
            (Some("*/*"), Some(Media::Json), false),
            (Some("application/*;q=0.2"), Some(Media::Json), false),
            (Some("application/json"), Some(Media::Json), false),
            (Some(new), Some(Media::GraphQl), false),
            (
                Some("Application/GraphQL-Response+JSON; charset=utf-8, application/json;q=0.9"),
                Some(Media::GraphQl),
                false,
            ),
            (
                Some("application/json, application/graphql-response+json"),
                Some(Media::GraphQl),
                false,
            ),
            (
                Some("application/json, application/graphql-response+json;q=0.5"),
                Some(Media::Json),
                false,
            ),
            (
                Some("application/graphql-response+json;q=0, */*"),
                Some(Media::Json),
                false,
            ),
            (Some("text/event-stream"), Some(Media::Events), true),
            (
                Some("text/event-stream, application/json;q=0.9"),
                Some(Media::Events),
                true,
            ),
            // As urql sends it, whatever it asks for.
            (
                Some(
                    "application/graphql-response+json, application/json, text/event-stream, multipart/mixed",
                ),
                Some(Media::GraphQl),
                true,
            ),
            (Some("application/json;q=0, */*"), None, false),
            (Some("text/html"), None, false),
            (Some(""), None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (header::ACCEPT, accept.parse().unwrap())));
            let accepted = Accepted::of(&headers);
            assert_eq!(accepted.map(Accepted::single), single, "{accept:?}");
            assert_eq!(accepted.is_some_and(Accepted::events), events, "{accept:?}");
        }
    }
}
