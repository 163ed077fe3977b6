//! Whether a text looks like a secret, or plainly is none.

use super::bytes::is_space;
use super::placeholders::is_placeholder;

/// Words that stand under names of secrets and are none.
const WORDS: &[&str] = &[
    "string",
    "password",
    "text",
    "required",
    "optional",
    "include",
    "omit",
    "same-origin",
    "hidden",
    "true",
    "false",
    "null",
    "none",
    "nil",
    "undefined",
    "yes",
    "no",
    "on",
    "off",
    "redacted",
    "masked",
    "basic",
    "bearer",
    "digest",
    "signature",
    "oauth2",
    "any",
    "object",
    "boolean",
    "number",
    "unknown",
    "void",
    "never",
    "str",
    "bytes",
    "enabled",
    "disabled",
    "missing",
    "invalid",
    "empty",
    "header",
    "cookie",
    "query",
    "body",
    "prompt",
    "latest",
    "test",
    "example",
    "sample",
    "dummy",
    "placeholder",
    "inherit",
    "read",
    "write",
    "~",
];

/// Words that only sentences have.
const SENTENCE: &[&str] = &[
    "the", "a", "an", "your", "of", "is", "are", "to", "for", "in", "with", "must", "be", "and", "or", "not",
    "no", "this", "that", "from", "by", "on", "if", "it", "as", "will", "can", "should", "has", "when",
    "use", "used", "my",
];

/// How much of a text is looked at.
const LOOK: usize = 200;

/// Whether a value looks drawn by lot or made up by somebody, rather than written: digits among letters, or capitals
/// among small ones, and nothing that sentences, paths and versions are made of.
pub(super) fn is_drawn(text: &[u8]) -> bool {
    let text = text.get(..LOOK).unwrap_or(text);
    #[cfg(test)]
    super::bytes::looks::add(text.len());
    if text.len() < 6 || text.iter().any(|byte| is_space(*byte) || !byte.is_ascii()) {
        return false;
    }
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let is_path = text.starts_with(b"/")
        || text.starts_with(b"./")
        || text.starts_with(b"http")
        || text.ends_with(b"(");
    let is_version = matches!(text, [first, ..] if first.is_ascii_digit() || b"^~v<>=".contains(first))
        && text.iter().filter(|byte| **byte == b'.').count() >= 1
        && digits + text.iter().filter(|byte| **byte == b'.').count() + 4 > text.len();
    if is_path || is_version {
        return false;
    }
    let humps = text
        .windows(2)
        .filter(|pair| matches!(pair, [small, capital] if small.is_ascii_lowercase() && capital.is_ascii_uppercase()))
        .count();
    (digits > 0 && letters > 0)
        || (digits >= 6 && letters == 0 && digits == text.len())
        || (humps >= 2 && text.len() >= 16)
}

/// Whether a part of a text looks drawn by lot, and not like words with numbers between them: `kV9zQ2mLw7`, and neither
/// `prod/database-2` nor `user_id_2`.
pub(super) fn is_lot(text: &[u8]) -> bool {
    let text = text.get(..LOOK).unwrap_or(text);
    #[cfg(test)]
    super::bytes::looks::add(text.len());
    if text.iter().any(|byte| is_space(*byte)) || is_location(text) {
        return false;
    }
    text.split(|byte| !byte.is_ascii_alphanumeric()).any(|part| {
        let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
        let changes = part
            .windows(2)
            .filter(|pair| matches!(pair, [one, next] if one.is_ascii_digit() != next.is_ascii_digit()))
            .count();
        let humps = part
            .windows(2)
            .filter(
                |pair| matches!(pair, [one, next] if one.is_ascii_lowercase() && next.is_ascii_uppercase()),
            )
            .count();
        let mixed = digits > 0 && digits < part.len();
        // `version2`, `Login12`: an identifier.
        let numbered =
            changes == 1 && digits <= 4 && part.last().is_some_and(u8::is_ascii_digit) && part.len() < 16;
        (mixed && part.len() >= 8 && !numbered)
            || (mixed && part.len() >= 6 && changes >= 2)
            || (humps >= 3 && part.len() >= 16)
    })
}

/// Whether a text can be nothing but drawn by lot, and is neither a hash nor a UUID, which look so and are no secrets.
pub(super) fn is_random(text: &[u8]) -> bool {
    let is =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=' | b'+' | b'/');
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    (16..=150).contains(&text.len())
        && text.iter().all(is)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && (has(u8::is_ascii_uppercase) || text.len() >= 24)
        && !text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
        && !is_humped(text)
        && is_lot(text)
}

/// Whether it is words that capitals begin, with digits between at most: `ServerlessV2PlatformVersions`.
fn is_humped(text: &[u8]) -> bool {
    /// The letters of a word on average: between two capitals or digits drawn by lot there are fewer.
    const LETTERS: usize = 5;
    let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let words = text
        .windows(2)
        .filter(|pair| matches!(pair, [one, next] if !one.is_ascii_uppercase() && next.is_ascii_uppercase()))
        .count()
        + usize::from(text.first().is_some_and(u8::is_ascii_alphabetic));
    text.iter().all(u8::is_ascii_alphanumeric) && words > 1 && letters >= words * LETTERS
}

/// Whether it is words, with numbers of their own at most.
pub(super) fn is_words(text: &[u8]) -> bool {
    let is_word =
        |part: &[u8]| part.iter().all(u8::is_ascii_alphabetic) || part.iter().all(u8::is_ascii_digit);
    let parts = || text.split(|byte| matches!(byte, b'_' | b'-' | b'.' | b'/' | b' '));
    parts().count() > 1 && parts().all(is_word)
}

/// Whether it is a path, or a name of several parts as keys of caches are: `src/auth2`, `users:42:profile`.
pub(super) fn is_parts(text: &[u8]) -> bool {
    let is_part = |part: &[u8]| {
        let letters = part.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let rest = part.get(letters..).unwrap_or_default();
        rest.iter().all(u8::is_ascii_digit) && (letters == 0 || rest.len() <= 2)
    };
    text.iter().any(|byte| matches!(byte, b'/' | b':'))
        && text
            .split(|byte| matches!(byte, b'_' | b'-' | b'.' | b'/' | b':'))
            .all(is_part)
}

/// Whether it says where a secret is: a path, a resource of a cloud, a reference of a vault.
pub(super) fn is_location(text: &[u8]) -> bool {
    const BEGINNINGS: &[&[u8]] = &[
        b"arn:",
        b"projects/",
        b"op://",
        b"vault:",
        b"~/",
        b"./",
        b"../",
        b"file:",
        b"/etc/",
        b"/run/",
        b"/var/",
        b"/home/",
        b"/usr/",
        b"/opt/",
        b"/tmp/",
        b"/root/",
        b"/secrets/",
        b"/mnt/",
    ];
    BEGINNINGS.iter().any(|begin| text.starts_with(begin)) || is_file(text)
}

/// Whether it is the path of a file, by what its name ends with: `/config/db.json`, `secret.pem`.
fn is_file(text: &[u8]) -> bool {
    const ENDS: &[&[u8]] = &[
        b".json", b".pem", b".txt", b".yaml", b".yml", b".toml", b".conf", b".cfg", b".ini", b".env",
        b".zip", b".7z", b".crt", b".key", b".svg", b".png", b".jpg", b".js", b".ts", b".css", b".html",
        b".md", b".py", b".rs", b".p12", b".pfx", b".jks",
    ];
    text.len() <= LOOK
        && ENDS.iter().any(|end| text.ends_with(end))
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-:\\~${}".contains(byte))
}

/// Whether what follows a name in a list is its value, and not another name.
pub(super) fn is_drawn_item(text: &[u8]) -> bool {
    text.len() >= 8 && text.iter().any(u8::is_ascii_digit) && is_drawn(text)
}

/// Whether a value under the name of a secret plainly is none: a word of a schema, a sentence about it, a version, a
/// place where the secret is to be put.
pub(super) fn is_harmless(text: &[u8]) -> bool {
    #[cfg(test)]
    super::bytes::looks::add(text.len().min(LOOK));
    let Ok(text) = std::str::from_utf8(text.get(..LOOK).unwrap_or(text)) else {
        return false;
    };
    let text = text.trim();
    // The comma and the bracket behind an argument.
    let word = text.trim_end_matches([',', ';', ')', '.', '!', '?']);
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
        || is_location(text.as_bytes())
        || is_algorithm(text)
        || is_placeholder(text)
        || is_version(text)
        || is_sentence(text)
}

/// `AES-256-GCM`, `RS256`, `MIT-2.0`.
fn is_algorithm(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "aes", "rsa", "hs", "rs", "es", "ps", "sha", "ed", "chacha", "mit", "wpa", "apache", "gpl", "bsd",
    ];
    let parts = text.split(['-', '_', '.']);
    let letters = |part: &str| {
        part.trim_end_matches(|last: char| last.is_ascii_digit())
            .to_ascii_lowercase()
    };
    let known = parts
        .clone()
        .next()
        .is_some_and(|first| NAMES.contains(&letters(first).as_str()));
    known
        && text.len() <= 24
        && parts
            .clone()
            .all(|part| part.len() <= 8 && letters(part).bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// `^1.2.3`, `>=2`, `1.x`.
fn is_version(text: &str) -> bool {
    let rest = text.trim_start_matches(['^', '~', '>', '=', '<', 'v', ' ']);
    let number = rest.split(['.', '-', ' ', '+']).next().unwrap_or_default();
    let ranged = rest.len() < text.len() || rest.matches('.').count() >= 2;
    ranged
        && !number.is_empty()
        && number.len() <= 4
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && rest.contains('.')
        || text == "*"
        || text.starts_with("npm:")
        || text.starts_with("workspace:")
}

/// Three words or more, with one that no list of words drawn by lot has.
fn is_sentence(text: &str) -> bool {
    let words = text.split_whitespace();
    words.clone().nth(2).is_some()
        && words
            .clone()
            .any(|word| SENTENCE.iter().any(|known| word.eq_ignore_ascii_case(known)))
        && words
            .clone()
            .all(|word| word.bytes().filter(u8::is_ascii_digit).count() < 3)
}

/// Whether code refers to a value here, and does not hold it: `document.getElementById(`, `self.api_key`,
/// `os.environ[`. `next` is the byte behind the text.
pub(super) fn is_reference(text: &[u8], next: u8) -> bool {
    let first = text.first().copied().unwrap_or_default();
    let is_path = (first.is_ascii_alphabetic() || matches!(first, b'_' | b'$' | b'&' | b'@' | b'!'))
        && text.iter().skip(1).all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'_' | b'.' | b'-' | b'>' | b':' | b'?' | b'(' | b')' | b'[' | b']' | b'`' | b'!'
                )
        });
    let calls = text.contains(&b'(') || next == b'(' || next == b'[';
    let dotted = text.contains(&b'.') || text.windows(2).any(|pair| pair == b"->" || pair == b"::");
    is_path && (calls || (dotted && !text.iter().any(u8::is_ascii_digit)) || names_a_secret(text))
}

/// Whether an identifier speaks of a secret itself: `api_key`, `args.password`, `expected_token`.
fn names_a_secret(text: &[u8]) -> bool {
    const PARTS: &[&[u8]] = &[
        b"password",
        b"passwd",
        b"secret",
        b"token",
        b"api_key",
        b"apikey",
        b"credential",
        b"_key",
        b"expected",
        b"value",
    ];
    let lower = text.to_ascii_lowercase();
    !text.iter().any(u8::is_ascii_digit)
        && PARTS
            .iter()
            .any(|part| lower.windows(part.len()).any(|window| window == *part))
}
