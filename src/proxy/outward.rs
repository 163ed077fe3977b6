//! Rewrites the origin in heads of answers: upstream was told its own name as the host, so its answers name its origin
//! where they should name the one that the client knows. Bodies pass as they are.

use http::header::{
    CONTENT_LOCATION, HeaderMap, HeaderValue, LINK, LOCATION, REFRESH, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::uri::Authority;

use super::forwarded;
use super::upstream::Upstream;

/// The origin of one client's request, and those under which upstream speaks of itself in the answer.
#[derive(Debug)]
pub(super) struct Outward {
    /// As the client writes it.
    client: Origin,
    upstream: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    is_https: bool,
    authority: Authority,
}

impl Outward {
    /// Of a request with these headers, as upstream gets them. None where it cannot be told what the client asked for.
    pub(super) fn new(upstream: &Upstream, headers: &HeaderMap, preserve_host: bool) -> Option<Self> {
        let (is_https, authority) = forwarded::client_origin(headers)?;
        let client = Origin { is_https, authority };
        let of = |authority: &Authority| Origin {
            is_https: upstream.is_https(),
            authority: authority.clone(),
        };
        let mut names = vec![of(upstream.authority())];
        if preserve_host {
            // Its scheme is another all the same.
            names.push(of(&client.authority));
        }
        Some(Self {
            client,
            upstream: names,
        })
    }

    /// Puts the client's origin in the place of upstream's.
    pub(super) fn readdress(&self, headers: &mut HeaderMap) {
        for (name, value) in headers.iter_mut() {
            let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
                continue;
            };
            let changed = if *name == LOCATION || *name == CONTENT_LOCATION {
                self.reference(text)
            } else if *name == LINK {
                self.links(text)
            } else if *name == SET_COOKIE {
                self.cookie(text)
            } else if *name == REFRESH {
                self.after(text, "url=")
            } else if *name == WWW_AUTHENTICATE {
                self.after(text, "resource_metadata=")
            } else {
                None
            };
            if let Some(changed) = changed.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
                *value = changed;
            }
        }
    }

    /// A reference with the client's origin, where it had upstream's.
    fn reference(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let (scheme, rest) = match text.strip_prefix("//") {
            Some(rest) => (None, rest),
            None => {
                let (scheme, rest) = text.split_once("://")?;
                (Some(scheme), rest)
            }
        };
        let is_https = match scheme {
            None => None,
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => Some(true),
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => Some(false),
            Some(_) => return None,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return None;
        }
        let authority: Authority = authority.parse().ok()?;
        if !self.upstream.iter().any(|known| known.is(is_https, &authority)) {
            return None;
        }
        let scheme = match (scheme, self.client.is_https) {
            (None, _) => "",
            (Some(_), true) => "https:",
            (Some(_), false) => "http:",
        };
        Some(format!("{scheme}//{}{path}", self.client.authority))
    }

    /// The references of `Link`, which stand in angle brackets.
    fn links(&self, text: &str) -> Option<String> {
        let mut changed = None;
        let mut all = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, (link, after))) = rest
            .split_once('<')
            .and_then(|(before, after)| Some((before, after.split_once('>')?)))
        {
            let ours = self.reference(link);
            all.push_str(&format!("{before}<{}>", ours.as_deref().unwrap_or(link)));
            changed = changed.or(ours.map(|_| ()));
            rest = after;
        }
        all.push_str(rest);
        changed.map(|()| all)
    }

    /// The reference behind each of these marks, quoted or not: that of `Refresh`, or where a server that wants OAuth has its
    /// metadata (RFC 9728), which a client reads from the server that it asked.
    fn after(&self, text: &str, mark: &str) -> Option<String> {
        let small = text.to_ascii_lowercase();
        let mut changed = String::with_capacity(text.len());
        let mut done = 0;
        for (at, _) in small.match_indices(mark) {
            let start = at + mark.len();
            let (before, rest) = (text.get(done..start)?, text.get(start..)?);
            let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
            let inner = quote.map_or(Some(rest), |quote| rest.strip_prefix(quote))?;
            let end = match quote {
                Some(quote) => inner.find(quote),
                None => inner.find([',', ';', ' ']),
            };
            let reference = inner.get(..end.unwrap_or(inner.len()))?;
            let Some(ours) = self.reference(reference) else {
                continue;
            };
            changed.push_str(before);
            changed.extend(quote);
            changed.push_str(&ours);
            done = start + quote.map_or(0, char::len_utf8) + reference.len();
        }
        (done > 0).then(|| changed + text.get(done..).unwrap_or_default())
    }

    /// A cookie for upstream's domain is one for the host that the client asked: it would not keep another. `Secure` stays,
    /// since it is the server's wish that the cookie is never sent in the clear.
    fn cookie(&self, text: &str) -> Option<String> {
        let is_foreign = |attribute: &str| {
            let Some((name, domain)) = attribute.split_once('=') else {
                return false;
            };
            let domain = domain.trim().trim_start_matches('.');
            let is_in_domain = |host: &str| {
                let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
                host.strip_suffix(&domain)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            name.trim().eq_ignore_ascii_case("domain")
                && !domain.is_empty()
                && self
                    .upstream
                    .iter()
                    .any(|known| is_in_domain(known.authority.host()))
                && !is_in_domain(self.client.authority.host())
        };
        let mut attributes = text.split(';');
        // The first is the cookie itself.
        let mut kept = vec![attributes.next()?];
        let before = text.matches(';').count() + 1;
        kept.extend(attributes.filter(|attribute| !is_foreign(attribute)));
        (kept.len() < before).then(|| kept.join(";"))
    }
}

impl Origin {
    /// Whether this is the origin that is meant. A server behind the end of TLS believes that it is asked by `http`, and
    /// following it to ours is right; the other way round it means to send the client away to TLS.
    fn is(&self, is_https: Option<bool>, authority: &Authority) -> bool {
        let meant = is_https.unwrap_or(self.is_https);
        if meant && !self.is_https {
            return false;
        }
        let port =
            |authority: &Authority, is_https| authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let same_port = port(authority, meant) == port(&self.authority, self.is_https)
            || (authority.port().is_none() && self.authority.port().is_none());
        let (one, other) = (authority.host(), self.authority.host());
        same_port && (one.eq_ignore_ascii_case(other) || (is_this_machine(one) && is_this_machine(other)))
    }
}

/// Whether it is a name of the machine itself.
fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outward(upstream: &str, forwarded: &[(&'static str, &'static str)], preserve_host: bool) -> Outward {
        let headers = forwarded
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        Outward::new(&Upstream::parse(upstream).unwrap(), &headers, preserve_host).unwrap()
    }

    const PLAIN: &[(&str, &str)] = &[
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "127.0.0.1:6280"),
    ];

    #[test]
    fn references_to_upstream_lead_to_us() {
        for (upstream, reference, expected) in [
            (
                "http://host:8000/mcp",
                "http://host:8000/mcp/",
                Some("http://127.0.0.1:6280/mcp/"),
            ),
            (
                "http://host:8000",
                "HTTP://HOST:8000",
                Some("http://127.0.0.1:6280"),
            ),
            (
                "http://host:8000",
                "http://host:8000?a=http://host:8000#x",
                Some("http://127.0.0.1:6280?a=http://host:8000#x"),
            ),
            ("http://host:8000", "//host:8000/x", Some("//127.0.0.1:6280/x")),
            ("http://host", "http://host:80/x", Some("http://127.0.0.1:6280/x")),
            (
                "https://host",
                "https://host:443/x",
                Some("http://127.0.0.1:6280/x"),
            ),
            // The end of TLS is before the server.
            ("https://host", "http://host/x", Some("http://127.0.0.1:6280/x")),
            (
                "https://host:8443",
                "http://host:8443/x",
                Some("http://127.0.0.1:6280/x"),
            ),
            (
                "http://127.0.0.1:8000",
                "http://localhost:8000/x",
                Some("http://127.0.0.1:6280/x"),
            ),
            (
                "http://[::1]:8000",
                "http://localhost:8000/x",
                Some("http://127.0.0.1:6280/x"),
            ),
            // Following that to us would end in a circle.
            ("http://host", "https://host/x", None),
            ("http://host:8000", "http://host:8001/x", None),
            ("http://host:8000", "http://host/x", None),
            ("http://host:8000", "http://host.example:8000/x", None),
            ("http://host:8000", "http://me@host:8000/x", None),
            ("http://host:8000", "ftp://host:8000/x", None),
            ("http://host:8000", "/mcp/", None),
            ("http://host:8000", "mcp?to=http://host:8000/", None),
            ("http://host:8000", "http://", None),
            ("http://host:8000", "", None),
        ] {
            let found = outward(upstream, PLAIN, false).reference(reference);
            assert_eq!(found.as_deref(), expected, "{upstream} {reference}");
        }
    }

    #[test]
    fn the_client_is_who_asked_first() {
        let told = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "log.example, 127.0.0.1:6280"),
        ];
        let outward = outward("http://host:8000", &told, false);
        assert_eq!(
            outward.reference("http://host:8000/x").unwrap(),
            "https://log.example/x"
        );
    }

    #[test]
    fn a_kept_host_is_asked_by_our_scheme() {
        let outward = outward("https://host", PLAIN, true);
        assert_eq!(
            outward.reference("https://127.0.0.1:6280/x").unwrap(),
            "http://127.0.0.1:6280/x"
        );
    }

    #[test]
    fn every_header_keeps_its_place_and_what_it_says_besides() {
        let outward = outward("http://mcp.shop.example:8000", PLAIN, false);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "a=b; Domain=.shop.example; Path=/"),
            ("location", "http://mcp.shop.example:8000/mcp/"),
            ("x-location", "http://mcp.shop.example:8000/mcp/"),
            (
                "link",
                "<http://mcp.shop.example:8000/a>; rel=next, </b>; rel=\"x\", <https://else/>",
            ),
            ("set-cookie", "c=d; domain=else.example; Secure"),
            ("set-cookie", "Domain=mcp.shop.example; HttpOnly"),
            ("content-location", "http://mcp.shop.example:8000/c"),
            ("refresh", "5; URL='http://mcp.shop.example:8000/r?a=b'"),
            ("refresh", "5;url=http://mcp.shop.example:8000/r; x"),
            (
                "www-authenticate",
                "Basic realm=\"a\", Bearer error=\"x\", Resource_Metadata=\"http://mcp.shop.example:8000/m\", scope=\"a b\"",
            ),
            (
                "www-authenticate",
                "Bearer resource_metadata=\"https://else.example/m\"",
            ),
            (
                "www-authenticate",
                "Bearer resource_metadata=\"http://mcp.shop.example:8000/m",
            ),
            ("set-cookie", "e=f;domain=example"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        outward.readdress(&mut headers);
        let found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("set-cookie", "a=b; Path=/"),
                ("set-cookie", "c=d; domain=else.example; Secure"),
                ("set-cookie", "Domain=mcp.shop.example; HttpOnly"),
                ("set-cookie", "e=f"),
                ("location", "http://127.0.0.1:6280/mcp/"),
                ("x-location", "http://mcp.shop.example:8000/mcp/"),
                (
                    "link",
                    "<http://127.0.0.1:6280/a>; rel=next, </b>; rel=\"x\", <https://else/>"
                ),
                ("content-location", "http://127.0.0.1:6280/c"),
                ("refresh", "5; URL='http://127.0.0.1:6280/r?a=b'"),
                ("refresh", "5;url=http://127.0.0.1:6280/r; x"),
                (
                    "www-authenticate",
                    "Basic realm=\"a\", Bearer error=\"x\", Resource_Metadata=\"http://127.0.0.1:6280/m\", scope=\"a b\""
                ),
                (
                    "www-authenticate",
                    "Bearer resource_metadata=\"https://else.example/m\""
                ),
                (
                    "www-authenticate",
                    "Bearer resource_metadata=\"http://127.0.0.1:6280/m"
                ),
            ]
        );
    }
}
