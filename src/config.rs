//! Settings: flags over environment over `mcptap.toml` over defaults. The only file that reads any of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use mcptap_graphql::Limits;
use mcptap_model::redact::{Redactor, Rules};
use mcptap_store::{has_keys, shown_url};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::api::ApiSettings;
use crate::check;
use crate::memory::{self, Size};
use crate::problems::Problems;
use crate::proxy::ProxySettings;

/// The file read when none is named.
const DEFAULT_FILE: &str = "mcptap.toml";

/// Every setting, as a flag, as `MCPTAP_…` and as a key of `mcptap.toml` (with underscores). What is not given here
/// comes from the next layer.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the dashboard, GraphQL, health and metrics are served [default: 127.0.0.1:6278]
    #[arg(long, env = "MCPTAP_LISTEN", value_name = "ADDRESS", value_parser = check::address)]
    #[serde(deserialize_with = "check::read_address")]
    pub listen: Option<SocketAddr>,
    /// Where OTLP/gRPC is received [default: 127.0.0.1:4317]
    #[arg(long, env = "MCPTAP_OTLP_GRPC", value_name = "ADDRESS", value_parser = check::address)]
    #[serde(deserialize_with = "check::read_address")]
    pub otlp_grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is received [default: 127.0.0.1:4318]
    #[arg(long, env = "MCPTAP_OTLP_HTTP", value_name = "ADDRESS", value_parser = check::address)]
    #[serde(deserialize_with = "check::read_address")]
    pub otlp_http: Option<SocketAddr>,
    /// Serve on addresses other than loopback while no API key exists, to anyone who can reach them [default: false]
    #[arg(long, env = "MCPTAP_ALLOW_REMOTE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_remote: Option<bool>,
    /// The database: sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME [default: sqlite://mcptap.db?mode=rwc]
    #[arg(long, env = "MCPTAP_DATABASE_URL", value_name = "URL")]
    pub database_url: Option<String>,
    /// How long calls are kept, such as 12h or 90d; `off` keeps everything [default: 30d]
    #[arg(long, env = "MCPTAP_RETENTION", value_name = "AGE")]
    pub retention: Option<String>,
    /// How long HTTP spans and log lines wait for their call [default: 15m]
    #[arg(long, env = "MCPTAP_JOIN_WINDOW", value_name = "AGE")]
    pub join_window: Option<String>,
    /// How many spans and log lines may wait to be stored before senders are told to wait [default: 65536]
    #[arg(long, env = "MCPTAP_INGEST_QUEUE_SPANS", value_name = "COUNT")]
    pub ingest_queue_spans: Option<usize>,
    /// How many bytes of a request or response body are kept [default: 1048576]
    #[arg(long, env = "MCPTAP_BODY_CAP", value_name = "BYTES")]
    pub body_cap: Option<usize>,
    /// How much memory senders and readers may take together, such as 512MiB or a number of bytes; more is refused with
    /// 429 or RESOURCE_EXHAUSTED [default: a quarter of the memory this process may use, at least 128MiB, at most 2GiB]
    #[arg(long, env = "MCPTAP_MEMORY_BUDGET", value_name = "BYTES")]
    pub memory_budget: Option<Size>,
    /// How many questions may read the database at the same time: half of them pages and lookups, half of them scans
    /// (statistics, menus, searches), of which one caller has half [default: two a core, at least 4, at most 64]
    #[arg(long, env = "MCPTAP_READERS", value_name = "COUNT")]
    pub readers: Option<u32>,
    /// A MaxMind country or city database (.mmdb), used before the table inside the binary
    #[arg(long, env = "MCPTAP_GEOIP_FILE", value_name = "FILE")]
    pub geoip_file: Option<PathBuf>,
    /// How many connections each port may have; when all are taken, idle ones are closed in favour of new ones
    /// [default: up to 4096, by the limit of open files]
    #[arg(long, env = "MCPTAP_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<usize>,
    /// Believe the first hop of X-Forwarded-For; only behind a proxy that sets it [default: false]
    #[arg(long, env = "MCPTAP_TRUST_FORWARDED_FOR", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub trust_forwarded_for: Option<bool>,
    /// Web origins besides our own whose pages may use the API, such as https://ui.example.org
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
    /// What is logged: error, warn, info, debug, or a filter such as mcptap_store=debug [default: info,rmcp=off]
    #[arg(long, env = "MCPTAP_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// The table `[graphql]`: limits of the API.
    #[command(flatten)]
    pub graphql: ApiSettings,
    /// The table `[proxy]`, which has flags of its own.
    #[arg(skip)]
    pub proxy: Option<ProxySettings>,
}

/// Settings with nothing left open.
#[derive(Clone, Debug)]
pub struct Config {
    /// Dashboard, GraphQL, health and metrics.
    pub listen: SocketAddr,
    /// OTLP/gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP/HTTP.
    pub otlp_http: SocketAddr,
    /// Whether others may reach the server while no API key exists.
    pub allow_remote: bool,
    /// The database.
    pub database_url: String,
    /// Age after which calls are deleted; `None` keeps everything.
    pub retention: Option<Duration>,
    /// How long HTTP spans and log lines wait for their call.
    pub join_window: Duration,
    /// Bound of the queue, in records.
    pub ingest_queue_spans: usize,
    /// Bound of a kept body, in bytes.
    pub body_cap: usize,
    /// Bound of what senders and readers may take of this process's memory, in bytes.
    pub memory_budget: usize,
    /// How many questions may read the database at the same time.
    pub readers: u32,
    /// The operator's country database.
    pub geoip_file: Option<PathBuf>,
    /// Bound of open connections of each port, at least 1; `None`: by the limit of open files.
    pub max_connections: Option<usize>,
    /// Whether `X-Forwarded-For` is believed.
    pub trust_forwarded_for: bool,
    /// Foreign origins that may use the API.
    pub allowed_origins: Vec<String>,
    /// Names by which clients may call the server, besides its own.
    pub allowed_hosts: Vec<String>,
    /// Cuts secrets out: built-in rules and the operator's.
    pub redactor: Redactor,
    /// What clients of the API may ask for.
    pub limits: Limits,
    /// Filter of our own log.
    pub log: String,
}

impl Config {
    /// The first address that others can reach, and its setting.
    fn exposed(&self) -> Option<(&'static str, SocketAddr)> {
        let addresses = [
            ("listen", self.listen),
            ("otlp_grpc", self.otlp_grpc),
            ("otlp_http", self.otlp_http),
        ];
        addresses
            .into_iter()
            .find(|(_, address)| !address.ip().is_loopback())
    }

    /// Fails where others could reach the server and nothing asks them who they are: while no API key exists, that must
    /// be meant.
    pub async fn check_exposure(&self) -> anyhow::Result<()> {
        let Some((name, address)) = self.exposed().filter(|_| !self.allow_remote) else {
            return Ok(());
        };
        if has_keys(&self.database_url)
            .await
            .context("looking for API keys")?
        {
            return Ok(());
        }
        bail!(
            "{name} is {address}, which others can reach, and nothing asks them who they are: make an API key with \
             mcptap keys create, use a loopback address such as 127.0.0.1:{}, or say --allow-remote if you mean it",
            address.port()
        )
    }
}

impl Config {
    /// Tells what each value would break.
    fn complain(&self, problems: &mut Problems) {
        problems.or(check::database_url(&self.database_url), ());
        problems.or(check::log(&self.log).map(drop), ());
        let given = |list: &'_ [String]| {
            list.iter()
                .filter(|entry| !entry.trim().is_empty())
                .cloned()
                .collect::<Vec<_>>()
        };
        for origin in &given(&self.allowed_origins) {
            problems.or(check::origin(origin), ());
        }
        for host in &given(&self.allowed_hosts) {
            problems.or(check::host("allowed_hosts", host), ());
        }
        problems.unless(
            self.max_connections
                .is_none_or(|places| usable(places, Semaphore::MAX_PERMITS)),
            || "max_connections is 0 or more than any machine holds; give at least 1".to_owned(),
        );
        problems.unless(usable(self.ingest_queue_spans, u32::MAX as usize), || {
            format!(
                "ingest_queue_spans is {}, but nothing could ever be stored with 0, and no memory holds more than 2^32; \
                 give at least 1",
                self.ingest_queue_spans
            )
        });
        problems.unless(usable(self.body_cap, i32::MAX as usize), || {
            format!(
                "body_cap is {}; give 1 to 2147483647 bytes (to keep no bodies at all, set MCPTAP_CAPTURE=metadata where \
                 they are recorded)",
                self.body_cap
            )
        });
        problems.unless((2..=1_000).contains(&self.readers), || {
            format!(
                "readers is {}; give 2 to 1000: at least one for pages and one for scans",
                self.readers
            )
        });
        problems.unless(self.memory_budget >= memory::LEAST, || {
            format!(
                "memory_budget is {}, too little for one large export; give at least {}",
                memory::Size::of(self.memory_budget),
                memory::Size::of(memory::LEAST)
            )
        });
        let ports = [self.listen, self.otlp_grpc, self.otlp_http];
        let twice = ports.iter().enumerate().any(|(at, address)| {
            address.port() != 0 && ports.iter().skip(at + 1).any(|other| other == address)
        });
        problems.unless(!twice, || {
            "two of listen, otlp_grpc and otlp_http are the same address; give each its own".to_owned()
        });
    }
}

/// Whether a count is at least 1 and no more than this.
fn usable(count: usize, most: usize) -> bool {
    (1..=most).contains(&count)
}

impl Settings {
    /// Reads a file. Without a path `mcptap.toml` is read if it is there; a path given must exist. An unknown key is
    /// an error that names it.
    pub fn from_file(path: Option<&Path>) -> anyhow::Result<Self> {
        let (path, required) = path.map_or((Path::new(DEFAULT_FILE), false), |path| (path, true));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

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
            ingest_queue_spans: self.ingest_queue_spans.or(lower.ingest_queue_spans),
            body_cap: self.body_cap.or(lower.body_cap),
            memory_budget: self.memory_budget.or(lower.memory_budget),
            readers: self.readers.or(lower.readers),
            geoip_file: self.geoip_file.or(lower.geoip_file),
            max_connections: self.max_connections.or(lower.max_connections),
            trust_forwarded_for: self.trust_forwarded_for.or(lower.trust_forwarded_for),
            allowed_origins: self.allowed_origins.or(lower.allowed_origins),
            allowed_hosts: self.allowed_hosts.or(lower.allowed_hosts),
            redact_keys: self.redact_keys.or(lower.redact_keys),
            redact_patterns: self.redact_patterns.or(lower.redact_patterns),
            redact_env: self.redact_env.or(lower.redact_env),
            log: self.log.or(lower.log),
            graphql: self.graphql.over(lower.graphql),
            proxy: self.proxy.or(lower.proxy),
        }
    }

    /// What holds when nothing is said.
    pub fn defaults() -> Self {
        let loopback = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            listen: loopback(6278),
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            allow_remote: Some(false),
            database_url: Some("sqlite://mcptap.db?mode=rwc".to_owned()),
            retention: Some("30d".to_owned()),
            join_window: Some("15m".to_owned()),
            ingest_queue_spans: Some(65_536),
            body_cap: Some(1 << 20),
            memory_budget: Some(memory::default_budget()),
            readers: Some(mcptap_store::Options::default().readers),
            geoip_file: None,
            max_connections: None,
            trust_forwarded_for: Some(false),
            allowed_origins: Some(Vec::new()),
            allowed_hosts: Some(Vec::new()),
            redact_keys: Some(Vec::new()),
            redact_patterns: Some(Vec::new()),
            redact_env: Some(Vec::new()),
            log: Some("info,rmcp=off".to_owned()),
            graphql: ApiSettings::defaults(),
            proxy: None,
        }
    }

    /// Checks everything. Errors say which setting is wrong and what would be right.
    pub fn resolve(self) -> anyhow::Result<Config> {
        let given = self.over(Self::defaults());
        let mut problems = Problems::default();
        // Defaults stand below, so none is missing.
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = |value: Option<SocketAddr>| value.unwrap_or(unset);
        let text = |value: Option<String>| value.unwrap_or_default();
        let limits = problems.or(given.graphql.resolve(), Limits::default());
        let config = Config {
            listen: address(given.listen),
            otlp_grpc: address(given.otlp_grpc),
            otlp_http: address(given.otlp_http),
            allow_remote: given.allow_remote.unwrap_or_default(),
            database_url: text(given.database_url),
            retention: problems.or(age("retention", &text(given.retention)), None),
            join_window: problems.or(
                age("join_window", &text(given.join_window))
                    .and_then(|window| window.context("join_window cannot be off; give an age such as 15m")),
                Duration::ZERO,
            ),
            ingest_queue_spans: given.ingest_queue_spans.unwrap_or_default(),
            body_cap: given.body_cap.unwrap_or_default(),
            memory_budget: given.memory_budget.unwrap_or_else(memory::default_budget).bytes(),
            readers: given
                .readers
                .unwrap_or_else(|| mcptap_store::Options::default().readers),
            geoip_file: given.geoip_file,
            max_connections: given.max_connections,
            trust_forwarded_for: given.trust_forwarded_for.unwrap_or_default(),
            allowed_origins: given.allowed_origins.unwrap_or_default(),
            allowed_hosts: given.allowed_hosts.unwrap_or_default(),
            redactor: problems.or(
                redactor(
                    given.redact_keys.unwrap_or_default(),
                    given.redact_patterns.unwrap_or_default(),
                    given.redact_env.unwrap_or_default(),
                ),
                Redactor::default(),
            ),
            limits,
            log: text(given.log),
        };
        config.complain(&mut problems);
        problems.end(config)
    }

    /// As TOML, with the database's password masked.
    pub fn print(mut self) -> anyhow::Result<String> {
        self.database_url = self.database_url.map(|url| shown_url(&url));
        toml::to_string(&self).context("printing the settings")
    }
}

/// The built-in rules and the operator's. Blank entries, such as the last line's end leaves, count for nothing.
fn redactor(keys: Vec<String>, patterns: Vec<String>, variables: Vec<String>) -> anyhow::Result<Redactor> {
    let given = |list: Vec<String>| {
        list.into_iter()
            .filter(|entry| !entry.trim().is_empty())
            .collect::<Vec<_>>()
    };
    let values = given(variables).into_iter().filter_map(|name| {
        let name = name.trim().to_owned();
        // What is not set here cannot be recognised, but the same settings may be in use where it is.
        let value = std::env::var(&name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let rules = Rules {
        keys: given(keys),
        patterns: given(patterns),
        values: values.collect(),
    };
    Redactor::new(&rules).context("in the settings of redaction (redact_keys, redact_patterns, redact_env)")
}

/// An age such as `30d`; `off` is none.
pub fn age(setting: &str, text: &str) -> anyhow::Result<Option<Duration>> {
    if text == "off" {
        return Ok(None);
    }
    let age = humantime::parse_duration(text)
        .with_context(|| format!("{setting} is {text:?}; give an age such as 15m, 12h or 30d, or off"))?;
    if age.is_zero() {
        bail!("{setting} is {text:?}; give an age above zero, or off");
    }
    Ok(Some(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_layer_wins() {
        let flags = Settings {
            retention: Some("1h".into()),
            ..Settings::default()
        };
        let file = Settings {
            retention: Some("2h".into()),
            body_cap: Some(7),
            ..Settings::default()
        };
        let config = flags.over(file).resolve().unwrap();
        assert_eq!(
            (config.retention, config.body_cap),
            (Some(Duration::from_secs(3600)), 7)
        );
        assert_eq!(config.listen.port(), 6278);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = toml::from_str::<Settings>("retentoin = \"1d\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("retentoin") && error.contains("retention"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_others_can_reach_must_be_meant() {
        let open = Settings {
            otlp_http: Some("0.0.0.0:4318".parse().unwrap()),
            database_url: Some("sqlite:///nowhere/at/all.db?mode=rwc".into()),
            ..Settings::default()
        };
        let check = async |settings: Settings| settings.resolve().unwrap().check_exposure().await;
        let error = check(open.clone()).await.unwrap_err().to_string();
        assert!(
            error.contains("otlp_http") && error.contains("--allow-remote") && error.contains("keys create"),
            "{error}"
        );
        let meant = Settings {
            allow_remote: Some(true),
            ..open
        };
        check(meant).await.unwrap();
        check(Settings::default()).await.unwrap();
    }

    #[test]
    fn ages_explain_themselves() {
        assert_eq!(age("retention", "off").unwrap(), None);
        assert_eq!(
            age("retention", "90d").unwrap(),
            Some(Duration::from_secs(90 * 86_400))
        );
        let error = format!("{:#}", age("retention", "soon").unwrap_err());
        assert!(error.contains("retention") && error.contains("30d"), "{error}");
        assert!(age("retention", "0s").is_err());
    }

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
