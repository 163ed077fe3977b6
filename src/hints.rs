//! The command line, and the right form of its likeliest slips: a value where its flag is missing.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The command line, or the error, which says the right form where the slip is known.
pub(crate) fn parse<C: Parser>(given: &[OsString]) -> Result<C, clap::Error> {
    C::try_parse_from(given).map_err(|mut error| {
        if let Some(tip) = tip(given, &error) {
            // In place of the advice to put it behind `--`, which helps one command alone.
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        error
    })
}

fn tip(given: &[OsString], error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let ContextValue::String(stray) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    if stray.starts_with('-') {
        return listening(given, stray);
    }
    let words = given.iter().skip(1).filter_map(|word| word.to_str());
    let mut commands = words
        .take_while(|word| word != stray)
        .filter(|word| !word.starts_with('-'));
    let command = commands.find(|word| COMMANDS.contains(word))?;
    let is_url = stray.contains("://") || stray.starts_with("sqlite:");
    let right = match command {
        "wrap" => {
            return Some(format!(
                "put -- before the server's command: mcptap wrap -- {} …",
                shown(stray)
            ));
        }
        "proxy" => "proxy --upstream",
        "redact" => "redact --test",
        "prune" => "prune --older-than",
        "keys" if commands.any(|word| word == "create") => match scopes_apart(given, stray) {
            Some(tip) => return Some(tip),
            None => "keys create --name",
        },
        "serve" | "demo" | "migrate" if is_url => {
            return Some(format!(
                "to say which database: mcptap {command} --database-url URL"
            ));
        }
        "serve" | "demo" if stray.parse::<SocketAddr>().is_ok() => {
            return Some(format!(
                "to say where to listen: mcptap {command} --listen {stray}"
            ));
        }
        _ => return None,
    };
    Some(format!("mcptap {right} {}", shown(stray)))
}

/// The tip for scopes that stand apart behind one flag.
fn scopes_apart(given: &[OsString], stray: &str) -> Option<String> {
    let is_scope = |word: &str| mcptap_model::Scope::from_name(word.trim_matches(',')).is_some();
    let words = given.iter().skip(1).filter_map(|word| word.to_str());
    let scopes: Vec<&str> = words
        .filter(|word| is_scope(word))
        .map(|word| word.trim_matches(','))
        .collect();
    is_scope(stray).then(|| {
        format!(
            "to give several scopes: mcptap keys create --scope {}",
            scopes.join(",")
        )
    })
}

/// The tip for flags by which other servers are told where to listen.
fn listening(given: &[OsString], stray: &str) -> Option<String> {
    const PORT: [&str; 2] = ["--port", "-p"];
    const ADDRESS: [&str; 6] = ["--host", "--bind", "--address", "--addr", "--http", "--web"];
    if !PORT.contains(&stray) && !ADDRESS.contains(&stray) {
        return None;
    }
    let words: Vec<&str> = given.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let command = words
        .iter()
        .find(|word| ["serve", "demo", "proxy"].contains(*word))?;
    let behind = words
        .iter()
        .position(|word| *word == stray)
        .and_then(|at| words.get(at + 1));
    let value = words
        .iter()
        .find_map(|word| word.strip_prefix(stray)?.strip_prefix('='))
        .or(behind.copied());
    let port = value.and_then(|value| value.parse::<u16>().ok());
    let default = if *command == "proxy" { 6280 } else { 6278 };
    let address = match value.map(str::parse::<SocketAddr>) {
        Some(Ok(address)) => address,
        _ => SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(default))),
    };
    Some(format!(
        "to say where to listen: mcptap {command} --listen {address}"
    ))
}

/// Commands whose likeliest slips are known.
const COMMANDS: [&str; 8] = [
    "wrap", "proxy", "redact", "prune", "keys", "serve", "demo", "migrate",
];

/// An argument as a shell takes it.
fn shown(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "@%_+=:,./-".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let given: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse::<crate::Cli>(&given).unwrap_err().to_string()
    }

    #[test]
    fn the_right_form_is_told() {
        for (line, tip) in [
            ("mcptap wrap python server.py", "mcptap wrap -- python …"),
            ("mcptap wrap --name x npx -y server", "mcptap wrap -- npx …"),
            (
                "mcptap --config a.toml wrap ./server",
                "mcptap wrap -- ./server …",
            ),
            (
                "mcptap proxy http://127.0.0.1:8000/mcp",
                "mcptap proxy --upstream http://127.0.0.1:8000/mcp",
            ),
            ("mcptap redact a&b.json", "mcptap redact --test 'a&b.json'"),
            ("mcptap prune 90d", "mcptap prune --older-than 90d"),
            ("mcptap keys create laptop", "mcptap keys create --name laptop"),
            (
                "mcptap keys create --name x --scope read payloads",
                "mcptap keys create --scope read,payloads",
            ),
            ("mcptap serve 127.0.0.1:80", "mcptap serve --listen 127.0.0.1:80"),
            ("mcptap serve --port 6300", "mcptap serve --listen 127.0.0.1:6300"),
            ("mcptap serve --port=6300", "mcptap serve --listen 127.0.0.1:6300"),
            ("mcptap demo -p 6300", "mcptap demo --listen 127.0.0.1:6300"),
            (
                "mcptap proxy --upstream http://h --bind 0.0.0.0:80",
                "mcptap proxy --listen 0.0.0.0:80",
            ),
            (
                "mcptap serve --host 0.0.0.0",
                "mcptap serve --listen 127.0.0.1:6278",
            ),
            (
                "mcptap migrate postgres://u:secret@h/d",
                "mcptap migrate --database-url URL",
            ),
        ] {
            let told = told(line);
            assert!(told.contains(tip), "{line}: {told}");
            // The advice of the library is another, and wrong for most.
            assert!(!told.contains("to pass '"), "{line}: {told}");
        }
        for line in ["mcptap wrap --nmae x -- y", "mcptap serve now", "mcptap schema x"] {
            assert!(!told(line).contains("put --"), "{line}: {}", told(line));
        }
    }
}
