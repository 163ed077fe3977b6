//! Secrets, cut out of texts by the shapes they have, the names they stand under, and what the operator adds.
//!
//! A [`Redactor`] looks for everything in one [`pass`]: an automaton finds where a secret could begin ([`triggers`]:
//! [`shapes`] and [`patterns`] of tokens, [`names`] of values, the operator's keys), and only there it is looked more
//! closely. The operator's own secrets have an automaton of their own ([`literals`]), and each of the operator's patterns
//! is a regular expression. What they find is merged and cut at once. Where a name of secrets stands in a string or
//! escapes may hide something, [`json`] is read as what it says, inside other JSON too, and other text through a
//! [`view`] without escapes; text in base64 is decoded ([`encoded`]). A text that was JSON is JSON afterwards. Time grows with the length of a text and no faster,
//! except for patterns that the operator wrote otherwise; nothing is kept between texts. Attributes are [`tree`]s.

mod automaton;
mod blocks;
mod bytes;
mod cards;
mod columns;
mod containers;
mod contexts;
mod credentials;
mod cuts;
mod edits;
mod elements;
mod encoded;
mod frames;
mod held;
mod joined;
mod joints;
mod json;
mod json_text;
mod key_lines;
mod labels;
mod lines;
mod literals;
mod looks;
mod manifests;
mod named;
mod names;
mod options;
mod pairs;
mod pass;
mod patterns;
mod phrases;
mod placeholders;
mod private_keys;
mod quotes;
mod ragged;
mod records;
mod rules;
mod shapes;
mod source;
mod sql;
mod tables;
#[cfg(test)]
mod tests;
mod tree;
mod triggers;
mod view;
mod wires;
mod wraps;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub use key_lines::Sequence;
use names::Kind;
pub use ragged::ragged_end;
use rules::Compiled;
pub use rules::{BadRule, Rules};
pub use tree::{Content, Shape, Tree};

/// The text that replaces a secret.
pub const REDACTED: &str = "[redacted]";

/// Cuts secrets out. Cheap to clone. The default has the built-in rules alone.
#[derive(Clone, Debug)]
pub struct Redactor {
    /// None if the built-in rules, which are constant, could not be compiled: then everything is cut.
    compiled: Option<Arc<Compiled>>,
}

/// A text without its secrets, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// The text.
    pub text: String,
    /// How many places were cut, by the name of the rule.
    pub cuts: BTreeMap<String, usize>,
}

impl Default for Redactor {
    fn default() -> Self {
        static BUILT_IN: LazyLock<Option<Arc<Compiled>>> =
            LazyLock::new(|| Compiled::new(&Rules::default()).ok().map(Arc::new));
        Self {
            compiled: BUILT_IN.clone(),
        }
    }
}

impl Redactor {
    /// The built-in rules and these. Fails on the first rule that cannot be kept, and says what would be right.
    pub fn new(rules: &Rules) -> Result<Self, BadRule> {
        if *rules == Rules::default() {
            // All that have no rules of their own share one automaton.
            return Ok(Self::default());
        }
        Ok(Self {
            compiled: Some(Arc::new(Compiled::new(rules)?)),
        })
    }

    /// The text without the secrets in it; borrowed when there are none.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.compiled {
            Some(compiled) => match compiled.redact(text, &mut |_| {}) {
                Some(redacted) => Cow::Owned(redacted),
                None => Cow::Borrowed(text),
            },
            None => Cow::Borrowed(REDACTED),
        }
    }

    /// Redacts the text where it stands; whether anything was cut out.
    pub fn redact_in_place(&self, text: &mut String) -> bool {
        let redacted = match self.redact(text) {
            Cow::Owned(redacted) => redacted,
            Cow::Borrowed(same) if same == text => return false,
            Cow::Borrowed(other) => other.to_owned(),
        };
        *text = redacted;
        true
    }

    /// Redacts names and every text below them, and whole values that stand under a secret's name; whether anything
    /// was changed. Ids that records are joined by become other ids, the same ones the same; of authorizations the
    /// first characters are kept.
    pub fn redact_fields<S: Shape>(&self, fields: &mut [S::Field]) -> bool {
        tree::fields::<S>(self, fields)
    }

    /// Redacts every text in a value that stands under no name; whether anything was changed.
    pub fn redact_node<S: Shape>(&self, value: &mut S::Node) -> bool {
        tree::node::<S>(self, value)
    }

    /// Whether all secrets in a text are tokens that a service drew by lot; `None` if there are none.
    fn only_drawn(&self, text: &str) -> Option<bool> {
        let Some(compiled) = &self.compiled else {
            return Some(false);
        };
        let mut drawn = true;
        compiled
            .redact(text, &mut |found| drawn &= compiled.is_drawn(found))
            .map(|_| drawn)
    }

    /// The text without the secrets in it, and how many places each rule cut.
    pub fn explain(&self, text: &str) -> Redaction {
        let mut cuts = BTreeMap::new();
        let redacted = self.compiled.as_ref().map(|compiled| {
            compiled.redact(text, &mut |found| {
                *cuts.entry(compiled.name(found)).or_insert(0) += 1;
            })
        });
        let text = match redacted {
            Some(Some(redacted)) => redacted,
            Some(None) => text.to_owned(),
            None => REDACTED.to_owned(),
        };
        Redaction { text, cuts }
    }

    /// The kind of a name of secrets; `None` if it is none.
    fn secret_kind(&self, name: &str) -> Option<Kind> {
        match &self.compiled {
            Some(compiled) => compiled.secret_name(name).map(|named| named.kind),
            None => Some(Kind::Key),
        }
    }
}
