//! Names under which secrets stand, and how sure each is.

mod words;

use super::bytes::{after_escape, before, byte, is_space, run, run_back};
use words::{ANOTHER, CODES, DOUBTFUL, HARMLESS, LOOSE, OTHER_KEYS, PINS, SAME, SECRETS, WEAK};

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
        ("tokens", Kind::Token),
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
            ("private key".to_owned(), Kind::Weak),
            ("encryption key".to_owned(), Kind::Weak),
            ("signing key".to_owned(), Kind::Weak),
            ("master key".to_owned(), Kind::Weak),
            ("license key".to_owned(), Kind::Weak),
            ("mot de passe".to_owned(), Kind::Weak),
            ("secret.key".to_owned(), Kind::Weak),
            ("api.key".to_owned(), Kind::Weak),
            ("access.key".to_owned(), Kind::Weak),
            ("secret access key".to_owned(), Kind::Secret),
            ("identified by".to_owned(), Kind::Secret),
            ("identified with".to_owned(), Kind::Secret),
            ("pragma key".to_owned(), Kind::Secret),
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
            // Of others there are counts: `total_tokens`.
            if before(bytes, end, 1).eq_ignore_ascii_case(&b's') {
                return None;
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

/// Whether a name's last word makes it the name of something that is no secret: a place, a kind, a text about it.
pub(super) fn tells_of_another(name: &[u8]) -> bool {
    let joint = name
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric())
        .map_or(0, |at| at + 1);
    let hump = name
        .windows(2)
        .rposition(|pair| matches!(pair, [small, capital] if small.is_ascii_lowercase() && capital.is_ascii_uppercase()))
        .map_or(0, |at| at + 1);
    let last = name.get(joint.max(hump)..).unwrap_or_default();
    ANOTHER
        .iter()
        .any(|word| last.eq_ignore_ascii_case(word.as_bytes()))
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
