//! `mcptap keys`: API keys on the command line. It works on the database, also while a server runs on it.

use std::fmt::Write;

use anyhow::{Context, bail};
use clap::Subcommand;
use mcptap::Settings;
use mcptap_model::{ApiKey, NewKey, Scope, UnixNanos};
use mcptap_store::{Actor, DamagedKey, RevokedKey, Store, now};
use serde_json::json;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key and print its secret, which is not shown again
    #[command(mut_args(crate::help::only(crate::help::OF_THE_DATABASE)))]
    Create {
        /// Display name
        #[arg(long)]
        name: String,
        /// What it allows, such as read,payloads: ingest, read, payloads (with read: bodies, log lines, errors), admin
        #[arg(long, value_delimiter = ',', required = true, value_parser = scope)]
        scope: Vec<Scope>,
        /// Restrict the key to this server; may be given several times [default: all servers]
        #[arg(long, value_name = "NAME")]
        server: Vec<String>,
        /// Expires after this time, such as 90d [default: never]
        #[arg(long, value_name = "AGE")]
        expires: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all keys, without their secrets
    #[command(mut_args(crate::help::only(crate::help::OF_THE_DATABASE)))]
    List {
        /// Print them as a JSON list, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Revoke a key: it is refused from now on, and open connections with it are closed within seconds
    #[command(mut_args(crate::help::only(crate::help::OF_THE_DATABASE)))]
    Revoke {
        /// The key's number, as in `mcptap keys list`
        #[arg(value_parser = number)]
        id: i64,
        #[command(flatten)]
        settings: Settings,
    },
}

fn number(text: &str) -> Result<i64, String> {
    let said = || "give the key's number, as in `mcptap keys list`".to_owned();
    text.parse().map_err(|_| said())
}

/// One of those that commas separate. Spaces beside these are nobody's mistake.
fn scope(text: &str) -> Result<Scope, String> {
    let name = text.trim();
    let reason = match name {
        "" => "there is no scope beside a comma; ",
        several if several.contains(char::is_whitespace) => "scopes are separated by commas; ",
        _ => "",
    };
    Scope::from_name(name).ok_or_else(|| {
        format!("{reason}give ingest, read, payloads or admin, several as in --scope read,payloads")
    })
}

impl Keys {
    /// The settings that were given.
    pub(crate) fn settings(&self) -> &Settings {
        match self {
            Self::Create { settings, .. } | Self::List { settings, .. } | Self::Revoke { settings, .. } => {
                settings
            }
        }
    }

    /// Does it, and gives what is to be printed. Only a new key has a database made for it, and not before it is known to be
    /// right.
    pub(crate) async fn run(self, url: &str) -> anyhow::Result<String> {
        let opening = || crate::opening(url);
        match self {
            Self::Create {
                name,
                scope,
                server,
                expires,
                ..
            } => {
                let new = NewKey {
                    name,
                    scopes: scope,
                    servers: server,
                    expires_at: expires.map(|age| expiry(&age)).transpose()?.flatten(),
                };
                let new = new.checked(now())?;
                let made = !mcptap_store::exists(url).await.with_context(opening)?;
                let store = mcptap_store::open_to_create(url).await.with_context(opening)?;
                if made {
                    mcptap::tell(format_args!(
                        "there was no database at {}, so it was made; if a server runs already, it uses another one, and \
                         this key is not for it: give the server's --database-url",
                        mcptap_store::shown_url(url)
                    ));
                }
                let told = create(&store, new, url).await;
                store.close().await;
                told
            }
            Self::List { json, .. } => {
                let store = mcptap_store::open_to_read(url).await.with_context(opening)?;
                let told = list(&store, json).await;
                store.close().await;
                told
            }
            Self::Revoke { id, .. } => {
                let store = mcptap_store::open_to_change(url).await.with_context(opening)?;
                let told = revoke(&store, id).await;
                store.close().await;
                told
            }
        }
    }
}

async fn list(store: &Store, json: bool) -> anyhow::Result<String> {
    let keys = store.keys().await.context("reading the keys")?;
    let damaged = store.damaged_keys().await.context("reading the keys")?;
    if json {
        Ok(format!("{:#}\n", as_json(&keys, &damaged, now())))
    } else {
        Ok(table(&keys, &damaged, now()))
    }
}

/// The same as the table, for programs. Of a damaged row there are only its id and what is wrong.
fn as_json(keys: &[ApiKey], damaged: &[DamagedKey], now: UnixNanos) -> serde_json::Value {
    let time = |at: Option<UnixNanos>| at.map(|at| at.to_string());
    let known = keys.iter().map(|key| {
        json!({
            "id": key.id,
            "name": key.name,
            "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
            "servers": key.servers,
            "state": state(key, now),
            "createdAt": time(Some(key.created_at)),
            "expiresAt": time(key.expires_at),
            "lastUsedAt": time(key.last_used_at),
            "revokedAt": time(key.revoked_at),
        })
    });
    let broken = damaged
        .iter()
        .map(|key| json!({ "id": key.id, "state": "damaged", "damage": key.what }));
    known.chain(broken).collect()
}

async fn revoke(store: &Store, id: i64) -> anyhow::Result<String> {
    let revoked = store.revoke_key(id, Actor::CommandLine).await;
    match revoked.context("revoking the key")? {
        Some(RevokedKey::Readable(key)) => Ok(format!("key {} {:?} is revoked\n", key.id, key.name)),
        Some(RevokedKey::Damaged(DamagedKey { id, what })) => {
            Ok(format!("key {id} is revoked; its row is damaged: {what}\n"))
        }
        None => bail!("there is no key {id}; mcptap keys list shows them"),
    }
}

fn expiry(age: &str) -> anyhow::Result<Option<UnixNanos>> {
    let age = mcptap::age_or_off("--expires", age)?;
    Ok(age.map(|age| now().plus(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX))))
}

/// The secret goes to standard output alone, so that it can be piped on.
async fn create(store: &Store, new: NewKey, url: &str) -> anyhow::Result<String> {
    let first = !store.gate().keys_exist();
    let (key, secret) = store
        .create_key(new, Actor::CommandLine)
        .await
        .context("making the key")?;
    let database = mcptap_store::shown_url(url);
    if first {
        mcptap::tell(format_args!(
            "this is the first key of {database}: from now on every client needs an API key"
        ));
    }
    mcptap::tell(format_args!(
        "key {} \"{}\" ({}, {}) is made in {database}; its secret is not shown again:",
        key.id,
        mcptap::printable(&key.name),
        scopes(&key),
        match key.servers.as_slice() {
            [] => "all servers".to_owned(),
            servers => format!("servers {}", mcptap::printable(&servers.join(", "))),
        }
    ));
    Ok(format!("{}\n", secret.reveal()))
}

fn scopes(key: &ApiKey) -> String {
    let names: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(",")
}

fn state(key: &ApiKey, now: UnixNanos) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if key.expires_at.is_some_and(|end| end <= now) {
        "expired"
    } else {
        "active"
    }
}

/// Columns as wide as they need to be, and a line for each row that is damaged.
fn table(keys: &[ApiKey], damaged: &[DamagedKey], now: UnixNanos) -> String {
    let time = |at: Option<UnixNanos>| {
        let seconds = |at: UnixNanos| UnixNanos(at.0 - at.0.rem_euclid(1_000_000_000)).to_string();
        at.map_or_else(|| "never".to_owned(), seconds)
    };
    let header = [
        "ID",
        "NAME",
        "SCOPES",
        "SERVERS",
        "STATE",
        "CREATED",
        "EXPIRES",
        "LAST USED",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        [
            key.id.to_string(),
            // A name is text of whoever made the key: no control characters reach the terminal.
            mcptap::printable(&key.name),
            scopes(key),
            if key.servers.is_empty() {
                "all".to_owned()
            } else {
                mcptap::printable(&key.servers.join(","))
            },
            state(key, now).to_owned(),
            time(Some(key.created_at)),
            time(key.expires_at),
            time(key.last_used_at),
        ]
    }));
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a text does not fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for DamagedKey { id, what } in damaged {
        let _ = writeln!(
            text,
            "{id} is damaged: {what}. It is not accepted: make a new one, and revoke it."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_told_with_spaces_and_without() {
        for (given, expected) in [
            ("read", Some(Scope::Read)),
            (" ingest", Some(Scope::Ingest)),
            ("admin\n", Some(Scope::Admin)),
        ] {
            assert_eq!(scope(given).ok(), expected, "{given:?}");
        }
        for (given, words) in [
            ("read ingest", "separated by commas"),
            ("", "beside a comma"),
            ("write", "give ingest, read, payloads or admin"),
        ] {
            let told = scope(given).unwrap_err();
            assert!(
                told.contains(words) && told.contains("--scope read,payloads"),
                "{told}"
            );
        }
    }

    #[test]
    fn keys_stand_in_a_table() {
        let key = ApiKey {
            id: 7,
            name: "lap\u{1b}top".into(),
            scopes: vec![Scope::Read, Scope::Payloads],
            servers: vec!["shop".into(), "bank".into()],
            created_at: UnixNanos(1_795_348_800_123_456_789),
            expires_at: Some(UnixNanos(1_795_348_900_000_000_000)),
            last_used_at: None,
            revoked_at: None,
        };
        let other = ApiKey {
            id: 12,
            servers: Vec::new(),
            revoked_at: Some(UnixNanos(2)),
            expires_at: None,
            ..key.clone()
        };
        let damaged = DamagedKey {
            id: 13,
            what: "the hash has not 32 bytes",
        };
        insta::assert_snapshot!(table(&[key.clone(), other], std::slice::from_ref(&damaged), UnixNanos(0)), @r"
        ID  NAME          SCOPES         SERVERS    STATE    CREATED               EXPIRES               LAST USED
        7   lap\u{1b}top  read,payloads  shop,bank  active   2026-11-22T12:00:00Z  2026-11-22T12:01:40Z  never
        12  lap\u{1b}top  read,payloads  all        revoked  2026-11-22T12:00:00Z  never                 never
        13 is damaged: the hash has not 32 bytes. It is not accepted: make a new one, and revoke it.
        ");
        assert_eq!(state(&key, UnixNanos(i64::MAX)), "expired");
        let listed = as_json(&[key], &[damaged], UnixNanos(0));
        assert_eq!(
            listed,
            json!([
                {
                    "id": 7,
                    "name": "lap\u{1b}top",
                    "scopes": ["read", "payloads"],
                    "servers": ["shop", "bank"],
                    "state": "active",
                    "createdAt": "2026-11-22T12:00:00.123456789Z",
                    "expiresAt": "2026-11-22T12:01:40Z",
                    "lastUsedAt": null,
                    "revokedAt": null,
                },
                { "id": 13, "state": "damaged", "damage": "the hash has not 32 bytes" },
            ])
        );
    }
}
