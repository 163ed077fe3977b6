//! The entries of the settings file, one by one: those that can be read, and why the others cannot, in words that say what
//! is right.

use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value};

use crate::api::ApiSettings;
use crate::nearest::nearest;
use crate::proxy::ProxySettings;
use crate::settings::Settings;

/// The tables that have keys of their own.
const TABLES: [&str; 2] = ["graphql", "proxy"];

/// Whether it can be the name of a setting, and no secret that came to stand in its place.
pub(super) fn is_plain(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    !name.is_empty() && name.len() <= 60 && name.chars().all(is_plain)
}

/// The name of an entry: its table, if it stands in one, and its key.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) table: Option<String>,
    pub(super) key: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = &self.table {
            write!(f, "{table}.")?;
        }
        match is_plain(&self.key) {
            true => f.write_str(&self.key),
            false => f.write_str("(a key)"),
        }
    }
}

/// An entry that cannot be read.
pub(super) struct Mistake {
    pub(super) name: Name,
    pub(super) reason: String,
}

/// The entries that can be read, and the mistakes of the others.
pub(super) fn sorted_out(table: Table) -> (Table, Vec<Mistake>) {
    let (mut good, mut wrong) = (Table::new(), Vec::new());
    for (key, value) in table {
        match value {
            Value::Table(inner) if TABLES.contains(&key.as_str()) => {
                let mut kept = Table::new();
                for (inner, value) in inner {
                    let name = Name {
                        table: Some(key.clone()),
                        key: inner.clone(),
                    };
                    match judge(&name, &value) {
                        None => drop(kept.insert(inner, value)),
                        Some(reason) => wrong.push(Mistake { name, reason }),
                    }
                }
                good.insert(key, Value::Table(kept));
            }
            value => {
                let name = Name {
                    table: None,
                    key: key.clone(),
                };
                match judge(&name, &value) {
                    None => drop(good.insert(key, value)),
                    Some(reason) => wrong.push(Mistake { name, reason }),
                }
            }
        }
    }
    (good, wrong)
}

/// The mistake in an entry, if there is one.
fn judge(name: &Name, value: &Value) -> Option<String> {
    if takes(name, value.clone()) {
        return None;
    }
    let known = names(name.table.as_deref());
    Some(match known.contains(&name.key) {
        true => of_another_kind(name, value),
        false => unknown(name, &known),
    })
}

/// Whether a setting may have this value.
fn takes(name: &Name, value: Value) -> bool {
    let mut alone = Table::from_iter([(name.key.clone(), value)]);
    if let Some(table) = &name.table {
        alone = Table::from_iter([(table.clone(), Value::Table(alone))]);
    }
    Value::Table(alone).try_into::<Settings>().is_ok()
}

/// The names of the settings of a table, or of those above the tables.
fn names(table: Option<&str>) -> BTreeSet<String> {
    let settings = match table {
        None => serde_json::to_value(Settings::default()),
        Some("graphql") => serde_json::to_value(ApiSettings::default()),
        Some(_) => serde_json::to_value(ProxySettings::default()),
    };
    match settings {
        Ok(serde_json::Value::Object(settings)) => settings.into_iter().map(|(name, _)| name).collect(),
        _ => BTreeSet::new(),
    }
}

/// A key that there is not, and the one that is meant.
fn unknown(name: &Name, known: &BTreeSet<String>) -> String {
    let written = name.key.to_ascii_lowercase().replace('-', "_");
    let written = written.strip_prefix("mcptap_").unwrap_or(&written);
    if let Some(meant) = nearest(written, known.iter().map(String::as_str)) {
        let meant = Name {
            table: name.table.clone(),
            key: meant.to_owned(),
        };
        return format!("{name} is no setting; is {meant} meant?");
    }
    for table in TABLES
        .into_iter()
        .filter(|table| name.table.as_deref() != Some(table))
    {
        let inner = written.strip_prefix(&format!("{table}_")).unwrap_or(written);
        if let Some(meant) = nearest(inner, names(Some(table)).iter().map(String::as_str)) {
            return format!("{name} is no setting; is {meant} of the table [{table}] meant?");
        }
    }
    let above = names(None);
    if name.table.is_some()
        && let Some(meant) = nearest(written, above.iter().map(String::as_str))
    {
        return format!(
            "{name} is no setting; is {meant} meant? It belongs above the first line in brackets, which begins a table"
        );
    }
    format!("{name} is no setting; mcptap config print shows all that there are")
}

/// A value of a kind that the setting does not have.
fn of_another_kind(name: &Name, value: &Value) -> String {
    let key = &name.key;
    let found = match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    };
    if takes(name, Value::Table(Table::new())) {
        return format!(
            "{name} is {found}; it is a table: write [{key}], and its settings in lines below it"
        );
    }
    let example = example(name);
    if takes(name, Value::Array(Vec::new())) {
        return match value {
            Value::Array(_) => format!(
                "{name} has an entry that is no text; give texts in quotes, such as {key} = [{example}]"
            ),
            _ => format!("{name} is {found}; give a list, such as {key} = [{example}]"),
        };
    }
    format!("{name} is {found}; give one value in quotes, such as {key} = {example}")
}

/// A value that the setting may have, in quotes.
fn example(name: &Name) -> String {
    let by_default = match name.table.as_deref() {
        None => serde_json::to_value(Settings::defaults()),
        Some("graphql") => serde_json::to_value(ApiSettings::defaults()),
        Some(_) => serde_json::to_value(ProxySettings::default()),
    };
    let by_default = by_default
        .ok()
        .and_then(|defaults| Some(defaults.get(&name.key)?.as_str()?.to_owned()));
    let example = match (by_default, name.key.as_str()) {
        (Some(default), _) => default,
        (None, "allowed_origins") => "https://ui.example.org".to_owned(),
        (None, "allowed_hosts") => "tap.example.org".to_owned(),
        (None, "redact_keys") => "ssn".to_owned(),
        (None, "redact_patterns") => "ACME-[0-9]{6}".to_owned(),
        (None, "redact_env") => "API_KEY".to_owned(),
        (None, "trusted_proxies") => "10.0.0.0/8".to_owned(),
        (None, "upstream") => "http://127.0.0.1:8000/mcp".to_owned(),
        (None, "connect_timeout") => "10s".to_owned(),
        (None, _) => "…".to_owned(),
    };
    format!("\"{example}\"")
}
