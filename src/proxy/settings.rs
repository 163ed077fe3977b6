//! Settings of the proxy: flags over environment over `[proxy]` in `mcptap.toml` over defaults.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::upstream::Upstream;
use crate::age::age;
use crate::config::given;
use crate::given::{Given, taken};
use crate::problems::Problems;
use crate::values;

/// Every setting of the proxy, as a flag, as `MCPTAP_PROXY_…` and as a key of `[proxy]` in `mcptap.toml`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxySettings {
    /// The server to forward to, http or https. Every path goes to its host and port; the path of the URL only says
    /// which one to use: with http://127.0.0.1:8000/mcp, clients use /mcp here too
    #[arg(long, env = "MCPTAP_PROXY_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// Where clients connect [default: 127.0.0.1:6280]
    #[arg(long, env = "MCPTAP_PROXY_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<Given<SocketAddr>>,
    /// Listen on addresses other than loopback, for anyone who can reach them [default: false]
    #[arg(long, env = "MCPTAP_PROXY_ALLOW_REMOTE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_remote: Option<Given<bool>>,
    /// Tell the server the host that the client asked for, instead of the server's own [default: false]
    #[arg(long, env = "MCPTAP_PROXY_PRESERVE_HOST", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub preserve_host: Option<Given<bool>>,
    /// Give requests that are part of no trace a traceparent header, so that what the server itself tells of them is one record
    /// with the proxy's [default: true]
    #[arg(long, env = "MCPTAP_PROXY_TRACEPARENT", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub traceparent: Option<Given<bool>>,
    /// Names by which clients may call the proxy, besides localhost and its addresses, such as mcp.example.org. Requests for
    /// other names get 421: a web page whose name points here must not pass for a client [default: none]
    #[arg(
        long,
        env = "MCPTAP_PROXY_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub allowed_hosts: Option<Vec<String>>,
    /// The server's name in the traffic log [default: OTEL_SERVICE_NAME, else what the server calls itself]
    #[arg(long, env = "MCPTAP_PROXY_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8,192.168.1.7 [default: none]
    #[arg(
        long,
        env = "MCPTAP_PROXY_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NETWORK"
    )]
    pub trusted_proxies: Option<Vec<String>>,
    /// How long a connection to the server may take [default: 10s]
    #[arg(long, env = "MCPTAP_PROXY_CONNECT_TIMEOUT", value_name = "AGE")]
    pub connect_timeout: Option<String>,
    /// How many clients may be connected; when all are at work, more wait to be let in [default: up to 4096, by the limit
    /// of open files]
    #[arg(long, env = "MCPTAP_PROXY_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<Given<usize>>,
}

/// Settings of the proxy with nothing left open.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// The server behind.
    pub upstream: Upstream,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Whether `Host` stays as the client sent it.
    pub preserve_host: bool,
    /// Whether requests that are part of no trace get a `traceparent`.
    pub traceparent: bool,
    /// Names that the proxy answers to, besides localhost and its addresses.
    pub allowed_hosts: Vec<String>,
    /// The server's name in the traffic log.
    pub name: Option<String>,
    /// Whose word on the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bound of name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Bound of open connections of clients, at least 1; `None`: by the limit of open files.
    pub max_connections: Option<usize>,
}

impl ProxySettings {
    /// These, and where nothing is given, those of the lower layer.
    pub fn over(self, lower: Self) -> Self {
        Self {
            upstream: self.upstream.or(lower.upstream),
            listen: self.listen.or(lower.listen),
            allow_remote: self.allow_remote.or(lower.allow_remote),
            preserve_host: self.preserve_host.or(lower.preserve_host),
            traceparent: self.traceparent.or(lower.traceparent),
            allowed_hosts: self.allowed_hosts.or(lower.allowed_hosts),
            name: self.name.or(lower.name),
            trusted_proxies: self.trusted_proxies.or(lower.trusted_proxies),
            connect_timeout: self.connect_timeout.or(lower.connect_timeout),
            max_connections: self.max_connections.or(lower.max_connections),
        }
    }

    /// Checks everything. The error tells all that is wrong, and what would be right.
    pub fn resolve(self) -> anyhow::Result<ProxyConfig> {
        let mut problems = Problems::default();
        problems.unless(self.upstream.is_some(), || {
            "upstream is not set; say where the server is with --upstream http://127.0.0.1:8000/mcp, \
             MCPTAP_PROXY_UPSTREAM or upstream in [proxy] of mcptap.toml"
                .to_owned()
        });
        let config = self.settle(&mut problems);
        problems.end(())?;
        config.context("upstream is not usable")
    }

    /// Checks what is given. Nothing has to be: the rest may come as flags.
    pub(crate) fn check(self) -> anyhow::Result<()> {
        let mut problems = Problems::default();
        self.settle(&mut problems);
        problems.end(())
    }

    /// Checks each value; `None` where the upstream is not there or wrong.
    fn settle(self, problems: &mut Problems) -> Option<ProxyConfig> {
        let upstream = self.upstream.map(|upstream| Upstream::parse(&upstream));
        let upstream = upstream.and_then(|parsed| problems.or(parsed.map(Some), None));
        let listen = taken(self.listen, "listen", problems);
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 6280)));
        let allow_remote = taken(self.allow_remote, "allow_remote", problems).unwrap_or_default();
        let preserve_host = taken(self.preserve_host, "preserve_host", problems).unwrap_or_default();
        let traceparent = taken(self.traceparent, "traceparent", problems).unwrap_or(true);
        problems.unless(listen.ip().is_loopback() || allow_remote, || {
            format!(
                "listen is {listen}, which others can reach; use 127.0.0.1:{}, or say --allow-remote if you mean it",
                listen.port()
            )
        });
        if let Some(upstream) = &upstream {
            problems.unless(!leads_back(upstream, listen), || {
                format!("upstream is {upstream}, which is where the proxy itself listens; give the server's address")
            });
        }
        let connect_timeout = self.connect_timeout.as_deref().unwrap_or("10s");
        let connect_timeout = problems.or(age("connect_timeout", connect_timeout, "10s"), Duration::ZERO);
        let max_connections = taken(self.max_connections, "max_connections", problems);
        if let Some(count) = max_connections {
            let most = Semaphore::MAX_PERMITS / 8;
            problems.or(values::count("max_connections", count, 1, most, ""), ());
        }
        let allowed_hosts = self.allowed_hosts.unwrap_or_default();
        for name in given(&allowed_hosts) {
            problems.or(values::host("allowed_hosts of [proxy]", name), ());
        }
        let trusted_proxies = networks(self.trusted_proxies.unwrap_or_default(), problems);
        Some(ProxyConfig {
            upstream: upstream?,
            listen,
            preserve_host,
            traceparent,
            allowed_hosts,
            name: self.name,
            trusted_proxies,
            connect_timeout,
            max_connections,
        })
    }
}

/// A request to such an upstream would come back for ever.
fn leads_back(upstream: &Upstream, listen: SocketAddr) -> bool {
    let authority = upstream.authority();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let same_host = match host.parse::<IpAddr>() {
        Ok(address) => address == listen.ip(),
        Err(_) => host == "localhost" && listen.ip().is_loopback(),
    };
    same_host && authority.port_u16() == Some(listen.port())
}

fn networks(texts: Vec<String>, problems: &mut Problems) -> Vec<IpNet> {
    let network = |text: &String| {
        let text = text.trim();
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .with_context(|| {
                format!("trusted_proxies holds {text:?}; give addresses or networks such as 10.0.0.0/8")
            })
    };
    given(&texts)
        .filter_map(|text| problems.or(network(text).map(Some), None))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut ProxySettings)) -> anyhow::Result<ProxyConfig> {
        let mut settings = ProxySettings {
            upstream: Some("http://127.0.0.1:8000/mcp".to_owned()),
            ..ProxySettings::default()
        };
        change(&mut settings);
        settings.resolve()
    }

    #[test]
    fn an_upstream_is_enough() {
        let config = with(|_| {}).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:6280");
        assert_eq!(config.connect_timeout, Duration::from_secs(10));
        assert!(
            ProxySettings::default()
                .resolve()
                .unwrap_err()
                .to_string()
                .contains("--upstream")
        );
    }

    #[test]
    fn mistakes_explain_themselves() {
        type Mistake = fn(&mut ProxySettings);
        let mistakes: [(&str, Mistake); 5] = [
            ("--allow-remote", |it| it.listen = "0.0.0.0:80".parse().ok()),
            ("10.0.0.0/8", |it| {
                it.trusted_proxies = Some(vec!["ten".to_owned()])
            }),
            ("connect_timeout", |it| {
                it.connect_timeout = Some("off".to_owned())
            }),
            ("max_connections", |it| it.max_connections = Some(0.into())),
            ("itself", |it| it.listen = "127.0.0.1:8000".parse().ok()),
        ];
        for (hint, mistake) in mistakes {
            let error = format!("{:#}", with(mistake).unwrap_err());
            assert!(error.contains(hint), "{error}");
        }
        // A table with the rest alone is whole: where the server is may be a flag.
        let rest = ProxySettings {
            listen: "127.0.0.1:8001".parse().ok(),
            ..ProxySettings::default()
        };
        rest.clone().check().unwrap();
        assert!(rest.resolve().is_err());
        let both = ProxySettings {
            listen: "nowhere".parse().ok(),
            connect_timeout: Some("off".to_owned()),
            ..ProxySettings::default()
        };
        let error = both.check().unwrap_err().to_string();
        assert!(
            error.contains("nowhere") && error.contains("connect_timeout"),
            "{error}"
        );
        assert!(toml::from_str::<ProxySettings>("upstraem = \"x\"").is_err());
    }

    #[test]
    fn networks_and_single_addresses_are_trusted() {
        let config =
            with(|it| it.trusted_proxies = Some(vec!["10.0.0.0/8".to_owned(), " ::1".to_owned()])).unwrap();
        let shown: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "::1/128"]);
    }
}
