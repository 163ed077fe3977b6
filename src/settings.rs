//! Settings as they are given: flags over environment over `mcptap.toml` over defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use mcptap_store::shown_url;
use serde::{Deserialize, Serialize};

use crate::api::ApiSettings;
use crate::given::Given;
use crate::listen::{default_places, raise_limit};
use crate::memory::{self, Size};
use crate::proxy::ProxySettings;

/// Every setting, as a flag, as `MCPTAP_…` and as a key of `mcptap.toml` (with underscores). What is not given here
/// comes from the next layer.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the dashboard, GraphQL, health and metrics are served [default: 127.0.0.1:6278]
    #[arg(long, env = "MCPTAP_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<Given<SocketAddr>>,
    /// Where OTLP/gRPC is received [default: 127.0.0.1:4317]
    #[arg(long, env = "MCPTAP_OTLP_GRPC", value_name = "ADDRESS")]
    pub otlp_grpc: Option<Given<SocketAddr>>,
    /// Where OTLP/HTTP is received [default: 127.0.0.1:4318]
    #[arg(long, env = "MCPTAP_OTLP_HTTP", value_name = "ADDRESS")]
    pub otlp_http: Option<Given<SocketAddr>>,
    /// Serve on addresses other than loopback while no API key exists, to anyone who can reach them [default: false]
    #[arg(long, env = "MCPTAP_ALLOW_REMOTE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_remote: Option<Given<bool>>,
    /// The database: sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME [default: sqlite://mcptap.db?mode=rwc]
    #[arg(long, env = "MCPTAP_DATABASE_URL", value_name = "URL")]
    pub database_url: Option<String>,
    /// How long calls are kept, 1h or more, such as 12h or 90d; `off` keeps everything [default: 30d]
    #[arg(long, env = "MCPTAP_RETENTION", value_name = "AGE")]
    pub retention: Option<String>,
    /// How long HTTP spans and log lines wait for their call [default: 15m]
    #[arg(long, env = "MCPTAP_JOIN_WINDOW", value_name = "AGE")]
    pub join_window: Option<String>,
    /// How long nothing may be heard of the process of a running call before the call counts as lost [default: 60s]
    #[arg(long, env = "MCPTAP_LOST_AFTER", value_name = "AGE")]
    pub lost_after: Option<String>,
    /// How many spans and log lines may wait to be stored before senders are told to wait [default: 65536]
    #[arg(long, env = "MCPTAP_INGEST_QUEUE_SPANS", value_name = "COUNT")]
    pub ingest_queue_spans: Option<Given<usize>>,
    /// How many bytes of a request or response body are kept, such as 1048576 or 1MiB [default: 1MiB]
    #[arg(long, env = "MCPTAP_BODY_CAP", value_name = "BYTES")]
    pub body_cap: Option<Given<Size>>,
    /// How much memory senders and readers may take together, such as 512MiB or a number of bytes. When it is full, exports
    /// get 429 (gRPC RESOURCE_EXHAUSTED) and queries 503 [default: a quarter of the memory this process may use, at least 128MiB, at most 2GiB]
    #[arg(long, env = "MCPTAP_MEMORY_BUDGET", value_name = "BYTES")]
    pub memory_budget: Option<Given<Size>>,
    /// How many queries may read the database at the same time. Half of them are for pages and lookups, half for scans
    /// (statistics, facets, searches); one caller has at most half of each [default: two a core, at least 4, at most 64]
    #[arg(long, env = "MCPTAP_READERS", value_name = "COUNT")]
    pub readers: Option<Given<u32>>,
    /// A MaxMind country or city database (.mmdb), used before the table inside the binary
    #[arg(long, env = "MCPTAP_GEOIP_FILE", value_name = "FILE")]
    pub geoip_file: Option<PathBuf>,
    /// How many connections each port may have; when all are taken, idle ones are closed in favour of new ones
    /// [default: up to 4096, by the limit of open files]
    #[arg(long, env = "MCPTAP_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<Given<usize>>,
    /// Believe the first hop of X-Forwarded-For; only behind a proxy that sets it [default: false]
    #[arg(long, env = "MCPTAP_TRUST_FORWARDED_FOR", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub trust_forwarded_for: Option<Given<bool>>,
    /// Web origins besides our own whose pages may use the API and send OTLP over HTTP, such as https://ui.example.org
    #[arg(
        long,
        env = "MCPTAP_ALLOWED_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Option<Vec<String>>,
    /// Names by which clients may call this server, besides localhost and its addresses, such as tap.example.org
    #[arg(
        long,
        env = "MCPTAP_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub allowed_hosts: Option<Vec<String>>,
    /// Names of keys whose values are cut out, besides the built-in ones, such as ssn,date_of_birth
    #[arg(long, env = "MCPTAP_REDACT_KEYS", value_delimiter = ',', value_name = "KEY")]
    pub redact_keys: Option<Vec<String>>,
    /// Regular expressions of what is cut out; a line each in the environment
    #[arg(
        long,
        env = "MCPTAP_REDACT_PATTERNS",
        value_delimiter = '\n',
        value_name = "REGEX"
    )]
    pub redact_patterns: Option<Vec<String>>,
    /// Names of environment variables whose values are cut out wherever they appear, such as API_KEY
    #[arg(
        long,
        env = "MCPTAP_REDACT_ENV",
        value_delimiter = ',',
        value_name = "VARIABLE"
    )]
    pub redact_env: Option<Vec<String>>,
    /// What is logged: error, warn, info, debug, or a filter such as mcptap_store=debug [default: info,h2=error,rmcp=off,sea_orm_migration=warn]
    #[arg(long, env = "MCPTAP_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// The table `[graphql]`: limits of the API.
    #[command(flatten)]
    pub graphql: ApiSettings,
    /// The table `[proxy]`, which has flags of its own.
    #[arg(skip)]
    pub proxy: Option<ProxySettings>,
}

impl Settings {
    /// These, and where nothing is given, those of the lower layer.
    pub fn over(self, lower: Self) -> Self {
        Self {
            listen: self.listen.or(lower.listen),
            otlp_grpc: self.otlp_grpc.or(lower.otlp_grpc),
            otlp_http: self.otlp_http.or(lower.otlp_http),
            allow_remote: self.allow_remote.or(lower.allow_remote),
            database_url: self.database_url.or(lower.database_url),
            retention: self.retention.or(lower.retention),
            join_window: self.join_window.or(lower.join_window),
            lost_after: self.lost_after.or(lower.lost_after),
            ingest_queue_spans: self.ingest_queue_spans.or(lower.ingest_queue_spans),
            body_cap: self.body_cap.or(lower.body_cap),
            memory_budget: self.memory_budget.or(lower.memory_budget),
            readers: self.readers.or(lower.readers),
            geoip_file: self.geoip_file.or(lower.geoip_file),
            max_connections: self.max_connections.or(lower.max_connections),
            trust_forwarded_for: self.trust_forwarded_for.or(lower.trust_forwarded_for),
            allowed_origins: self.allowed_origins.or(lower.allowed_origins),
            allowed_hosts: self.allowed_hosts.or(lower.allowed_hosts),
            redact_keys: unless_blank(self.redact_keys, lower.redact_keys),
            redact_patterns: unless_blank(self.redact_patterns, lower.redact_patterns),
            redact_env: unless_blank(self.redact_env, lower.redact_env),
            log: self.log.or(lower.log),
            graphql: self.graphql.over(lower.graphql),
            proxy: self.proxy.or(lower.proxy),
        }
    }

    /// What holds when nothing is said.
    pub fn defaults() -> Self {
        let loopback = |port| Some(Given::Value(SocketAddr::from(([127, 0, 0, 1], port))));
        Self {
            listen: loopback(6278),
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            allow_remote: Some(Given::Value(false)),
            database_url: Some("sqlite://mcptap.db?mode=rwc".to_owned()),
            retention: Some("30d".to_owned()),
            join_window: Some("15m".to_owned()),
            lost_after: Some("60s".to_owned()),
            ingest_queue_spans: Some(Given::Value(65_536)),
            body_cap: Some((1 << 20).into()),
            memory_budget: Some(Given::Value(memory::default_budget())),
            readers: Some(Given::Value(mcptap_store::Options::default().readers)),
            geoip_file: None,
            max_connections: None,
            trust_forwarded_for: Some(Given::Value(false)),
            allowed_origins: Some(Vec::new()),
            allowed_hosts: Some(Vec::new()),
            redact_keys: Some(Vec::new()),
            redact_patterns: Some(Vec::new()),
            redact_env: Some(Vec::new()),
            log: Some("info,h2=error,rmcp=off,sea_orm_migration=warn".to_owned()),
            graphql: ApiSettings::defaults(),
            proxy: None,
        }
    }

    /// As TOML, with the database's password masked, and with what is found out at the start.
    pub fn print(mut self) -> anyhow::Result<String> {
        raise_limit();
        self.max_connections = self
            .max_connections
            .or_else(|| Some(Given::Value(default_places(3, 1))));
        self.database_url = self.database_url.map(|url| shown_url(&url));
        toml::to_string(&self).context("printing the settings")
    }
}

/// The upper list. A variable that is set to nothing is a list with one blank entry: it counts as unset, so that it never
/// switches off what the file has cut out.
fn unless_blank(upper: Option<Vec<String>>, lower: Option<Vec<String>>) -> Option<Vec<String>> {
    match &upper {
        Some(list) if lower.is_some() && list.iter().all(|entry| entry.trim().is_empty()) => lower,
        Some(_) => upper,
        None => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let settings = Settings {
            database_url: Some("postgres://me:hunter2@db/x".into()),
            ..Settings::default()
        };
        let printed = settings.print().unwrap();
        assert!(
            !printed.contains("hunter2") && printed.contains("me:"),
            "{printed}"
        );
    }
}
