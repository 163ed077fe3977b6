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
        // Not shown before it is known to hold no password.
        if url
            .split(['/', '?', '#'])
            .nth(2)
            .is_some_and(|authority| authority.contains('@'))
        {
            bail!(
                "upstream holds a user name; leave it out: clients send their own credentials, and the proxy passes them on"
            );
        }
        let parts = url
            .parse::<Uri>()
            .with_context(|| format!("upstream is {url:?}; {example}"))?
            .into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            bail!("upstream is {url:?}; {example}");
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            bail!("upstream is {url:?}, but the proxy speaks http and https only; {example}");
        }
        if authority.host().is_empty() {
            bail!("upstream is {url:?}, which names no host; {example}");
        }
        let path = parts
            .path_and_query
            .map(|path| path.path().to_owned())
            .unwrap_or_default();
        if url.contains(['?', '#']) {
            bail!("upstream is {url:?}; leave out what follows the path: each request brings its own query");
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
        ] {
            let error = format!("{:#}", Upstream::parse(wrong).unwrap_err());
            assert!(error.contains("upstream"), "{wrong}: {error}");
        }
        let error = format!("{:#}", Upstream::parse("http://me:hunter2@host/mcp").unwrap_err());
        assert!(
            error.contains("leave it out") && !error.contains("hunter2"),
            "{error}"
        );
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
