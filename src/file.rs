//! The settings file, `mcptap.toml`.

use std::io::ErrorKind;
use std::path::Path;

use mcptap_model::redact::Redactor;
use toml::{Table, Value};

use crate::problems::Problems;
use crate::settings::Settings;

/// The file read when none is named.
const DEFAULT_FILE: &str = "mcptap.toml";

/// The tables that have keys of their own.
const TABLES: [&str; 2] = ["graphql", "proxy"];

/// What the file says, as far as it can be read.
#[derive(Debug, Default)]
pub struct SettingsFile {
    /// The entries that are right.
    pub(crate) settings: Settings,
    /// The others.
    pub(crate) problems: Problems,
}

impl SettingsFile {
    /// Reads a file. Without a path `mcptap.toml` is read if it is there; a path given must exist.
    pub fn read(path: Option<&Path>) -> Self {
        let (path, required) = path.map_or((Path::new(DEFAULT_FILE), false), |path| (path, true));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == ErrorKind::NotFound && !required => Self::default(),
            Err(error) => {
                let mut none = Self::default();
                let error = anyhow::Error::new(error);
                none.problems
                    .add(error.context(format!("reading the settings file {}", path.display())));
                none
            }
        }
    }

    /// The settings that can be read.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, if nothing is wrong with any of them.
    pub fn whole(self) -> anyhow::Result<Settings> {
        self.problems.end(self.settings)
    }

    fn parse(text: &str, path: &Path) -> Self {
        let place = || format!("in {}", path.display());
        let mut file = Self::default();
        let first = match toml::from_str(text) {
            Ok(settings) => {
                file.settings = settings;
                return file;
            }
            Err(first) => first,
        };
        let (good, wrong) = match toml::from_str::<Table>(text) {
            Ok(table) => sorted_out(table),
            Err(_) => (Table::new(), Vec::new()),
        };
        file.settings = Value::Table(good).try_into().unwrap_or_default();
        match wrong.as_slice() {
            // A single one is shown with its line.
            [] | [_] => {
                let standing = standing(&first, text).unwrap_or_default();
                let error = anyhow::anyhow!("{standing}{}", reason(&first));
                file.problems.add(error.context(place()));
            }
            _ => {
                for (name, error) in wrong {
                    let error = anyhow::anyhow!("{name}: {}", reason(&error));
                    file.problems.add(error.context(place()));
                }
            }
        }
        file
    }
}

/// Why something cannot be read. The library's own words quote the line as well, and with it any password in it.
fn reason(error: &toml::de::Error) -> String {
    let mut reason = error.message().trim_end().replace('\n', ", ");
    // A value of another type is quoted.
    Redactor::default().redact_in_place(&mut reason);
    reason
}

/// The line and column of an error, and the setting where the line names one.
fn standing(error: &toml::de::Error, text: &str) -> Option<String> {
    let before = text.get(..error.span()?.start)?;
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let (line, column) = (
        before.matches('\n').count() + 1,
        before.get(line_start..)?.chars().count() + 1,
    );
    let name = text.get(line_start..)?.lines().next().and_then(|line| {
        let (name, _) = line.split_once('=')?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let name = name.trim();
        (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
    });
    Some(match name {
        Some(name) => format!("line {line}, column {column}, {name}: "),
        None => format!("line {line}, column {column}: "),
    })
}

/// The entries that can be read, and the names of the others with the reasons.
fn sorted_out(table: Table) -> (Table, Vec<(String, toml::de::Error)>) {
    let (mut good, mut wrong) = (Table::new(), Vec::new());
    for (key, value) in table {
        match value {
            Value::Table(inner) if TABLES.contains(&key.as_str()) => {
                let mut kept = Table::new();
                for (name, value) in inner {
                    let alone = Table::from_iter([(name.clone(), value.clone())]);
                    let alone = Table::from_iter([(key.clone(), Value::Table(alone))]);
                    match Value::Table(alone).try_into::<Settings>() {
                        Ok(_) => drop(kept.insert(name, value)),
                        Err(error) => wrong.push((format!("{key}.{name}"), error)),
                    }
                }
                good.insert(key, Value::Table(kept));
            }
            value => {
                let alone = Table::from_iter([(key.clone(), value.clone())]);
                match Value::Table(alone).try_into::<Settings>() {
                    Ok(_) => drop(good.insert(key, value)),
                    Err(error) => wrong.push((key, error)),
                }
            }
        }
    }
    (good, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Settings, String) {
        let SettingsFile { settings, problems } = SettingsFile::parse(text, Path::new("mcptap.toml"));
        let told = problems
            .end(())
            .map_or_else(|error| format!("{error:#}"), |()| String::new());
        (settings, told)
    }

    #[test]
    fn an_unknown_key_is_shown_where_it_stands() {
        let (settings, told) = parse("body_cap = 7\nretentoin = \"1d\"\n");
        assert!(
            told.contains("line 2") && told.contains("retentoin") && told.contains("`retention`"),
            "{told}"
        );
        assert_eq!(settings.body_cap, Some(7.into()));
    }

    #[test]
    fn no_line_is_shown() {
        let url = "postgres://me:hunter2-hunter2@db/calls";
        for (broken, place) in [
            (format!("retention = \"1d\"\ndatabase_url = \"{url}\n"), "line 2"),
            (
                format!("database_url = {url}\"\n"),
                "line 1, column 16, database_url:",
            ),
            (format!("database_url = '{url}\n"), "line 1"),
            (format!("database_url \"{url}\"\n"), "line 1"),
            (format!("database_url = \"{url}\" x\n"), "line 1"),
            (format!("database_url = \"\"\"\n{url}\n"), "line"),
            (
                format!("databse_url = \"{url}\"\n"),
                "line 1, column 1, databse_url:",
            ),
            (format!("database_url = [\"{url}\"]\n"), "line 1"),
            (format!("allowed_hosts = \"{url}\"\n"), "line 1"),
            (
                format!("allowed_hosts = \"{url}\"\nredact_keys = \"{url}\"\n"),
                "redact_keys:",
            ),
            (format!("[proxy]\nupstraem = \"{url}\"\n"), "line 2"),
            (format!("\"{url}\" = 1\n"), "line 1"),
            (format!("{url} = 1\n"), "line 1"),
        ] {
            let (_, told) = parse(&broken);
            assert!(
                told.contains(place) && !told.contains("hunter2"),
                "{broken}: {told}"
            );
        }
    }

    #[test]
    fn all_mistakes_are_told_and_the_rest_is_read() {
        let (settings, told) = parse(
            "retentoin = \"1d\"\nretention = 5\nbody_cap = 7\nallowed_hosts = \"x\"\n[graphql]\nmax_dept = 1\nmax_depth = 3\n\
             [proxy]\nupstraem = \"x\"\n",
        );
        for name in [
            "retentoin:",
            "retention:",
            "allowed_hosts:",
            "graphql.max_dept:",
            "proxy.upstraem:",
        ] {
            assert!(told.contains(name), "{name}: {told}");
        }
        assert_eq!(
            (settings.body_cap, settings.graphql.max_depth),
            (Some(7.into()), Some(3.into()))
        );
        let (_, told) = parse("listen = \n");
        assert!(told.contains("mcptap.toml") && told.contains("listen"), "{told}");
    }
}
