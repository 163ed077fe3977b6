//! Settings of the API: what clients may ask for at most.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use mcptap_graphql::{Introspection, Limits};
use serde::{Deserialize, Serialize};

use crate::age::age;
use crate::given::{Given, Value, taken};
use crate::memory::Size;
use crate::problems::Problems;
use crate::values;

/// The least with which a call and its body can be asked for, whatever else is set.
const LEAST_DEPTH: usize = 5;
const LEAST_COMPLEXITY: usize = 200;
const LEAST_TOKENS: usize = 32;
const LEAST_VARIABLES: usize = 1024;
const LEAST_TIME: Duration = Duration::from_millis(10);

/// The table `[graphql]` of `mcptap.toml`, as flags (`--graphql-…`) and as `MCPTAP_GRAPHQL_…`.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSettings {
    /// Who may read the schema through introspection: on, authenticated or off [default: on]
    #[arg(
        long = "graphql-introspection",
        env = "MCPTAP_GRAPHQL_INTROSPECTION",
        value_name = "WHO"
    )]
    pub introspection: Option<Given<Shown>>,
    /// How deep fields may be nested [default: 20]
    #[arg(
        long = "graphql-max-depth",
        env = "MCPTAP_GRAPHQL_MAX_DEPTH",
        value_name = "COUNT"
    )]
    pub max_depth: Option<Given<usize>>,
    /// What an operation may cost, as `extensions.cost` of every answer says it [default: 500000]
    #[arg(
        long = "graphql-max-complexity",
        env = "MCPTAP_GRAPHQL_MAX_COMPLEXITY",
        value_name = "COUNT"
    )]
    pub max_complexity: Option<Given<usize>>,
    /// How many fields a document may rename [default: 30]
    #[arg(
        long = "graphql-max-aliases",
        env = "MCPTAP_GRAPHQL_MAX_ALIASES",
        value_name = "COUNT"
    )]
    pub max_aliases: Option<Given<usize>>,
    /// How many names, values and punctuators a document may have [default: 4000]
    #[arg(
        long = "graphql-max-tokens",
        env = "MCPTAP_GRAPHQL_MAX_TOKENS",
        value_name = "COUNT"
    )]
    pub max_tokens: Option<Given<usize>>,
    /// How many fields an operation may have at its root [default: 20]
    #[arg(
        long = "graphql-max-root-fields",
        env = "MCPTAP_GRAPHQL_MAX_ROOT_FIELDS",
        value_name = "COUNT"
    )]
    pub max_root_fields: Option<Given<usize>>,
    /// How many bytes the variables of a request may have, such as 262144 or 256KiB [default: 256KiB]
    #[arg(
        long = "graphql-max-variables",
        env = "MCPTAP_GRAPHQL_MAX_VARIABLES",
        value_name = "BYTES"
    )]
    pub max_variables: Option<Given<Size>>,
    /// How many requests may come as one JSON array; 1 takes no arrays [default: 1]
    #[arg(
        long = "graphql-max-batch",
        env = "MCPTAP_GRAPHQL_MAX_BATCH",
        value_name = "COUNT"
    )]
    pub max_batch: Option<Given<usize>>,
    /// How many operations may run on one WebSocket [default: 100]
    #[arg(
        long = "graphql-max-socket-operations",
        env = "MCPTAP_GRAPHQL_MAX_SOCKET_OPERATIONS",
        value_name = "COUNT"
    )]
    pub max_socket_operations: Option<Given<usize>>,
    /// How many queries may run at the same time [default: 256]
    #[arg(
        long = "graphql-max-operations",
        env = "MCPTAP_GRAPHQL_MAX_OPERATIONS",
        value_name = "COUNT"
    )]
    pub max_operations: Option<Given<usize>>,
    /// How many subscriptions may be open at the same time [default: 5000]
    #[arg(
        long = "graphql-max-subscriptions",
        env = "MCPTAP_GRAPHQL_MAX_SUBSCRIPTIONS",
        value_name = "COUNT"
    )]
    pub max_subscriptions: Option<Given<usize>>,
    /// How long a query may run, in the API and in the database, such as 30s [default: 30s]
    #[arg(long = "graphql-timeout", env = "MCPTAP_GRAPHQL_TIMEOUT", value_name = "AGE")]
    pub timeout: Option<String>,
    /// How long a WebSocket may take to say connection_init, such as 10s [default: 10s]
    #[arg(
        long = "graphql-init-timeout",
        env = "MCPTAP_GRAPHQL_INIT_TIMEOUT",
        value_name = "AGE"
    )]
    pub init_timeout: Option<String>,
}

/// Who may read the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// Everybody who may ask at all.
    On,
    /// Only those who said who they are.
    Authenticated,
    /// Nobody.
    Off,
}

impl Value for Shown {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "authenticated" => Ok(Self::Authenticated),
            "off" => Ok(Self::Off),
            _ => Err("give on, authenticated or off".to_owned()),
        }
    }
}

impl From<Shown> for Introspection {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::On => Self::On,
            Shown::Authenticated => Self::Authenticated,
            Shown::Off => Self::Off,
        }
    }
}

impl ApiSettings {
    /// These, and where nothing is given, those of the lower layer.
    pub fn over(self, lower: Self) -> Self {
        Self {
            introspection: self.introspection.or(lower.introspection),
            max_depth: self.max_depth.or(lower.max_depth),
            max_complexity: self.max_complexity.or(lower.max_complexity),
            max_aliases: self.max_aliases.or(lower.max_aliases),
            max_tokens: self.max_tokens.or(lower.max_tokens),
            max_root_fields: self.max_root_fields.or(lower.max_root_fields),
            max_variables: self.max_variables.or(lower.max_variables),
            max_batch: self.max_batch.or(lower.max_batch),
            max_socket_operations: self.max_socket_operations.or(lower.max_socket_operations),
            max_operations: self.max_operations.or(lower.max_operations),
            max_subscriptions: self.max_subscriptions.or(lower.max_subscriptions),
            timeout: self.timeout.or(lower.timeout),
            init_timeout: self.init_timeout.or(lower.init_timeout),
        }
    }

    /// What holds when nothing is said.
    pub fn defaults() -> Self {
        let limits = Limits::default();
        let age = |age: Duration| Some(humantime::format_duration(age).to_string());
        Self {
            introspection: Some(Shown::On.into()),
            max_depth: Some(limits.max_depth.into()),
            max_complexity: Some(limits.max_complexity.into()),
            max_aliases: Some(limits.max_aliases.into()),
            max_tokens: Some(limits.max_tokens.into()),
            max_root_fields: Some(limits.max_root_fields.into()),
            max_variables: Some(limits.max_variables.into()),
            max_batch: Some(limits.max_batch.into()),
            max_socket_operations: Some(limits.max_socket_operations.into()),
            max_operations: Some(limits.max_operations.into()),
            max_subscriptions: Some(limits.max_subscriptions.into()),
            timeout: age(limits.timeout),
            init_timeout: age(limits.init_timeout),
        }
    }

    /// Checks everything. Errors say which setting is wrong and what would be right.
    pub fn resolve(self) -> anyhow::Result<Limits> {
        let given = self.over(Self::defaults());
        let mut problems = Problems::default();
        let max_variables = taken(given.max_variables, "graphql.max_variables", &mut problems);
        let max_variables = max_variables.map_or(0, Size::bytes);
        let most = u32::MAX as usize;
        problems.or(
            values::count("graphql.max_variables", max_variables, LEAST_VARIABLES, most, ""),
            (),
        );
        let mut count = |name: &str, value: Option<Given<usize>>, least: usize| {
            let name = format!("graphql.{name}");
            let count = taken(value, &name, &mut problems).unwrap_or(least);
            problems.or(values::count(&name, count, least, most, ""), ());
            count
        };
        let limits = Limits {
            max_depth: count("max_depth", given.max_depth, LEAST_DEPTH),
            max_complexity: count("max_complexity", given.max_complexity, LEAST_COMPLEXITY),
            max_aliases: count("max_aliases", given.max_aliases, 0),
            max_tokens: count("max_tokens", given.max_tokens, LEAST_TOKENS),
            max_root_fields: count("max_root_fields", given.max_root_fields, 1),
            max_variables,
            max_batch: count("max_batch", given.max_batch, 1),
            max_socket_operations: count("max_socket_operations", given.max_socket_operations, 1),
            max_operations: count("max_operations", given.max_operations, 1),
            max_subscriptions: count("max_subscriptions", given.max_subscriptions, 0),
            ..Limits::default()
        };
        let introspection = taken(given.introspection, "graphql.introspection", &mut problems);
        let mut time = |name: &str, text: Option<String>, example: &str| {
            let name = format!("graphql.{name}");
            let time = age(&name, &text.unwrap_or_default(), example).and_then(|time| {
                ensure!(
                    time >= LEAST_TIME,
                    "{name} is {time:?}, in which nothing can be answered; give an age such as {example}"
                );
                Ok(time)
            });
            problems.or(time, Duration::from_secs(1))
        };
        let limits = Limits {
            introspection: introspection.map_or_else(Introspection::default, Into::into),
            timeout: time("timeout", given.timeout, "30s"),
            init_timeout: time("init_timeout", given.init_timeout, "10s"),
            ..limits
        };
        problems.end(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_api() {
        assert_eq!(ApiSettings::default().resolve().unwrap(), Limits::default());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let settings = ApiSettings {
            max_depth: Some(0.into()),
            ..ApiSettings::default()
        };
        let error = settings.resolve().unwrap_err().to_string();
        assert!(
            error.contains("graphql.max_depth") && error.contains("give 5 to"),
            "{error}"
        );
        for timeout in ["off", "1ns", "9ms"] {
            let settings = ApiSettings {
                timeout: Some(timeout.into()),
                ..ApiSettings::default()
            };
            let error = settings.resolve().unwrap_err().to_string();
            assert!(error.contains("graphql.timeout"), "{error}");
        }
    }
}
