//! The connections that PostgreSQL, or a pooler in front of it, gives to mcptap.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection, PgConnection, Row};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Pooling, run};
use crate::Error;
use crate::db::connections::Connections;
use crate::db::database::RELEASE;

/// How long a connection, and the answer to a first question by it, is waited for: the server may be far, and may ask another
/// one who it is that connects.
const FIRST: Duration = Duration::from_secs(30);

/// How long one more connection is waited for at least, before a pooler is asked whether it keeps it back.
const ONE_MORE: Duration = Duration::from_secs(3);

/// The same, in times of what the slowest one took that came.
const SLOWEST: u32 = 4;

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
    let stands_between = match pooling {
        Pooling::Session => stands_between(connect).await?,
        Pooling::Transaction { .. } => true,
    };
    let (found, raise) = if stands_between {
        let most = all.saturating_add(SPARE);
        let connect = pooling.fit(connect.clone());
        let connecting = move || {
            let connect = connect.clone();
            async move {
                let mut connection = connect.connect().await?;
                // Lent until it ends, also by a pooler of transactions.
                run(&mut connection, "BEGIN; SELECT 1".to_owned()).await?;
                Ok::<_, sqlx::Error>(connection)
            }
        };
        match available(connecting, give_back, most).await? {
            Lent::AtMost(found) => (found, MORE.to_owned()),
            Lent::Enough => return Ok(wanted),
            Lent::Unknown { found } => {
                tracing::warn!(
                    found,
                    "it is not known how many connections there are: connecting takes too long to count them"
                );
                return Ok(wanted);
            }
        }
    } else {
        match cap(connect).await {
            Some(Cap { most, raise }) => (most, raise),
            None => return Ok(wanted),
        }
    };
    let minimum = enough(found, raise.clone())?;
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

/// Fails where PostgreSQL was set to give fewer connections than a server needs. Those of a pooler are not counted: a server that
/// runs has them.
pub(crate) async fn suffice(connect: &PgConnectOptions, pooling: Pooling) -> Result<(), Error> {
    if pooling != Pooling::Session || stands_between(connect).await? {
        return Ok(());
    }
    match cap(connect).await {
        Some(Cap { most, raise }) => enough(most, raise).map(drop),
        None => Ok(()),
    }
}

/// The fewest connections that do, if there are so many.
fn enough(found: u32, raise: String) -> Result<u32, Error> {
    let needed = Connections::MINIMUM.sum();
    if found < needed {
        return Err(Error::FewConnections { found, needed, raise });
    }
    Ok(needed)
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
    match timeout(FIRST, asking).await {
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
/// ignores it where it is told to. Fails where nothing answers in time, or the way there is broken: that tells nothing.
async fn stands_between(connect: &PgConnectOptions) -> Result<bool, Error> {
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
        // Whether it says goodbye in time does not matter.
        let _closed = timeout(RELEASE, connection.close()).await;
        Ok::<_, sqlx::Error>(shown)
    };
    match timeout(FIRST, connecting).await {
        Ok(Ok(shown)) => Ok(shown != "2"),
        Ok(Err(sqlx::Error::Database(_))) => Ok(true),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(none_in_time(FIRST)),
    }
}

/// No connection came, which tells nothing about how many there are.
pub(crate) fn none_in_time(waited: Duration) -> Error {
    Error::NotOpened {
        reason: format!(
            "no connection came within {} s: PostgreSQL, or the pooler in front of it, is slow, or other processes have all \
             connections that it gives",
            waited.as_secs()
        ),
        advice: MORE.to_owned(),
    }
}

/// How many connections are lent at the same time.
#[derive(Debug, PartialEq, Eq)]
enum Lent {
    /// As many as were wanted.
    Enough,
    /// No more than these: the others were refused, or are lent only when one of these comes back.
    AtMost(u32),
    /// These came, and others did not come in time, also when one came back.
    Unknown { found: u32 },
}

/// Counts the connections that are lent at the same time, up to `most`. They are counted only after the first one has come;
/// one that does not come in time is kept back only where it comes as soon as another is given back.
async fn available<C, F, E, B>(
    connect: impl Fn() -> F,
    give_back: impl Fn(C) -> B,
    most: u32,
) -> Result<Lent, Error>
where
    C: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<C, E>> + Send + 'static,
    B: Future<Output = ()>,
    Error: From<E>,
{
    let mut connecting = JoinSet::new();
    for _ in 0..most {
        connecting.spawn(connect());
    }
    let mut connections = Vec::new();
    let mut refused = None;
    // The longest that one was waited for so far.
    let mut slowest = Duration::ZERO;
    let lent = loop {
        let patience = match connections.is_empty() {
            true => FIRST,
            false => (slowest * SLOWEST).clamp(ONE_MORE, FIRST),
        };
        let began = Instant::now();
        match timeout(patience, connecting.join_next()).await {
            Ok(Some(Ok(Ok(connection)))) => {
                slowest = slowest.max(began.elapsed());
                connections.push(connection);
            }
            Ok(Some(Ok(Err(error)))) => refused = Some(error),
            Ok(Some(Err(_))) => {}
            Ok(None) => {
                break match (number(&connections), refused) {
                    (0, Some(error)) => return Err(error.into()),
                    (found, Some(_)) => Lent::AtMost(found),
                    (_, None) => Lent::Enough,
                };
            }
            Err(_) => {
                let found = number(&connections);
                let Some(one) = connections.pop() else {
                    return Err(none_in_time(FIRST));
                };
                give_back(one).await;
                break match timeout(patience, connecting.join_next()).await {
                    Ok(Some(Ok(Ok(next)))) => {
                        connections.push(next);
                        Lent::AtMost(found)
                    }
                    _ => Lent::Unknown { found },
                };
            }
        }
    };
    // Those that still wait do so no more, before the others are given back.
    connecting.shutdown().await;
    for connection in connections {
        give_back(connection).await;
    }
    Ok(lent)
}

fn number<C>(connections: &[C]) -> u32 {
    u32::try_from(connections.len()).unwrap_or(u32::MAX)
}

/// Ends what [`available`] began on a connection.
async fn give_back(mut connection: PgConnection) {
    let closing = async {
        run(&mut connection, "ROLLBACK".to_owned()).await?;
        connection.close().await
    };
    if !matches!(timeout(RELEASE, closing).await, Ok(Ok(()))) {
        tracing::debug!("a connection was not closed in time");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use std::sync::Arc;

    use tokio::sync::{OwnedSemaphorePermit, Semaphore};
    use tokio::time::sleep;

    use super::super::tests::server;
    use super::*;

    /// A place of this many, for which each connection takes a while longer than the one before it.
    async fn counted(places: usize, first: Duration, each: Duration) -> Result<Lent, Error> {
        let pool = Arc::new(Semaphore::new(places));
        let started = AtomicU32::new(0);
        let connect = || {
            let pool = Arc::clone(&pool);
            let number = started.fetch_add(1, Ordering::Relaxed);
            async move {
                sleep(first + each * number).await;
                let place = pool.acquire_owned().await;
                place.map_err(|_| Error::Stopping)
            }
        };
        let give_back = async |place: OwnedSemaphorePermit| drop(place);
        available(connect, give_back, 12).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_way_is_not_taken_for_few_connections() {
        let (no_time, long) = (Duration::ZERO, Duration::from_millis(2_500));
        for (places, first, each, expected) in [
            (12, no_time, no_time, Lent::Enough),
            (5, no_time, no_time, Lent::AtMost(5)),
            (0, no_time, no_time, Lent::Unknown { found: 0 }),
            // All of them take a while, or a pooler makes one at a time.
            (12, long, no_time, Lent::Enough),
            (12, long * 4, no_time, Lent::Enough),
            (5, long, no_time, Lent::AtMost(5)),
            (12, long, long, Lent::Enough),
            (5, long, long, Lent::AtMost(5)),
            // The second comes no more.
            (
                12,
                no_time,
                Duration::from_secs(3_600),
                Lent::Unknown { found: 1 },
            ),
        ] {
            let told = format!("{places} {first:?} {each:?}");
            match counted(places, first, each).await {
                Ok(lent) => assert_eq!(lent, expected, "{told}"),
                Err(error) => {
                    let error = error.to_string();
                    assert_eq!(expected, Lent::Unknown { found: 0 }, "{told}: {error}");
                    assert!(error.contains("no connection came within 30 s"), "{error}");
                }
            }
        }
    }

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
