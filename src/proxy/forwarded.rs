//! Who asked: `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` (RFC 7239), as the server behind a proxy gets them.

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use ipnet::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How a request came to us.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The peer of the connection, where it is known.
    pub(super) client: Option<IpAddr>,
    /// The host that was asked for.
    pub(super) host: Option<HeaderValue>,
}

impl Arrival {
    /// Adds us to the headers. Addresses are always appended to those that stand there. What is said of protocol and
    /// host stays if the peer may say so (it is on this machine, or one of the trusted proxies), and is replaced
    /// otherwise: the server might believe it, because it comes through us.
    pub(super) fn append_to(&self, headers: &mut HeaderMap, trusted: &[IpNet]) {
        if let Some(client) = self.client {
            append(headers, FOR, client.to_string(), ", ");
        }
        append(headers, FORWARDED, self.element(), ", ");
        let believed = self.client.is_some_and(|client| {
            client.is_loopback() || trusted.iter().any(|network| network.contains(&client))
        });
        if !(believed && headers.contains_key(PROTO)) {
            headers.insert(PROTO, HeaderValue::from_static("http"));
        }
        if let Some(host) = &self.host
            && !(believed && headers.contains_key(HOST))
        {
            headers.insert(HOST, host.clone());
        }
    }

    /// Our element of `Forwarded`.
    fn element(&self) -> String {
        let mut element = match self.client {
            Some(IpAddr::V4(address)) => format!("for={address};"),
            Some(IpAddr::V6(address)) => format!("for=\"[{address}]\";"),
            None => String::new(),
        };
        if let Some(host) = self.host.as_ref().and_then(|host| host.to_str().ok())
            && !host.contains(['"', '\\'])
        {
            element.push_str(&format!("host=\"{host}\";"));
        }
        element + "proto=http"
    }
}

/// The origin that the client used, as upstream is told: whether by TLS, and the host. The first proxy of several had
/// the client before it.
pub(super) fn client_origin(headers: &HeaderMap) -> Option<(bool, Authority)> {
    let first = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim)
    };
    let is_https = first(PROTO)?.eq_ignore_ascii_case("https");
    Some((is_https, first(HOST)?.parse().ok()?))
}

/// Puts our word behind those that stand there, in their place.
fn append(headers: &mut HeaderMap, name: HeaderName, ours: String, separator: &str) {
    let mut all = Vec::new();
    for value in headers.get_all(&name) {
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(separator.as_bytes());
    }
    all.extend_from_slice(ours.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&all) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(client: &str, trusted: &str, before: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let arrival = Arrival {
            client: Some(client.parse().unwrap()),
            host: Some(HeaderValue::from_static("log.example:9000")),
        };
        arrival.append_to(&mut headers, &[trusted.parse().unwrap()]);
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn the_first_proxy_says_who_asked() {
        assert_eq!(
            after("2001:db8::7", "10.0.0.0/8", &[]),
            [
                "x-forwarded-for: 2001:db8::7",
                "forwarded: for=\"[2001:db8::7]\";host=\"log.example:9000\";proto=http",
                "x-forwarded-proto: http",
                "x-forwarded-host: log.example:9000",
            ]
        );
    }

    #[test]
    fn the_next_one_adds_itself_and_believes_only_whom_it_may() {
        let before = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("forwarded", "for=1.2.3.4"),
        ];
        let told = |proto, host, client| {
            [
                format!("x-forwarded-for: 1.2.3.4, 5.6.7.8, {client}"),
                format!("x-forwarded-proto: {proto}"),
                format!("x-forwarded-host: {host}"),
                format!("forwarded: for=1.2.3.4, for={client};host=\"log.example:9000\";proto=http"),
            ]
        };
        assert_eq!(
            after("10.1.1.1", "10.0.0.0/8", &before),
            told("https", "shop.example", "10.1.1.1")
        );
        assert_eq!(
            after("127.0.0.1", "10.0.0.0/8", &before),
            told("https", "shop.example", "127.0.0.1")
        );
        assert_eq!(
            after("11.1.1.1", "10.0.0.0/8", &before),
            told("http", "log.example:9000", "11.1.1.1")
        );
    }
}
