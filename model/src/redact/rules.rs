//! The rules, compiled, and the pass over a text.

use aho_corasick::BuildError;
use regex::Regex;

use super::automaton::Automaton;
use super::literals::{Literals, SHORTEST};
use super::named::{self, Kind};
use super::shapes::{self, Plain, SHAPES};
use super::{REDACTED, json};

/// The rule of values under a secret's name.
pub(super) const NAMED: &str = "value under a secret's name";
/// The rule of credentials behind their scheme.
const CREDENTIAL: &str = "credential";
/// The rule of passwords in URLs.
const URL_PASSWORD: &str = "password in a URL";

/// How often a text is gone through at most.
const MOST_PASSES: usize = 4;

/// What the operator adds to the built-in rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names whose values are cut, whatever they are. Capitals are small letters, and `_` is `-` or nothing; a name
    /// also counts as the last part of another (`patient_ssn`, `patientSsn`).
    pub keys: Vec<String>,
    /// Regular expressions of what is cut.
    pub patterns: Vec<String>,
    /// Secret values of at least 6 bytes, each with the name it is known by. They are cut wherever they appear, also
    /// escaped as in JSON, percent-encoded, and in base64.
    pub values: Vec<(String, String)>,
}

/// A rule that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum BadRule {
    /// Not a regular expression.
    #[error(
        "the redaction pattern {pattern:?} cannot be read: {reason}; give a regular expression such as ACME-[0-9]{{6}}"
    )]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern that matches nothing at all.
    #[error(
        "the redaction pattern {pattern:?} also matches an empty text, so it would cut everywhere; make it need at least one character"
    )]
    EmptyPattern {
        /// As it was given.
        pattern: String,
    },
    /// A name without a letter or digit.
    #[error("the redaction key {key:?} is no name; give the name of a key, such as ssn")]
    Key {
        /// As it was given.
        key: String,
    },
    /// A value that is too common to be cut.
    #[error(
        "the value of {name} has {bytes} bytes, and one so short would be cut out of everything; only values of at least {SHORTEST} bytes can be redacted"
    )]
    ShortValue {
        /// What it is known by.
        name: String,
        /// How long it is.
        bytes: usize,
    },
    /// A value that is part of what stands in a secret's place.
    #[error(
        "the value of {name} is part of {REDACTED:?}, which stands in the place of secrets, so it cannot be redacted"
    )]
    Marker {
        /// What it is known by.
        name: String,
    },
    /// More than can be searched for.
    #[error("the redaction rules are too many or too long to be searched for: {0}")]
    TooMany(#[from] BuildError),
}

/// Which rule found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    BuiltIn(&'static str),
    Key(usize),
    Pattern(usize),
    Value(usize),
}

/// What may begin where the automaton stops.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trigger {
    Name(Kind, Found),
    Shape(usize, &'static str),
    Scheme,
    Url,
    PrivateKey,
    WebToken,
    Telegram,
    Signature,
}

/// A place to cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) found: Found,
    quote: (usize, usize),
}

impl Cut {
    /// Whether the operator's own rule found something that may reach over the borders of a JSON value.
    fn is_crossing(&self, text: &str) -> bool {
        matches!(self.found, Found::Pattern(_) | Found::Value(_))
            && text
                .get(self.start..self.end)
                .is_some_and(|cut| cut.contains(['"', '{', '}', '[', ']', ',', ':']))
    }
}

/// The rules, ready for use.
#[derive(Debug)]
pub(super) struct Compiled {
    automaton: Automaton,
    triggers: Vec<Trigger>,
    keys: Vec<String>,
    patterns: Vec<Regex>,
    literals: Option<Literals>,
    values: Vec<String>,
}

impl Compiled {
    pub(super) fn new(rules: &Rules) -> Result<Self, BadRule> {
        let (mut texts, mut triggers) = built_in();
        for (index, key) in rules.keys.iter().enumerate() {
            let key = key.trim();
            if !key.chars().any(char::is_alphanumeric) {
                return Err(BadRule::Key { key: key.to_owned() });
            }
            for spelling in named::spellings(&key.replace(['_', '-'], "?")) {
                texts.push(spelling);
                triggers.push(Trigger::Name(Kind::Key, Found::Key(index)));
            }
        }
        for (name, value) in &rules.values {
            if value.len() < SHORTEST {
                return Err(BadRule::ShortValue {
                    name: name.clone(),
                    bytes: value.len(),
                });
            }
            if REDACTED.contains(value.as_str()) {
                return Err(BadRule::Marker { name: name.clone() });
            }
        }
        let values = rules.values.iter().map(|(_, value)| value.as_str());
        Ok(Self {
            automaton: Automaton::new(&texts)?,
            triggers,
            keys: rules.keys.clone(),
            patterns: rules
                .patterns
                .iter()
                .map(|text| pattern(text))
                .collect::<Result<_, _>>()?,
            literals: if rules.values.is_empty() {
                None
            } else {
                Some(Literals::new(values)?)
            },
            values: rules.values.iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// What a rule is called.
    pub(super) fn name(&self, found: Found) -> String {
        let of = |names: &[String], index: usize| names.get(index).cloned().unwrap_or_default();
        match found {
            Found::BuiltIn(name) => name.to_owned(),
            Found::Key(index) => format!("key {}", of(&self.keys, index)),
            Found::Pattern(index) => {
                let pattern = self.patterns.get(index).map(Regex::as_str).unwrap_or_default();
                format!("pattern {pattern}")
            }
            Found::Value(index) => format!("value of {}", of(&self.values, index)),
        }
    }

    /// Whether what a rule finds was drawn by lot, so that nobody can guess it.
    pub(super) fn is_drawn(&self, found: Found) -> bool {
        matches!(found, Found::BuiltIn(rule) if ![NAMED, CREDENTIAL, URL_PASSWORD].contains(&rule))
    }

    /// The text without its secrets; `None` when there are none. Each cut is told.
    pub(super) fn redact(&self, text: &str, told: &mut dyn FnMut(Found)) -> Option<String> {
        let mut redacted = self.redact_once(text, told)?;
        // What is cut out may leave the beginning of another secret to itself.
        for _ in 1..MOST_PASSES {
            match self.redact_once(&redacted, told) {
                Some(further) => redacted = further,
                None => break,
            }
        }
        Some(redacted)
    }

    fn redact_once(&self, text: &str, told: &mut dyn FnMut(Found)) -> Option<String> {
        let (cuts, structured) = self.find(text);
        if cuts.is_empty() && !structured {
            return None;
        }
        let mut found = Vec::new();
        let redacted = apply(text, &cuts, &mut found);
        // A secret found across the borders of values breaks JSON: then each value is looked at by itself.
        if (structured || !json::is_valid(&redacted)) && json::is_valid(text) {
            let crossing: Vec<Cut> = cuts.into_iter().filter(|cut| cut.is_crossing(text)).collect();
            return json::redact(self, text, &crossing, told).filter(|redacted| redacted != text);
        }
        found.into_iter().for_each(told);
        Some(redacted).filter(|redacted| redacted != text)
    }

    /// Redacts a part of a text for itself.
    pub(super) fn redact_part(&self, part: &str, told: &mut dyn FnMut(Found)) -> Option<String> {
        let (cuts, _) = self.find(part);
        let mut found = Vec::new();
        let redacted = apply(part, &cuts, &mut found);
        found.into_iter().for_each(told);
        (redacted != part).then_some(redacted)
    }

    /// The rule by which a value under this name is a secret.
    pub(super) fn secret_name(&self, name: &str) -> Option<Found> {
        let bytes = name.as_bytes();
        let mut best = None;
        self.automaton.find(bytes, |index, start, end| {
            let Some(Trigger::Name(kind, found)) = self.triggers.get(index) else {
                return;
            };
            let dashed = *kind == Kind::Token && bytes.get(..start).is_some_and(|name| name.ends_with(b"-"));
            if end == bytes.len()
                && *kind != Kind::Pwd
                && (dashed || named::is_name(bytes, start, end, *kind))
                && !matches!(best, Some(Found::Key(_)))
            {
                best = Some(*found);
            }
        });
        best
    }

    /// All places to cut, in order, without overlaps; and whether whole structures of JSON are to be cut.
    fn find(&self, text: &str) -> (Vec<Cut>, bool) {
        let mut pass = Pass {
            bytes: text.as_bytes(),
            cuts: Vec::new(),
            covered: 0,
            latest: 0,
            barren: 0,
            plain: Plain::default(),
            structured: false,
        };
        self.automaton.find(text.as_bytes(), |index, start, end| {
            if let Some(trigger) = self.triggers.get(index) {
                pass.look(*trigger, start, end);
            }
        });
        let add = |found| {
            move |start, end| Cut {
                start,
                end,
                found,
                quote: (0, 0),
            }
        };
        let discord = add(Found::BuiltIn("Discord token"));
        shapes::discord(text, |start, end| pass.cuts.push(discord(start, end)));
        let mailgun = add(Found::BuiltIn("Mailgun key"));
        shapes::mailgun(text, |start, end| pass.cuts.push(mailgun(start, end)));
        for (index, pattern) in self.patterns.iter().enumerate() {
            let cut = add(Found::Pattern(index));
            let matches = pattern.find_iter(text).filter(|found| !found.is_empty());
            pass.cuts
                .extend(matches.map(|found| cut(found.start(), found.end())));
        }
        if let Some(literals) = &self.literals {
            literals.find(text, |start, end, index| {
                pass.cuts.push(add(Found::Value(index))(start, end));
            });
        }
        let cuts = merged(pass.cuts);
        let structured = pass.structured || cuts.iter().any(|cut| cut.is_crossing(text));
        (cuts, structured)
    }
}

/// What the automaton looks for when the operator adds nothing.
pub(super) fn built_in() -> (Vec<String>, Vec<Trigger>) {
    let named = Found::BuiltIn(NAMED);
    let names = named::NAMES
        .iter()
        .flat_map(|name| named::spellings(name))
        .map(|name| (name, Trigger::Name(Kind::Secret, named)));
    let shapes = SHAPES.iter().enumerate().flat_map(|(index, shape)| {
        let prefixes = shape.prefixes.iter();
        prefixes.map(move |prefix| ((*prefix).to_owned(), Trigger::Shape(index, prefix)))
    });
    let others = [
        ("token", Trigger::Name(Kind::Token, named)),
        ("pwd", Trigger::Name(Kind::Pwd, named)),
        ("bearer", Trigger::Scheme),
        ("basic", Trigger::Scheme),
        ("://", Trigger::Url),
        ("-----BEGIN ", Trigger::PrivateKey),
        ("eyJ", Trigger::WebToken),
        (":AA", Trigger::Telegram),
        ("sig=", Trigger::Signature),
        ("signature=", Trigger::Signature),
    ];
    names
        .chain(shapes)
        .chain(others.map(|(text, trigger)| (text.to_owned(), trigger)))
        .unzip()
}

fn pattern(text: &str) -> Result<Regex, BadRule> {
    let regex = Regex::new(text).map_err(|error| BadRule::Pattern {
        pattern: text.to_owned(),
        // The message repeats the pattern over several lines; what is wrong stands in the last.
        reason: error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned(),
    })?;
    if regex.is_match("") {
        return Err(BadRule::EmptyPattern {
            pattern: text.to_owned(),
        });
    }
    Ok(regex)
}

/// One pass over one text.
struct Pass<'t> {
    bytes: &'t [u8],
    cuts: Vec<Cut>,
    /// Up to here values were read already: what begins before is part of one.
    covered: usize,
    /// Where the last token began: a longer prefix may know it better.
    latest: usize,
    /// Up to here a web token was sought in vain.
    barren: usize,
    /// Where tokens were sought in vain.
    plain: Plain,
    /// Whether an object or list stands under one of the operator's keys.
    structured: bool,
}

impl Pass<'_> {
    /// Looks whether there is a secret where the automaton found the beginning of one.
    fn look(&mut self, trigger: Trigger, start: usize, end: usize) {
        let bytes = self.bytes;
        match trigger {
            Trigger::Name(kind, found) => self.name(kind, found, start, end),
            Trigger::Url => {
                if let Some(password) = named::url_password(bytes, end) {
                    self.cut(URL_PASSWORD, password);
                }
            }
            Trigger::PrivateKey => {
                if bytes.get(start..end) == Some(b"-----BEGIN ")
                    && let Some(key) = shapes::private_key(bytes, start, end)
                {
                    self.cut("private key", key);
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
                self.cut(shape.rule, token);
                self.latest = start;
                self.covered = self.covered.max(token.1);
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
            Trigger::Scheme => {
                if let Some(value) = named::credential(bytes, start, end) {
                    self.cut(CREDENTIAL, value);
                    self.covered = self.covered.max(value.1);
                }
            }
            Trigger::Signature => {
                if let Some(value) = named::signature(bytes, start, end) {
                    self.cut("signature of a URL", value);
                    self.covered = self.covered.max(value.1);
                }
            }
        }
    }

    fn name(&mut self, kind: Kind, found: Found, start: usize, end: usize) {
        let bytes = self.bytes;
        let Some((at, quote)) = named::value_start(bytes, start, end, kind) else {
            return;
        };
        if at < self.covered {
            return;
        }
        match named::value(bytes, start, end, at, quote, kind) {
            Some(value) => {
                self.covered = self.covered.max(value.end);
                if value.secret {
                    let (start, end, quote) = (value.start, value.end, value.quote);
                    self.cuts.push(Cut {
                        start,
                        end,
                        found,
                        quote,
                    });
                }
            }
            None => self.structured |= kind == Kind::Key && matches!(bytes.get(at), Some(b'{' | b'[')),
        }
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

/// In order, overlapping ones as one. The one that begins first, of those the longest, of those the last gives its
/// name.
fn merged(mut cuts: Vec<Cut>) -> Vec<Cut> {
    cuts.sort_by_key(|cut| (cut.start, std::cmp::Reverse(cut.end)));
    cuts.dedup_by(|next, last| {
        let overlaps = next.start < last.end;
        if overlaps {
            if (next.start, next.end) == (last.start, last.end) {
                last.found = next.found;
            }
            last.end = last.end.max(next.end);
        }
        overlaps
    });
    cuts
}

/// The text with the cuts made.
fn apply(text: &str, cuts: &[Cut], found: &mut Vec<Found>) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut kept = 0;
    for cut in cuts {
        let quote = text.get(cut.quote.0..cut.quote.1).unwrap_or_default();
        redacted.push_str(text.get(kept..cut.start).unwrap_or_default());
        redacted.push_str(quote);
        redacted.push_str(REDACTED);
        redacted.push_str(quote);
        if text.get(cut.start..cut.end) != Some(REDACTED) {
            found.push(cut.found);
        }
        kept = cut.end;
    }
    redacted.push_str(text.get(kept..).unwrap_or_default());
    redacted
}
