//! Who the client is: the peer, or whom trusted proxies name.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use ipnet::IpNet;

/// The client's address, and its port if it is the peer itself.
pub(crate) fn client_address(parts: &Parts, trusted: &[IpNet]) -> Option<(IpAddr, Option<u16>)> {
    let peer = peer(parts)?;
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let address = canonical(peer.ip());
    if !is_trusted(&address) {
        return Some((address, Some(peer.port())));
    }
    // Each proxy adds whom it saw at the end; what stands before an untrusted address is only said by that one.
    let headers = parts.headers.get_all("x-forwarded-for").iter();
    let named: Vec<IpAddr> = headers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map_while(|one| one.trim().parse().ok())
        .map(canonical)
        .collect();
    let client = named
        .iter()
        .rev()
        .find(|address| !is_trusted(address))
        .or(named.first());
    Some(client.map_or((address, Some(peer.port())), |client| (*client, None)))
}

/// An IPv4 address that an IPv6 socket shows in its own form.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The other end of the connection, where the web framework left it.
fn peer(parts: &Parts) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(peer)) =
        parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>()
    {
        return Some(*peer);
    }
    parts.extensions.get::<SocketAddr>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = http::Request::get("/").extension(peer.parse::<SocketAddr>().unwrap());
        for list in forwarded {
            request = request.header("x-forwarded-for", *list);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let (address, port) = client_address(&parts, &trusted).unwrap();
        format!("{address} {port:?}")
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let forged = ["203.0.113.9"];
        assert_eq!(seen("198.51.100.1:7", &forged, &[]), "198.51.100.1 Some(7)");
        assert_eq!(
            seen("198.51.100.1:7", &forged, &["10.0.0.0/8"]),
            "198.51.100.1 Some(7)"
        );
        assert_eq!(seen("10.0.0.1:7", &forged, &["10.0.0.0/8"]), "203.0.113.9 None");
        assert_eq!(
            seen(
                "[::ffff:10.0.0.1]:7",
                &["1.2.3.4, 203.0.113.9", "10.9.9.9"],
                &["10.0.0.0/8"]
            ),
            "203.0.113.9 None"
        );
        assert_eq!(
            seen("10.0.0.1:7", &["unknown"], &["10.0.0.0/8"]),
            "10.0.0.1 Some(7)"
        );
        assert_eq!(
            seen("10.0.0.1:7", &["10.2.2.2"], &["10.0.0.0/8"]),
            "10.2.2.2 None"
        );
    }

    #[cfg(feature = "axum")]
    #[test]
    fn axum_says_who_connected() {
        let mut parts = http::Request::new(()).into_parts().0;
        let connected = axum::extract::ConnectInfo(SocketAddr::from(([203, 0, 113, 9], 4711)));
        parts.extensions.insert(connected);
        let address = IpAddr::from([203, 0, 113, 9]);
        assert_eq!(client_address(&parts, &[]), Some((address, Some(4711))));
    }
}
