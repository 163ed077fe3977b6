//! The change of a client's configuration, as text in and text out: nothing but the entry's command and arguments is
//! touched.

use std::ops::Range;
use std::path::Path;

use super::install::Wrapper;
use super::jsonc::{self, Node, Value};

/// Where clients keep their servers.
const PLACES: [&[&str]; 4] = [
    &["mcpServers"],
    &["servers"],
    &["mcp", "servers"],
    &["mcp.servers"],
];
/// Keys under which entries of remote servers hold their address.
const ADDRESSES: [&str; 3] = ["url", "serverUrl", "httpUrl"];

/// Why a configuration cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// Not JSON.
    #[error("it is no JSON: line {}, column {}: expected {}", .0.line, .0.column, .0.expected)]
    NotJson(jsonc::Mistake),
    /// No servers in it.
    #[error(
        "it lists no servers; expected them under mcpServers (Claude Desktop, Cursor), servers (mcp.json of VS Code) or mcp.servers (its settings.json)"
    )]
    NoServers,
    /// Other servers in it.
    #[error("it has no server {server:?}; it has {}", listed(.names))]
    Unknown {
        /// The one that was asked for.
        server: String,
        /// Those that are there.
        names: Vec<String>,
    },
    /// A remote server.
    #[error(
        "the server {0:?} is reached by a URL, so there is no command to wrap; use `mcptap proxy --upstream URL` and put its address there"
    )]
    Remote(String),
    /// An entry that is not as clients want it.
    #[error("the server {server:?} has no usable {key}; expected {expected}")]
    Unusable {
        /// The server.
        server: String,
        /// What is missing or wrong.
        key: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none at all".to_owned(),
        names => names.join(", "),
    }
}

/// The command and arguments of an entry.
struct Entry<'n> {
    command: &'n Node,
    args: Option<&'n Node>,
    /// The arguments.
    items: &'n [Node],
}

impl Entry<'_> {
    /// Where among the arguments the wrapped command stands, if it is wrapped.
    fn wrapped(&self, server: &str) -> Option<usize> {
        let program = Path::new(self.command.text()?).file_stem()?;
        let text = |index: usize| self.items.get(index).and_then(Node::text);
        // Whoever renamed the program is known by what it is told.
        let ours = program == "mcptap" || (text(1) == Some("--name") && text(2) == Some(server));
        if !ours || text(0) != Some("wrap") {
            return None;
        }
        let dashes = self.items.iter().position(|item| item.text() == Some("--"))?;
        (dashes + 1 < self.items.len()).then_some(dashes + 1)
    }
}

/// Lets mcptap wrap the server; `None` when it does already.
pub(super) fn install(text: &str, server: &str, wrapper: &Wrapper) -> Result<Option<String>, Problem> {
    let root = jsonc::parse(text).map_err(Problem::NotJson)?;
    let entry = entry(&root, server)?;
    let program = quoted(&wrapper.exe);
    if entry.wrapped(server).is_some() {
        if wrapper.settings.is_some()
            && let Some(plain) = uninstall(text, server)?
        {
            return Ok(install(&plain, server, wrapper)?.filter(|edited| edited != text));
        }
        let same = entry.command.text() == Some(&wrapper.exe);
        return Ok((!same).then(|| replaced(text, vec![(entry.command.span.clone(), program)])));
    }
    // Behind the name, by which a wrapping is recognised.
    let settings = wrapper.settings.as_deref().map(quoted);
    let settings = settings.map_or_else(String::new, |path| format!(r#""--config", {path}, "#));
    let command = text.get(entry.command.span.clone()).unwrap_or_default();
    let wrapping = format!(
        r#""wrap", "--name", {}, {settings}"--", {command}"#,
        quoted(server)
    );
    let (at, added) = match (entry.args, entry.items.first()) {
        (_, Some(first)) => (first.span.start, format!("{wrapping}, ")),
        (Some(args), None) => (args.span.start + 1, wrapping),
        (None, None) => (entry.command.span.end, format!("{ADDED}{wrapping}]")),
    };
    let edits = vec![(entry.command.span.clone(), program), (at..at, added)];
    Ok(Some(replaced(text, edits)))
}

/// How arguments begin that were not there before.
const ADDED: &str = r#", "args": ["#;

/// Takes the wrapping away; `None` when there is none.
pub(super) fn uninstall(text: &str, server: &str) -> Result<Option<String>, Problem> {
    let root = jsonc::parse(text).map_err(Problem::NotJson)?;
    let entry = entry(&root, server)?;
    let (Some(wrapped), Some(args)) = (entry.wrapped(server), entry.args) else {
        return Ok(None);
    };
    let span = |index: usize| entry.items.get(index).map(|item| item.span.clone());
    let command = span(wrapped).unwrap_or_default();
    let start = span(0).map_or(args.span.start, |first| first.start);
    let removed = match span(wrapped + 1) {
        Some(next) => start..next.start,
        None => {
            let before = entry.command.span.end..start;
            let added = text.get(before.clone()) == Some(ADDED);
            if added {
                before.start..args.span.end
            } else {
                start..command.end
            }
        }
    };
    let command = text.get(command).unwrap_or_default().to_owned();
    let edits = vec![(entry.command.span.clone(), command), (removed, String::new())];
    Ok(Some(replaced(text, edits)))
}

fn entry<'n>(root: &'n Node, server: &str) -> Result<Entry<'n>, Problem> {
    let places = PLACES.map(|path| path.iter().try_fold(root, |node, key| node.get(key)));
    let places: Vec<&Node> = places
        .into_iter()
        .flatten()
        .filter(|place| matches!(place.value, Value::Object(_)))
        .collect();
    if places.is_empty() {
        return Err(Problem::NoServers);
    }
    let Some(found) = places.iter().find_map(|place| place.get(server)) else {
        let names = places.iter().flat_map(|place| match &place.value {
            Value::Object(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        });
        return Err(Problem::Unknown {
            server: server.to_owned(),
            names: names.collect(),
        });
    };
    if ADDRESSES.iter().any(|key| found.get(key).is_some()) {
        return Err(Problem::Remote(server.to_owned()));
    }
    let unusable = |key, expected| Problem::Unusable {
        server: server.to_owned(),
        key,
        expected,
    };
    let command = found
        .get("command")
        .filter(|command| command.text().is_some_and(|text| !text.is_empty()))
        .ok_or_else(|| unusable("command", "a program's name as a string"))?;
    let args = found.get("args");
    let items = match args.map(|args| &args.value) {
        None => &[][..],
        Some(Value::List(items)) if items.iter().all(|item| item.text().is_some()) => items.as_slice(),
        Some(_) => return Err(unusable("args", "a list of strings")),
    };
    Ok(Entry { command, args, items })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text with these parts replaced, which do not overlap.
fn replaced(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut edited = String::with_capacity(text.len() + 128);
    let mut kept = 0;
    for (span, with) in edits {
        edited.push_str(text.get(kept..span.start).unwrap_or_default());
        edited.push_str(&with);
        kept = span.end;
    }
    edited.push_str(text.get(kept..).unwrap_or_default());
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXE: &str = "/opt/my tools/mcptap";

    fn by(exe: &str) -> Wrapper {
        Wrapper {
            exe: exe.to_owned(),
            settings: None,
        }
    }

    fn wrapped(text: &str) -> String {
        install(text, "everything", &by(EXE)).unwrap().unwrap()
    }

    #[test]
    fn an_entry_is_wrapped_and_nothing_else_is_touched() {
        let text = "{\n  // mine\n  \"mcpServers\": {\n    \"everything\": {\n      \"command\": \"npx\", /* a, \"b\" */\n      \"args\": [\n        \"-y\",\n        \"server\",\n      ],\n      \"env\": {\"A\": \"\\u0041\"},\n    },\n  },\n}\n";
        assert_eq!(
            wrapped(text),
            text.replace("\"npx\",", "\"/opt/my tools/mcptap\",").replace(
                "\"-y\"",
                "\"wrap\", \"--name\", \"everything\", \"--\", \"npx\", \"-y\""
            )
        );
    }

    #[test]
    fn installing_twice_changes_nothing_and_uninstalling_gives_every_byte_back() {
        let entries = [
            r#"{"command":"npx"}"#,
            r#"{ "args" : [ ] , "command" : "np\u0078" }"#,
            "{\r\n\t\"command\": \"a b\",\r\n\t\"args\": [ \"-y\", \"x\" ],\r\n}",
            r#"{"command":"C:\\node.exe","args":["--",],"env":{"K":"é"}}"#,
            "{\"command\": \"x\", // why\n \"args\": [/* none */]}",
            r#"{"type":"stdio","args":[/* first */ "a" /* last */],"command":"wrap"}"#,
        ];
        for entry in entries {
            for text in [
                format!(r#"{{"mcpServers":{{"other":{{"url":"u"}},"everything":{entry}}}}}"#),
                format!(r#"{{"servers":{{"everything":{entry}}},"inputs":[]}}"#),
                format!("\u{feff}// c\n{{\"mcp\":{{\"servers\":{{\"everything\":{entry},}},}},}}\n"),
                format!(r#"{{"mcp.servers":{{"everything":{entry}}}}}"#),
            ] {
                let once = wrapped(&text);
                assert_ne!(once, text);
                assert_eq!(install(&once, "everything", &by(EXE)).unwrap(), None);
                assert_eq!(
                    uninstall(&once, "everything").unwrap().as_deref(),
                    Some(text.as_str())
                );
                assert_eq!(uninstall(&text, "everything").unwrap(), None);
                let moved = install(&once, "everything", &by("/usr/bin/tap2"))
                    .unwrap()
                    .unwrap();
                assert_eq!(moved, once.replace(EXE, "/usr/bin/tap2"));
                assert_eq!(install(&moved, "everything", &by("/usr/bin/tap2")).unwrap(), None);
                let file = |path: &str| Wrapper {
                    settings: Some(path.to_owned()),
                    ..by(EXE)
                };
                let with_file = install(&once, "everything", &file("/my rules.toml"))
                    .unwrap()
                    .unwrap();
                assert!(
                    with_file.contains(r#""--config", "/my rules.toml", "--", "#),
                    "{with_file}"
                );
                assert_eq!(
                    install(&with_file, "everything", &file("/my rules.toml")).unwrap(),
                    None
                );
                let other = install(&with_file, "everything", &file("/b.toml"))
                    .unwrap()
                    .unwrap();
                assert_eq!(other, with_file.replace("/my rules.toml", "/b.toml"));
                // Whoever names no file leaves the one that is there.
                assert_eq!(install(&other, "everything", &by(EXE)).unwrap(), None);
                assert_eq!(uninstall(&other, "everything").unwrap(), Some(text.clone()));
                assert_eq!(uninstall(&moved, "everything").unwrap(), Some(text));
            }
        }
    }

    #[test]
    fn other_changes_survive_uninstalling() {
        let text = r#"{"mcpServers":{"everything":{"command":"npx","args":["-y"]}}}"#;
        let changed = wrapped(text)
            .replace("\"-y\"", "\"-y\", \"more\"")
            .replace("}}}", "},\"b\":{}}}");
        assert_eq!(
            uninstall(&changed, "everything").unwrap().unwrap(),
            r#"{"mcpServers":{"everything":{"command":"npx","args":["-y", "more"]},"b":{}}}"#
        );
    }

    #[test]
    fn what_cannot_be_wrapped_is_explained() {
        let told = |text: &str| install(text, "everything", &by(EXE)).unwrap_err().to_string();
        let cases = [
            ("{\n  \"a\": tru,\n}", "line 2, column 8"),
            ("{\"mcpServers\": {\n\"a\": {}", "line 2, column 8"),
            ("{} x", "line 1, column 4"),
            ("/* open", "expected */"),
            ("", "line 1, column 1"),
            ("{\"a\": 1}", "mcpServers"),
            (r#"{"mcpServers":{"a":{},"b":{}}}"#, "it has a, b"),
            (r#"{"mcpServers":{}}"#, "none at all"),
            (
                r#"{"mcpServers":{"everything":{"url":"http://x"}}}"#,
                "mcptap proxy",
            ),
            (
                r#"{"mcpServers":{"everything":{"args":[]}}}"#,
                "no usable command",
            ),
            (
                r#"{"mcpServers":{"everything":{"command":"x","args":[1]}}}"#,
                "a list of strings",
            ),
        ];
        for (text, expected) in cases {
            assert!(told(text).contains(expected), "{text}: {}", told(text));
        }
        let deep = "[".repeat(100_000);
        assert!(told(&deep).contains("inside one another"));
    }
}
