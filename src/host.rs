//! Which names of this server are its own. A page of a foreign name whose owner lets it resolve to this machine (DNS
//! rebinding) is, to a browser, a page of this server; only `Host` tells that it is not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The names that are answered to.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// Names besides those of loopback, without ports, in lower case.
    names: Arc<[String]>,
    /// Where the server listens.
    listen: IpAddr,
}

impl Hosts {
    /// Loopback, the address listened on, and the operator's names, a port after which is not looked at.
    pub(crate) fn new(listen: SocketAddr, allowed: &[String]) -> Self {
        let name = |entry: &String| {
            let host = entry.trim().parse::<Authority>().map_or_else(
                |_| entry.trim().to_owned(),
                |authority| authority.host().to_owned(),
            );
            host.to_ascii_lowercase()
        };
        Self {
            names: allowed.iter().map(name).collect(),
            listen: listen.ip(),
        }
    }

    /// An address cannot be rebound, so on all addresses of the machine any is right.
    fn are_ours(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host) {
            return true;
        }
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => {
                address.to_canonical().is_loopback() || address == self.listen || self.listen.is_unspecified()
            }
            Err(_) => false,
        }
    }

    fn judge(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), String> {
        let said = headers.get_all(header::HOST).into_iter();
        let said = said.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        // HTTP/2 says the host in the request's own target, as others may. Only programs say none. Of several, whoever is in
        // front may have believed another.
        let mut hosts = said.chain(uri.authority().map(ToString::to_string));
        hosts.try_for_each(|host| self.judge_host(&host))
    }

    /// The name in a `Host`, cut for a message, if it is not ours.
    pub(crate) fn judge_host(&self, host: &str) -> Result<(), String> {
        let authority = host.parse::<Authority>().ok();
        match authority.as_ref().and_then(name_of) {
            Some(name) if self.are_ours(name) => Ok(()),
            Some(name) => Err(name.chars().take(100).collect()),
            None => Err(host.chars().take(100).collect()),
        }
    }
}

/// The name in an authority that has nothing else but a port. To some, all up to the first colon is the name, whatever
/// follows; others may take the rest for it.
pub(crate) fn name_of(authority: &Authority) -> Option<&str> {
    let name = authority.host();
    let port = authority.as_str().strip_prefix(name)?;
    let whole = match port.strip_prefix(':') {
        Some(port) => {
            port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    (whole && !name.is_empty()).then_some(name)
}

/// Answers 421 to requests for a name that is not ours. Whoever watches over the server may call it what they like.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let watched = matches!(request.uri().path(), "/healthz" | "/readyz");
    match hosts.judge(request.headers(), request.uri()) {
        Err(name) if !watched => misdirected(&name),
        Ok(()) | Err(_) => next.run(request).await,
    }
}

/// The same where programs send telemetry, by whatever name: only browsers, which say where a page came from, are asked.
pub(crate) async fn guard_browsers(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let browser = request.headers().contains_key(header::ORIGIN);
    match hosts.judge(request.headers(), request.uri()) {
        Err(name) if browser => misdirected(&name),
        Ok(()) | Err(_) => next.run(request).await,
    }
}

fn misdirected(name: &str) -> Response {
    let message = format!(
        "this server does not answer to the name {name:?}: add it to allowed_hosts (--allowed-hosts, \
         MCPTAP_ALLOWED_HOSTS), or use the server's address"
    );
    let body =
        serde_json::json!({"errors": [{"message": message, "extensions": {"code": "MISDIRECTED_REQUEST"}}]});
    (StatusCode::MISDIRECTED_REQUEST, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_said_is_ours() {
        let hosts = Hosts::new("127.0.0.1:6278".parse().unwrap(), &[]);
        let judged = |said: &[&str], target: &str| {
            let mut headers = HeaderMap::new();
            for host in said {
                headers.append(header::HOST, host.parse().unwrap());
            }
            hosts.judge(&headers, &target.parse().unwrap()).is_ok()
        };
        assert!(judged(&["localhost"], "/graphql") && judged(&[], "/graphql"));
        assert!(judged(&["localhost"], "http://localhost:6278/graphql"));
        assert!(!judged(&["localhost", "evil.example"], "/graphql"));
        assert!(!judged(&["evil.example", "localhost"], "/graphql"));
        assert!(!judged(&["localhost"], "http://evil.example/graphql"));
    }

    #[test]
    fn only_names_of_our_own() {
        let judged = |listen: &str, host: &str| {
            let hosts = Hosts::new(
                listen.parse().unwrap(),
                &["Tap.Example.org:443".to_owned(), "mcptap".to_owned()],
            );
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            hosts.judge(&headers, &Uri::from_static("/")).is_ok()
        };
        for (listen, host, ours) in [
            ("127.0.0.1:6278", "127.0.0.1:6278", true),
            ("127.0.0.1:6278", "localhost:6278", true),
            ("127.0.0.1:6278", "LOCALHOST", true),
            ("127.0.0.1:6278", "a.localhost:1", true),
            ("127.0.0.1:6278", "[::1]:6278", true),
            ("127.0.0.1:6278", "tap.example.org", true),
            ("127.0.0.1:6278", "tap.example.ORG.:8080", true),
            ("127.0.0.1:6278", "mcptap:6278", true),
            ("127.0.0.1:6278", "evil.example", false),
            ("127.0.0.1:6278", "evil.example:6278", false),
            ("127.0.0.1:6278", "localhost.evil.example", false),
            ("127.0.0.1:6278", "localhost:6278.evil.example", false),
            ("127.0.0.1:6278", "localhost:evil.localhost", false),
            ("127.0.0.1:6278", "localhost:99999", false),
            ("127.0.0.1:6278", "localhost:+80", false),
            ("127.0.0.1:6278", "localhost:1:2", false),
            ("127.0.0.1:6278", "evil.example@localhost", false),
            ("127.0.0.1:6278", "localhost:80@evil.example", false),
            ("127.0.0.1:6278", "[::1].evil.example", false),
            ("127.0.0.1:6278", "[::1]:x", false),
            ("127.0.0.1:6278", "localhost:", true),
            ("127.0.0.1:6278", "127.0.0.1.evil.example", false),
            ("127.0.0.1:6278", "192.0.2.7:6278", false),
            ("192.0.2.7:6278", "192.0.2.7:6278", true),
            ("192.0.2.7:6278", "192.0.2.8:6278", false),
            ("0.0.0.0:6278", "192.0.2.8:6278", true),
            ("[::]:6278", "192.0.2.8", true),
            ("0.0.0.0:6278", "evil.example", false),
            ("127.0.0.1:6278", "", false),
        ] {
            assert_eq!(judged(listen, host), ours, "{host} at {listen}");
        }
    }
}
