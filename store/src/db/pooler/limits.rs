//! The connections that PostgreSQL, or a pooler in front of it, gives to mcptap.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection, Row};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Pooling, run};
use crate::Error;
use crate::db::connections::Connections;
use crate::db::database::RELEASE;

/// How long to wait for one more connection than there are, before it is taken that there is none.
const ONE_MORE: Duration = Duration::from_secs(2);

/// How many connections are left to commands that run beside the server, where they are few.
const SPARE: u32 = 3;

/// The advice where it is not known what limits the connections.
pub(super) const MORE: &str =
    "raise PgBouncer's default_pool_size or PostgreSQL's max_connections, or stop what else has connections";

/// How many connections may be used of those that a server wants. Behind a pooler they may be few, and whoever takes one
/// more waits for minutes; PostgreSQL itself refuses what is more than it was set to give.
pub(crate) async fn share(
    connect: &PgConnectOptions,
    pooling: Pooling,
    wanted: Connections,
) -> Result<Connections, Error> {
    let all = wanted.sum();
    let (found, raise) = if pooling == Pooling::Session && !stands_between(connect).await {
        match cap(connect).await {
            Some(Cap { most, raise }) => (most, raise),
            None => return Ok(wanted),
        }
    } else {
        let most = all.saturating_add(SPARE);
        (
            available(&pooling.fit(connect.clone()), most).await,
            MORE.to_owned(),
        )
    };
    let minimum = Connections::MINIMUM.sum();
    if found < minimum {
        return Err(Error::FewConnections {
            found,
            needed: minimum,
            raise,
        });
    }
    let share = found.saturating_sub(SPARE).max(minimum);
    if share < all {
        tracing::warn!(
            found,
            wanted = all.saturating_add(SPARE),
            "PostgreSQL, or the pooler in front of it, gives fewer connections than mcptap wants: fewer queries run at the \
             same time; {raise}"
        );
    }
    Ok(wanted.within(share))
}

/// The most connections that a server was set to give to mcptap.
#[derive(Debug, PartialEq, Eq)]
struct Cap {
    most: u32,
    /// The remedy where they are too few.
    raise: String,
}

/// The limits of the role, of the database and of the server. Roles and databases have -1 for none, and hold none back from
/// a superuser. `reserved_connections` exists since PostgreSQL 16.
const LIMITS: &str = "SELECT role.rolsuper, role.rolconnlimit::int8, base.datconnlimit::int8, \
    current_setting('max_connections')::int8, current_setting('superuser_reserved_connections')::int8 + \
    coalesce(nullif(current_setting('reserved_connections', true), '')::int8, 0), \
    quote_ident(role.rolname), quote_ident(base.datname) \
    FROM pg_roles AS role, pg_database AS base \
    WHERE role.rolname = session_user AND base.datname = current_database()";

/// The least of the limits that hold for mcptap; `None` where they cannot be known, as of a database that only speaks like
/// PostgreSQL.
async fn cap(connect: &PgConnectOptions) -> Option<Cap> {
    let asking = async {
        let mut connection = Pooling::Session.fit(connect.clone()).connect().await?;
        let row = sqlx::query(LIMITS).fetch_one(&mut connection).await?;
        let number = |column: usize| row.try_get::<i64, _>(column);
        let name = |column: usize| row.try_get::<String, _>(column);
        let superuser: bool = row.try_get(0)?;
        let limits = [
            (
                number(1)?,
                format!("raise it with ALTER ROLE {} CONNECTION LIMIT", name(5)?),
            ),
            (
                number(2)?,
                format!("raise it with ALTER DATABASE {} CONNECTION LIMIT", name(6)?),
            ),
        ];
        let server = (
            number(3)?
                .saturating_sub(if superuser { 0 } else { number(4)? })
                .max(0),
            "raise PostgreSQL's max_connections".to_owned(),
        );
        let limits = limits.into_iter().filter(|(most, _)| !superuser && *most >= 0);
        // Whether it says goodbye in time does not matter.
        let _closed = timeout(RELEASE, connection.close()).await;
        Ok::<_, sqlx::Error>(limits.chain([server]).min_by_key(|(most, _)| *most))
    };
    match timeout(ONE_MORE, asking).await {
        Ok(Ok(found)) => found.map(|(most, raise)| Cap {
            most: u32::try_from(most).unwrap_or(u32::MAX),
            raise,
        }),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the limits of connections are not known");
            None
        }
        Err(_) => None,
    }
}

/// Whether a pooler of sessions is in between. PgBouncer refuses a parameter of the session when connecting, or
/// ignores it where it is told to.
async fn stands_between(connect: &PgConnectOptions) -> bool {
    let connecting = async {
        let mut connection = connect
            .clone()
            .extra_float_digits(Some(2))
            .disable_statement_logging()
            .connect()
            .await?;
        let shown = sqlx::query("SHOW extra_float_digits")
            .fetch_one(&mut connection)
            .await;
        let shown: String = shown?.try_get(0)?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(shown)
    };
    !matches!(timeout(ONE_MORE, connecting).await, Ok(Ok(shown)) if shown == "2")
}

/// How many connections are lent at the same time, up to `most`.
async fn available(connect: &PgConnectOptions, most: u32) -> u32 {
    let mut connecting = JoinSet::new();
    for _ in 0..most {
        let connect = connect.clone();
        connecting.spawn(async move {
            let mut connection = connect.connect().await?;
            // Lent until it ends, also by a pooler of transactions.
            run(&mut connection, "BEGIN; SELECT 1".to_owned()).await?;
            Ok::<_, sqlx::Error>(connection)
        });
    }
    let mut connections = Vec::new();
    while let Ok(Some(connected)) = timeout(ONE_MORE, connecting.join_next()).await {
        if let Ok(Ok(connection)) = connected {
            connections.push(connection);
        }
    }
    let found = u32::try_from(connections.len()).unwrap_or(most);
    // Those that still wait do so no more, before the others are given back.
    connecting.shutdown().await;
    for connection in connections {
        let closing = async {
            let mut connection = connection;
            run(&mut connection, "ROLLBACK".to_owned()).await?;
            connection.close().await
        };
        if !matches!(timeout(RELEASE, closing).await, Ok(Ok(()))) {
            tracing::debug!("a connection was not closed in time");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::tests::server;
    use super::*;

    /// A role and a database of its own, which no superuser owns, with these limits; and how to connect.
    async fn limited(admin: &PgConnectOptions, role: i32, database: i32) -> (PgConnectOptions, String) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mcptap_limits_{}_{number}", std::process::id());
        let mut connection = admin.connect().await.unwrap();
        for statement in [
            format!("CREATE ROLE {name} LOGIN CONNECTION LIMIT {role}"),
            format!("CREATE DATABASE {name} OWNER {name} CONNECTION LIMIT {database}"),
        ] {
            run(&mut connection, statement).await.unwrap();
        }
        let connect = admin.clone().username(&name).database(&name);
        (connect, name)
    }

    async fn forget(admin: &PgConnectOptions, name: &str) {
        let mut connection = admin.connect().await.unwrap();
        for statement in [
            format!("DROP DATABASE {name} WITH (FORCE)"),
            format!("DROP ROLE {name}"),
        ] {
            run(&mut connection, statement).await.unwrap();
        }
    }

    #[tokio::test]
    async fn limits_of_role_and_database_are_kept_to_or_told() {
        let Some(admin) = server() else { return };
        let wanted = Connections {
            read: 32,
            ..Connections::MINIMUM
        };
        assert_eq!(
            share(&admin, Pooling::Session, wanted).await.unwrap(),
            wanted,
            "a superuser has no limit of its own"
        );
        for (role, database, expected) in [
            (-1, -1, Ok(wanted.sum())),
            (20, -1, Ok(17)),
            (-1, 20, Ok(17)),
            (11, -1, Ok(10)),
            (10, 30, Ok(10)),
            (9, -1, Err("ALTER ROLE")),
            (30, 9, Err("ALTER DATABASE")),
        ] {
            let (connect, name) = limited(&admin, role, database).await;
            let shared = share(&connect, Pooling::Session, wanted).await;
            forget(&admin, &name).await;
            match (shared, expected) {
                (Ok(shared), Ok(expected)) => assert_eq!(shared.sum(), expected, "{role} {database}"),
                (Err(error), Err(advice)) => {
                    let told = error.to_string();
                    let words = [advice, name.as_str(), "gives 9 connections"];
                    assert!(words.iter().all(|word| told.contains(word)), "{told}");
                }
                (shared, expected) => panic!("{role} {database}: {shared:?}, not {expected:?}"),
            }
        }
    }
}
