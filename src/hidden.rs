//! Messages about what was given on the command line or in the environment, without the secrets in it.

use std::ffi::OsString;

use mcptap_model::redact::Redactor;

/// The text in place of a secret.
const MASK: &str = "[redacted]";

/// Parameters of a URL whose values are no secrets.
const HARMLESS: [&str; 6] = ["mode", "cache", "immutable", "vfs", "sslmode", "pgbouncer"];

/// The form of a URL as advice tells it.
const EXAMPLE: &str = "user:password";

/// What was given to the process, word by word: a password in it may hold any character.
pub(crate) struct Given(Vec<String>);

impl Given {
    /// These arguments, and the variables of the environment that the command line reads.
    pub(crate) fn new(arguments: &[OsString]) -> Self {
        let arguments = arguments.iter().skip(1).filter_map(|word| word.to_str());
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let ours = name.to_str().is_some_and(|name| name.starts_with("MCPTAP_"));
            value.into_string().ok().filter(|_| ours)
        });
        Self::of(arguments.map(str::to_owned).chain(variables))
    }

    fn of(words: impl Iterator<Item = String>) -> Self {
        let mut words: Vec<String> = words
            .flat_map(|word| {
                let value = word.split_once('=').map(|(_, value)| value.to_owned());
                std::iter::once(word).chain(value)
            })
            .filter(|word| !word.is_empty())
            .collect();
        // A word may be a part of another.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        Self(words)
    }

    /// A message without the passwords of URLs, the values of their queries, and whatever else of the given words looks like
    /// a secret.
    pub(crate) fn hide(&self, message: &str) -> String {
        let redactor = Redactor::default();
        let mut message = message.to_owned();
        for word in &self.0 {
            let cut = cut(word);
            let shown = redactor.redact(&cut);
            if shown != *word {
                message = message.replace(word.as_str(), &shown);
            }
        }
        message.split_inclusive(char::is_whitespace).map(cut).collect()
    }
}

/// A word without the password before a host and without the values of a URL's query.
fn cut(word: &str) -> String {
    let start = word.find("://").map_or(0, |at| at + 3);
    let (before, rest) = word.split_at(start);
    // A password that is not encoded as it should be may hold anything, also an @.
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) if user.contains(':') && !user.ends_with(EXAMPLE) => (MASK, Some(place)),
        Some((user, place)) => (user, Some(place)),
        None => (rest, None),
    };
    let (user, place) = match place {
        Some(place) => (format!("{user}@"), place),
        None => (String::new(), user),
    };
    match place.split_once('?') {
        Some((path, query)) if start > 0 => format!("{before}{user}{path}?{}", cut_query(query)),
        _ => format!("{before}{user}{place}"),
    }
}

fn cut_query(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, value)) if !HARMLESS.contains(&name) && !value.starts_with(MASK) => {
            // Quotes and colours around the word are no part of it.
            let end = value
                .find(['\'', '"', '`', '\u{1b}', ')', ']', ';'])
                .unwrap_or(value.trim_end().len());
            format!("{name}={MASK}{}", value.get(end..).unwrap_or_default())
        }
        _ => parameter.to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_is_secret() {
        for (word, shown) in [
            ("postgres://u:hunter2@h/d", "postgres://[redacted]@h/d"),
            ("'postgres://u:hun@ter/2?x@h/d'", "'postgres://[redacted]@h/d'"),
            ("--listen=postgres://u:p@h", "--listen=postgres://[redacted]@h"),
            ("postgres:/u:hunter2@h/d", "[redacted]@h/d"),
            ("u:hunter2@h", "[redacted]@h"),
            (
                "postgres://u@h/d?sslmode=require",
                "postgres://u@h/d?sslmode=require",
            ),
            (
                "postgres://h/d?sslmode=require&password=hunter2",
                "postgres://h/d?sslmode=require&password=[redacted]",
            ),
            (
                "\"http://h/mcp?api_key=hunter2&page=2\",",
                "\"http://h/mcp?api_key=[redacted]&page=[redacted]\",",
            ),
            ("http://127.0.0.1:8000/mcp", "http://127.0.0.1:8000/mcp"),
            ("sqlite://mcptap.db?mode=rwc", "sqlite://mcptap.db?mode=rwc"),
            (
                "postgres://user:password@host:5432/name?sslmode=verify-full",
                "postgres://user:password@host:5432/name?sslmode=verify-full",
            ),
            ("nobody@example.com", "nobody@example.com"),
            ("10:30", "10:30"),
        ] {
            assert_eq!(cut(word), shown);
            assert_eq!(cut(&cut(word)), shown);
        }
    }

    #[test]
    fn given_words_are_hidden_wherever_they_are_repeated() {
        let words = ["serve", "--listen=postgres://u:a b@h/d"];
        let given = Given::of(words.into_iter().map(str::to_owned));
        assert_eq!(
            given.hide("serve: 'postgres://u:a b@h/d' is\n  no address, and http://h/?key=x is none"),
            "serve: 'postgres://[redacted]@h/d' is\n  no address, and http://h/?key=[redacted] is none"
        );
    }
}
