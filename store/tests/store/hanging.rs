//! What the store does when PostgreSQL does not answer any more, and what it says then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcptap_model::search::Query;
use mcptap_model::{Call, CallFilter, NewKey, Scope};
use mcptap_store::{Actor, Error, ErrorKind, Options, Seq, ViewContent, WriteError, Writer, Written};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::faults::{ENOUGH, until};
use crate::support::{Place, batch, full, plain};

/// How long the server keeps a connection that was forgotten: as long as there is no test with more of them than it allows.
/// A transaction on one is ended by the server itself before that.
const FORGOTTEN: Duration = Duration::from_secs(40);

/// The text at which a connection falls silent, once.
type Silence = Arc<Mutex<Option<&'static str>>>;

/// A way to a server. On connections that were made while `generation` had another value nothing moves: packets are dropped.
/// A generation of `None` freezes all. The server hears of it much later.
/// The first connection that sends the text in `silence` is not answered any more.
async fn way_to(
    server: String,
    generation: watch::Receiver<Option<u32>>,
    silence: Silence,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let made = *generation.borrow();
            let moves = (made, generation.clone());
            // The client never hears of it.
            let client = client.into_std().unwrap();
            let kept = client.try_clone().unwrap();
            let (from, to) = tokio::io::split(TcpStream::from_std(client).unwrap());
            let (answers, questions) = TcpStream::connect(&server).await.unwrap().into_split();
            let mut carrying = JoinSet::new();
            carrying.spawn(carry(from, questions, moves.clone(), silence.clone()));
            carrying.spawn(carry(answers, to, moves, Silence::default()));
            let mut generation = generation.clone();
            tokio::spawn(async move {
                let forgotten = async {
                    let other = |now: &Option<u32>| now.is_some() && made.is_some() && *now != made;
                    if generation.wait_for(other).await.is_ok() {
                        tokio::time::sleep(FORGOTTEN).await;
                    }
                };
                tokio::select! {
                    // One of the two hung up.
                    _ = carrying.join_next() => return,
                    () = forgotten => {}
                }
                drop(carrying);
                std::future::pending::<()>().await;
                drop(kept);
            });
        }
    });
    address
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    (made, mut generation): (Option<u32>, watch::Receiver<Option<u32>>),
    silence: Silence,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let moves = |now: &Option<u32>| now.is_some() && (made.is_none() || *now == made);
        let is_sent = |text: &mut &str| {
            bytes[..count]
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        if silence.lock().unwrap().take_if(|text| is_sent(text)).is_some() {
            std::future::pending::<()>().await;
        }
        if generation.wait_for(moves).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}

/// A database of PostgreSQL behind such a way.
async fn freezable() -> Option<(Place, String, watch::Sender<Option<u32>>)> {
    silenced(Silence::default()).await
}

async fn silenced(silence: Silence) -> Option<(Place, String, watch::Sender<Option<u32>>)> {
    let place = Place::postgres().await?;
    let (before, rest) = place.url.split_once('@').unwrap();
    let (server, after) = rest.split_once('/').unwrap();
    let (freeze, frozen) = watch::channel(Some(0));
    let address = way_to(server.to_owned(), frozen, silence).await;
    let url = format!("{before}@{address}/{after}");
    Some((place, url, freeze))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_told_and_closing_ends() {
    let Some((place, url, freeze)) = freezable().await else {
        return;
    };
    let (writer, store) = mcptap_store::open(&url, Options::default()).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    assert_eq!(store.ready().await, Ok(()));
    freeze.send_replace(None);
    let told = until(&store, |told| !told.is_empty()).await;
    assert!(
        told.iter().any(|told| told.reason.contains("does not answer")),
        "{told:?}"
    );
    let waiting = tokio::spawn(async move { writer.write(batch([plain(2)])).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let closed = tokio::time::timeout(ENOUGH / 2, store.close())
        .await
        .expect("it ends");
    assert!(!closed.cut.is_empty());
    // The one that waited is told, too.
    tokio::time::timeout(ENOUGH, waiting)
        .await
        .expect("an answer")
        .unwrap()
        .unwrap_err();
    drop(store);
    let (_, store) = place.open().await;
    assert!(store.head().0 >= 1);
    store.close().await;
    place.vanish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hung_is_used_again() {
    let Some((place, url, freeze)) = freezable().await else {
        return;
    };
    let (writer, store) = mcptap_store::open(&url, Options::default()).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    freeze.send_replace(None);
    // It is given up by whoever waits for it, and by the sender.
    let sent = tokio::time::timeout(ENOUGH, writer.write(batch([plain(2)]))).await;
    assert!(sent.expect("it is given up").is_err());
    freeze.send_replace(Some(0));
    until(&store, <[_]>::is_empty).await;
    writer.write(batch([plain(2)])).await.unwrap();
    assert_eq!(store.close().await.cut, [""; 0]);
    place.vanish().await;
}

/// A step that nobody answers is given up after this. Long enough to find that some connections that were idle are dead.
const STEP: Duration = Duration::from_secs(12);

/// A transaction on a connection that was dropped keeps its locks until the server ends it, after half a minute; then others
/// may find their own connections silent.
const PATIENCE: Duration = Duration::from_secs(180);

/// Sends again what was refused for now, as senders do.
async fn write(writer: &Writer, calls: impl IntoIterator<Item = Call> + Clone) -> Written {
    let writing = async {
        loop {
            match writer.write(batch(calls.clone())).await {
                Ok(written) => break written,
                Err(WriteError::Lost) => {}
                Err(WriteError::Database(error)) if error.kind().is_transient() => {}
                Err(WriteError::Database(Error::TimedOut)) => {}
                Err(refused) => panic!("{refused:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, writing)
        .await
        .expect("it is stored")
}

/// Waits until something is so.
async fn until_so(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

/// A firewall forgets connections: new ones work, the old ones are silent for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_waits_on_a_connection_that_was_dropped_goes_on() {
    let Some((place, url, generation)) = freezable().await else {
        return;
    };
    let options = Options {
        retention: None,
        step_timeout: STEP,
        index_delay: Duration::from_millis(10),
        ..Options::default()
    };
    let (writer, store) = mcptap_store::open(&url, options).await.unwrap();
    let (there, elsewhere) = place.open().await;
    let mut next = 0;
    let mut drop_all = || {
        next += 1;
        generation.send_replace(Some(next));
    };
    write(&writer, (1..50).map(full)).await;
    for round in 0..2 {
        // The feed: what another process commits is seen.
        drop_all();
        let written = write(&there, [full(100 + round)]).await;
        until_so("the feed", async || store.head() >= written.head).await;
        // The index of words.
        drop_all();
        let written = write(&there, [full(200 + round)]).await;
        until_so("the indexer", async || {
            store.head() >= written.head && store.metrics().index_lag == 0
        })
        .await;
        // The keys.
        drop_all();
        let key = NewKey {
            name: "k".into(),
            scopes: vec![Scope::Read],
            ..NewKey::default()
        };
        let (_, secret) = elsewhere.create_key(key, Actor::CommandLine).await.unwrap();
        until_so("the keys", async || {
            store.gate().admit(Some(secret.reveal())).await.is_ok()
        })
        .await;
        // Deletions go on by themselves.
        drop_all();
        let erasing = store.erase(CallFilter::default(), Actor::CommandLine, "no constraint".into());
        let erased = tokio::time::timeout(PATIENCE, erasing)
            .await
            .expect("it is given up")
            .unwrap();
        assert!(erased.calls > 0);
        write(&writer, (1..50).map(full)).await;
        drop_all();
        let filter = CallFilter {
            tools: vec!["lookup".into()],
            ..CallFilter::default()
        };
        let erasing = store.erase(filter, Actor::CommandLine, "tools".into());
        let erased = tokio::time::timeout(PATIENCE, erasing)
            .await
            .expect("it is given up")
            .unwrap();
        assert!(erased.calls > 0);
        // Writes of all sorts, and reads.
        drop_all();
        write(&writer, (1..50).map(full)).await;
        drop_all();
        until_so("a view", async || {
            let view = ViewContent {
                name: "v".into(),
                filter: "{}".into(),
                columns: Vec::new(),
                last_seconds: None,
            };
            store.save_view(None, view, Actor::CommandLine).await.is_ok()
        })
        .await;
        drop_all();
        until_so("a read", async || store.keys().await.is_ok()).await;
        drop_all();
        let pruned = tokio::time::timeout(PATIENCE, store.prune(Duration::ZERO))
            .await
            .expect("it is given up");
        assert!(
            match &pruned {
                Ok(_) => true,
                Err(error) => matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Resources),
            },
            "{pruned:?}"
        );
    }
    until(&store, <[_]>::is_empty).await;
    // One that was dropped and not used since may be found silent only now.
    let cut = store.close().await.cut;
    assert!(
        cut.iter().all(|cut| *cut == "connections to the database"),
        "{cut:?}"
    );
    place.vanish().await;
}

/// A transaction that was begun on a connection that is silent is not waited for, however long it may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_does_not_wait_for_a_connection_that_was_dropped() {
    let Some((place, url, generation)) = freezable().await else {
        return;
    };
    let options = Options {
        retention: None,
        step_timeout: ENOUGH,
        ..Options::default()
    };
    let (writer, store) = mcptap_store::open(&url, options).await.unwrap();
    writer.write(batch((1..50).map(full))).await.unwrap();
    assert!(store.prune(Duration::ZERO).await.is_ok());
    generation.send_replace(Some(1));
    let pruning = tokio::time::timeout(Duration::from_secs(1), store.prune(Duration::ZERO)).await;
    assert!(pruning.is_err(), "it waits on a connection that was dropped");
    assert_eq!(store.close().await.cut, [""; 0]);
    place.vanish().await;
}

/// The server answers for a while, then no more: what runs then is given up step by step, and told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_when_the_server_hangs_is_given_up() {
    let Some((place, url, generation)) = freezable().await else {
        return;
    };
    let options = Options {
        step_timeout: STEP,
        ..Options::default()
    };
    let (writer, store) = mcptap_store::open(&url, options).await.unwrap();
    for attempt in 0..2 {
        writer.write(batch((1..300).map(full))).await.unwrap();
        let everything = store.erase(CallFilter::default(), Actor::Anybody, "no constraint".into());
        let filter = CallFilter {
            tools: vec!["lookup".into()],
            ..CallFilter::default()
        };
        let found = store.erase(filter, Actor::Anybody, "tools".into());
        let pruned = store.prune(Duration::ZERO);
        let at_work = async { tokio::join!(everything, found, pruned) };
        let hangs = async {
            tokio::time::sleep(Duration::from_millis(60 * attempt)).await;
            generation.send_replace(None);
            until(&store, |told| {
                told.iter().any(|told| told.reason.contains("does not answer"))
            })
            .await;
        };
        let ended = async { tokio::join!(at_work, hangs) };
        let _ended = tokio::time::timeout(ENOUGH * 2, ended)
            .await
            .expect("all of it is given up");
        generation.send_replace(Some(0));
        until(&store, <[_]>::is_empty).await;
    }
    assert_eq!(store.close().await.cut, [""; 0]);
    place.vanish().await;
}

/// One connection is not answered any more while a feed is read on it, or new calls are searched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_go_on_without_a_connection_that_fell_silent() {
    let silence = Silence::default();
    let Some((place, url, _generation)) = silenced(Arc::clone(&silence)).await else {
        return;
    };
    let options = Options {
        step_timeout: STEP,
        read_timeout: Duration::from_secs(5),
        readers: 4,
        ..Options::default()
    };
    let (writer, store) = mcptap_store::open(&url, options.clone()).await.unwrap();
    let filter = CallFilter {
        search: Some(Query::parse("lookup")),
        ..CallFilter::default()
    };
    let mut searching = store.follow(filter, None).await.unwrap();
    let begun = searching.next(10).await.unwrap().unwrap();
    assert!(begun.items.is_empty() && begun.caught_up);
    let silence_at = |text| *silence.lock().unwrap() = Some(text);
    silence_at("log_lines");
    writer.write(batch((1..50).map(full))).await.unwrap();
    let found = tokio::time::timeout(ENOUGH, searching.next(100)).await;
    assert_eq!(
        found
            .expect("it is searched all the same")
            .unwrap()
            .unwrap()
            .items
            .len(),
        49
    );
    assert_eq!(*silence.lock().unwrap(), None);

    silence_at("updated_seq");
    // Another process has nothing in memory.
    let (_there, elsewhere) = mcptap_store::open(&url, options).await.unwrap();
    let mut behind = elsewhere
        .follow(CallFilter::default(), Some(Seq(0)))
        .await
        .unwrap();
    let read = tokio::time::timeout(ENOUGH, behind.next(100)).await;
    assert_eq!(
        read.expect("it is read all the same")
            .unwrap()
            .unwrap()
            .items
            .len(),
        49
    );
    assert_eq!(*silence.lock().unwrap(), None);
    drop(behind);
    elsewhere.close().await;
    assert_eq!(store.close().await.cut, [""; 0]);
    place.vanish().await;
}

/// Whoever follows is told that the database is away, and goes on where it was once it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_end_where_the_database_is_away_and_go_on_when_it_is_back() {
    let Some((place, url, freeze)) = freezable().await else {
        return;
    };
    let (writer, store) = mcptap_store::open(&url, Options::default()).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    let mut waiting = store.follow(CallFilter::default(), Some(Seq(0))).await.unwrap();
    let first = waiting.next(10).await.unwrap().unwrap();
    assert!(first.caught_up && first.items.len() == 1);
    freeze.send_replace(None);
    let told = tokio::time::timeout(ENOUGH, waiting.next(10)).await;
    let told = told.expect("it is told").unwrap_err();
    assert!(matches!(told, Error::Away), "{told}");
    // Nobody else waits for an answer either.
    let refused = store.follow(CallFilter::default(), Some(first.upto)).await;
    assert!(matches!(refused, Err(Error::Away)), "{refused:?}");
    drop(waiting);
    freeze.send_replace(Some(0));
    until(&store, <[_]>::is_empty).await;
    let again = async {
        loop {
            match store.follow(CallFilter::default(), Some(first.upto)).await {
                Ok(follower) => break follower,
                Err(error) => assert!(matches!(error, Error::Away), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut again = tokio::time::timeout(ENOUGH, again)
        .await
        .expect("it is followed again");
    writer.write(batch([plain(2)])).await.unwrap();
    let mut found = 0;
    while found == 0 {
        let next = tokio::time::timeout(ENOUGH, again.next(10)).await;
        found = next.expect("it goes on").unwrap().unwrap().items.len();
    }
    assert_eq!(found, 1);
    assert_eq!(store.close().await.cut, [""; 0]);
    place.vanish().await;
}
