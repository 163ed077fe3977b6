//! Settings with nothing left open, and the judgement of every value.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mcptap_graphql::Limits;
use mcptap_model::redact::{Redactor, Rules};
use mcptap_store::has_keys;
use tokio::sync::Semaphore;

use anyhow::{Context, bail, ensure};

use crate::age::{age, age_or_off};
use crate::given::taken;
use crate::memory;
use crate::problems::Problems;
use crate::settings::Settings;
use crate::values;

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
    /// How long nothing may be heard of the process of a running call before the call counts as lost.
    pub lost_after: Duration,
    /// Bound of the queue, in records.
    pub ingest_queue_spans: usize,
    /// Bound of a kept body, in bytes.
    pub body_cap: usize,
    /// Bound of what senders and readers may take of this process's memory, in bytes.
    pub memory_budget: usize,
    /// How many queries may read the database at the same time.
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
        self.addresses()
            .into_iter()
            .find(|(_, address)| !address.ip().is_loopback())
    }

    /// All addresses, and their settings.
    pub(crate) fn addresses(&self) -> [(&'static str, SocketAddr); 3] {
        [
            ("listen", self.listen),
            ("otlp_grpc", self.otlp_grpc),
            ("otlp_http", self.otlp_http),
        ]
    }

    /// Fails where others could reach the server and nothing asks them who they are: while no API key exists, that must
    /// be meant.
    pub async fn check_exposure(&self) -> anyhow::Result<()> {
        if self.exposed().is_none() || self.allow_remote {
            return Ok(());
        }
        match has_keys(&self.database_url)
            .await
            .context("looking for API keys")?
        {
            true => Ok(()),
            false => self.without_keys(),
        }
    }

    /// The same where no API key exists.
    pub(crate) fn without_keys(&self) -> anyhow::Result<()> {
        let Some((name, address)) = self.exposed().filter(|_| !self.allow_remote) else {
            return Ok(());
        };
        bail!(
            "{name} is {address}, which others can reach, and nothing asks them who they are: make an API key with \
             mcptap keys create, use a loopback address such as 127.0.0.1:{}, or say --allow-remote if you mean it",
            address.port()
        )
    }

    /// Adds a problem for each value that is out of its bounds.
    fn complain(&self, problems: &mut Problems) {
        problems.or(values::database_url(&self.database_url), ());
        problems.or(values::log(&self.log).map(drop), ());
        for origin in given(&self.allowed_origins) {
            problems.or(values::origin(origin), ());
        }
        for host in given(&self.allowed_hosts) {
            problems.or(values::host("allowed_hosts", host), ());
        }
        if let Some(places) = self.max_connections {
            problems.or(
                values::count("max_connections", places, 1, Semaphore::MAX_PERMITS, ""),
                (),
            );
        }
        let most = u32::MAX as usize;
        problems.or(
            values::count("ingest_queue_spans", self.ingest_queue_spans, 1, most, ""),
            (),
        );
        let none = " (to keep no bodies at all, set MCPTAP_CAPTURE=metadata where they are recorded)";
        problems.or(
            values::count("body_cap", self.body_cap, 1, i32::MAX as usize, none),
            (),
        );
        let readers = " (one at least for pages, one for scans)";
        problems.or(
            values::count("readers", self.readers as usize, 2, 1_000, readers),
            (),
        );
        problems.unless(self.memory_budget >= memory::LEAST, || {
            format!(
                "memory_budget is {}, too little for one large export; give at least {}",
                memory::Size::of(self.memory_budget),
                memory::Size::of(memory::LEAST)
            )
        });
        let ports = self.addresses();
        for (at, (one, address)) in ports.iter().enumerate() {
            for (other, second) in ports.iter().skip(at + 1) {
                problems.unless(!overlap(*address, *second), || {
                    format!("{one} and {other} are the same address, {address}; give each a port of its own")
                });
            }
        }
    }
}

/// Whether two addresses cannot both be listened at.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let takes =
        |all: IpAddr, ip: IpAddr| all == ip || (all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4()));
    one.port() != 0
        && one.port() == other.port()
        && (takes(one.ip(), other.ip()) || takes(other.ip(), one.ip()))
}

/// The entries of a list that are not blank.
pub(crate) fn given(list: &[String]) -> impl Iterator<Item = &String> {
    list.iter().filter(|entry| !entry.trim().is_empty())
}

impl Settings {
    /// Checks every value. The error tells all that are wrong, and what would be right.
    pub fn resolve(self) -> anyhow::Result<Config> {
        let mut problems = Problems::default();
        let config = self.settle(&mut problems);
        problems.end(config)
    }

    /// Checks every value. The default replaces a wrong one.
    pub(crate) fn settle(self, problems: &mut Problems) -> Config {
        let given = self.over(Self::defaults());
        // Defaults are the lowest layer, so none is missing.
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let text = |value: Option<String>| value.unwrap_or_default();
        let defaults = mcptap_store::Options::default();
        let limits = problems.or(given.graphql.resolve(), Limits::default());
        let config = Config {
            listen: taken(given.listen, "listen", problems).unwrap_or(unset),
            otlp_grpc: taken(given.otlp_grpc, "otlp_grpc", problems).unwrap_or(unset),
            otlp_http: taken(given.otlp_http, "otlp_http", problems).unwrap_or(unset),
            allow_remote: taken(given.allow_remote, "allow_remote", problems).unwrap_or_default(),
            database_url: text(given.database_url),
            retention: problems.or(
                age_or_off("retention", &text(given.retention)).and_then(kept_for_a_while),
                None,
            ),
            join_window: problems.or(
                age("join_window", &text(given.join_window), "15m"),
                defaults.join_window,
            ),
            lost_after: problems.or(
                age("lost_after", &text(given.lost_after), "60s").and_then(heard_meanwhile),
                defaults.lost_after,
            ),
            ingest_queue_spans: taken(given.ingest_queue_spans, "ingest_queue_spans", problems)
                .unwrap_or(defaults.queue_records),
            body_cap: taken(given.body_cap, "body_cap", problems)
                .map_or(defaults.body_cap, memory::Size::bytes),
            memory_budget: taken(given.memory_budget, "memory_budget", problems)
                .unwrap_or_else(memory::default_budget)
                .bytes(),
            readers: taken(given.readers, "readers", problems).unwrap_or(defaults.readers),
            geoip_file: given.geoip_file,
            max_connections: taken(given.max_connections, "max_connections", problems),
            trust_forwarded_for: taken(given.trust_forwarded_for, "trust_forwarded_for", problems)
                .unwrap_or_default(),
            allowed_origins: given.allowed_origins.unwrap_or_default(),
            allowed_hosts: given.allowed_hosts.unwrap_or_default(),
            redactor: redactor(
                &given.redact_keys.unwrap_or_default(),
                &given.redact_patterns.unwrap_or_default(),
                &given.redact_env.unwrap_or_default(),
                problems,
            ),
            limits,
            log: text(given.log),
        };
        config.complain(problems);
        config
    }
}

/// The built-in rules and the operator's. Blank entries count for nothing. Each rule is tried alone first, so that every
/// wrong one is told.
fn redactor(keys: &[String], patterns: &[String], variables: &[String], problems: &mut Problems) -> Redactor {
    // A variable that is not set cannot be recognised, but the same settings may be in use where it is.
    let value = |name: &String| {
        let name = name.trim().to_owned();
        let value = std::env::var(&name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    };
    let keys = given(keys).map(|key| Rules {
        keys: vec![key.clone()],
        ..Rules::default()
    });
    let patterns = given(patterns).map(|pattern| Rules {
        patterns: vec![pattern.clone()],
        ..Rules::default()
    });
    let values = given(variables).filter_map(value).map(|value| Rules {
        values: vec![value],
        ..Rules::default()
    });
    let all = [
        ("redact_keys", keys.collect::<Vec<_>>()),
        ("redact_patterns", patterns.collect()),
        ("redact_env", values.collect()),
    ];
    let mut rules = Rules::default();
    for (setting, alone) in all {
        for rule in alone {
            match Redactor::new(&rule) {
                Ok(_) => {
                    rules.keys.extend(rule.keys);
                    rules.patterns.extend(rule.patterns);
                    rules.values.extend(rule.values);
                }
                Err(error) => problems.add(anyhow::Error::new(error).context(setting)),
            }
        }
    }
    problems.or(
        Redactor::new(&rules).context("redact_keys, redact_patterns and redact_env together"),
        Redactor::default(),
    )
}

/// What is kept for less would be gone before anybody looks, or rejected as too old when it comes late; and `1m` is no month.
fn kept_for_a_while(retention: Option<Duration>) -> anyhow::Result<Option<Duration>> {
    const LEAST: Duration = Duration::from_secs(60 * 60);
    if let Some(retention) = retention {
        ensure!(
            retention >= LEAST,
            "retention is {}, and calls are kept for an hour at least; give 1h or more, such as 30d (m is minutes, M is \
             months), or off",
            humantime::format_duration(retention)
        );
    }
    Ok(retention)
}

/// A process that has running calls is heard every ten seconds, and that is written down a few seconds later: given less
/// than three times that, it would be lost while it lives.
fn heard_meanwhile(lost_after: Duration) -> anyhow::Result<Duration> {
    const LEAST: Duration = Duration::from_secs(30);
    ensure!(
        lost_after >= LEAST,
        "lost_after is {lost_after:?}, and heartbeats come every 10 s; give 30s or more"
    );
    Ok(lost_after)
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
            body_cap: Some(7.into()),
            ..Settings::default()
        };
        let config = flags.over(file).resolve().unwrap();
        assert_eq!(
            (config.retention, config.body_cap),
            (Some(Duration::from_secs(3600)), 7)
        );
        assert_eq!(config.listen.port(), 6278);
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
            allow_remote: Some(true.into()),
            ..open
        };
        check(meant).await.unwrap();
        check(Settings::default()).await.unwrap();
    }

    #[test]
    fn addresses_overlap_where_one_of_them_is_all() {
        for (one, other, both) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(
                (overlap(one, other), overlap(other, one)),
                (both, both),
                "{one} {other}"
            );
        }
    }
}
