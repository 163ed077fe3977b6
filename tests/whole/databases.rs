//! Databases of PostgreSQL, as `serve` and `config check` judge them.

use crate::commands::{mcptap, refused, succeeded};
use crate::support::Database;

/// Databases of a server that mcptap cannot use, and one that it can.
#[test]
fn serve_and_check_refuse_every_database_of_a_server_with_the_same_words() {
    let Some(server) = Database::of_server() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let run = |url: &str, statements: &str| {
        let ran = std::process::Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--command", statements, url])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let (foreign, newer, empty) = (
        server,
        Database::of_server().unwrap(),
        Database::of_server().unwrap(),
    );
    run(foreign.url(), "CREATE TABLE calls (id integer)");
    succeeded(&mcptap(
        directory.path(),
        &["migrate", "--database-url", newer.url()],
        &[],
    ));
    let role = format!("mcptap_role_{}", std::process::id());
    run(
        empty.url(),
        &format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'"),
    );
    let (before, after) = empty.url().split_once("://").unwrap();
    let (_, place) = after.split_once('@').unwrap();
    let (host, _) = place.split_once('/').unwrap();
    let as_role = format!("{before}://{role}:hunter2@{place}");
    let on_newer = as_role.replace(
        empty.url().rsplit_once('/').unwrap().1,
        newer.url().rsplit_once('/').unwrap().1,
    );
    let judge = |url: &str, words: &[&str]| {
        let free = [
            "--listen=127.0.0.1:0",
            "--otlp-grpc=127.0.0.1:0",
            "--otlp-http=127.0.0.1:0",
            "--database-url",
            url,
        ];
        let checked = mcptap(directory.path(), &[&["config", "check"][..], &free].concat(), &[]);
        let served = mcptap(directory.path(), &[&["serve"][..], &free].concat(), &[]);
        let said = refused(&checked);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(refused(&served), said, "{words:?}");
    };
    let good = mcptap(
        directory.path(),
        &["config", "check", "--database-url", newer.url()],
        &[],
    );
    assert_eq!(succeeded(&good), "the settings are good\n");
    judge(foreign.url(), &["another program", "calls"]);
    judge(
        &format!("{before}://{role}:hunter2@{host}/mcptap_none"),
        &["does not exist", "createdb mcptap_none"],
    );
    judge(
        &format!("{before}://mcptap_nobody:hunter2@{place}"),
        &["mcptap_nobody", "createuser"],
    );
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    judge(
        &format!("{before}://{role}:hunter2@{}/x", closed.unwrap()),
        &["refused", "is PostgreSQL running there"],
    );
    judge(
        &as_role,
        &[&role, &format!("GRANT CREATE ON SCHEMA public TO {role}")],
    );
    run(
        newer.url(),
        &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
    );
    run(newer.url(), &format!("REVOKE INSERT ON details FROM {role}"));
    judge(
        &on_newer,
        &[
            "lacks INSERT on details",
            &format!("GRANT INSERT ON details TO {role}"),
        ],
    );
    run(
        newer.url(),
        &format!("REVOKE ALL ON seaql_migrations FROM {role}"),
    );
    judge(&on_newer, &["GRANT", "seaql_migrations", &role]);
    run(
        newer.url(),
        &format!("ALTER DATABASE {} CONNECTION LIMIT 9", name_of(&newer)),
    );
    run(
        newer.url(),
        &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
    );
    judge(&on_newer, &["9 connections", "ALTER DATABASE"]);
    run(
        newer.url(),
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_wonders', 0)",
    );
    judge(newer.url(), &["newer mcptap", "m20990101_000001_wonders"]);
    run(newer.url(), &format!("DROP OWNED BY {role}"));
    run(empty.url(), &format!("DROP ROLE {role}"));
}

fn name_of(database: &Database) -> &str {
    database.url().rsplit_once('/').unwrap().1
}
