//! Commits of other processes: they are noticed, read once for all followers, and announced.
//!
//! On PostgreSQL every commit sends a notification without content. On SQLite, and where notifications do not work or
//! their connection is lost, the head is looked at four times a second. Either way the changes are read from the
//! database: a notification lost is a quarter of a second, never a change.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sea_orm::sqlx::{self, Executor, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::db::database::Database;
use crate::db::lineage;
use crate::db::transaction::Transaction;
use crate::feed::changes;
use crate::feed::reach::Reach;
use crate::feed::recent::Recent;
use crate::read::scan;
use crate::rows::dictionary::Dictionary;
use crate::{Error, Seq};

/// How often the head is looked at, whatever is heard.
const POLL: Duration = Duration::from_millis(250);

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(20);

/// After so long without a notification it is looked whether the connection that brings them is still there.
const SILENT: Duration = Duration::from_secs(30);

/// How long its answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// How long it rests after each look: what is notified meanwhile is one look.
const PAUSE: Duration = Duration::from_millis(4);

/// How long to wait before connecting again to where notifications come from.
const AGAIN: Duration = Duration::from_secs(1);

/// How many numbers are read. Where more were missed, followers are better served one by one.
const MOST: i64 = 5_000;

/// How many bytes of long texts are read: memory keeps no more for followers.
const BYTES: i64 = 16 << 20;

/// The channel of notifications.
const CHANNEL: &str = "mcptap";

/// Keeps `recent` up to what any process committed.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) database: Database,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) announce: Arc<watch::Sender<Seq>>,
    pub(crate) reach: Arc<Reach>,
}

impl Tail {
    /// Until it is cancelled.
    pub(crate) async fn run(self) {
        let heard = Notify::new();
        let listening = async {
            match self.database.notifications() {
                Some(pool) => listen(&pool, &heard).await,
                None => std::future::pending().await,
            }
        };
        let looking = async {
            let mut failing = false;
            loop {
                tokio::select! {
                    () = self.recent.missing.notified() => {}
                    () = heard.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
                match self.database.step_within("feed", LOOK, self.look()).await {
                    Ok(()) => failing = false,
                    Err(error) if !failing => {
                        failing = true;
                        tracing::warn!(%error, "the head of the feed cannot be read");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::join!(listening, looking);
    }

    async fn look(&self) -> Result<(), Error> {
        let lineage = self.database.lineage();
        let known = lineage.known();
        let (head, state) = self.reach.watch(lineage::look(&self.database.feed())).await?;
        if state.is_long() {
            // Each command that wrote is one, and each transaction of all processes carries all of them.
            lineage::shorten(self.database.write(), &state).await?;
        }
        if lineage.read(known, state, head) {
            // It finds the same while nobody writes, and drops what is known.
            let mut tx = Transaction::begin(&self.database).await?;
            return match tx.advance(0, 0).await {
                Ok(_) => Ok(tx.rollback().await?),
                Err(Error::Rewound) => Ok(()),
                Err(error) => Err(error),
            };
        }
        loop {
            let known = self.recent.head();
            if known >= head {
                return Ok(());
            }
            if head.0 - known.0 > MOST {
                self.recent.skip_to(head);
            } else {
                let tx = self.database.feed_snapshot().await?;
                if changes::bytes(&tx, known).await? > BYTES {
                    let head = scan::head(&tx).await?;
                    tx.commit().await?;
                    self.recent.skip_to(head);
                } else {
                    let stretch = changes::between(&tx, &self.dictionary, known).await?;
                    tx.commit().await?;
                    self.recent.add(stretch);
                }
            }
            let head = self.recent.head();
            self.announce
                .send_if_modified(|last| std::mem::replace(last, head.max(*last)) < head);
        }
    }
}

/// Passes on that something was notified, until the connection is lost.
async fn hear(mut listener: PgListener, heard: &Notify) -> sqlx::Error {
    loop {
        let failed = match timeout(SILENT, listener.try_recv()).await {
            // It connects again by itself where it can; what was missed meanwhile is found by looking.
            Ok(Ok(_)) => {
                heard.notify_one();
                continue;
            }
            Ok(Err(error)) => error,
            // Where packets are dropped, silence is all that is heard.
            Err(_) => match answered(ANSWER, listener.execute("SELECT 1")).await {
                Ok(_) => continue,
                Err(error) => error,
            },
        };
        return failed;
    }
}

async fn answered<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(limit, work)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Passes on that something was notified, for ever.
async fn listen(pool: &PgPool, heard: &Notify) {
    let mut failing = false;
    loop {
        let listening = async {
            // In a pool of its own: a listener that is dropped says so to the server first, and keeps its connection
            // until there is an answer.
            let own = PgPoolOptions::new()
                .max_connections(1)
                .connect_lazy_with(PgConnectOptions::clone(&pool.connect_options()));
            let mut listener = PgListener::connect_with(&own).await?;
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let failed = match answered(LOOK, listening).await {
            Ok(listener) => {
                failing = false;
                hear(listener, heard).await
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut failing, true) {
            tracing::warn!(error = %failed, "commits of other processes are not notified; they are looked for four times a second");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use mcptap_model::{Batch, SpanKind};

    use super::*;
    use crate::db::transaction::tests::call;
    use crate::{Options, open};

    #[tokio::test]
    async fn a_commit_of_more_bytes_than_are_read_is_announced() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
        let options = Options {
            retention: None,
            ..Options::default()
        };
        let (_writer, here) = open(&url, options.clone()).await.unwrap();
        let (elsewhere, there) = open(&url, options).await.unwrap();
        let text = "x".repeat(64 << 10);
        let observations = (1..=300).map(|of| {
            let mut observation = call(of, of * 10 + 2, None, SpanKind::Server, 10);
            observation.call.error_message = Some(text.clone());
            observation
        });
        let batch = Batch {
            observations: observations.collect(),
            ..Batch::default()
        };
        let written = elsewhere.write(batch).await.unwrap();
        let announced = async {
            while here.head() < written.head {
                tokio::time::sleep(POLL).await;
            }
        };
        let announced = timeout(Duration::from_secs(60), announced).await;
        announced.expect("the head of another process");
        drop(elsewhere);
        there.close().await;
    }
}
