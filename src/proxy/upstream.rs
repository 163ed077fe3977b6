//! The server behind the proxy: its address, taken from the URL a user gives.

use std::fmt;

use anyhow::{Context, bail};
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// Where requests go. Only scheme and authority count for that; the path is what a user is told to use on our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl Upstream {
    /// Reads `http://HOST:PORT/PATH` or `https://…`. Anything else is an error that says what is right.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let example = "give a URL such as http://127.0.0.1:8000/mcp";
        if may_hold_a_user(url) {
            bail!(
                "upstream holds a user name; leave it out: clients send their own credentials, and the proxy passes them on"
            );
        }
        let shown = shown(url);
        let parts = url
            .parse::<Uri>()
            .with_context(|| format!("upstream is {shown}; {example}"))?
            .into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            bail!("upstream is {shown}; {example}");
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            bail!("upstream is {shown}, but the proxy speaks http and https only; {example}");
        }
        if authority.host().is_empty() {
            bail!("upstream is {shown}, which names no host; {example}");
        }
        // The library takes any text for a port, and then goes to the scheme's.
        let port = authority
            .as_str()
            .strip_prefix(authority.host())
            .unwrap_or_default();
        let is_number = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
        let is_port = |port: &str| is_number(port) && port.parse().is_ok_and(|port: u16| port != 0);
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            bail!("upstream is {shown}, whose port is none: ports are 1 to 65535; {example}");
        }
        let path = parts
            .path_and_query
            .map(|path| path.path().to_owned())
            .unwrap_or_default();
        if url.contains(['?', '#']) {
            bail!("upstream is {shown}; leave out what follows the path: each request brings its own query");
        }
        Ok(Self {
            scheme,
            authority,
            path,
        })
    }

    /// Whether the way there is encrypted.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Host, and port if it was given.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The path of the URL, `/` if it has none. Requests do not get it; they bring their own.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address of this path there, byte for byte.
    pub(super) fn uri(&self, path: Option<PathAndQuery>) -> Result<Uri, http::uri::InvalidUriParts> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts)
    }
}

/// A URL as it may be shown: keys of hosted servers stand in the query.
fn shown(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((before, _)) => format!("{:?}", format!("{before}?…")),
        None => format!("{url:?}"),
    }
}

/// Whether a URL may hold a user and a password, also where it is none: then it is not shown. In the path of a URL an @ is
/// a letter like any other.
fn may_hold_a_user(url: &str) -> bool {
    let before = url.split(['?', '#']).next().unwrap_or_default();
    let place = before.split_once("://").map(|(_, place)| place);
    let (authority, path) = place
        .map(|place| place.split_once('/').unwrap_or((place, "")))
        .unwrap_or((before, ""));
    // Half of a password may have become the path, and its other half the port.
    let half = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']') && port.parse::<u16>().is_err());
    authority.contains('@') || (half && path.contains('@'))
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let upstream = Upstream::parse("http://127.0.0.1:8000/mcp").unwrap();
        assert_eq!(
            (
                upstream.to_string().as_str(),
                upstream.path(),
                upstream.is_https()
            ),
            ("http://127.0.0.1:8000", "/mcp", false)
        );
        assert_eq!(Upstream::parse("https://mcp.example.com").unwrap().path(), "/");
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_is_repeated() {
        for wrong in [
            "127.0.0.1:8000",
            "/mcp",
            "ftp://a/b",
            "http:///mcp",
            "http://a b/",
            "http://a/?b=c",
            "http://a/#b",
            "http://a:99999/mcp",
            "http://a:80a0/mcp",
            "http://a:/mcp",
            "http://a:-1/mcp",
            "http://a:+80/mcp",
            "http://a:0/mcp",
            "http://[::1]:99999/mcp",
        ] {
            let error = format!("{:#}", Upstream::parse(wrong).unwrap_err());
            assert!(error.contains("upstream"), "{wrong}: {error}");
        }
        for holds_one in [
            "http://me:hunter2@host/mcp",
            "http://me:a/hunter2@host/mcp",
            "me:hunter2@host/mcp",
            "http:/me:hunter2@host/mcp",
        ] {
            let error = format!("{:#}", Upstream::parse(holds_one).unwrap_err());
            assert!(
                error.contains("leave it out") && !error.contains("hunter2"),
                "{error}"
            );
        }
        for keyed in [
            "http://host/mcp?api_key=hunter2",
            "http://host:none/mcp?api_key=hunter2",
            "ftp://host/mcp?api_key=hunter2",
            "host/mcp?api_key=hunter2",
            "http://host/mcp#hunter2",
        ] {
            let error = format!("{:#}", Upstream::parse(keyed).unwrap_err());
            assert!(
                error.contains("host") && !error.contains("hunter2"),
                "{keyed}: {error}"
            );
        }
        for right in [
            "http://host:8000/@scope/mcp",
            "http://[::1]:8000/@scope/mcp",
            "http://[::1]/mcp",
            "http://host:65535/mcp",
        ] {
            Upstream::parse(right).unwrap();
        }
    }

    #[test]
    fn paths_are_kept_byte_for_byte() {
        let upstream = Upstream::parse("http://host/mcp").unwrap();
        for path in ["/", "//a//b", "/a%2Fb?x=%20&y", "/?", "/a;b=c?d?e"] {
            let uri = upstream.uri(Some(PathAndQuery::from_static(path))).unwrap();
            assert_eq!(uri.path_and_query().map(PathAndQuery::as_str), Some(path));
        }
    }
}
