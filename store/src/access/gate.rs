//! Admission: who may do what, decided by the keys in memory ([`KeySet`](crate::key_set)).
//!
//! The keys are read again every second, which is how changes of other processes arrive; those of this process are there
//! at once. A secret that no key in memory has is looked up before it is refused, or let in as everybody: its key may just
//! have been made elsewhere. When a key was last used is noted in memory and written once a minute.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mcptap_model::{Access, UnixNanos};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tokio::sync::Mutex;

use crate::access::key_set::{Held, KeySet, Keys, Ticket, judge};
use crate::access::keys;
use crate::access::secret::hash;
use crate::db::database::Database;
use crate::rows::entity::api_key;
use crate::{Error, clock};

/// How often the keys are read again.
const REFRESH: Duration = Duration::from_secs(1);
/// How often it is written when keys were last used.
const NOTE: Duration = Duration::from_secs(60);
/// The least time from one look-up of unknown secrets to the next: guessing does not keep the database busy.
const SPACING: Duration = Duration::from_millis(20);
/// How long one read of the keys may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest sleep until an expiry before the clock is looked at again, since clocks are set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Tells who may do what. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Database,
    keys: Keys,
    looking_up: Mutex<LookUps>,
}

/// The look-ups of unknown secrets, of which one runs at a time.
#[derive(Debug, Default)]
struct LookUps {
    last: Option<Instant>,
    /// The last read that failed.
    failed: Ticket,
}

/// Why somebody does not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Keys exist, and none was given.
    #[error("an API key is needed here: send it as Authorization: Bearer mcptap_…, or as x-api-key")]
    Missing,
    /// No key has this secret.
    #[error("invalid API key")]
    Unknown,
    /// It was revoked.
    #[error("this API key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this API key expired at {}", to_the_second(*.0))]
    Expired(UnixNanos),
    /// No key in memory has this secret, and the database does not answer whether another has. Trying again may help.
    #[error("this API key cannot be looked up now; try again later")]
    Unavailable,
}

/// Nobody needs to know more exactly when.
fn to_the_second(at: UnixNanos) -> UnixNanos {
    UnixNanos(at.0 - at.0.rem_euclid(1_000_000_000))
}

impl Held {
    fn admit(&self) -> Result<Access, Denied> {
        let now = clock::now();
        judge(&self.key, now)?;
        self.used.fetch_max(now.0, Ordering::Relaxed);
        Ok(Access::of(Arc::clone(&self.key)))
    }
}

impl Gate {
    /// With the keys that are there now.
    pub(crate) async fn open(database: Database) -> Result<Self, Error> {
        let gate = Self {
            shared: Arc::new(Shared {
                database,
                keys: Keys::default(),
                looking_up: Mutex::default(),
            }),
        };
        gate.refresh().await?;
        Ok(gate)
    }

    /// Keeps the keys up to date, and notes which were used, until it is cancelled.
    pub(crate) async fn run(self) {
        let (mut noted, mut failing) = (Instant::now(), false);
        loop {
            tokio::time::sleep(REFRESH).await;
            let mut done = self.refresh().await;
            if done.is_ok() && noted.elapsed() >= NOTE {
                noted = Instant::now();
                done = self.note().await;
            }
            match done {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "the API keys cannot be read; those known before still hold");
                }
                Err(_) => {}
            }
        }
    }

    fn keys(&self) -> Arc<KeySet> {
        self.shared.keys.current()
    }

    /// Whether any key was ever made. From then on nobody comes in without one, also when all are revoked or damaged.
    pub fn keys_exist(&self) -> bool {
        self.keys().exists()
    }

    /// Whether this secret is judged by what is in memory: a key there has it, or no key exists.
    pub(crate) fn knows(&self, secret: &str) -> bool {
        let keys = self.keys();
        !keys.exists() || keys.find(&hash(secret)).is_some()
    }

    /// Lets in the holder of this secret; everybody while no key exists. A secret that no key in memory has is looked up
    /// in the database first.
    pub async fn admit(&self, secret: Option<&str>) -> Result<Access, Denied> {
        let keys = self.keys();
        let Some(secret) = secret else {
            return if keys.exists() {
                Err(Denied::Missing)
            } else {
                Ok(Access::everything())
            };
        };
        let hash = hash(secret);
        if let Some(held) = keys.find(&hash) {
            return held.admit();
        }
        self.look_up().await?;
        let keys = self.keys();
        match keys.find(&hash) {
            Some(held) => held.admit(),
            None if keys.exists() => Err(Denied::Unknown),
            None => Ok(Access::everything()),
        }
    }

    /// Ends when a read of the keys that began after this call has been taken over. Many callers share one read.
    async fn look_up(&self) -> Result<(), Denied> {
        let Shared { keys, looking_up, .. } = &*self.shared;
        let came = keys.begun();
        let mut look_ups = looking_up.lock().await;
        if keys.is_later_than(came) {
            return Ok(());
        }
        if look_ups.failed > came {
            return Err(Denied::Unavailable);
        }
        if let Some(last) = look_ups.last {
            tokio::time::sleep(SPACING.saturating_sub(last.elapsed())).await;
        }
        let ticket = keys.begin();
        look_ups.last = Some(Instant::now());
        match self.read(ticket).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "an API key cannot be looked up");
                look_ups.failed = ticket;
                Err(Denied::Unavailable)
            }
        }
    }

    /// Whether somebody who was let in may stay.
    pub fn still(&self, access: &Access) -> Result<(), Denied> {
        let keys = self.keys();
        match access.key() {
            None if !keys.exists() => Ok(()),
            None => Err(Denied::Missing),
            Some(key) => match keys.get(key.id) {
                Some(held) => judge(&held.key, clock::now()),
                None => Err(Denied::Revoked),
            },
        }
    }

    /// Ends when somebody who was let in may not stay any longer: the key is revoked or expires, or the first key is
    /// made.
    pub async fn ended(&self, access: &Access) -> Denied {
        let mut changes = self.shared.keys.changes();
        loop {
            changes.mark_unchanged();
            if let Err(denied) = self.still(access) {
                return denied;
            }
            let left = access.key().and_then(|key| key.expires_at).map(|end| {
                let left = end.since(clock::now());
                Duration::from_nanos(left.unsigned_abs()).min(LONGEST_SLEEP)
            });
            let expiry = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender is ours: it does not end before us.
                _ = changes.changed() => {}
                () = expiry => {}
            }
        }
    }

    /// Reads the keys again.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        self.read(self.shared.keys.begin()).await
    }

    /// Reads the keys again after one was changed, which is done whether this succeeds or not.
    pub(crate) async fn refresh_or_warn(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "a key was changed, but the keys cannot be read again now; it is tried every second");
        }
    }

    async fn read(&self, ticket: Ticket) -> Result<(), Error> {
        // Nobody keeps this connection for long; an erasure may have those of maintenance for minutes.
        let feed = self.shared.database.feed();
        let reading = keys::rows(&feed);
        // SQLite has this limit too: requests wait for the answer.
        let reading = async {
            let rows = tokio::time::timeout(READ_TIMEOUT, reading).await;
            rows.unwrap_or(Err(Error::TimedOut))
        };
        let rows = self.shared.database.step("keys", reading).await?;
        self.shared.keys.put(ticket, rows);
        Ok(())
    }

    /// Writes when keys were last used, where that is news.
    pub(crate) async fn note(&self) -> Result<(), Error> {
        self.shared.database.step("keys", self.write_uses()).await
    }

    async fn write_uses(&self) -> Result<(), Error> {
        let keys = self.keys();
        let news: Vec<(i64, i64)> = keys
            .iter()
            .map(|held| (held.key.id, held.used.load(Ordering::Relaxed), held))
            .filter(|(_, used, held)| *used > held.key.last_used_at.map_or(0, |at| at.0))
            .map(|(id, used, _)| (id, used))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        let tx = self.shared.database.change().await?;
        for (id, used) in news {
            api_key::Entity::update_many()
                .col_expr(api_key::Column::LastUsedAt, Expr::value(used))
                .filter(api_key::Column::Id.eq(id))
                .filter(
                    api_key::Column::LastUsedAt
                        .is_null()
                        .or(api_key::Column::LastUsedAt.lt(used)),
                )
                .exec(&tx)
                .await?;
        }
        tx.commit().await?;
        self.refresh().await
    }
}
