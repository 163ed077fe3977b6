use super::*;
use crate::Store;
use crate::db::transaction::tests::with_calls;

/// As of a process that just started.
fn indexer(store: &Store) -> Indexer {
    let inner = &store.inner;
    Indexer {
        database: inner.database.clone(),
        dictionary: Arc::clone(&inner.dictionary),
        head: watch::channel(Seq(0)).1,
        room: Arc::new(Semaphore::new(1)),
        limit: 1,
        delay: Duration::ZERO,
        counters: Arc::clone(&inner.counters),
        cpu: inner.cpu.clone(),
    }
}

#[tokio::test]
async fn a_step_is_bounded_by_the_bytes_of_bodies() {
    let (writer, store) = with_calls(3, 1 << 30).await;
    let indexer = indexer(&store);
    for known in 1..=3 {
        assert!(indexer.step().await.unwrap());
        assert_eq!(indexed(store.inner.database.read()).await.unwrap(), known);
    }
    assert!(!indexer.step().await.unwrap());
    drop(writer);
    store.close().await;
}

#[tokio::test]
async fn the_feed_keeps_its_connection_while_calls_are_indexed() {
    let (writer, store) = with_calls(3, 1).await;
    let feed = store.inner.database.feed_snapshot().await.unwrap();
    assert!(indexer(&store).step().await.unwrap());
    assert_eq!(indexed(store.inner.database.read()).await.unwrap(), 3);
    drop((feed, writer));
    store.close().await;
}
