//! Names under which secrets stand, and how sure each is.

use super::bytes::{after_escape, before, byte, is_space, run, run_back};

/// Names under which secrets stand, as whole names and as the last part of others: `X-Api-Key`, `dbPassword`. A `?` may
/// be `_`, `-` or nothing. Where a word before makes `token` and `secret` somebody's, they are names of their own: here are
/// those that are written as one word.
const SECRETS: &[&str] = &[
    "api?key",
    "api?keys",
    "access?key",
    "secret?key",
    "secretaccesskey",
    "private?key",
    "account?key",
    "subscription?key",
    "signing?key",
    "encryption?key",
    "master?key",
    "shared?access?key",
    "client?key?data",
    "license?key",
    "auth?key",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "id?token?hint",
    "authtoken",
    "oauthtoken",
    "sessiontoken",
    "bearertoken",
    "apitoken",
    "securitytoken",
    "csrftoken",
    "xsrftoken",
    "bottoken",
    "usertoken",
    "personaltoken",
    "privatetoken",
    "deploytoken",
    "githubtoken",
    "gitlabtoken",
    "slacktoken",
    "npmtoken",
    "vaulttoken",
    "clientsecret",
    "client?assertion",
    "code?verifier",
    "device?code",
    "saml?response",
    "seed?phrase",
    "mnemonic",
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pgpassword",
    "credential",
    "credentials",
    "jsessionid",
    "phpsessid",
];

/// Names that other things have too, whose values are secrets only if they look like some.
const WEAK: &[&str] = &[
    "pass",
    "pwd",
    "passwort",
    "contraseña",
    "senha",
    "auth",
    "creds",
    "jwt",
    "assertion",
    "sessionid",
    "session?key",
];

/// Names of short numbers that are secrets.
const PINS: &[&str] = &["pin", "otp", "totp", "cvv", "cvc", "cvv2"];

/// Codes of OAuth, in addresses and forms alone.
const CODES: &[&str] = &["code", "ticket", "assertion"];

/// Words before `token` in names of what is no secret: cursors, counts, and what models of language read and write.
const HARMLESS: &[&[u8]] = &[
    b"page",
    b"next",
    b"nextpage",
    b"prev",
    b"previous",
    b"progress",
    b"continuation",
    b"continue",
    b"cursor",
    b"sync",
    b"max",
    b"min",
    b"cancellation",
    b"cancel",
    b"stop",
    b"eos",
    b"bos",
    b"pad",
    b"unk",
    b"cls",
    b"sep",
    b"mask",
    b"special",
    b"first",
    b"last",
    b"start",
    b"end",
    b"begin",
    b"num",
    b"input",
    b"output",
    b"prompt",
    b"completion",
    b"per",
    b"image",
    b"added",
    b"current",
    b"syntax",
    b"lookahead",
    b"partial",
    b"by",
    b"of",
    b"is",
    b"no",
    b"design",
    b"on",
    b"idempotency",
    b"change",
    b"resume",
    b"client",
];

/// How far a name's word is looked for.
const LONGEST_WORD: usize = 64;

/// What kind of name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its value is a secret, unless it plainly is none.
    Secret,
    /// Its value is a secret if it looks like one.
    Weak,
    /// A short number, or what looks like a secret.
    Pin,
    /// A code in an address or a form.
    Code,
    /// `token`: alone it names what models of language read, behind a word a secret.
    Token,
    /// `cookie`, which is also a library.
    Cookie,
    /// `authorization`: a scheme and what belongs to it.
    Authorization,
    /// One that the operator added: whatever stands under it is a secret.
    Key,
}

/// All names with their kinds.
pub(super) fn all() -> impl Iterator<Item = (String, Kind)> {
    let others = [
        ("token", Kind::Token),
        ("cookie", Kind::Cookie),
        ("cookies", Kind::Cookie),
        ("authorization", Kind::Authorization),
    ];
    let of = |names: &'static [&'static str], kind| names.iter().map(move |name| (*name, kind));
    of(SECRETS, Kind::Secret)
        .chain(of(WEAK, Kind::Weak))
        .chain(of(PINS, Kind::Pin))
        .chain(of(CODES, Kind::Code))
        .chain(others)
        .flat_map(|(name, kind)| spellings(name).into_iter().map(move |name| (name, kind)))
        // With a space between: `API key: …`.
        .chain([
            ("api key".to_owned(), Kind::Weak),
            ("access key".to_owned(), Kind::Weak),
            ("secret key".to_owned(), Kind::Weak),
            ("access token".to_owned(), Kind::Weak),
            ("auth token".to_owned(), Kind::Weak),
        ])
}

/// Every spelling of a name with `?` in it.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let mut spelled = vec![String::new()];
    for part in name.split_inclusive('?') {
        let joints: &[&str] = if part.ends_with('?') {
            &["", "_", "-"]
        } else {
            &[""]
        };
        spelled = spelled
            .iter()
            .flat_map(|begun| {
                joints
                    .iter()
                    .map(move |joint| format!("{begun}{}{joint}", part.trim_end_matches('?')))
            })
            .collect();
    }
    spelled
}

/// The kind of the name from `start` to `end`, whatever follows; `None` where it is part of another word.
pub(super) fn kind_of(bytes: &[u8], start: usize, end: usize, kind: Kind) -> Option<Kind> {
    let previous = before(bytes, start, 1);
    let hump = previous.is_ascii_lowercase() && byte(bytes, start).is_ascii_uppercase();
    let begins = !previous.is_ascii_alphabetic() || hump || after_escape(bytes, start);
    match kind {
        Kind::Token => {
            let alone = !(previous.is_ascii_alphanumeric() || matches!(previous, b'_' | b'-'))
                || after_escape(bytes, start);
            if alone {
                return Some(Kind::Token);
            }
            (begins && is_of_something(bytes, start)).then_some(Kind::Secret)
        }
        // Only as a whole name: `auth`, and `_auth` of npm.
        Kind::Weak | Kind::Pin | Kind::Code => {
            let glued = previous.is_ascii_digit() || byte(bytes, end).is_ascii_alphanumeric();
            (begins && !glued).then_some(kind)
        }
        _ => begins.then_some(kind),
    }
}

/// Whether the word before `token` makes it somebody's secret: not that of a page.
fn is_of_something(bytes: &[u8], start: usize) -> bool {
    let joint = before(bytes, start, 1);
    let word_end = if matches!(joint, b'_' | b'-') {
        start.saturating_sub(1)
    } else {
        start
    };
    let word = run_back(bytes, word_end, LONGEST_WORD, |byte| byte.is_ascii_alphanumeric());
    let text = bytes.get(word..word_end).unwrap_or_default();
    // The last hump of it.
    let hump = text
        .windows(2)
        .rposition(|pair| matches!(pair, [small, capital] if !small.is_ascii_uppercase() && capital.is_ascii_uppercase()))
        .map_or(0, |at| at + 1);
    let last = text.get(hump..).unwrap_or_default();
    !last.is_empty()
        && !HARMLESS
            .iter()
            .any(|word| last.eq_ignore_ascii_case(word) || text.eq_ignore_ascii_case(word))
}

/// Whether the name at `start` is a flag, or its last word: `--api-key`, `-dbPassword`.
pub(super) fn is_flag(bytes: &[u8], start: usize) -> bool {
    let flag = run_back(bytes, start, LONGEST_WORD, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'-'
    });
    // An escape before it is no part of it.
    let flag = run(bytes, flag, start - flag, |byte| byte != b'-');
    byte(bytes, flag) == b'-' && flag < start && {
        let previous = before(bytes, flag, 1);
        !previous.is_ascii_alphanumeric() || after_escape(bytes, flag)
    }
}

/// Whether a line, or a text in quotes, begins at `start`, but for indentation and what YAML and a shell put before a name.
pub(super) fn begins_line(bytes: &[u8], start: usize) -> bool {
    let word = run_back(bytes, start, LONGEST_WORD, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
    });
    let indent = run_back(bytes, word, LONGEST_WORD, |byte| matches!(byte, b' ' | b'\t'));
    indent == 0
        || matches!(byte(bytes, indent - 1), b'\n' | b'\r')
        // A header that a command is given: `-H 'X-Api-Key: …'`.
        || (indent == word && matches!(byte(bytes, word - 1), b'"' | b'\''))
        || (is_space(byte(bytes, indent)) && before(bytes, indent, 1) == b'-')
        || after_escape(bytes, indent)
        || after_escape(bytes, word)
        || (word < start && after_escape(bytes, word + 1))
}
