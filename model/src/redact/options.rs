//! Passwords that programs are given on their command lines behind an option that says nothing of a password.

use super::bytes::{before, begins_word, byte, is_space, run, run_back};
use super::looks::{is_harmless, is_lot};
use super::named::{NEAR, is_cut};
use super::placeholders::is_placeholder;

/// How a program takes its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `-pX`
    Glued,
    /// `-p X` or `-pX`
    Either,
    /// `-p X`
    Apart,
    /// `-U user%X`
    BehindUser,
    /// `--user u:X`
    BehindColon,
    /// `user/X@host`
    Login,
    /// The first word that is no option.
    First,
    /// `--from-literal=name=X`
    BehindName,
    /// The word before `/user:…`
    BeforeUser,
    /// Those of `curl`: `-su user:X`, `-H "X-Key: X"`, `-b "sid=X"`.
    Curl,
}

/// Programs, the option each takes its password behind, and how.
const PROGRAMS: &[(&str, &str, Way)] = &[
    ("mysql", "-p", Way::Glued),
    ("mariadb", "-p", Way::Glued),
    ("sshpass", "-p", Way::Either),
    ("redis-cli", "-a", Way::Apart),
    ("docker login", "-p", Way::Apart),
    ("podman login", "-p", Way::Apart),
    ("helm registry login", "-p", Way::Apart),
    ("az login", "-p", Way::Apart),
    ("ldapsearch", "-w", Way::Either),
    ("ldapmodify", "-w", Way::Either),
    ("ldapadd", "-w", Way::Either),
    ("ldapwhoami", "-w", Way::Either),
    ("sqlcmd", "-P", Way::Either),
    ("mosquitto_pub", "-P", Way::Apart),
    ("mosquitto_sub", "-P", Way::Apart),
    ("smbclient", "-U", Way::BehindUser),
    ("rpcclient", "-U", Way::BehindUser),
    ("convertto-securestring", "", Way::First),
    ("mongo", "-p", Way::Apart),
    ("ipmitool", "-P", Way::Apart),
    ("isql", "-P", Way::Either),
    ("bcp ", "-P", Way::Either),
    ("psexec", "-p", Way::Apart),
    ("evil-winrm", "-p", Way::Apart),
    ("crackmapexec", "-p", Way::Apart),
    ("twine upload", "-p", Way::Apart),
    ("crane auth login", "-p", Way::Apart),
    ("cqlsh", "-p", Way::Apart),
    ("neo4j", "-p", Way::Apart),
    ("cypher-shell", "-p", Way::Apart),
    ("useradd", "-p", Way::Apart),
    ("usermod", "-p", Way::Apart),
    ("choco apikey", "-k", Way::Apart),
    ("slappasswd", "-s", Way::Apart),
    ("ldappasswd", "-s", Way::Apart),
    ("kadmin", "-w", Way::Apart),
    ("signtool sign", "/p", Way::Apart),
    ("openssl passwd", "-1", Way::Apart),
    ("etcdctl", "--user", Way::BehindColon),
    ("sqlplus", "", Way::Login),
    ("cargo login", "", Way::First),
    ("zip", "-P", Way::Either),
    ("unzip", "-P", Way::Either),
    ("7z", "-p", Way::Glued),
    ("openssl", "-k", Way::Apart),
    ("xfreerdp", "/p:", Way::Glued),
    ("keyvault secret set", "--value", Way::Apart),
    ("aws configure set", "aws_secret_access_key", Way::Apart),
    ("aws configure set", "aws_session_token", Way::Apart),
    ("bindpw", "", Way::First),
    ("rootpw", "", Way::First),
    ("requirepass", "", Way::First),
    ("masterauth", "", Way::First),
    ("curl", "", Way::Curl),
    ("http ", "-a", Way::BehindColon),
    ("https ", "-a", Way::BehindColon),
    ("xh ", "-a", Way::BehindColon),
    ("create secret", "--from-literal", Way::BehindName),
    ("ssh-keygen", "-N", Way::Apart),
    ("nmcli", "password", Way::Apart),
    ("net use", "/user:", Way::BeforeUser),
    ("nickserv :identify", "", Way::First),
];

/// The names of the programs.
pub(super) fn programs() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|(name, ..)| *name)
}

/// The passwords behind the program whose name is from `start` to `end`, and up to where its options were read.
pub(super) fn passwords(
    bytes: &[u8],
    index: usize,
    start: usize,
    end: usize,
) -> (Vec<(usize, usize)>, usize) {
    let Some((_, option, way)) = PROGRAMS.get(index) else {
        return (Vec::new(), end);
    };
    let previous = before(bytes, start, 1);
    if previous.is_ascii_alphanumeric() || matches!(previous, b'-' | b'_' | b'.' | b':') {
        return (Vec::new(), end);
    }
    let name = (start, end);
    // `mysqldump`, `curl.exe`
    let end = run(bytes, end, 12, |byte| byte.is_ascii_lowercase() || byte == b'.');
    let next = next_use(bytes, name, end);
    let stop = run(bytes, end, next - end, |byte| {
        !matches!(byte, b'\n' | b'|' | b';' | b'\0' | b'}' | b'`')
    });
    let mut found = Vec::new();
    let mut words = Words { bytes, at: end, stop };
    let mut last = (end, end);
    while let Some(word) = words.next() {
        let text = bytes.get(word.0..word.1).unwrap_or_default();
        let previous = std::mem::replace(&mut last, word);
        if *way == Way::BeforeUser {
            let password = bytes.get(previous.0..previous.1).unwrap_or_default();
            if text.to_ascii_lowercase().starts_with(option.as_bytes())
                && is_password(password)
                && is_lot(password)
            {
                found.push(previous);
            }
            continue;
        }
        if *way == Way::Curl {
            found.extend(of_curl(bytes, text, word, &mut words));
            continue;
        }
        if *way == Way::Login {
            let slash = run(bytes, word.0, word.1 - word.0, |byte| byte != b'/');
            let at = run(bytes, slash, word.1 - slash, |byte| byte != b'@');
            if text.starts_with(b"-") {
                continue;
            }
            if at > slash + 1 && is_password(bytes.get(slash + 1..at).unwrap_or_default()) {
                found.push((slash + 1, at));
            }
            break;
        }
        if *way == Way::First {
            if text.starts_with(b"-") {
                continue;
            }
            if is_password(text) && is_lot(text) {
                found.push(word);
            }
            break;
        }
        let Some(rest) = text.strip_prefix(option.as_bytes()) else {
            continue;
        };
        let value = match way {
            Way::Glued | Way::Either if !rest.is_empty() => (word.1 - rest.len(), word.1),
            // `-p'X'`
            Way::Glued if is_open(bytes, word) => match words.next() {
                Some(value) => value,
                None => break,
            },
            Way::BehindName => match rest.iter().skip(1).position(|byte| *byte == b'=') {
                Some(name) => (word.1 - rest.len() + name + 2, word.1),
                None => continue,
            },
            Way::Either | Way::Apart | Way::BehindUser | Way::BehindColon if rest.is_empty() => {
                match words.next() {
                    Some(value) => value,
                    None => break,
                }
            }
            Way::BehindUser => (word.1 - rest.len(), word.1),
            _ => continue,
        };
        let user = |sign: u8| run(bytes, value.0, value.1 - value.0, |byte| byte != sign) + 1;
        let from = match way {
            Way::BehindUser => user(b'%'),
            Way::BehindColon => user(b':'),
            _ => value.0,
        };
        if from < value.1 && is_password(bytes.get(from..value.1).unwrap_or_default()) {
            found.push((from, value.1));
        }
    }
    (found, stop)
}

/// Where the program whose name is from `start` to `end` is used again behind `from`, which is another command; or how far
/// its options are read.
fn next_use(bytes: &[u8], (start, end): (usize, usize), from: usize) -> usize {
    let name = bytes.get(start..end).unwrap_or_default();
    let stop = bytes.len().min(from + NEAR).max(from);
    let next = memchr::memmem::find_iter(bytes.get(from..stop).unwrap_or_default(), name)
        .map(|at| from + at)
        .find(|at| {
            let follows = run(bytes, at + name.len(), 12, |byte| byte.is_ascii_lowercase());
            let is_whole = name.ends_with(b" ") || byte(bytes, follows) == b' ';
            is_whole && begins_word(bytes, *at) && before(bytes, *at, 1) != b'-'
        })
        .unwrap_or(stop);
    #[cfg(test)]
    super::bytes::looks::add(next - from);
    next
}

/// Whether quotes begin behind a word that has none itself.
fn is_open(bytes: &[u8], word: (usize, usize)) -> bool {
    let is_quote = |byte: u8| matches!(byte, b'"' | b'\'');
    let next = run(bytes, word.1, 8, |byte| byte == b'\\');
    is_quote(byte(bytes, next)) && !is_quote(before(bytes, word.0, 1))
}

/// Options of `curl`: the word, which the passwords are in or before.
fn of_curl(bytes: &[u8], text: &[u8], word: (usize, usize), words: &mut Words<'_>) -> Option<(usize, usize)> {
    let of_header = |(from, to): (usize, usize)| {
        let colon = run(bytes, from, to - from, |byte| byte != b':');
        let name = bytes.get(from..colon)?.to_ascii_lowercase();
        let value = run(bytes, colon + 1, 4, |byte| byte == b' ');
        let text = bytes.get(value..to)?;
        let named = [&b"key"[..], b"token", b"auth", b"secret"]
            .iter()
            .any(|end| name.ends_with(end));
        let routine = name.starts_with(b"idempotency") || name.starts_with(b"sec-");
        (named
            && !routine
            && text.len() >= 6
            && is_password(text)
            && !text.iter().any(|byte| is_space(*byte)))
        .then_some((value, to))
    };
    let of_user = |(from, to): (usize, usize)| {
        let colon = run(bytes, from, to - from, |byte| byte != b':');
        let password = bytes.get(colon + 1..to)?;
        (!password.starts_with(b"//") && is_password(password)).then_some((colon + 1, to))
    };
    let of_cookie = |(from, to): (usize, usize)| {
        let text = bytes.get(from..to)?;
        let value = text.iter().position(|byte| *byte == b'=')?;
        (is_lot(text.get(value..)?) && !is_cut(text)).then_some((from, to))
    };
    match text {
        b"-H" | b"--header" => return of_header(words.next()?),
        b"-b" | b"--cookie" => return of_cookie(words.next()?),
        _ => {}
    }
    let cluster = text.strip_prefix(b"-")?;
    if cluster.starts_with(b"H") {
        return of_header((word.0 + 2, word.1));
    }
    // Short options that take nothing may stand before it.
    let flags = cluster
        .iter()
        .take_while(|byte| b"sSkLfvigGINnq46O01".contains(byte))
        .count();
    let rest = cluster.get(flags..)?.strip_prefix(b"u")?;
    if rest.is_empty() {
        of_user(words.next()?)
    } else {
        of_user((word.1 - rest.len(), word.1))
    }
}

/// Whether a text is a password, and no word of a manual.
fn is_password(text: &[u8]) -> bool {
    let is_port = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b':') && text.contains(&b':');
    text.len() >= 3
        && !is_cut(text)
        && !text.starts_with(b"[redacted")
        && !text.starts_with(b"-")
        && !is_port
        && !is_harmless(text)
        && !std::str::from_utf8(text).is_ok_and(is_placeholder)
}

/// The words of a command line, also where it is a list of texts.
struct Words<'t> {
    bytes: &'t [u8],
    at: usize,
    stop: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<(usize, usize)> {
        let gap = |byte: u8| {
            matches!(
                byte,
                b' ' | b'\t' | b'\r' | b'"' | b'\'' | b',' | b'\\' | b'[' | b']' | b'='
            )
        };
        let from = run(self.bytes, self.at, self.stop.saturating_sub(self.at), gap);
        if from >= self.stop {
            return None;
        }
        let slashes = run_back(self.bytes, from, 1, |byte| matches!(byte, b'"' | b'\''));
        let quote = if slashes < from {
            byte(self.bytes, slashes)
        } else {
            0
        };
        let to = run(self.bytes, from, self.stop - from, |byte| {
            if quote != 0 {
                byte != quote && byte != b'\\'
            } else {
                !matches!(
                    byte,
                    b' ' | b'\t' | b'\r' | b'"' | b'\'' | b'\\' | b',' | b']' | b')'
                )
            }
        });
        self.at = to.max(from + 1);
        Some((from, to.max(from + 1)))
    }
}
