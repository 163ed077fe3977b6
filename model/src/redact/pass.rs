//! One pass over one text: what begins where the automaton stops, and the cuts that come of it.

use super::bytes::before;
use super::cuts::Cut;
use super::joints::Reads;
use super::named;
use super::names::{self, Kind};
use super::patterns::{self, AROUND, PATTERNS};
use super::rules::{COOKIE, CREDENTIAL, Found, NAMED, PRIVATE_KEY, URL_PASSWORD};
use super::shapes::{self, Plain, SHAPES};
use super::triggers::Trigger;
use super::{
    containers, contexts, credentials, joints, key_lines, labels, lines, manifests, options, private_keys,
    records, source, tables, wires,
};

/// One pass over one text.
pub(super) struct Pass<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) cuts: Vec<Cut>,
    /// Up to here values were read already: what begins before is part of one.
    pub(super) covered: usize,
    /// Up to here values that are no secrets were read already, by the kind of their names.
    pub(super) read: [usize; 12],
    /// Where the last token began: a longer prefix may know it better.
    pub(super) latest: usize,
    /// Up to here nothing behind a scheme or a signature's name looks drawn by lot.
    pub(super) fruitless: usize,
    /// Up to here a web token was sought in vain.
    pub(super) barren: usize,
    /// How far elements and records were read.
    pub(super) reads: Reads,
    /// Where tokens were sought in vain.
    pub(super) plain: Plain,
    /// Whether there is a name of a secret whose value only the structure around it tells.
    pub(super) structured: bool,
    /// Whether there are escapes that hide what everybody else writes plainly.
    pub(super) escaped: bool,
    /// The same of encodings of addresses and of HTML.
    pub(super) encoded: bool,
    /// The last program on a command line, and up to where its options were read.
    pub(super) command: (usize, usize),
    /// Whether there is a document of Kubernetes that is a secret.
    pub(super) manifest: bool,
    /// Whether there is a field that holds another's name.
    pub(super) labelled: bool,
    /// Whether there is a row of SQL.
    pub(super) insert: bool,
    /// Whether there is a name of secrets where a table could have one.
    pub(super) table: bool,
    /// Up to here members of named objects were read.
    pub(super) members: usize,
    /// Up to here lines of a file of cookies were read.
    pub(super) jar: usize,
    /// Whether anything was found that a secret could stand behind.
    pub(super) begun: bool,
    /// The same, but for names that stand in any text.
    pub(super) named: bool,
    /// Whether the text is about a grant of OAuth, once that was asked.
    pub(super) grants: Option<bool>,
}

impl Pass<'_> {
    /// Looks whether there is a secret where the automaton found the beginning of one.
    pub(super) fn look(&mut self, trigger: Trigger, start: usize, end: usize) {
        let bytes = self.bytes;
        match trigger {
            Trigger::Escape => self.escaped = true,
            Trigger::Encoding => self.encoded = true,
            // These are words of any text.
            Trigger::Url
            | Trigger::Context(_)
            | Trigger::Pattern(_)
            | Trigger::Around(_)
            | Trigger::Shape(..) => {}
            // Whether it is a word by itself tells `name`.
            Trigger::Name(..) => self.begun = true,
            _ => (self.begun, self.named) = (true, true),
        }
        match trigger {
            Trigger::Escape | Trigger::Encoding | Trigger::Hidden => {}
            Trigger::Name(kind, found) => self.name(kind, found, start, end),
            Trigger::Url => {
                if let Some(password) = credentials::url_password(bytes, end) {
                    self.cut(URL_PASSWORD, password);
                }
            }
            Trigger::PrivateKey => {
                if bytes.get(start..end) == Some(b"-----BEGIN ")
                    && let Some(key) = private_keys::find(bytes, start, end)
                {
                    self.cut(PRIVATE_KEY, key);
                }
            }
            Trigger::KeyEnd => {
                if let Some(line) = key_lines::last(bytes, start, end) {
                    self.cut(PRIVATE_KEY, line);
                }
            }
            Trigger::Telegram => {
                if bytes.get(start..end) == Some(b":AA")
                    && let Some(token) = shapes::telegram(bytes, start)
                {
                    self.cut("Telegram token", token);
                }
            }
            _ if start < self.covered && start != self.latest => {}
            Trigger::Shape(index, prefix) => {
                let Some(shape) = SHAPES.get(index) else { return };
                if bytes.get(start..end) != Some(prefix.as_bytes()) {
                    return;
                }
                let Some(token) = shape.token(bytes, start, end, &mut self.plain) else {
                    return;
                };
                self.latest = start;
                self.covered = self.covered.max(token.1);
                if shape.is_sample(bytes, end, token.1) {
                    return;
                }
                self.cut(shape.rule, token);
                if shape.rule == "AWS access key id" {
                    for key in shapes::aws_secrets(bytes, token.0, token.1) {
                        self.cut("AWS secret key", key);
                    }
                }
            }
            Trigger::WebToken => {
                if bytes.get(start..end) != Some(b"eyJ") || start < self.barren {
                    return;
                }
                let (token, sought) = shapes::web_token(bytes, start);
                self.barren = sought;
                if let Some(token) = token {
                    self.cut("JSON web token", token);
                    self.covered = self.covered.max(token.1);
                }
            }
            Trigger::Pattern(index) => {
                let Some(pattern) = PATTERNS.get(index) else {
                    return;
                };
                if bytes.get(start..end) == Some(pattern.prefix.as_bytes())
                    && let Some(token) = pattern.token(bytes, start, end)
                {
                    self.cut(pattern.rule, token);
                    self.latest = start;
                    self.covered = self.covered.max(token.1);
                }
            }
            Trigger::Context(index) => {
                if let Some(token) = contexts::token(bytes, index, start, end) {
                    self.cut("token of a service by its name", token);
                }
            }
            Trigger::Around(index) => {
                if let (Some(token), Some((rule, _))) =
                    (patterns::around(bytes, index, start, end), AROUND.get(index))
                {
                    self.cut(rule, token);
                    self.covered = self.covered.max(token.1);
                }
            }
            // Of the same program all that follows was read already.
            Trigger::Option(index) if self.command.0 == index && start < self.command.1 => {}
            Trigger::Option(index) => {
                let (passwords, stop) = options::passwords(bytes, index, start, end);
                for password in passwords {
                    self.cut(CREDENTIAL, password);
                }
                // A part of another program's name is none: that goes on.
                if stop > end {
                    self.command = (index, stop);
                }
            }
            Trigger::Putty => {
                if let Some(key) = private_keys::putty(bytes, end) {
                    self.cut(PRIVATE_KEY, key);
                }
            }
            Trigger::Ssh2 => {
                if let Some(key) = private_keys::ssh2(bytes, start, end) {
                    self.cut(PRIVATE_KEY, key);
                    self.covered = self.covered.max(key.1);
                }
            }
            Trigger::EncodedKey => {
                if let Some(key) = private_keys::encoded(bytes, start) {
                    self.cut(PRIVATE_KEY, key);
                    self.covered = self.covered.max(key.1);
                }
            }
            Trigger::Manifest => {
                if manifests::ends_line(bytes, end) {
                    self.manifest = true;
                    self.structured = true;
                }
            }
            Trigger::Label => self.labelled |= labels::is_label(bytes, start, end),
            Trigger::Insert => {
                self.insert = true;
                self.structured = true;
            }
            Trigger::Machine => self.structured |= lines::begins(bytes, start),
            Trigger::Dsn => {
                if let Some(password) = credentials::dsn_password(bytes, start, end) {
                    self.cut(URL_PASSWORD, password);
                }
            }
            Trigger::Login(index) => {
                if let Some(password) = source::login(bytes, index, end) {
                    self.cut(CREDENTIAL, password);
                }
            }
            Trigger::Port => {
                if let Some(password) = lines::pgpass(bytes, start, end) {
                    self.cut(CREDENTIAL, password);
                }
            }
            Trigger::HttpOnly => {
                if let Some(value) = records::around(bytes, start, &mut self.reads.records)
                    && self.is_open(value)
                {
                    self.cut(COOKIE, value);
                }
            }
            Trigger::Wire => {
                if let Some(password) = wires::login(bytes, start, end) {
                    self.cut(CREDENTIAL, password);
                }
            }
            Trigger::Pipe => {
                if let Some(password) = wires::piped(bytes, start) {
                    self.cut(CREDENTIAL, password);
                }
            }
            Trigger::Jar if start < self.jar => {}
            Trigger::Jar => {
                let (value, read) = wires::jar(bytes, start + 1);
                if let Some(value) = value {
                    self.cut(COOKIE, value);
                }
                self.jar = read;
            }
            Trigger::Columns => {}
            Trigger::KeyType => self.structured |= super::quotes::quote(bytes, end).is_some(),
            Trigger::CurlUser => {
                if let Some(password) = credentials::curl_user(bytes, start, end) {
                    self.cut(CREDENTIAL, password);
                }
            }
            Trigger::Scheme if start >= self.fruitless => match credentials::credential(bytes, start, end) {
                Ok(value) => {
                    self.cut(CREDENTIAL, value);
                    self.covered = self.covered.max(value.1);
                }
                Err(sought) => self.fruitless = sought,
            },
            Trigger::Signature if start >= self.fruitless => {
                match credentials::signature(bytes, start, end) {
                    Ok(value) => {
                        self.cut("signature of a URL", value);
                        self.covered = self.covered.max(value.1);
                    }
                    Err(sought) => self.fruitless = sought,
                }
            }
            Trigger::Scheme | Trigger::Signature => {}
        }
    }

    fn name(&mut self, kind: Kind, found: Found, start: usize, end: usize) {
        let bytes = self.bytes;
        let word = end;
        let Some((end, named)) = names::whole(bytes, word, kind) else {
            return;
        };
        if named == Kind::Loose
            && !names::is_compound(bytes, start, word, end)
            && !matches!(before(bytes, start, 1), b'?' | b'&')
        {
            return;
        }
        let affixed = named == Kind::Affixed;
        if let Some(kind) = names::kind_of(bytes, start, end, kind)
            && kind != Kind::Code
            && kind != Kind::Loose
        {
            self.named = true;
            // Under the operator's names whole objects are secrets.
            self.structured |= kind == Kind::Key || joints::is_structural(bytes, start, end);
        }
        if tables::may_name(bytes, end) {
            (self.table, self.structured) = (true, true);
        }
        self.within(named, start, end);
        let covered = |kind: Kind| {
            let read = self.read.get(kind as usize).copied().unwrap_or_default();
            self.covered.max(read)
        };
        let begin = named::value_start(bytes, start, end, kind, covered, &mut self.reads);
        let Some((begin, kind)) = begin else { return };
        let kind = if affixed { Kind::Affixed } else { kind };
        // A value that stands before its name was read before, as that of something else.
        if begin.at < covered(kind) && begin.at > start {
            return;
        }
        let Some(value) = named::value(bytes, start, end, begin, kind) else {
            return;
        };
        let mut secret = value.secret;
        if kind == Kind::Code && !secret {
            let text = bytes.get(value.start..value.end).unwrap_or_default();
            secret = super::looks::is_drawn(text) && self.grants();
        }
        let text = bytes.get(value.start..value.end).unwrap_or_default();
        if secret || named::is_cut(text) {
            self.covered = self.covered.max(value.end);
        } else if let Some(read) = self.read.get_mut(kind as usize) {
            // No secret itself, it may hold one: under names of another kind.
            *read = value.end.max(*read);
        }
        if secret {
            let (start, end, quote) = (value.start, value.end, value.quote);
            self.cuts.push(Cut {
                start,
                end,
                found,
                quote,
            });
        }
    }

    /// Cuts the members of what is named as secrets are, and the value of a cookie that is a record.
    fn within(&mut self, named: Kind, start: usize, end: usize) {
        let bytes = self.bytes;
        let Some(kind) = names::kind_of(bytes, start, end, named) else {
            return;
        };
        if kind == Kind::Cookie
            && let Some(value) = records::cookie(bytes, start, end).filter(|value| self.is_open(*value))
        {
            self.cut(COOKIE, value);
            return;
        }
        let name = bytes.get(start..end).unwrap_or_default();
        let Some(members) = containers::Members::of(name, kind) else {
            return;
        };
        if containers::is_operation(bytes, start) {
            return;
        }
        if end < self.members {
            return;
        }
        let (secrets, read) = match containers::begin(bytes, start, end) {
            Some(open) => containers::members(bytes, open, members),
            None => match containers::lines(bytes, start, end, members) {
                Some(found) => found,
                None => return,
            },
        };
        for secret in secrets {
            self.cut(NAMED, secret);
        }
        self.members = read;
    }

    /// Whether a value is none yet that is cut already, or plainly no secret.
    fn is_open(&self, (start, end): (usize, usize)) -> bool {
        let text = self.bytes.get(start..end).unwrap_or_default();
        let quoted = matches!(before(self.bytes, start, 1), b'"' | b'\'' | b'`');
        !named::is_cut(text)
            && !super::looks::is_harmless(text)
            && (quoted || !super::looks::is_reference(text, 0))
            && text.len() >= 3
    }

    /// Whether the text is about a grant of OAuth: then a code is one of it.
    fn grants(&mut self) -> bool {
        let bytes = self.bytes;
        *self.grants.get_or_insert_with(|| {
            #[cfg(test)]
            super::bytes::looks::add(bytes.len());
            bytes.windows(10).any(|window| window == b"grant_type")
        })
    }

    fn cut(&mut self, rule: &'static str, (start, end): (usize, usize)) {
        self.cuts.push(Cut {
            start,
            end,
            found: Found::BuiltIn(rule),
            quote: (0, 0),
        });
    }
}
