//! Opening: several at once, a database of another program, of another version, and one that is locked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mcptap_model::CallFilter;
use mcptap_store::{
    Error, Options, examine, exists, has_keys, migrate, open, open_to_change, open_to_create, open_to_read,
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement, TransactionTrait};
use tokio::task::JoinSet;

use crate::support::{Place, batch, on_both, plain, span, trace};

on_both!(
    several_at_once_make_the_tables_once,
    a_newer_version_is_named_and_left_alone,
    commands_migrate_nothing,
);

async fn several_at_once_make_the_tables_once(place: &Place) {
    let mut opening = JoinSet::new();
    for number in 0..8 {
        let url = place.url.clone();
        opening.spawn(async move {
            if number % 3 == 0 {
                open_to_create(&url).await.unwrap().close().await;
            } else {
                let (writer, store) = open(&url, Options::default()).await.unwrap();
                writer.write(batch([plain(number + 1)])).await.unwrap();
                drop(writer);
                store.close().await;
            }
        });
    }
    opening.join_all().await;
    let (_, store) = place.open().await;
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 5);
    // Whoever finds that another process was faster takes more numbers.
    assert!(store.head().0 >= 5);
}

async fn connect(place: &Place) -> DatabaseConnection {
    Database::connect(&place.url).await.unwrap()
}

async fn run(place: &Place, statements: &[&str]) {
    let connection = connect(place).await;
    for statement in statements {
        connection.execute_unprepared(statement).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn a_newer_version_is_named_and_left_alone(place: &Place) {
    migrate(&place.url).await.unwrap();
    let step = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_wonders', 0)";
    run(place, &[step]).await;
    let refused = [
        open(&place.url, Options::default()).await.map(drop).unwrap_err(),
        open_to_change(&place.url).await.unwrap_err(),
        open_to_create(&place.url).await.unwrap_err(),
        open_to_read(&place.url).await.unwrap_err(),
        migrate(&place.url).await.unwrap_err(),
    ];
    for error in refused {
        let said = error.to_string();
        assert!(matches!(error, Error::Newer(_)), "{said}");
        assert!(
            said.contains("newer mcptap") && said.contains("m20990101_000001_wonders"),
            "{said}"
        );
    }
    if place.file().is_some() {
        let said = examine(&place.url).await.unwrap_err().to_string();
        assert!(said.contains("newer mcptap"), "{said}");
    }
}

async fn commands_migrate_nothing(place: &Place) {
    // There is nothing yet: whoever reads, or changes what is there, makes nothing.
    assert!(matches!(open_to_read(&place.url).await, Err(Error::NoTables)));
    assert!(matches!(open_to_change(&place.url).await, Err(Error::NoTables)));
    assert!(!exists(&place.url).await.unwrap());
    assert!(place.file().is_none_or(|file| !file.exists()));
    open_to_create(&place.url).await.unwrap().close().await;
    assert!(exists(&place.url).await.unwrap());
    open_to_change(&place.url).await.unwrap().close().await;
    let store = open_to_read(&place.url).await.unwrap();
    assert!(store.keys().await.unwrap().is_empty());
    store.close().await;
    // As if the last step came with this version.
    let last = "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)";
    run(place, &[last]).await;
    let before = tables(place).await;
    for error in [
        open_to_read(&place.url).await.unwrap_err(),
        open_to_change(&place.url).await.unwrap_err(),
        open_to_create(&place.url).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Outdated), "{error}");
        assert!(error.to_string().contains("mcptap migrate"), "{error}");
    }
    assert_eq!(tables(place).await, before);
}

/// The history of the tables, and the tables, columns and indexes that there are.
async fn tables(place: &Place) -> Vec<String> {
    let connection = connect(place).await;
    let backend = connection.get_database_backend();
    let schema = if backend == sea_orm::DbBackend::Sqlite {
        "SELECT type || name || coalesce(sql, '') AS one FROM sqlite_master"
    } else {
        "SELECT table_name || '.' || column_name || ' ' || data_type AS one FROM information_schema.columns \
         WHERE table_schema = 'public' UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    };
    let mut all = Vec::new();
    for text in ["SELECT version AS one FROM seaql_migrations", schema] {
        let rows = connection
            .query_all_raw(Statement::from_string(backend, text))
            .await
            .unwrap();
        all.extend(rows.iter().map(|row| row.try_get::<String>("", "one").unwrap()));
    }
    connection.close().await.unwrap();
    all.sort();
    all
}

/// All files of a folder.
fn files(folder: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name(), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_file_of_another_program_stays_as_it_is() {
    let history =
        "CREATE TABLE seaql_migrations (version text NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)";
    for (name, statements) in [
        ("notes", &["CREATE TABLE notes (id integer)"][..]),
        (
            "calls",
            &["CREATE TABLE calls (id integer)", "INSERT INTO calls VALUES (1)"],
        ),
        (
            "wal",
            &["PRAGMA journal_mode = WAL", "CREATE TABLE notes (id integer)"],
        ),
        (
            "identity",
            &[
                "CREATE TABLE notes (id integer)",
                "DROP TABLE notes",
                "PRAGMA application_id = 7",
            ],
        ),
        ("view", &["CREATE VIEW notes AS SELECT 1 AS one"]),
        (
            "history",
            &[
                history,
                "INSERT INTO seaql_migrations VALUES ('m20200101_000001_theirs', 0)",
                "CREATE TABLE theirs (id integer)",
            ],
        ),
    ] {
        let place = Place::sqlite();
        run(&place, statements).await;
        let folder = place.file().unwrap().parent().unwrap().to_owned();
        let before = files(&folder);
        for error in [
            open(&place.url, Options::default()).await.map(drop).unwrap_err(),
            open_to_change(&place.url).await.unwrap_err(),
            open_to_read(&place.url).await.unwrap_err(),
            migrate(&place.url).await.unwrap_err(),
            mcptap_store::has_keys(&place.url).await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Foreign(_)), "{name}: {error}");
        }
        assert_eq!(files(&folder), before, "{name}");
    }
    let place = Place::sqlite();
    let file = place.file().unwrap();
    std::fs::write(
        &file,
        "no database at all, but a text that somebody wrote and wants to keep",
    )
    .unwrap();
    let before = files(file.parent().unwrap());
    let error = open(&place.url, Options::default()).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(files(file.parent().unwrap()), before);
}

#[tokio::test]
async fn tables_of_another_program_on_a_server_stay_as_they_are() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    // Beside others mcptap lives well.
    run(&place, &["CREATE TABLE notes (id integer)"]).await;
    migrate(&place.url).await.unwrap();
    let other = Place::postgres().await.unwrap();
    run(&other, &["CREATE TABLE sessions (id integer)"]).await;
    let error = migrate(&other.url).await.unwrap_err();
    assert!(
        matches!(error, Error::Foreign(_)) && error.to_string().contains("sessions"),
        "{error}"
    );
    let connection = connect(&other).await;
    let tables = Statement::from_string(
        connection.get_database_backend(),
        "SELECT count(*) AS tables FROM pg_tables WHERE schemaname = 'public'",
    );
    let row = connection.query_one_raw(tables).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "tables").unwrap(), 1);
    connection.close().await.unwrap();
    place.vanish().await;
    other.vanish().await;
}

#[tokio::test]
async fn a_file_of_ours_is_known_by_its_header() {
    let place = Place::sqlite();
    migrate(&place.url).await.unwrap();
    let bytes = std::fs::read(place.file().unwrap()).unwrap();
    assert_eq!(bytes[68..72], *b"mcpt");
    // One that an older version made has none yet.
    run(&place, &["PRAGMA application_id = 0"]).await;
    let (_, store) = open(&place.url, Options::default()).await.unwrap();
    store.close().await;
    let bytes = std::fs::read(place.file().unwrap()).unwrap();
    assert_eq!(bytes[68..72], *b"mcpt");
}

#[tokio::test]
async fn a_locked_file_is_not_waited_for_long() {
    let place = Place::sqlite();
    migrate(&place.url).await.unwrap();
    let holder = connect(&place).await;
    holder
        .execute_unprepared(
            "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE held (id integer)",
        )
        .await
        .unwrap();
    let told = tokio::time::timeout(Duration::from_secs(15), open_to_read(&place.url)).await;
    let error = told.expect("it must not wait").unwrap_err();
    assert!(error.to_string().contains("locked"), "{error}");
}

#[tokio::test]
async fn who_reads_does_not_wait_for_who_writes() {
    let place = Place::sqlite();
    migrate(&place.url).await.unwrap();
    let writer = connect(&place).await;
    let tx = writer.begin().await.unwrap();
    tx.execute_unprepared("UPDATE sequence SET value = value")
        .await
        .unwrap();
    let store = open_to_read(&place.url).await.unwrap();
    assert!(store.keys().await.unwrap().is_empty());
    assert_eq!(store.close().await.cut, [""; 0]);
    tx.commit().await.unwrap();
}

/// The one line that an error says, also through its sources.
async fn refusal(url: &str) -> String {
    let error = open_to_create(url).await.unwrap_err();
    assert!(
        std::error::Error::source(&error).is_none(),
        "the cause is told once: {error:?}"
    );
    let told = error.to_string();
    assert!(!told.contains("secret") && !told.contains(" at line "), "{told}");
    told
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_told_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    for (url, words) in [
        (
            format!("sqlite://{path}/none/test.db?mode=rwc"),
            ["none is not there", "make it"],
        ),
        (
            format!("sqlite://{path}/test.db"),
            ["test.db is not there", "?mode=rwc"],
        ),
        (
            format!("sqlite://{path}?mode=rwc"),
            ["is no file", "give the path of a file"],
        ),
    ] {
        let told = refusal(&url).await;
        assert!(words.iter().all(|word| told.contains(word)), "{url}: {told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_told_with_what_helps() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let (_, rest) = place.url.split_once("://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let name = name.split('?').next().unwrap();
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (url, words) in [
        (
            format!("postgres://{user}@{server}/mcptap_none"),
            ["\"mcptap_none\" does not exist", "createdb mcptap_none"],
        ),
        (
            format!("postgres://mcptap_nobody:secret@{server}/{name}"),
            ["mcptap_nobody", "createuser"],
        ),
        (
            format!("postgres://{user}@{server}/{name}?sslmode=require"),
            ["TLS", "sslmode"],
        ),
        (
            format!("postgres://u:secret@{closed}/{name}"),
            [&*closed.to_string(), "refused"],
        ),
    ] {
        let told = refusal(&url).await;
        assert!(words.iter().all(|word| told.contains(word)), "{url}: {told}");
    }
    place.vanish().await;
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let (before, rest) = place.url.split_once('@').unwrap();
    let (server, after) = rest.split_once('/').unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("{before}@{address}/{after}");
    let asked = url.clone();
    let asking = tokio::spawn(async move { has_keys(&asked).await });
    let opening = tokio::spawn(async move { open(&url, Options::default()).await.map(|(_, store)| store) });
    // Longer than a command waits.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    assert!(!asking.await.unwrap().unwrap());
    opening.await.unwrap().unwrap().close().await;
    place.vanish().await;
}

#[tokio::test]
async fn a_database_that_lacks_letters_is_refused() {
    let latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let Some(place) = Place::postgres_as(latin).await else {
        return;
    };
    let refused = mcptap_store::open(&place.url, Options::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Encoding(found) if found == "LATIN1"),
        "{refused}"
    );
    assert!(refused.to_string().contains("ENCODING 'UTF8'"), "{refused}");
    place.vanish().await;
}

/// Of a server that gives ten connections and no more, without a pooler in front of it: that is enough for everything at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_connections_of_a_role_are_enough() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let role = format!("mcptap_ten_{}", std::process::id());
    let admin = place.connect().await;
    let name = place.name().to_owned();
    for statement in [
        format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 10"),
        format!("ALTER DATABASE {name} OWNER TO {role}"),
    ] {
        admin.execute_unprepared(&statement).await.unwrap();
    }
    let (_, server) = place.url.split_once('@').unwrap();
    let url = format!("postgres://{role}@{server}");
    let options = Options {
        retention: None,
        ..Options::default()
    };
    let (writer, store) = open(&url, options).await.unwrap();
    let work = (1..=40).map(|number| {
        let (writer, store) = (writer.clone(), store.clone());
        tokio::spawn(async move {
            writer.write(batch([plain(number)])).await.unwrap();
            let found = store.call(trace(number), span(number)).await.unwrap();
            assert!(found.is_some(), "{number}");
        })
    });
    for done in work.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    assert_eq!(store.ready().await, Ok(()));
    store.close().await;
    // With fewer it says so, and what to raise.
    let limit = format!("ALTER ROLE {role} CONNECTION LIMIT 9");
    admin.execute_unprepared(&limit).await.unwrap();
    let refused = open(&url, Options::default()).await.unwrap_err().to_string();
    assert!(
        refused.contains(&format!("ALTER ROLE {role} CONNECTION LIMIT")),
        "{refused}"
    );
    let given_back =
        format!("REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}");
    admin.execute_unprepared(&given_back).await.unwrap();
    admin.close().await.unwrap();
    place.vanish().await;
}
