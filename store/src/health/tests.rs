use super::*;
use crate::error::Cause;

fn told(health: &Health) -> Vec<&'static str> {
    health.known().iter().map(|finding| finding.check).collect()
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_full_until_a_group_finds_room() {
    let health = Health::default();
    let full = Error::Full(Cause::new(sea_orm::sqlx::Error::PoolClosed));
    health.wrote(Err(&full));
    // Small transactions, and the trial.
    health.committed();
    assert!(!health.mends(true));
    assert_eq!(told(&health), ["write"]);
    tokio::time::advance(SETTLED).await;
    assert!(!health.mends(false));
    assert_eq!(told(&health), ["write"]);
    assert!(health.mends(true));
    health.wrote(Err(&full));
    health.wrote(Ok(()));
    assert_eq!(told(&health), [""; 0]);
    // What did not answer answers.
    health.wrote(Err(&Error::TimedOut));
    assert_eq!(told(&health), ["write"]);
    health.committed();
    assert_eq!(told(&health), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_gets_no_answer_is_told_until_it_gets_one() {
    let health = Health::default();
    health.stepped("tail", Err(&Error::TimedOut));
    assert_eq!(told(&health), ["database"]);
    // Another task's answer is no answer to this one.
    health.stepped("keys", Ok(()));
    assert_eq!(told(&health), ["database"]);
    health.stepped("tail", Ok(()));
    assert_eq!(told(&health), [""; 0]);
    // Not every task asks again soon.
    health.stepped("retention", Err(&Error::from(sea_orm::sqlx::Error::PoolTimedOut)));
    assert_eq!(told(&health), ["database"]);
    tokio::time::advance(UNANSWERED).await;
    assert_eq!(told(&health), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_a_connection_is_a_database_that_does_not_answer() {
    let health = Health::default();
    health.wrote(Err(&Error::from(sea_orm::sqlx::Error::PoolTimedOut)));
    assert_eq!(health.known()[0].reason, "the database does not answer");
}

#[tokio::test(start_paused = true)]
async fn damage_that_anybody_comes_upon_stays() {
    let corrupt = || Error::Corrupt(Cause::new(sea_orm::sqlx::Error::PoolClosed));
    let notices: [fn(&Health, &Error); 3] = [
        |health, error| health.noticed(Err(error)),
        |health, error| health.wrote(Err(error)),
        |health, error| health.stepped("tail", Err(error)),
    ];
    for notice in notices {
        let health = Health::default();
        notice(&health, &Error::TimedOut);
        health.wrote(Ok(()));
        health.stepped("tail", Ok(()));
        assert_eq!(told(&health), [""; 0]);
        notice(&health, &corrupt());
        health.wrote(Ok(()));
        health.stepped("tail", Ok(()));
        tokio::time::advance(SETTLED + QUIET).await;
        assert_eq!(told(&health), ["schema"]);
        assert!(health.known()[0].reason.contains("damaged"));
    }
}

#[tokio::test(start_paused = true)]
async fn damage_ends_when_all_pages_are_sound_and_none_was_found_meanwhile() {
    let corrupt = Error::Corrupt(Cause::new(sea_orm::sqlx::Error::PoolClosed));
    let health = Health::default();
    assert_eq!(health.damages(), None);
    health.noticed(Err(&corrupt));
    let damages = health.damages().unwrap();
    health.noticed(Err(&corrupt));
    assert!(!health.is_sound(damages));
    assert_eq!(told(&health), ["schema"]);
    assert!(health.is_sound(health.damages().unwrap()));
    assert_eq!(told(&health), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_is_told() {
    let health = Arc::new(Health::default());
    let writing = health.write();
    tokio::time::advance(HANGING - Duration::from_secs(1)).await;
    let other = health.write();
    assert_eq!(told(&health), [""; 0]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(told(&health), ["write"]);
    drop(writing);
    assert_eq!(told(&health), [""; 0]);
    drop(other);
    tokio::time::advance(HANGING * 2).await;
    assert_eq!(told(&health), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_round_after_round_is_told() {
    let health = Health::default();
    let refused = Error::Refused(Cause::new(sea_orm::sqlx::Error::PoolClosed));
    health.ended_round("retention", Ok(()));
    for _ in 1..ROUNDS {
        health.ended_round("retention", Err(&refused));
        health.ended_round("indexer", Ok(()));
        health.ended_round("retention", Err(&Error::Stopping));
        assert_eq!(told(&health), [""; 0]);
    }
    health.ended_round("retention", Err(&refused));
    let [finding] = health.known().try_into().ok().unwrap();
    assert!(
        finding.reason.contains("retention failed 3 times"),
        "{}",
        finding.reason
    );
    let [(_, indexer), (_, retention)] = health.rounds().try_into().unwrap();
    assert_eq!((indexer.failures, retention.failures), (0, 3));
    assert!(retention.succeeded.is_some());
    health.ended_round("retention", Ok(()));
    assert_eq!(told(&health), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_cause_is_told_in_its_own_words() {
    let health = Health::default();
    health.wrote(Err(&Error::Replaced));
    let [replaced] = health.known().try_into().ok().unwrap();
    let looked = finding::of_error("database", &Error::Replaced);
    assert_eq!((replaced.check, &replaced.reason), ("file", &looked.reason));
    health.is_back();
    assert_eq!(told(&health), [""; 0]);
    // Another fault stays.
    health.wrote(Err(&Error::TimedOut));
    health.is_back();
    assert_eq!(told(&health), ["write"]);

    for code in ["28P01", "28000"] {
        let told = finding::of_code("write", ErrorKind::Refused, Some(code));
        assert!(
            told.reason.contains("password") && told.advice.contains("password"),
            "{code}"
        );
    }
    // SQLITE_PERM and a table without permission are no matter of passwords.
    for code in ["3", "42501"] {
        let told = finding::of_code("write", ErrorKind::Refused, Some(code));
        assert!(!told.advice.contains("password"), "{code}");
    }
    let unreadable = finding("write", ErrorKind::Io);
    assert!(unreadable.advice.contains("-wal"), "{}", unreadable.advice);
}
