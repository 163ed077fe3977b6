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
    if let Some(url) = crate::transaction::tests::of_server("near").await {
        near_is_free(&url).await;
    }
}

#[tokio::test]
async fn what_nobody_answers_is_given_up() {
    let Some(url) = crate::transaction::tests::of_server("silent").await else {
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
