//! Variables of the environment: those that look like settings and are none, and secrets that are not there.

use std::collections::BTreeSet;
use std::fmt;

use clap::{Args, Command, FromArgMatches};

use crate::config::given;
use crate::nearest::nearest;
use crate::proxy::ProxySettings;

/// Variables that no flag has: those of the SDK, which wrapper and proxy record with, and those that the dashboard's
/// development and the tests read.
const WITHOUT_FLAG: [&str; 8] = [
    "MCPTAP_CAPTURE",
    "MCPTAP_CAPTURE_TOOLS",
    "MCPTAP_CAPTURE_DENY_TOOLS",
    "MCPTAP_SPOOL_DIR",
    "MCPTAP_SPOOL_BYTES",
    "MCPTAP_BIN",
    "MCPTAP_URL",
    "MCPTAP_REQUIRE_POSTGRES",
];

const PREFIX: &str = "MCPTAP_";

/// How the names of variables begin that say what is recorded, how much is cut out of it, and where it is kept.
const RECORDING: [&str; 5] = [
    "MCPTAP_CAPTURE",
    "MCPTAP_REDACT",
    "MCPTAP_BODY_CAP",
    "MCPTAP_SPOOL",
    "MCPTAP_CONFIG",
];

/// Variables to cut out that are not there: a misspelt name protects nothing.
pub(crate) fn unset_secrets(names: &[String]) -> Vec<String> {
    given(names)
        .map(|name| name.trim())
        .filter(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
        .map(|name| format!("redact_env names {name}, which is not set here: its value cannot be recognised"))
        .collect()
}

/// A variable that looks like a setting and is none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unknown {
    name: String,
    meant: Option<String>,
}

impl Unknown {
    /// Whether it was to say what is recorded, or where it is kept.
    pub(crate) fn is_about_recording(&self) -> bool {
        let is_one = |name: &str| RECORDING.iter().any(|beginning| name.starts_with(beginning));
        is_one(&self.name) || self.meant.as_deref().is_some_and(is_one)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Anybody may have chosen it, for the terminal of whoever reads this.
        let name = self.name.escape_debug();
        write!(f, "the environment sets {name}, which is no setting")?;
        match &self.meant {
            Some(meant) => write!(f, "; is {meant} meant?"),
            None => Ok(()),
        }
    }
}

/// Variables that look like settings and are none. `known`: what the command line reads from the environment.
pub(crate) fn unknown_variables(known: &BTreeSet<String>) -> Vec<Unknown> {
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown(given, known)
}

fn unknown(given: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<Unknown> {
    let all: Vec<&str> = known.iter().map(String::as_str).chain(WITHOUT_FLAG).collect();
    // All begin alike, which says nothing of what is near.
    let own = all.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let given = given.filter(|name| !all.contains(&name.as_str()));
    let mut unknown: Vec<Unknown> = given
        .filter_map(|name| {
            let meant = nearest(name.strip_prefix(PREFIX)?, own.clone());
            let meant = meant.map(|meant| format!("{PREFIX}{meant}"));
            Some(Unknown { name, meant })
        })
        .collect();
    unknown.sort();
    unknown
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
pub(crate) fn proxy_settings() -> anyhow::Result<ProxySettings> {
    let command = ProxySettings::augment_args(Command::new("proxy"));
    let matches = command.try_get_matches_from(["proxy"])?;
    Ok(ProxySettings::from_arg_matches(&matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        let known = [
            "MCPTAP_RETENTION",
            "MCPTAP_LISTEN",
            "MCPTAP_LOG",
            "MCPTAP_DATABASE_URL",
            "MCPTAP_PROXY_NAME",
            "MCPTAP_PROXY_ALLOW_REMOTE",
            "MCPTAP_GRAPHQL_TIMEOUT",
        ];
        let known: BTreeSet<String> = known.map(str::to_owned).into();
        for (given, meant) in [
            ("MCPTAP_RETENTOIN", Some("MCPTAP_RETENTION")),
            ("MCPTAP_GRAPHQL_TIMEOT", Some("MCPTAP_GRAPHQL_TIMEOUT")),
            ("MCPTAP_LGO", Some("MCPTAP_LOG")),
            ("MCPTAP_DATABASE", Some("MCPTAP_DATABASE_URL")),
            ("MCPTAP_SPOOL_DIRS", Some("MCPTAP_SPOOL_DIR")),
            ("MCPTAP_PROXY_FOO", None),
            ("MCPTAP_PROXY", None),
            ("MCPTAP_NOPE", None),
        ] {
            let told = unknown([given.to_owned()].into_iter(), &known);
            let told: String = told.iter().map(ToString::to_string).collect();
            assert!(told.contains(given), "{told}");
            match meant {
                Some(meant) => assert!(told.contains(&format!("is {meant} meant")), "{told}"),
                None => assert!(!told.contains("meant"), "{told}"),
            }
        }
        for (given, recording) in [
            ("MCPTAP_CAPTUR", true),
            ("MCPTAP_REDACT_KEY", true),
            ("MCPTAP_REDACT_FIELDS", true),
            ("MCPTAP_SPOOLDIR", true),
            ("MCPTAP_RETENTOIN", false),
            ("MCPTAP_NOPE", false),
            ("MCPTAP_KEY", false),
        ] {
            let told = unknown([given.to_owned()].into_iter(), &known);
            assert_eq!(told.len(), 1, "{given}");
            assert_eq!(told[0].is_about_recording(), recording, "{given}");
        }
        let hidden = unknown(["MCPTAP_\u{1b}[2J\n".to_owned()].into_iter(), &known);
        assert!(!hidden[0].to_string().contains(char::is_control));
        let good = [
            "MCPTAP_LISTEN",
            "MCPTAP_CAPTURE",
            "MCPTAP_URL",
            "MCPTAP_BIN",
            "PATH",
        ];
        assert!(unknown(good.into_iter().map(str::to_owned), &known).is_empty());
    }
}
