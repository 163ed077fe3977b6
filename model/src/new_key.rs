//! What is asked of a key that is to be made, and what cannot be.

use crate::{Scope, UnixNanos, cut_name};

/// How long a name of a key may be, in characters.
const MAX_NAME: usize = 100;
/// How many servers a key may be bound to.
const MAX_SERVERS: usize = 100;

/// A key that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// What it is called, 1 to 100 characters, none of them NUL, which PostgreSQL keeps in no text.
    pub name: String,
    /// What it allows: at least one.
    pub scopes: Vec<Scope>,
    /// The names of the only servers that it reaches, at most 100; empty: all.
    pub servers: Vec<String>,
    /// When it ends by itself; `None`: never.
    pub expires_at: Option<UnixNanos>,
}

/// A key that cannot be made, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No name, or one that cannot be kept.
    #[error("the name of a key has 1 to {MAX_NAME} characters, none of them NUL (U+0000)")]
    Name,
    /// A key that allows nothing.
    #[error("a key needs at least one scope: ingest, read, payloads or admin")]
    NoScope,
    /// Bodies of what records?
    #[error("scope payloads adds to scope read: give both")]
    PayloadsWithoutRead,
    /// Whoever may make any key cannot be held to some servers.
    #[error("scope admin is over all servers, so a key with it cannot be bound to some")]
    BoundAdmin,
    /// A server without a name, or too many.
    #[error("a key is bound to at most {MAX_SERVERS} servers, each by its name")]
    Servers,
    /// It would have ended already.
    #[error("the key would have expired already")]
    Past,
}

impl BadKey {
    /// The part of the request that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::NoScope | Self::PayloadsWithoutRead => "scopes",
            Self::BoundAdmin | Self::Servers => "servers",
            Self::Past => "expiresAt",
        }
    }
}

impl NewKey {
    /// The key as it is to be stored, if it can be; `now` is the time.
    pub fn checked(mut self, now: UnixNanos) -> Result<Self, BadKey> {
        self.name = self.name.trim().to_owned();
        if self.name.is_empty() || self.name.chars().count() > MAX_NAME || self.name.contains('\0') {
            return Err(BadKey::Name);
        }
        self.scopes = Scope::from_bits(Scope::bits(&self.scopes));
        if self.scopes.is_empty() {
            return Err(BadKey::NoScope);
        }
        let has = |scope| self.scopes.contains(&scope);
        if has(Scope::Payloads) && !has(Scope::Read) {
            return Err(BadKey::PayloadsWithoutRead);
        }
        if self.servers.len() > MAX_SERVERS || self.servers.iter().any(String::is_empty) {
            return Err(BadKey::Servers);
        }
        if has(Scope::Admin) && !self.servers.is_empty() {
            return Err(BadKey::BoundAdmin);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(BadKey::Past);
        }
        for server in &mut self.servers {
            cut_name(server);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_said() {
        use Scope::{Admin, Ingest, Payloads, Read};
        let key = |name: &str, scopes: &[Scope], servers: &[&str], expires_at: Option<i64>| NewKey {
            name: name.into(),
            scopes: scopes.to_vec(),
            servers: servers.iter().map(ToString::to_string).collect(),
            expires_at: expires_at.map(UnixNanos),
        };
        for (asked, wrong) in [
            (key(" a ", &[Read, Ingest, Read], &["s"], Some(11)), None),
            (key("a", &[Admin], &[], None), None),
            (key("  ", &[Read], &[], None), Some(BadKey::Name)),
            (key(&"x".repeat(101), &[Read], &[], None), Some(BadKey::Name)),
            (key("a\0b", &[Read], &[], None), Some(BadKey::Name)),
            (key("a", &[], &[], None), Some(BadKey::NoScope)),
            (
                key("a", &[Payloads], &[], None),
                Some(BadKey::PayloadsWithoutRead),
            ),
            (key("a", &[Read], &[""], None), Some(BadKey::Servers)),
            (key("a", &[Read, Admin], &["s"], None), Some(BadKey::BoundAdmin)),
            (key("a", &[Read], &[], Some(10)), Some(BadKey::Past)),
        ] {
            assert_eq!(asked.clone().checked(UnixNanos(10)).err(), wrong, "{asked:?}");
        }
        let checked = key(" a ", &[Read, Ingest, Read], &[], None)
            .checked(UnixNanos(0))
            .unwrap();
        assert_eq!((checked.name.as_str(), checked.scopes), ("a", vec![Ingest, Read]));
    }
}
