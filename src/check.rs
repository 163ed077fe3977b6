//! Checks of single settings, and of what surrounds them: the environment, files, the limits of the system.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use axum::http::Uri;
use axum::http::uri::Authority;
use clap::{Args, Command, FromArgMatches};
use mcptap_collector::Countries;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Settings};
use crate::host::name_of;
use crate::listen::{DESCRIPTORS, open_files};
use crate::problems::Problems;
use crate::proxy::ProxySettings;

/// Variables that no flag has: those of the SDK, which wrapper and proxy record with.
const OF_THE_SDK: [&str; 5] = [
    "MCPTAP_CAPTURE",
    "MCPTAP_CAPTURE_TOOLS",
    "MCPTAP_CAPTURE_DENY_TOOLS",
    "MCPTAP_SPOOL_DIR",
    "MCPTAP_SPOOL_BYTES",
];
/// How much alike two names must be, from 0 to 1, for one to be a mistake for the other.
const ALIKE: f64 = 0.8;

/// An address to listen at. `localhost` is the one of IPv4, as in the defaults.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let address = numeric.as_deref().unwrap_or(text).parse();
    address.map_err(|_| {
        format!("{text:?} is no address; give one such as 127.0.0.1:6278, [::1]:6278 or localhost:6278")
    })
}

/// The same in `mcptap.toml`.
pub(crate) fn read_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| address(&text).map_err(D::Error::custom))
        .transpose()
}

/// The database must be one that mcptap knows. Neither a password nor anything else of the URL is repeated.
pub(crate) fn database_url(url: &str) -> anyhow::Result<()> {
    let example = "give sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME";
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        _ if !url.contains(':') => bail!("database_url is no URL; {example}"),
        "sqlite" => one_of(url, &["mode"], &["ro", "rw", "rwc", "memory"]),
        "postgres" | "postgresql" => {
            let rest = url.split_once("://").map(|(_, rest)| rest);
            let rest =
                rest.with_context(|| format!("database_url lacks the // after {scheme}:; {example}"))?;
            let (authority, query) = match rest.split_once('?') {
                Some((before, query)) => (before, query),
                None => (rest, ""),
            };
            let authority = authority.split('/').next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            ensure!(
                !host.is_empty() || query.contains("host="),
                "database_url names no host; {example}"
            );
            let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
            ensure!(
                port.is_none_or(|(_, port)| port.parse::<u16>().is_ok()),
                "the port in database_url is no number up to 65535; {example}"
            );
            let modes = [
                "disable",
                "allow",
                "prefer",
                "require",
                "verify-ca",
                "verify-full",
            ];
            one_of(url, &["sslmode", "ssl-mode"], &modes)
        }
        other if other.len() <= 20 && other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            bail!("database_url begins with {other}:, which mcptap does not speak; {example}")
        }
        _ => bail!("database_url begins with nothing that mcptap speaks; {example}"),
    }
}

/// Where a URL has a parameter of one of these names, it has one of these values.
fn one_of(url: &str, names: &[&str], values: &[&str]) -> anyhow::Result<()> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    for (name, value) in pairs.filter(|(name, _)| names.contains(name)) {
        ensure!(
            values.contains(&value.to_ascii_lowercase().as_str()),
            "{name} in database_url is none of {}; give sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME",
            values.join(", ")
        );
    }
    Ok(())
}

/// An origin as browsers send it.
pub(crate) fn origin(text: &str) -> anyhow::Result<()> {
    let example = "give origins such as https://ui.example.org";
    match text.trim() {
        "*" => bail!(
            "allowed_origins holds *, but every page of the web is not meant to read what servers are asked; {example}"
        ),
        "null" => bail!(
            "allowed_origins holds null, which any page can say of itself; {example}, and open pages from a server \
             instead of a file"
        ),
        _ => {}
    }
    let parts = text.trim().parse::<Uri>().ok().map(Uri::into_parts);
    let good = parts.is_some_and(|parts| {
        let scheme = parts.scheme.as_ref().map(|scheme| scheme.as_str());
        matches!(scheme, Some("http" | "https"))
            && parts.authority.is_some_and(|authority| {
                // No browser sends a pattern, so it would allow nobody.
                name_of(&authority).is_some_and(|name| !name.contains('*'))
            })
            && parts.path_and_query.is_none_or(|path| path.as_str() == "/")
    });
    ensure!(
        good,
        "allowed_origins holds {text:?}, which is no origin; {example}"
    );
    Ok(())
}

/// A name without anything else; a port is not looked at.
pub(crate) fn host(setting: &str, text: &str) -> anyhow::Result<()> {
    let example = "give names such as tap.example.org";
    ensure!(
        !text.contains('*'),
        "{setting} holds {text:?}, but names are not matched by patterns; {example}"
    );
    let good = text
        .trim()
        .parse::<Authority>()
        .is_ok_and(|name| name_of(&name).is_some());
    ensure!(good, "{setting} holds {text:?}, which is no host name; {example}");
    Ok(())
}

/// Reads a filter of our log, strictly: a misspelt level would be taken for the name of a module.
pub fn log(filter: &str) -> anyhow::Result<EnvFilter> {
    let example =
        "give a level (error, warn, info, debug, trace, off), or a filter such as info,mcptap_store=debug";
    for part in filter.split(',').map(str::trim) {
        let target = part.split(['=', '[']).next().unwrap_or_default();
        let is_name = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte))
        };
        ensure!(is_name(target), "log is {filter:?}; {example}");
        let is_level = target.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        // Anything else would be taken for the name of a module, and nothing but it would be logged.
        let is_ours = target.starts_with("mcptap") || target.contains("::");
        ensure!(
            part.is_empty() || part != target || is_level || is_ours,
            "log is {filter:?}, and {target:?} is no level; {example}"
        );
    }
    EnvFilter::try_new(filter).with_context(|| format!("log is {filter:?}; {example}"))
}

/// Reads the operator's table of countries.
fn countries(path: &Path) -> anyhow::Result<()> {
    Countries::from_file(path).map(drop).context("geoip_file")
}

/// Variables to cut out that are not there: a misspelt name protects nothing.
pub fn unset_secrets(names: &[String]) -> Vec<String> {
    let names = names
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty());
    names
        .filter(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
        .map(|name| format!("redact_env names {name}, which is not set here: its value cannot be recognised"))
        .collect()
}

/// Variables that look like settings and are none. `known`: what the command line reads from the environment.
pub fn unknown_variables(known: &BTreeSet<String>) -> Vec<String> {
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown(given, known)
}

fn unknown(given: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<String> {
    let all = || known.iter().map(String::as_str).chain(OF_THE_SDK);
    let mut unknown: Vec<String> = given
        .filter(|name| name.starts_with("MCPTAP_") && all().all(|known| known != name))
        .collect();
    unknown.sort();
    // All begin alike.
    fn own(name: &str) -> &str {
        name.strip_prefix("MCPTAP_").unwrap_or(name)
    }
    let told = unknown.into_iter().map(|name| {
        let nearest = all()
            .map(|known| (strsim::jaro_winkler(own(&name), own(known)), known))
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .filter(|(alike, _)| *alike >= ALIKE);
        match nearest {
            Some((_, nearest)) => {
                format!("the environment sets {name}, which is no setting; is {nearest} meant?")
            }
            None => format!("the environment sets {name}, which is no setting"),
        }
    });
    told.collect()
}

/// The variables that the flags of a command and of its subcommands are read from.
pub fn variables_of(command: &Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(variables_of))
        .collect()
}

/// The proxy's settings from the environment, as its own command reads them.
fn proxy_of_environment() -> anyhow::Result<ProxySettings> {
    let command = ProxySettings::augment_args(Command::new("proxy"));
    let matches = command.try_get_matches_from(["proxy"])?;
    Ok(ProxySettings::from_arg_matches(&matches)?)
}

/// Everything that `serve`, `proxy` or `wrap` would trip over or ignore, as one error that lists it. `known`: what the
/// command line reads from the environment.
pub async fn check(settings: Settings, known: &BTreeSet<String>) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let secrets = settings.redact_env.clone().unwrap_or_default();
    for problem in unset_secrets(&secrets)
        .into_iter()
        .chain(unknown_variables(known))
    {
        problems.add(anyhow::Error::msg(problem));
    }
    if let Some(path) = &settings.geoip_file {
        problems.or(countries(path), ());
    }
    let table = settings.proxy.clone().unwrap_or_default();
    match proxy_of_environment().map(|given| given.over(table)) {
        // Without an upstream there is no proxy.
        Ok(proxy) if proxy != ProxySettings::default() => {
            let proxy = proxy.resolve().context("in the settings of the proxy");
            problems.or(proxy.map(drop), ());
        }
        Ok(_) => {}
        Err(error) => problems.add(error.context("in the settings of the proxy")),
    }
    let recording = mcptap_sdk::Capture::from_env().context("in the settings of wrapper and proxy");
    problems.or(recording.map(drop), ());
    match settings.resolve() {
        Ok(config) => {
            problems.or(places(&config), ());
            problems.or(config.check_exposure().await, ());
        }
        Err(error) => problems.add(error),
    }
    problems.end(())
}

/// Connections that are allowed and cannot be had.
fn places(config: &Config) -> anyhow::Result<()> {
    let (Some(places), Some(files)) = (config.max_connections, open_files()) else {
        return Ok(());
    };
    let needed = (places as u64).saturating_mul(3).saturating_add(DESCRIPTORS);
    ensure!(
        needed <= files,
        "max_connections is {places} for each of three ports, which takes {needed} open files, and the system lets this \
         process have {files}: raise its limit (ulimit -n), or allow fewer"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_called_localhost() {
        assert_eq!(address("localhost:80").unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(address("[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        for wrong in ["localhost", "example.org:80", "127.0.0.1", "127.0.0.1:65536", ""] {
            assert!(address(wrong).unwrap_err().contains("127.0.0.1:6278"), "{wrong}");
        }
        let settings: Settings = toml::from_str("listen = \"localhost:1\"").unwrap();
        assert_eq!(settings.listen, Some("127.0.0.1:1".parse().unwrap()));
        assert!(toml::from_str::<Settings>("listen = \"nowhere\"").is_err());
    }

    #[test]
    fn databases_are_known_by_their_urls() {
        for good in [
            "sqlite://mcptap.db?mode=rwc",
            "sqlite::memory:",
            "postgres://me:pass@db:5432/calls",
            "postgresql://db/calls",
            "postgres://me@[::1]/calls",
            "postgres:///calls?host=/run/postgresql",
            "postgres://me@db/calls?sslmode=verify-full",
            "sqlite://mcptap.db?mode=ro&cache=private",
        ] {
            database_url(good).unwrap();
        }
        for wrong in [
            "mysql://me:hunter2@db/x",
            "mcptap.db",
            "",
            "postgresq://me:hunter2@db/x",
            "postgres:me:hunter2@db/x",
            "postgres://me:hunter2@/x",
            "postgres://me:hunter2@db:port/x",
            "me:hunter2@db/x",
            "postgres://me:hunter2@db/x?sslmode=nonsense",
            "postgres://me:hunter2@db/x?application_name=a&sslmode=",
            "sqlite://mcptap.db?mode=nope",
            "sqlite:mcptap.db?cache=private&mode=rwcx",
        ] {
            let error = database_url(wrong).unwrap_err().to_string();
            assert!(
                error.contains("database_url")
                    && error.contains("postgres://USER")
                    && !error.contains("hunter2"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn origins_and_hosts_are_what_browsers_send() {
        for good in [
            "https://ui.example.org",
            "http://127.0.0.1:8080/",
            "http://[::1]:3000",
        ] {
            origin(good).unwrap();
        }
        for wrong in [
            "*",
            "null",
            "ui.example.org",
            "https://*.example",
            "https://ui.example.org:x",
            "https://ui.example.org:99999",
            "https://me@ui.example.org",
            "https://ui.example.org/app",
            "ftp://x",
            "https://a@b",
            "",
        ] {
            assert!(
                origin(wrong).unwrap_err().to_string().contains("https://ui"),
                "{wrong}"
            );
        }
        for good in [
            "tap.example.org",
            "mcptap",
            "tap.example.org:443",
            "192.0.2.7",
            "[::1]",
        ] {
            host("allowed_hosts", good).unwrap();
        }
        for wrong in [
            "*",
            "*.example.org",
            "https://tap.example.org",
            "tap.example.org/x",
            "a@b",
            "",
            "a b",
        ] {
            assert!(host("allowed_hosts", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_filter_names_levels_and_modules() {
        for good in [
            "info",
            "WARN",
            "info,rmcp=off",
            "mcptap_store=debug",
            "off",
            "",
            "mcptap=trace,hyper=warn",
        ] {
            log(good).unwrap();
        }
        for wrong in ["!!!", "inof", "mcptap=loud", "=,=", "info,debg"] {
            assert!(log(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_variable_is_told_the_nearest() {
        let known = ["MCPTAP_RETENTION", "MCPTAP_LISTEN"].map(str::to_owned).into();
        let given = [
            "MCPTAP_RETENTOIN",
            "MCPTAP_NOPE",
            "MCPTAP_LISTEN",
            "MCPTAP_CAPTURE",
            "PATH",
        ];
        let told = unknown(given.into_iter().map(str::to_owned), &known);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("MCPTAP_NOPE") && !told[0].contains("meant"),
            "{told:?}"
        );
        assert!(told[1].contains("is MCPTAP_RETENTION meant"), "{told:?}");
    }
}
