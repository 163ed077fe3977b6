//! Checks of single values.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use axum::http::Uri;
use axum::http::uri::Authority;
use mcptap_collector::Countries;
use tracing_subscriber::EnvFilter;

use crate::host::name_of;

/// A count within bounds. `more` is said after the advice.
pub(crate) fn count(
    setting: &str,
    count: usize,
    least: usize,
    most: usize,
    more: &str,
) -> anyhow::Result<()> {
    // A bound that no machine reaches helps nobody.
    let bounds = match u32::try_from(most) {
        Ok(most) => format!("{least} to {most}"),
        Err(_) => format!("at least {least}"),
    };
    ensure!(
        (least..=most).contains(&count),
        "{setting} is {count}; give {bounds}{more}"
    );
    Ok(())
}

/// The database must be one that mcptap knows, by a URL that it understands wholly. Neither a password nor anything else
/// that may be one is repeated.
pub(crate) fn database_url(url: &str) -> anyhow::Result<()> {
    let example = "give sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME";
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        _ if !url.contains(':') => bail!("database_url is no URL; {example}"),
        "sqlite" => {}
        "postgres" | "postgresql" => {
            let rest = url.split_once("://").map(|(_, rest)| rest);
            let rest =
                rest.with_context(|| format!("database_url lacks the // after {scheme}:; {example}"))?;
            if mcptap_store::is_cut_off(url) {
                // Neither host nor port is where it seems to be.
                return mcptap_store::check_url(url).context("database_url");
            }
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
        }
        other if other.len() <= 20 && other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            bail!("database_url begins with {other}:, which mcptap does not speak; {example}")
        }
        _ => bail!("database_url begins with nothing that mcptap speaks; {example}"),
    }
    mcptap_store::check_url(url).context("database_url")
}

/// An origin as browsers send it.
pub(crate) fn origin(text: &str) -> anyhow::Result<()> {
    let example = "give origins such as https://ui.example.org";
    match text.trim() {
        "*" => {
            bail!("allowed_origins holds *, which would let any website read your traffic; {example}")
        }
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
pub(crate) fn countries(path: &Path) -> anyhow::Result<()> {
    let advice = "give the path of a MaxMind .mmdb file, or leave it out";
    let shown = path.display();
    // The reader of the file says first that it is none of its kind.
    let file = std::fs::metadata(path)
        .with_context(|| format!("geoip_file is {shown}, which cannot be opened; {advice}"))?;
    ensure!(
        file.is_file(),
        "geoip_file is {shown}, which is no file; {advice}"
    );
    Countries::from_file(path).map(drop).context("geoip_file")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "postgres://me:hunter2?x@db/x",
            "postgres://me:1/hunter2@db/x",
            "postgres://me:#hunter2@db/x",
        ] {
            let error = format!("{:#}", database_url(wrong).unwrap_err());
            let example = ["postgres://USER", "postgres://user", "sqlite://mcptap.db"];
            assert!(
                error.contains("database_url")
                    && example.iter().any(|example| error.contains(example))
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
    fn a_table_of_countries_that_is_not_there_is_not_called_a_wrong_one() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| format!("{:#}", countries(path).unwrap_err());
        let missing = told(&folder.path().join("nope.mmdb"));
        assert!(
            missing.contains("nope.mmdb, which cannot be opened; give") && missing.contains("No such file"),
            "{missing}"
        );
        assert!(told(folder.path()).contains("which is no file; give"));
        let text = folder.path().join("words.mmdb");
        std::fs::write(&text, "words").unwrap();
        assert!(told(&text).contains("is not a MaxMind country or city database"));
    }

    #[test]
    fn a_filter_names_levels_and_modules() {
        for good in [
            "info",
            "WARN",
            "info,h2=error,rmcp=off,sea_orm_migration=warn",
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
}
