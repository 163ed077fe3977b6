//! Texts that stand where a secret is to be put, and are none: `<password>`, `${PASSWORD}`, `YOUR_API_KEY`, `xxxx`.

/// How much of a text is looked at, in bytes.
const LOOK: usize = 80;
/// The most words of a label.
const LABEL: usize = 6;

/// Words for secrets, which are none themselves, as people write them on forms.
const SECRETS: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "pass",
    "pwd",
    "passphrase",
    "passcode",
    "token",
    "tokens",
    "secret",
    "secrets",
    "key",
    "keys",
    "apikey",
    "credential",
    "credentials",
    "pin",
    "passwort",
    "kennwort",
    "schlüssel",
    "contraseña",
    "contrasena",
    "clave",
    "clé",
    "senha",
    "wachtwoord",
    "lösenord",
    "hasło",
    "пароль",
    "токен",
    "ключ",
    "密码",
    "密碼",
    "密钥",
    "令牌",
    "パスワード",
    "トークン",
    "キー",
    "비밀번호",
    "토큰",
    "키",
];

/// Words before them that say whose they are or what is to be done with them.
const OF: &[&str] = &[
    "my",
    "your",
    "the",
    "some",
    "a",
    "an",
    "this",
    "new",
    "old",
    "current",
    "previous",
    "confirm",
    "confirmation",
    "repeat",
    "reset",
    "change",
    "forgot",
    "enter",
    "verify",
    "retype",
    "show",
    "hide",
    "api",
    "access",
    "auth",
    "authentication",
    "session",
    "client",
    "user",
    "private",
    "refresh",
    "bearer",
    "id",
    "super",
    "very",
    "top",
    "sample",
    "example",
    "dummy",
    "fake",
    "test",
    "valid",
    "invalid",
    "wrong",
    "correct",
    "not",
    "personal",
    "service",
    "webhook",
    "signing",
    "encryption",
    "app",
    "application",
    "secret",
    "password",
    "token",
    "mot",
    "de",
    "passe",
    "plaintext",
];

/// `<password>`, `${PASSWORD}`, `$PASSWORD`, `{{ password }}`, `%s`, `***`, `…`, `your-api-key`, `[Filtered]`,
/// `YOUR_API_KEY`, `0000000000000001`, `New password`.
pub(super) fn is_placeholder(text: &str) -> bool {
    let variable = |text: &str| {
        text.strip_prefix('$').is_some_and(|name| {
            name.starts_with(['{', '('])
                || (name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'))
        })
    };
    (text.starts_with('<') && text.ends_with('>'))
        || is_parameter(text)
        || text.starts_with("{{")
        || text.starts_with("${{")
        || (text.starts_with("%(") || text == "%s" || text == "%q" || text == "%v")
        || variable(text)
        || (text.len() > 2
            && text
                .chars()
                .all(|character| matches!(character, '*' | '.' | '…' | 'x' | 'X' | '•' | '-' | '_' | '#')))
        || text.starts_with("...")
        || (text.len() > 4 && text.starts_with("**") && text.ends_with("**"))
        || is_elided(text)
        || METASYNTACTIC.iter().any(|word| text.eq_ignore_ascii_case(word))
        || (text.len() <= LOOK
            && (is_bracketed(text)
                || is_constant(text)
                || is_yours(text)
                || is_monotone(text.as_bytes())
                || is_label(text)
                || is_documented(text.as_bytes())))
}

/// Words that stand for any word.
const METASYNTACTIC: &[&str] = &["foo", "bar", "baz", "qux", "quux", "foobar"];

/// The beginning of a token whose rest somebody left out: `sk_test_...`, `ghp_…`.
fn is_elided(text: &str) -> bool {
    /// As much as is kept of a credential.
    const KEPT: usize = 10;
    let begin = text.strip_suffix("...").or_else(|| text.strip_suffix('…'));
    begin.is_some_and(|begin| {
        begin.len() <= KEPT
            && begin
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    })
}

/// The place of a value in a statement of SQL: `?`, `$1`, `:password`, `@p1`.
fn is_parameter(text: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text == "?"
        || text.strip_prefix('$').is_some_and(|number| {
            !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit())
        })
        || (text.starts_with(':')
            && text
                .get(1..)
                .is_some_and(|name| is_name(name) && !name.bytes().any(|byte| byte.is_ascii_digit())))
}

/// A mark of somebody's redaction, or the name of a value in brackets: `[Filtered]`, `{password}`, `<api key>`.
fn is_bracketed(text: &str) -> bool {
    let inner = |open: char, close: char| text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
    let is_name = |text: &str| {
        text.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && text
                .chars()
                .all(|character| character.is_alphabetic() || matches!(character, ' ' | '_' | '-' | '.'))
    };
    inner('[', ']').or_else(|| inner('{', '}')).is_some_and(is_name)
}

/// Words of capitals, as constants are written: `YOUR_API_KEY`, `HEADER.PAYLOAD.SIGNATURE`.
fn is_constant(text: &str) -> bool {
    let text = text.trim_end_matches('.');
    let mut parts = text.split(['_', '.', ' ']);
    text.contains(['_', '.', ' '])
        && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// A placeholder begins with `your` or ends with `here`, and has no digit.
fn is_yours(text: &str) -> bool {
    const BEGIN: &[&str] = &["your", "<your", "some", "insert", "replace", "enter"];
    let lower = text.to_ascii_lowercase();
    let is_text = lower
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || !byte.is_ascii() || b" _-.<>'".contains(&byte));
    let begins = BEGIN.iter().any(|begin| {
        lower
            .strip_prefix(begin)
            .is_some_and(|rest| rest.starts_with([' ', '_', '-']))
    });
    // `your-api-key-2`
    let is_yours = ["your-", "your_", "your ", "<your"]
        .iter()
        .any(|begin| lower.starts_with(begin));
    is_yours || (is_text && (begins || lower.starts_with("your") || lower.ends_with("here")))
}

/// Whether it is made of two characters at most, so that nobody drew it by lot: `00000000-0000-0000-0000-000000000001`.
pub(super) fn is_monotone(text: &[u8]) -> bool {
    /// Shorter ones are what people take for passwords.
    const SHORTEST: usize = 16;
    let mut first = None;
    let mut second = None;
    let mut length = 0;
    for byte in text.iter().take(LOOK).filter(|byte| !b"-_. ".contains(byte)) {
        length += 1;
        if *first.get_or_insert(byte) != byte && *second.get_or_insert(byte) != byte {
            return false;
        }
    }
    #[cfg(test)]
    super::bytes::looks::add(length);
    length >= SHORTEST || (length >= 8 && text.iter().all(|byte| b"xX- _.".contains(byte)))
}

/// Samples that the manuals of AWS give.
pub(super) fn is_documented(text: &[u8]) -> bool {
    text.ends_with(b"EXAMPLE") || text.ends_with(b"EXAMPLEKEY")
}

/// The label of a field, or a value that only says what belongs there: `New password`, `API-Schlüssel`, `my-api-key`.
fn is_label(text: &str) -> bool {
    let text = text.trim_end_matches(['!', '?', '.', ':', '…', '*', ' ']);
    let words = || text.split([' ', '-', '_', '/', '.']).map(str::to_lowercase);
    let is_known = |word: &str, words: &[&str]| words.contains(&word);
    let count = words().count();
    if count > LABEL || !words().all(|word| !word.is_empty() && word.chars().all(char::is_alphabetic)) {
        return false;
    }
    let (first, last) = (
        words().next().unwrap_or_default(),
        words().next_back().unwrap_or_default(),
    );
    if count == 1 {
        let own = ["my", "your", "some"]
            .iter()
            .find_map(|own| last.strip_prefix(own));
        return is_known(own.unwrap_or(&last), SECRETS);
    }
    let begins = text.contains(' ') && text.starts_with(char::is_uppercase);
    let speaks = is_known(&first, SECRETS) || is_known(&last, SECRETS);
    speaks && (begins || words().all(|word| is_known(&word, OF) || is_known(&word, SECRETS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_where_a_secret_is_to_be_put() {
        for text in [
            "YOUR_API_KEY",
            "YOURSECRETKEYGOESHERE",
            "your-api-key-2",
            "JSON_WEB_TOKEN_STRING.....",
            "HEADER.PAYLOAD.SIGNATURE",
            "[REDACTED]",
            "[Filtered]",
            "[Some token]",
            "{password}",
            "{db.password}",
            "New password",
            "Forgot your password?",
            "API-Schlüssel",
            "my-api-key",
            "mypassword",
            "myToken",
            "super-secret-token",
            "secret",
            "Passwort",
            "Neues Passwort",
            "密码",
            "xxxx-xxxx",
            "0000000000000000000000000000000000000001",
            "insert-token-here",
            // A sample of its manual.
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "swordfish",
            "open sesame",
            "hunter2",
            "ABCD-EFGH-IJKL-MNOP",
            "SWORDFISH",
            "keyboard cat",
            "[k9Z2]",
            "horse-battery-key",
            "yourself2x",
            "1111",
            "password1",
            "mypassword1",
            "aabbaabb",
            "s3cret",
            "{k9Z2}",
            "10110011",
            "hereafter",
            "monkey token cat",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
