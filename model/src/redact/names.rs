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
    "secretstring",
    "private?key",
    "account?key",
    "subscription?key",
    "signing?key",
    "encryption?key",
    "master?key",
    "shared?access?key",
    "client?key?data",
    "application?key",
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
    "recovery?code",
    "recovery?codes",
    "backup?codes",
    "identitytoken",
    "saml?response",
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
    "passw",
    "pwd",
    "storepass",
    "keypass",
    "passwort",
    "kennwort",
    "contraseña",
    "contrasena",
    "senha",
    "mot?de?passe",
    "wachtwoord",
    "lösenord",
    "hasło",
    "пароль",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
    "auth",
    "bearer",
    "creds",
    "jwt",
    "assertion",
    "session?key",
    "service?key",
    "db?key",
    "database?key",
    "client?key",
    "priv?key",
];

/// Parts of names that rule sets of others take for those of secrets: only what looks drawn by lot is one under them.
const LOOSE: &[&str] = &["key", "access", "api"];

/// Words before `key` in names of what is no secret: places, columns, ids.
const OTHER_KEYS: &[&[u8]] = &[
    b"public",
    b"pub",
    b"primary",
    b"foreign",
    b"sort",
    b"partition",
    b"object",
    b"file",
    b"cache",
    b"idempotency",
    b"row",
    b"storage",
    b"hash",
    b"translation",
    b"issue",
    b"project",
    b"component",
    b"dedup",
    b"dedupe",
    b"deduplication",
    b"node",
    b"lookup",
    b"search",
    b"query",
    b"unique",
    b"composite",
    b"index",
    b"group",
    b"routing",
    b"message",
    b"event",
    b"record",
    b"join",
    b"range",
    b"blob",
    b"image",
    b"media",
    b"document",
    b"site",
    b"publishable",
    b"host",
    b"verification",
    b"feature",
    b"bucket",
    b"queue",
    b"lock",
    b"s3",
    b"tracking",
    b"artifact",
];

/// Words behind a word of secrets that leave a name what it is: `DB_PASSWORD_PROD`, `password_confirmation`.
const SAME: &[&str] = &[
    "value",
    "val",
    "prod",
    "production",
    "dev",
    "development",
    "test",
    "stage",
    "staging",
    "qa",
    "live",
    "sandbox",
    "local",
    "confirmation",
    "confirm",
    "repeat",
    "again",
    "verify",
    "new",
    "old",
    "current",
    "base",
    "plain",
    "plaintext",
    "cleartext",
    "raw",
    "primary",
    "secondary",
    "main",
    "backup",
];

/// Last words that make a name of something else: where a secret is, how long, what it is called.
const ANOTHER: &[&str] = &[
    "id",
    "ids",
    "name",
    "names",
    "path",
    "paths",
    "file",
    "files",
    "filename",
    "dir",
    "url",
    "urls",
    "uri",
    "uris",
    "endpoint",
    "host",
    "port",
    "type",
    "types",
    "length",
    "len",
    "size",
    "count",
    "limit",
    "ttl",
    "expiry",
    "expires",
    "expiration",
    "expired",
    "seconds",
    "days",
    "at",
    "in",
    "on",
    "policy",
    "policies",
    "field",
    "fields",
    "input",
    "label",
    "hint",
    "placeholder",
    "error",
    "errors",
    "message",
    "required",
    "enabled",
    "disabled",
    "regex",
    "pattern",
    "format",
    "algorithm",
    "alg",
    "method",
    "methods",
    "mode",
    "provider",
    "manager",
    "store",
    "service",
    "ref",
    "arn",
    "version",
    "title",
    "description",
    "desc",
    "usage",
    "index",
    "created",
    "updated",
    "modified",
    "prefix",
    "suffix",
    "status",
    "state",
    "kind",
    "class",
    "function",
    "fn",
    "handler",
    "level",
    "scope",
    "scopes",
    "issuer",
    "audience",
    "stdin",
    "env",
    "cmd",
    "command",
    "source",
    "supported",
    "strength",
    "engine",
    "group",
    "count",
    "budget",
    "usage",
    "valid",
    "set",
    "exists",
    "present",
    "owner",
    "user",
    "username",
    "email",
    "role",
    "region",
    "date",
    "time",
    "rate",
    "score",
    "table",
    "column",
    "vault",
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
];

/// Words before `token` of secrets, and of ids that callers make up: only what looks drawn by lot counts.
const DOUBTFUL: &[&[u8]] = &[b"client"];

/// How far a name's word is looked for.
const LONGEST_WORD: usize = 64;

/// What kind of name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its value is a secret, unless it plainly is none.
    Secret,
    /// Its value is a secret if it looks like one.
    Weak,
    /// A part of a name of secrets, with words behind it that may make it something else: what looks drawn by lot.
    Affixed,
    /// A part of names that secrets have among others: what can be nothing but drawn by lot.
    Loose,
    /// A phrase of many words.
    Phrase,
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
        ("mnemonic", Kind::Phrase),
        ("seed?phrase", Kind::Phrase),
        ("cookie", Kind::Cookie),
        ("cookies", Kind::Cookie),
        ("authorization", Kind::Authorization),
    ];
    let of = |names: &'static [&'static str], kind| names.iter().map(move |name| (*name, kind));
    of(SECRETS, Kind::Secret)
        .chain(of(WEAK, Kind::Weak))
        .chain(of(PINS, Kind::Pin))
        .chain(of(CODES, Kind::Code))
        .chain(of(LOOSE, Kind::Loose))
        .chain(others)
        .flat_map(|(name, kind)| spellings(name).into_iter().map(move |name| (name, kind)))
        // With a space between: `API key: …`.
        .chain([
            ("api key".to_owned(), Kind::Weak),
            ("access key".to_owned(), Kind::Weak),
            ("secret key".to_owned(), Kind::Weak),
            ("access token".to_owned(), Kind::Weak),
            ("auth token".to_owned(), Kind::Weak),
            ("identified by".to_owned(), Kind::Secret),
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
            let word = word_before(bytes, start);
            if is_one_of(word, DOUBTFUL) {
                return begins.then_some(Kind::Affixed);
            }
            (begins && is_of_something(word)).then_some(Kind::Secret)
        }
        Kind::Loose => {
            let word = word_before(bytes, start);
            let is_part = word.0.is_empty() || !is_one_of(word, OTHER_KEYS);
            (begins && is_part && !byte(bytes, end).is_ascii_alphanumeric()).then_some(kind)
        }
        // Only as a whole name: `auth`, and `_auth` of npm.
        Kind::Weak | Kind::Pin | Kind::Code => {
            let glued = previous.is_ascii_digit() || byte(bytes, end).is_ascii_alphanumeric();
            (begins && !glued).then_some(kind)
        }
        _ => begins.then_some(kind),
    }
}

/// The word before the one that begins at `start`, and the last hump of it.
fn word_before(bytes: &[u8], start: usize) -> (&[u8], &[u8]) {
    let joint = before(bytes, start, 1);
    let word_end = if matches!(joint, b'_' | b'-') {
        start.saturating_sub(1)
    } else {
        start
    };
    let word = run_back(bytes, word_end, LONGEST_WORD, |byte| byte.is_ascii_alphanumeric());
    let text = bytes.get(word..word_end).unwrap_or_default();
    let hump = text
        .windows(2)
        .rposition(|pair| matches!(pair, [small, capital] if !small.is_ascii_uppercase() && capital.is_ascii_uppercase()))
        .map_or(0, |at| at + 1);
    (text, text.get(hump..).unwrap_or_default())
}

fn is_one_of((text, last): (&[u8], &[u8]), words: &[&[u8]]) -> bool {
    words
        .iter()
        .any(|word| last.eq_ignore_ascii_case(word) || text.eq_ignore_ascii_case(word))
}

/// Whether the word before `token` makes it somebody's secret: not that of a page.
fn is_of_something(word: (&[u8], &[u8])) -> bool {
    !word.1.is_empty() && !is_one_of(word, HARMLESS)
}

/// Whether the name from `start` to `end` is made of several words, one of which ends at `word`: `my_key`, `keyProd`.
pub(super) fn is_compound(bytes: &[u8], start: usize, word: usize, end: usize) -> bool {
    let previous = before(bytes, start, 1);
    end > word || matches!(previous, b'_' | b'-') || previous.is_ascii_lowercase()
}

/// Where the name ends whose word of secrets ends at `end`, and its kind: words may follow, as in `DB_PASSWORD_PROD`,
/// `passwordValue` and `API_KEY_2`. `None` if they make it the name of something else, as in `password_policy`.
pub(super) fn whole(bytes: &[u8], end: usize, kind: Kind) -> Option<(usize, Kind)> {
    /// The longest words that follow, in bytes.
    const LONGEST: usize = 32;
    let next = byte(bytes, end);
    let hump = next.is_ascii_uppercase() && before(bytes, end, 1).is_ascii_lowercase();
    let joined = matches!(next, b'_' | b'-') && byte(bytes, end + 1).is_ascii_alphanumeric();
    let fixed = matches!(
        kind,
        Kind::Key | Kind::Cookie | Kind::Authorization | Kind::Code | Kind::Pin | Kind::Phrase
    );
    if fixed || !(hump || joined || next.is_ascii_digit()) {
        return Some((end, kind));
    }
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let to = run(bytes, end, LONGEST, is);
    if is(byte(bytes, to)) {
        return None;
    }
    let (mut same, mut last) = (true, String::new());
    let mut begin = end;
    for at in end..=to {
        let here = byte(bytes, at);
        let ends = at == to
            || matches!(here, b'_' | b'-')
            || (here.is_ascii_uppercase() && before(bytes, at, 1).is_ascii_lowercase());
        if !ends {
            continue;
        }
        let word = bytes.get(begin..at).unwrap_or_default();
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        let word = word.trim_matches(|character: char| !character.is_ascii_alphabetic());
        if !word.is_empty() {
            same &= SAME.contains(&word);
            last = word.to_owned();
        }
        begin = at;
    }
    if ANOTHER.contains(&last.as_str()) {
        return None;
    }
    let kind = match kind {
        Kind::Loose => Kind::Loose,
        kind if same => kind,
        _ => Kind::Affixed,
    };
    Some((to, kind))
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
