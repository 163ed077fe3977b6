//! What a span knows of the peer: address, country, credentials, user agent, transport.

use mcptap_model::{SpanKind, Transport};

use super::dialect::Dialect;
use super::keys::{Attributes, Key};
use crate::country;
use crate::normalise::Reader;

/// What a span knows of the peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) client_ip: Option<String>,
    pub(super) country: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) user_agent: Option<String>,
}

/// Where a client's address stands, best first.
const ADDRESSES: &[Key] = &[
    Key::ClientAddress,
    Key::SrcAddr,
    Key::HttpClientIp,
    Key::NetworkPeerAddress,
    Key::NetSockPeerAddr,
    Key::NetPeerIp,
];
/// Where a country stands, best first. The headers are set by CDNs.
const COUNTRIES: &[Key] = &[
    Key::OurCountry,
    Key::GeoCountry,
    Key::ClientGeoCountry,
    Key::HeaderCfIpcountry,
    Key::HeaderVercelCountry,
    Key::HeaderCloudfrontCountry,
];
const USER_AGENTS: &[Key] = &[Key::UserAgentOriginal, Key::HttpUserAgent, Key::HeaderUserAgent];
const CREDENTIALS: &[Key] = &[Key::OurAuthorization, Key::HeaderAuthorization];

/// Reads what a span knows of the peer.
pub(super) fn peer(
    attributes: &mut Attributes<'_>,
    dialect: &Dialect,
    kind: SpanKind,
    reader: &Reader,
) -> Peer {
    let authorization = attributes.take_text(CREDENTIALS);
    // Both forms have their field now; neither may stand among the attributes.
    CREDENTIALS.iter().for_each(|key| attributes.take(*key));
    // The peer of a client's span is the server.
    let addresses = if kind == SpanKind::Client {
        &[Key::ClientAddress]
    } else {
        ADDRESSES
    };
    let client_ip = if dialect.honest_ids {
        client_ip(attributes, addresses, reader)
    } else {
        None
    };
    let given = COUNTRIES
        .iter()
        .find_map(|key| Some((*key, country::valid(&attributes.text(*key)?)?)));
    if let Some((key, _)) = &given {
        attributes.take(*key);
    }
    let country = given
        .map(|(_, code)| code)
        .or_else(|| reader.countries.of(client_ip.as_deref()?));
    Peer {
        client_ip,
        country,
        authorization,
        user_agent: attributes.take_text(USER_AGENTS),
    }
}

fn client_ip(attributes: &mut Attributes<'_>, addresses: &[Key], reader: &Reader) -> Option<String> {
    let forwarded = reader
        .trust_forwarded_for
        .then(|| attributes.text(Key::HeaderForwardedFor))
        .flatten();
    let forwarded = forwarded.and_then(|list| Some(without_port(list.split(',').next()?.trim())));
    let mut loopback = None;
    for key in addresses {
        let Some(address) = attributes.text(*key).map(|address| without_port(&address)) else {
            continue;
        };
        if forwarded.is_none() {
            attributes.take(*key);
        }
        if !is_loopback(&address) {
            return Some(forwarded.unwrap_or(address));
        }
        loopback.get_or_insert(address);
    }
    forwarded.or(loopback)
}

/// Whether nobody outside the machine is behind the address.
pub(super) fn is_loopback(address: &str) -> bool {
    address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback())
        || address == "localhost"
}

/// `1.2.3.4:56`, `[::1]:56` and `[::1]` without port and brackets.
fn without_port(address: &str) -> String {
    if let Ok(socket) = address.parse::<std::net::SocketAddr>() {
        return socket.ip().to_canonical().to_string();
    }
    address.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// How client and server talked, where the span says so. ToolHive's `pipe` is its backend's.
pub(super) fn transport(
    attributes: &mut Attributes<'_>,
    scope: &str,
    version: Option<&str>,
) -> Option<Transport> {
    let named = attributes
        .text(Key::McpTransport)
        .or_else(|| attributes.text(Key::McpTransportType));
    let named = named
        .filter(|_| !scope.starts_with("openlit"))
        .or_else(|| attributes.text(Key::ContextforgeTransport));
    let http = || {
        let sse = version.is_some_and(|version| version <= "2024-11-05");
        if sse {
            Transport::Sse
        } else {
            Transport::StreamableHttp
        }
    };
    if let Some(named) = named {
        let named = named.to_ascii_lowercase();
        let found = [
            ("stdio", Transport::Stdio),
            ("websocket", Transport::Websocket),
            ("streamable", Transport::StreamableHttp),
            ("sse", Transport::Sse),
            ("http", Transport::StreamableHttp),
        ];
        if let Some((_, transport)) = found.iter().find(|(word, _)| named.contains(word)) {
            return Some(*transport);
        }
    }
    match attributes.text(Key::NetworkTransport)?.as_str() {
        "pipe" if scope.starts_with("github.com/stacklok/toolhive") => Some(http()),
        "pipe" | "stdio" => Some(Transport::Stdio),
        "sse" => Some(Transport::Sse),
        "websocket" => Some(Transport::Websocket),
        "http" | "streamable-http" => Some(Transport::StreamableHttp),
        "tcp" | "quic" if attributes.text(Key::NetworkProtocolName).as_deref() == Some("websocket") => {
            Some(Transport::Websocket)
        }
        "tcp" | "quic" => Some(http()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_part_of_an_address() {
        assert_eq!(without_port("1.2.3.4:56"), "1.2.3.4");
        assert_eq!(without_port("[2001:db8::1]:56"), "2001:db8::1");
        assert_eq!(without_port("2001:db8::1"), "2001:db8::1");
        assert_eq!(without_port("example.org"), "example.org");
    }
}
