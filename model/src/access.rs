//! Who may do what: scopes, keys, and what a key lets its holder do and see.

use std::fmt;
use std::sync::Arc;

use crate::{CallFilter, UnixNanos, kept_name};

/// Something that a key may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To send spans and log lines over OTLP.
    Ingest,
    /// To read records: pages, facets, statistics, sessions, the live feed. Without what was said in them.
    Read,
    /// To read, with it, what was said: bodies, log lines, error messages, stack traces, attributes.
    Payloads,
    /// To make and revoke keys, to delete calls, to see the audit.
    Admin,
}

impl Scope {
    /// All scopes, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Payloads, Self::Admin];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Payloads => "payloads",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name, in whatever case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str().eq_ignore_ascii_case(name))
    }

    fn bit(self) -> i16 {
        1 << self as i16
    }

    /// A list of scopes as one number. The numbers are stored: never renumber.
    pub fn bits(scopes: &[Self]) -> i16 {
        scopes.iter().fold(0, |bits, scope| bits | scope.bit())
    }

    /// The scopes of a number made by [`Scope::bits`]; bits of newer versions are left out.
    pub fn from_bits(bits: i16) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|scope| bits & scope.bit() != 0)
            .collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key as it is remembered: all but its secret, of which only a hash is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its number, never given out twice.
    pub id: i64,
    /// What its maker called it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The names of the only servers that it reaches, as [names are kept](kept_name); empty: all.
    pub servers: Vec<String>,
    /// When it was made.
    pub created_at: UnixNanos,
    /// When it ends by itself.
    pub expires_at: Option<UnixNanos>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<UnixNanos>,
    /// When it was revoked.
    pub revoked_at: Option<UnixNanos>,
}

/// What somebody may do: everything while no key exists, else what their key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access(Option<Arc<ApiKey>>);

impl Access {
    /// Of everybody, while no key exists.
    pub fn everything() -> Self {
        Self(None)
    }

    /// Of the holder of a key.
    pub fn of(key: Arc<ApiKey>) -> Self {
        Self(Some(key))
    }

    /// The key; `None` while no key exists.
    pub fn key(&self) -> Option<&Arc<ApiKey>> {
        self.0.as_ref()
    }

    /// Whether this is allowed.
    pub fn may(&self, scope: Scope) -> bool {
        self.0.as_ref().is_none_or(|key| key.scopes.contains(&scope))
    }

    /// The only servers that are reached; empty: all.
    pub fn servers(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |key| &key.servers)
    }

    /// Whether this server is among those reached, by its name as it is sent or as it is kept.
    pub fn reaches(&self, server: &str) -> bool {
        let servers = self.servers();
        servers.is_empty() || servers.iter().any(|name| *name == kept_name(server))
    }

    /// The filter as it may be asked: only calls of servers that are reached, and a search that looks only where one
    /// may look. The one place where a filter is narrowed.
    pub fn narrow(&self, mut filter: CallFilter) -> CallFilter {
        if !self.may(Scope::Payloads) {
            filter.search_targets_alone();
        }
        if !self.servers().is_empty() {
            // Beside the lists of the filter itself: a menu of values leaves out its own list, and must not leave out
            // this one.
            filter.or = vec![CallFilter {
                servers: self.servers().to_vec(),
                or: std::mem::take(&mut filter.or),
                ..CallFilter::default()
            }];
        }
        filter
    }
}

/// The secret that a request carries: `x-api-key`, else `Authorization: Bearer`.
pub fn credential<'a>(authorization: Option<&'a str>, api_key: Option<&'a str>) -> Option<&'a str> {
    let bearer = authorization.and_then(|value| {
        let (scheme, secret) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    api_key
        .map(str::trim)
        .filter(|secret| !secret.is_empty())
        .or(bearer.filter(|secret| !secret.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_survive_numbers_and_names() {
        for bits in 0..16 {
            assert_eq!(Scope::bits(&Scope::from_bits(bits)), bits);
        }
        assert_eq!(Scope::from_bits(i16::MAX), Scope::ALL);
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(&scope.as_str().to_uppercase()), Some(scope));
        }
        assert_eq!(Scope::from_name("write"), None);
    }

    #[test]
    fn credentials_come_in_two_headers() {
        for (authorization, api_key, found) in [
            (None, None, None),
            (Some("Bearer abc"), None, Some("abc")),
            (Some("bearer  abc "), None, Some("abc")),
            (Some("Basic abc"), None, None),
            (Some("abc"), None, None),
            (Some("Bearer "), Some(""), None),
            (None, Some(" abc "), Some("abc")),
            (Some("Basic x"), Some("abc"), Some("abc")),
            (Some("Bearer x"), Some("abc"), Some("abc")),
        ] {
            assert_eq!(credential(authorization, api_key), found);
        }
    }

    #[test]
    fn a_narrowed_filter_keeps_what_was_asked() {
        let key = |servers: &[&str], scopes: &[Scope]| {
            Access::of(Arc::new(ApiKey {
                id: 1,
                name: "k".into(),
                scopes: scopes.to_vec(),
                servers: servers.iter().map(ToString::to_string).collect(),
                created_at: UnixNanos(0),
                expires_at: None,
                last_used_at: None,
                revoked_at: None,
            }))
        };
        let asked = CallFilter {
            servers: vec!["b".into()],
            or: vec![CallFilter {
                tools: vec!["t".into()],
                ..CallFilter::default()
            }],
            ..CallFilter::default()
        };
        assert_eq!(Access::everything().narrow(asked.clone()), asked);
        let whole = key(&[], &[Scope::Read, Scope::Payloads]);
        assert_eq!(whole.narrow(asked.clone()), asked);
        let bound = key(&["a"], &[Scope::Read, Scope::Payloads]).narrow(asked.clone());
        assert_eq!(bound.servers, asked.servers);
        assert_eq!(bound.or.len(), 1);
        assert_eq!(bound.or[0].servers, ["a"]);
        assert_eq!(bound.or[0].or, asked.or);
    }
}
