//! Variables of the environment: those that look like settings and are none, and secrets that are not there.

use std::collections::BTreeSet;

use clap::{Args, Command, FromArgMatches};

use crate::config::given;
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

/// Variables to cut out that are not there: a misspelt name protects nothing.
pub(crate) fn unset_secrets(names: &[String]) -> Vec<String> {
    given(names)
        .map(|name| name.trim())
        .filter(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
        .map(|name| format!("redact_env names {name}, which is not set here: its value cannot be recognised"))
        .collect()
}

/// Variables that look like settings and are none. `known`: what the command line reads from the environment.
pub(crate) fn unknown_variables(known: &BTreeSet<String>) -> Vec<String> {
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown(given, known)
}

fn unknown(given: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<String> {
    let all: Vec<&str> = known.iter().map(String::as_str).chain(WITHOUT_FLAG).collect();
    let mut unknown: Vec<String> = given
        .filter(|name| name.starts_with("MCPTAP_") && !all.contains(&name.as_str()))
        .collect();
    unknown.sort();
    let told = unknown.into_iter().map(|name| match nearest(&name, &all) {
        Some(nearest) => {
            format!("the environment sets {name}, which is no setting; is {nearest} meant?")
        }
        None => format!("the environment sets {name}, which is no setting"),
    });
    told.collect()
}

/// The one name that is near enough to be meant: a slip of the finger or two, or the only one that begins so.
fn nearest<'n>(name: &str, all: &[&'n str]) -> Option<&'n str> {
    // All begin alike.
    fn own(name: &str) -> &str {
        name.strip_prefix("MCPTAP_").unwrap_or(name)
    }
    let slips = (own(name).len() / 4).clamp(1, 3);
    let near = all
        .iter()
        .map(|known| (strsim::damerau_levenshtein(own(name), own(known)), *known))
        .filter(|(slipped, _)| *slipped <= slips)
        .min_by_key(|(slipped, _)| *slipped);
    if let Some((_, known)) = near {
        return Some(known);
    }
    let mut longer = all.iter().filter(|known| known.starts_with(&format!("{name}_")));
    longer.next().filter(|_| longer.next().is_none()).copied()
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
            let told = unknown([given.to_owned()].into_iter(), &known).concat();
            assert!(told.contains(given), "{told}");
            match meant {
                Some(meant) => assert!(told.contains(&format!("is {meant} meant")), "{told}"),
                None => assert!(!told.contains("meant"), "{told}"),
            }
        }
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
