//! Who comes in: the keys, held in memory, so that no request reads the database for them.
//!
//! The ring is read again every second, which is how changes of other processes arrive; those of this process are
//! there at once. When a key was last used is noted in memory and written once a minute.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mcptap_model::{Access, ApiKey, UnixNanos};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use tokio::sync::watch;

use crate::database::Database;
use crate::entity::api_key;
use crate::keys::read;
use crate::secret::{hash, same};
use crate::{Error, clock};

/// How often the keys are read again.
const REFRESH: Duration = Duration::from_secs(1);
/// How often it is written when keys were last used.
const NOTE: Duration = Duration::from_secs(60);
/// A key that is not known may just have been made elsewhere: the database is asked, but not more often than this.
const ASK_AGAIN: Duration = Duration::from_millis(200);
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
    ring: watch::Sender<Arc<Ring>>,
    /// When the ring was last read for the sake of a key that was not in it.
    asked: Mutex<Option<Instant>>,
}

/// Why somebody does not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Keys exist, and none was given.
    #[error("an API key is needed here: send it as Authorization: Bearer mcptap_…, or as x-api-key")]
    Missing,
    /// No key has this secret.
    #[error("this API key is not known here")]
    Unknown,
    /// It was revoked.
    #[error("this API key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this API key expired at {0}")]
    Expired(UnixNanos),
}

/// All keys at one time.
#[derive(Debug, Default)]
struct Ring {
    held: HashMap<i64, Held>,
    /// Their numbers by the first bytes of the hashes, which tell nothing of a secret.
    by_start: HashMap<[u8; 8], Vec<i64>>,
}

#[derive(Debug)]
struct Held {
    key: Arc<ApiKey>,
    hash: [u8; 32],
    /// Nanoseconds since 1970.
    used: Arc<AtomicI64>,
}

fn start(hash: &[u8; 32]) -> [u8; 8] {
    let mut start = [0; 8];
    start.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    start
}

fn judge(key: &ApiKey, now: UnixNanos) -> Result<(), Denied> {
    if key.revoked_at.is_some() {
        return Err(Denied::Revoked);
    }
    match key.expires_at {
        Some(end) if end <= now => Err(Denied::Expired(end)),
        _ => Ok(()),
    }
}

impl Ring {
    fn find(&self, hash: &[u8; 32]) -> Option<&Held> {
        let numbers = self.by_start.get(&start(hash))?;
        let mut held = numbers.iter().filter_map(|id| self.held.get(id));
        held.find(|held| same(&held.hash, hash))
    }

    fn same_keys(&self, other: &Self) -> bool {
        self.held.len() == other.held.len()
            && self
                .held
                .iter()
                .all(|(id, held)| other.held.get(id).is_some_and(|other| other.key == held.key))
    }
}

impl Gate {
    /// With the keys that are there now.
    pub(crate) async fn open(database: Database) -> Result<Self, Error> {
        let (ring, _) = watch::channel(Arc::default());
        let gate = Self {
            shared: Arc::new(Shared {
                database,
                ring,
                asked: Mutex::new(None),
            }),
        };
        gate.refresh().await?;
        Ok(gate)
    }

    /// Keeps the ring up to date, and notes what was used, until it is cancelled.
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

    fn ring(&self) -> Arc<Ring> {
        self.shared.ring.borrow().clone()
    }

    /// Whether any key was ever made. From then on nobody comes in without one, also when all are revoked.
    pub fn keys_exist(&self) -> bool {
        !self.ring().held.is_empty()
    }

    /// Lets in whoever has this secret; everybody while no key exists. The keys are read again for a secret that none of
    /// those known has, which may just have been made elsewhere.
    pub async fn admit(&self, secret: Option<&str>) -> Result<Access, Denied> {
        let looked = self.look(secret);
        let found = looked.as_ref().is_ok_and(|access| access.key().is_some());
        let ended = matches!(looked, Err(Denied::Revoked | Denied::Expired(_)));
        if secret.is_none() || found || ended || !self.may_ask() {
            return looked;
        }
        match self.refresh().await {
            Ok(()) => self.look(secret),
            Err(_) => looked,
        }
    }

    fn look(&self, secret: Option<&str>) -> Result<Access, Denied> {
        let ring = self.ring();
        if ring.held.is_empty() {
            return Ok(Access::everything());
        }
        let secret = secret.ok_or(Denied::Missing)?;
        let held = ring.find(&hash(secret)).ok_or(Denied::Unknown)?;
        let now = clock::now();
        judge(&held.key, now)?;
        held.used.fetch_max(now.0, Ordering::Relaxed);
        Ok(Access::of(Arc::clone(&held.key)))
    }

    fn may_ask(&self) -> bool {
        let mut asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN);
        if may {
            *asked = Some(Instant::now());
        }
        may
    }

    /// Whether somebody who was let in may stay.
    pub fn still(&self, access: &Access) -> Result<(), Denied> {
        let ring = self.ring();
        match access.key() {
            None if ring.held.is_empty() => Ok(()),
            None => Err(Denied::Missing),
            Some(key) => match ring.held.get(&key.id) {
                Some(held) => judge(&held.key, clock::now()),
                None => Err(Denied::Revoked),
            },
        }
    }

    /// Ends when somebody who was let in may not stay any longer: the key is revoked or expires, or the first key is
    /// made.
    pub async fn ended(&self, access: &Access) -> Denied {
        let mut changes = self.shared.ring.subscribe();
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
        let rows = api_key::Entity::find()
            .order_by_asc(api_key::Column::Id)
            .all(self.shared.database.read())
            .await?;
        let before = self.ring();
        let mut ring = Ring::default();
        for row in rows {
            let Ok(hash) = <[u8; 32]>::try_from(row.hash.as_slice()) else {
                continue;
            };
            let key = read(row)?;
            let used = before
                .held
                .get(&key.id)
                .map_or_else(Arc::default, |held| Arc::clone(&held.used));
            ring.by_start.entry(start(&hash)).or_default().push(key.id);
            ring.held.insert(
                key.id,
                Held {
                    key: Arc::new(key),
                    hash,
                    used,
                },
            );
        }
        self.shared.ring.send_if_modified(|held| {
            let modified = !held.same_keys(&ring);
            if modified {
                *held = Arc::new(ring);
            }
            modified
        });
        Ok(())
    }

    /// Writes when keys were last used, where that is news.
    pub(crate) async fn note(&self) -> Result<(), Error> {
        let ring = self.ring();
        let news: Vec<(i64, i64)> = ring
            .held
            .values()
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
