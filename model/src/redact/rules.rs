//! The rules, compiled, and the pass over a text.

use aho_corasick::BuildError;
use regex::Regex;

use super::automaton::Automaton;
use super::cuts::{Cut, apply, merged};
use super::joints::Reads;
use super::literals::{Literals, SHORTEST};
use super::names::{self, Kind};
use super::pass::Pass;
use super::shapes::{self, Plain};
use super::triggers::{Trigger, built_in};
use super::view::{self, View};
use super::{REDACTED, cards, encoded, json, json_text, key_lines, labels, manifests, sql, tables};

/// The rule of values under a secret's name.
pub(super) const NAMED: &str = "value under a secret's name";
/// The rule of credentials behind their scheme.
pub(super) const CREDENTIAL: &str = "credential";
/// The rule of private keys.
pub(super) const PRIVATE_KEY: &str = "private key";
/// The rule of members that another member makes secrets.
pub(super) const HELD: &str = "member of a secret";
/// The rule of values of cookies.
pub(super) const COOKIE: &str = "cookie";
/// The rule of numbers of payment cards.
const CARD: &str = "payment card";
/// The rule of passwords in URLs.
pub(super) const URL_PASSWORD: &str = "password in a URL";

/// How often a text is gone through at most.
const MOST_PASSES: usize = 4;

/// How many strings of JSON inside strings of JSON are read.
pub(super) const DEEPEST: usize = 6;

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

/// A name under which secrets stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) found: Found,
    pub(super) kind: Kind,
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
            for spelling in names::spellings(&key.replace(['_', '-'], "?")) {
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

    /// The name of a rule.
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
        matches!(found, Found::BuiltIn(rule) if ![NAMED, HELD, CREDENTIAL, URL_PASSWORD, COOKIE, CARD, encoded::RULE].contains(&rule))
    }

    /// The text without its secrets; `None` when there are none. The rule of each cut is given to `report`.
    pub(super) fn redact(&self, text: &str, report: &mut dyn FnMut(Found)) -> Option<String> {
        self.redact_at(text, 0, report)
    }

    /// The same of a text that stands in so many strings of JSON.
    pub(super) fn redact_at(
        &self,
        text: &str,
        depth: usize,
        report: &mut dyn FnMut(Found),
    ) -> Option<String> {
        let mut redacted = self.redact_once(text, Some(depth), report)?;
        // Without what was cut, the rest of a text may read as another secret. Only the outermost text is read again as what
        // it says: that reads all in it again.
        let again = (depth == 0).then_some(depth);
        for _ in 1..MOST_PASSES {
            match self.redact_once(&redacted, again, report) {
                Some(further) => redacted = further,
                None => break,
            }
        }
        Some(redacted)
    }

    /// One pass. With a depth the strings of JSON are read as what they say, too.
    fn redact_once(&self, text: &str, depth: Option<usize>, report: &mut dyn FnMut(Found)) -> Option<String> {
        let mut sight = self.find(text);
        let looks_closer = depth.is_some() && (sight.structured || sight.hidden);
        let mut encoded = self.encoded(text, depth);
        if sight.cuts.is_empty() && !looks_closer && encoded.is_empty() {
            return None;
        }
        let mut walked = None;
        if let Some(depth) = depth.filter(|depth| sight.structured && *depth < DEEPEST) {
            // In what is no JSON there are no borders: what crosses them is cut as it stands.
            let crossing =
                Some(crossing(text, &sight.cuts)).filter(|cuts| cuts.is_empty() || json_text::is_valid(text));
            walked = json::redact(self, text, &crossing.unwrap_or_default(), depth, report);
            if let Some(walked) = &walked {
                sight = self.find(walked);
            }
        }
        let current = walked.as_deref().unwrap_or(text);
        if looks_closer && sight.hidden {
            sight.cuts.extend(self.hidden(current));
        }
        if walked.is_some() {
            encoded = self.encoded(current, depth);
        }
        sight.cuts.extend(encoded);
        sight.cuts = merged(sight.cuts);
        let mut found = Vec::new();
        let redacted = apply(current, &sight.cuts, &mut found);
        // A secret found across the borders of values breaks JSON: then each value is looked at by itself.
        if !sight.cuts.is_empty() && !json_text::is_valid(&redacted) && json_text::is_valid(current) {
            let valid = json::redact(self, current, &crossing(current, &sight.cuts), DEEPEST, report);
            return valid.or(walked).filter(|redacted| redacted != text);
        }
        found.into_iter().for_each(report);
        Some(redacted).filter(|redacted| redacted != text)
    }

    /// Secrets that show only once escapes are undone, by their places in the text with the escapes.
    fn hidden(&self, text: &str) -> Vec<Cut> {
        let Some(view) = View::of(text) else {
            return Vec::new();
        };
        let cuts = self.find(&view.text).cuts.into_iter();
        let cuts = cuts.map(|cut| Cut {
            start: view.start(cut.start),
            end: view.end(cut.end),
            quote: (0, 0),
            ..cut
        });
        cuts.collect()
    }

    /// Texts in base64 that hold secrets, each as a whole. Those in strings of JSON are found in the outermost text.
    fn encoded(&self, text: &str, depth: Option<usize>) -> Vec<Cut> {
        if depth != Some(0) {
            return Vec::new();
        }
        encoded::cuts(text, |read| self.redact_at(read, 1, &mut |_| {}).is_some())
    }

    /// Redacts a part of a text for itself.
    pub(super) fn redact_part(&self, part: &str, report: &mut dyn FnMut(Found)) -> Option<String> {
        let cuts = self.find(part).cuts;
        let mut found = Vec::new();
        let redacted = apply(part, &cuts, &mut found);
        found.into_iter().for_each(report);
        (redacted != part).then_some(redacted)
    }

    /// The rule by which a value under this name is a secret.
    pub(super) fn secret_name(&self, name: &str) -> Option<Named> {
        let seen = view::seen(name);
        let name = seen.as_ref();
        let bytes = name.as_bytes();
        let flag = name.starts_with('-');
        let mut best: Option<Named> = None;
        self.automaton.find(bytes, |index, start, end| {
            let Some(Trigger::Name(kind, found)) = self.triggers.get(index) else {
                return;
            };
            if best.is_some_and(|best| best.kind == Kind::Key) || *kind == Kind::Code {
                return;
            }
            let word = end;
            let Some((end, named)) = names::whole(bytes, word, *kind) else {
                return;
            };
            if end != bytes.len() || (named == Kind::Loose && !names::is_compound(bytes, start, word, end)) {
                return;
            }
            let kind = match names::kind_of(bytes, start, end, *kind) {
                Some(_) if named == Kind::Affixed => Kind::Affixed,
                // A flag of a command is nobody's word.
                Some(Kind::Token) if flag => Kind::Secret,
                None if flag && bytes.get(..start).is_some_and(|name| name.ends_with(b"-")) => Kind::Secret,
                Some(kind) => kind,
                None => return,
            };
            // The longest name comes last of those that are as sure.
            let surer = |best: Named| {
                kind == Kind::Key
                    || match best.kind {
                        Kind::Secret => false,
                        Kind::Affixed | Kind::Loose => true,
                        _ => !matches!(kind, Kind::Affixed | Kind::Loose),
                    }
            };
            if best.is_none_or(surer) {
                best = Some(Named { found: *found, kind });
            }
        });
        best
    }

    /// All places to cut, in order, without overlaps; and whether more is to be looked at.
    fn find(&self, text: &str) -> Sight {
        let mut pass = Pass {
            bytes: text.as_bytes(),
            cuts: Vec::new(),
            covered: 0,
            read: [0; 12],
            latest: 0,
            barren: 0,
            reads: Reads::default(),
            fruitless: 0,
            plain: Plain::default(),
            structured: false,
            escaped: false,
            encoded: false,
            begun: false,
            jar: 0,
            named: false,
            manifest: false,
            labelled: false,
            insert: false,
            table: false,
            members: 0,
            command: (0, 0),
            grants: None,
        };
        let add = |found| {
            move |start, end| Cut {
                start,
                end,
                found,
                quote: (0, 0),
            }
        };
        // First: whoever knows better what such a line is gives its name.
        let key = add(Found::BuiltIn(PRIVATE_KEY));
        key_lines::find(text.as_bytes(), |start, end| pass.cuts.push(key(start, end)));
        self.automaton.find(text.as_bytes(), |index, start, end| {
            if let Some(trigger) = self.triggers.get(index) {
                pass.look(*trigger, start, end);
            }
        });
        if pass.manifest {
            let value = add(Found::BuiltIn(HELD));
            manifests::find(text, |start, end| pass.cuts.push(value(start, end)));
        }
        let column = |name: &str| self.secret_name(name).map(|named| named.kind);
        let value = add(Found::BuiltIn(NAMED));
        if pass.insert {
            sql::find(text, column, |start, end| pass.cuts.push(value(start, end)));
        }
        if pass.labelled {
            labels::find(text, column, |start, end| pass.cuts.push(value(start, end)));
        }
        if pass.table {
            tables::find(text, column, |start, end| pass.cuts.push(value(start, end)));
        }
        let discord = add(Found::BuiltIn("Discord token"));
        shapes::discord(text, |start, end| pass.cuts.push(discord(start, end)));
        let mailgun = add(Found::BuiltIn("Mailgun key"));
        shapes::mailgun(text, |start, end| pass.cuts.push(mailgun(start, end)));
        let card = add(Found::BuiltIn(CARD));
        cards::find(text.as_bytes(), |start, end| pass.cuts.push(card(start, end)));
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
        // A value behind a name in a string of JSON may have ends of lines, tabs and quotes in it, which are escaped.
        let in_strings = pass.named && json_text::has_escapes(text);
        Sight {
            structured: pass.structured || in_strings || cuts.iter().any(|cut| cut.is_crossing(text)),
            hidden: pass.escaped || (pass.encoded && pass.begun),
            cuts,
        }
    }
}

/// The cuts that may reach over the borders of a JSON value.
fn crossing(text: &str, cuts: &[Cut]) -> Vec<Cut> {
    cuts.iter().copied().filter(|cut| cut.is_crossing(text)).collect()
}

/// The findings of one look over a text.
struct Sight {
    cuts: Vec<Cut>,
    /// Whether there are names of secrets whose values only its structure tells.
    structured: bool,
    /// Whether escapes may hide something.
    hidden: bool,
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
