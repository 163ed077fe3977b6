//! The settings file, `mcptap.toml`.

mod entry;

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use mcptap_model::redact::Redactor;
use toml::de::DeTable;
use toml::{Table, Value};

use self::entry::{Mistake, Name, is_plain, sorted_out};
use crate::problems::Problems;
use crate::settings::Settings;
use crate::text_file::read_text;

/// The file read when none is named.
const DEFAULT_FILE: &str = "mcptap.toml";

/// How many bytes a settings file may have.
const MOST: u64 = 1 << 20;

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
        match read_text(path, MOST) {
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
        let place = |place: &str| format!("in {}, {place}", path.display());
        let mut file = Self::default();
        let (document, broken) = DeTable::parse_recoverable(text);
        let broken = match toml::from_str::<Table>(text) {
            Ok(table) => {
                let (good, wrong) = sorted_out(table);
                file.settings = Value::Table(good).try_into().unwrap_or_default();
                let told = wrong.into_iter().map(|Mistake { name, reason }| {
                    let line = line_of(document.get_ref(), &name, text);
                    (line, reason)
                });
                for (line, reason) in BTreeSet::from_iter(told) {
                    let error = anyhow::Error::msg(reason);
                    file.problems.add(error.context(place(&format!("line {line}"))));
                }
                return file;
            }
            // A number that is too large is an error of the one parser and not of the other.
            Err(error) if broken.is_empty() => vec![error],
            Err(_) => broken,
        };
        let mut lines = BTreeSet::new();
        for error in broken {
            let standing = Standing::of(&error, text);
            // A mistake that follows from one in the same line is none of its own.
            if lines.insert(standing.line) {
                let error = anyhow::Error::msg(reason(&error));
                file.problems.add(error.context(place(&standing.to_string())));
            }
        }
        file
    }
}

/// The beginnings of what the library says of TOML that it cannot read, and the same for people who do not know TOML.
const WORDS: [(&str, &str); 12] = [
    ("string values must be quoted", "put the value in quotes"),
    ("invalid float", "put the value in quotes, unless it is a number"),
    (
        "invalid boolean",
        "write true or false, or put the value in quotes",
    ),
    (
        "integer number overflowed",
        "this is no number that can be read; give digits alone, or put the value in quotes",
    ),
    ("invalid type: integer", "the number is too large"),
    ("unexpected leading zero", "a number does not begin with 0"),
    ("missing comma", "a comma is missing between two entries"),
    ("key with no value", "write the name, = and the value"),
    ("invalid basic string", "the quotes are not closed in this line"),
    ("invalid literal string", "the quotes are not closed in this line"),
    (
        "missing escaped value",
        "a \\ between double quotes has a meaning of its own; use single quotes, such as '[0-9]\\d'",
    ),
    ("duplicate key", "this stands in the file twice"),
];

/// Why something is no TOML. The library's own words quote the line as well, and with it any password in it.
fn reason(error: &toml::de::Error) -> String {
    let known = WORDS
        .iter()
        .find(|(beginning, _)| error.message().starts_with(beginning));
    if let Some((_, words)) = known {
        return (*words).to_owned();
    }
    let mut reason = error.message().trim_end().replace('\n', ", ");
    // A value of another type is quoted.
    Redactor::default().redact_in_place(&mut reason);
    reason
}

/// The line and column of an error, and the setting where the line names one.
#[derive(Debug)]
struct Standing {
    line: usize,
    column: usize,
    name: Option<String>,
}

impl Standing {
    fn of(error: &toml::de::Error, text: &str) -> Self {
        let at = error.span().map_or(text.len(), |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let name = text.get(line_start..).and_then(|rest| rest.lines().next());
        let name = name
            .and_then(|line| line.split_once('='))
            .map(|(name, _)| name.trim());
        Self {
            line: line_at(at, text),
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            name: name.filter(|name| is_plain(name)).map(str::to_owned),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        match &self.name {
            Some(name) => write!(f, ", {name}"),
            None => Ok(()),
        }
    }
}

fn line_at(at: usize, text: &str) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The line where an entry stands.
fn line_of(document: &DeTable<'_>, name: &Name, text: &str) -> usize {
    let find = |table: &DeTable<'_>, key: &str| {
        let found = table.iter().find(|(known, _)| known.get_ref() == key);
        found.map(|(known, _)| known.span().start)
    };
    let at = match &name.table {
        None => find(document, &name.key),
        Some(outer) => {
            let inner = document.iter().find(|(known, _)| known.get_ref() == outer);
            let inner = inner.and_then(|(_, value)| value.get_ref().as_table());
            inner.and_then(|table| find(table, &name.key))
        }
    };
    line_at(at.unwrap_or_default(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Settings, String) {
        let SettingsFile { settings, problems } = SettingsFile::parse(text, Path::new("mcptap.toml"));
        (settings, problems.texts().join("\n"))
    }

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        let endless = SettingsFile::read(Some(Path::new("/dev/zero")));
        let error = format!("{:#}", endless.whole().unwrap_err());
        assert!(
            error.contains("/dev/zero") && error.contains("no regular file"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_is_shown_where_it_stands_with_the_one_that_is_meant() {
        for (written, told) in [
            (
                "retentoin = \"1d\"",
                "line 2: retentoin is no setting; is retention meant?",
            ),
            (
                "redact-keys = [\"x\"]",
                "redact-keys is no setting; is redact_keys meant?",
            ),
            (
                "MCPTAP_LISTEN = \"x\"",
                "MCPTAP_LISTEN is no setting; is listen meant?",
            ),
            ("max_depth = 1", "is max_depth of the table [graphql] meant?"),
            (
                "graphql_timeot = \"1s\"",
                "is timeout of the table [graphql] meant?",
            ),
            (
                "proxy_upstream = \"x\"",
                "is upstream of the table [proxy] meant?",
            ),
            (
                "[grapqhl]\nmax_depth = 1",
                "line 2: grapqhl is no setting; is graphql meant?",
            ),
            (
                "[proxy]\nupstraem = \"x\"",
                "line 3: proxy.upstraem is no setting; is proxy.upstream meant?",
            ),
            (
                "[proxy]\n\nredact_keys = [\"x\"]",
                "line 4: proxy.redact_keys is no setting; is redact_keys meant? It belongs above",
            ),
            (
                "fnord = 1",
                "line 2: fnord is no setting; mcptap config print shows all",
            ),
        ] {
            let (settings, said) = parse(&format!("body_cap = 7\n{written}\n"));
            assert!(
                said.starts_with("in mcptap.toml, line ") && said.contains(told),
                "{written}: {said}"
            );
            assert_eq!(settings.body_cap, Some(7.into()));
        }
    }

    #[test]
    fn a_value_of_another_kind_is_told_in_words_with_the_right_form() {
        for (written, told) in [
            (
                "redact_keys = \"ssn\"",
                "line 1: redact_keys is a text; give a list, such as redact_keys = [\"ssn\"]",
            ),
            (
                "redact_keys = [\"a\", 5]",
                "redact_keys has an entry that is no text",
            ),
            (
                "allowed_origins = 5",
                "allowed_origins is a number; give a list, such as allowed_origins = [\"https://ui.example.org\"]",
            ),
            (
                "retention = 30",
                "retention is a number; give one value in quotes, such as retention = \"30d\"",
            ),
            (
                "listen = [\"127.0.0.1:1\"]",
                "listen is a list; give one value in quotes, such as listen = \"127.0.0.1:6278\"",
            ),
            (
                "proxy = \"http://x\"",
                "proxy is a text; it is a table: write [proxy], and",
            ),
            (
                "[proxy]\nname = true",
                "line 2: proxy.name is true or false; give one value",
            ),
            ("[graphql]\ntimeout = 5", "such as timeout = \"30s\""),
            (
                "[proxy]\ntrusted_proxies = \"ten\"",
                "such as trusted_proxies = [\"10.0.0.0/8\"]",
            ),
        ] {
            let (_, said) = parse(written);
            assert!(said.contains(told), "{written}: {said}");
            for jargon in ["invalid type", "sequence", "expected", "integer", "variant"] {
                assert!(!said.contains(jargon), "{written}: {said}");
            }
        }
    }

    #[test]
    fn what_is_no_toml_is_told_in_words() {
        for (written, told) in [
            ("log = info", "put the value in quotes"),
            ("memory_budget = 512MiB", "put the value in quotes"),
            ("allow_remote = True", "write true or false"),
            ("body_cap = 1_000x", "digits alone"),
            ("body_cap = 99999999999999999999", "too large"),
            ("redact_keys = [\"a\" \"b\"]", "a comma is missing"),
            ("listen \"a\"", "write the name, = and the value"),
            ("listen = \"a", "the quotes are not closed"),
            ("listen = 'a", "the quotes are not closed"),
            ("redact_patterns = [\"\\d+\"]", "use single quotes"),
            (
                "listen = 'a'\nlisten = 'b'",
                "line 2, column 1, listen: this stands in the file twice",
            ),
        ] {
            let (_, said) = parse(written);
            assert!(
                said.contains(told) && !said.contains("expected"),
                "{written}: {said}"
            );
        }
    }

    #[test]
    fn every_broken_line_is_told() {
        let (_, said) = parse("listen = localhost:80\nbody_cap = 7\nretention = 30d\nlog = info\n");
        for told in ["line 1, column", "line 3, column", "line 4, column", "retention"] {
            assert!(said.contains(told), "{told}: {said}");
        }
        assert_eq!(said.lines().count(), 3, "{said}");
        let (_, said) = parse("[proxy]\nmax_connections = 99999999999999999999\n");
        assert!(said.contains("line 2"), "{said}");
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
                "line 1: databse_url is no setting; is database_url meant?",
            ),
            (format!("database_url = [\"{url}\"]\n"), "line 1"),
            (format!("allowed_hosts = \"{url}\"\n"), "line 1"),
            (
                format!("allowed_hosts = \"{url}\"\nredact_keys = \"{url}\"\n"),
                "line 2: redact_keys is a text",
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
            "line 1: retentoin ",
            "line 2: retention ",
            "line 4: allowed_hosts ",
            "line 6: graphql.max_dept ",
            "line 9: proxy.upstraem ",
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
