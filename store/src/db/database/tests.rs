use super::*;
use crate::Options;

async fn near_is_free(url: &str) {
    let database = Database::connect(url, &Options::default()).await.unwrap();
    // The next group is prepared, and one that is tried again.
    let one = database.near_snapshot().await.unwrap();
    let other = database.near_snapshot().await.unwrap();
    // Whoever holds the lock waits for neither.
    database.near_snapshot().await.unwrap().commit().await.unwrap();
    for snapshot in [one, other] {
        snapshot.commit().await.unwrap();
    }
    database.close().await;
}

#[tokio::test]
async fn who_holds_the_lock_does_not_wait_for_preparations() {
    near_is_free("sqlite::memory:").await;
    if let Some(url) = crate::db::transaction::tests::of_server("near").await {
        near_is_free(&url).await;
    }
}

#[tokio::test]
async fn what_nobody_answers_is_given_up() {
    let Some(url) = crate::db::transaction::tests::of_server("silent").await else {
        return;
    };
    let database = Database::connect(&url, &Options::default()).await.unwrap();
    tokio::time::pause();
    let silence = std::future::pending::<Result<(), Error>>();
    assert!(matches!(
        database.step("tail", silence).await,
        Err(Error::TimedOut)
    ));
}

/// A connection that does not come back to a pool of one keeps nobody for long.
#[tokio::test]
async fn a_place_that_is_taken_for_ever_is_replaced() {
    let Some(url) = crate::db::transaction::tests::of_server("single").await else {
        return;
    };
    let options = Options {
        step_timeout: Duration::from_millis(500),
        ..Options::default()
    };
    let database = Database::connect(&url, &options).await.unwrap();
    let gone = database.feed_snapshot().await.unwrap();
    let waited = database.step("feed", database.feed_snapshot()).await;
    assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
    let again = database.step("feed", database.feed_snapshot()).await.unwrap();
    again.commit().await.unwrap();
    // Not when it is there.
    let pool = database.feed().get_postgres_connection_pool().clone();
    let silence = std::future::pending::<Result<(), Error>>();
    while pool.num_idle() == 0 {
        tokio::task::yield_now().await;
    }
    database.step("tail", silence).await.unwrap_err();
    assert!(!pool.is_closed() && database.feed().get_postgres_connection_pool().num_idle() == 1);
    drop(gone);
    database.close().await;
}
