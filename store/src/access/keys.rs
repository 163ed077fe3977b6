//! `impl Store`: keys are made, listed and revoked.

use mcptap_model::{ApiKey, NewKey, Scope, UnixNanos, cut_name};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait,
    FromQueryResult, QueryFilter, QueryOrder, QueryResult, QueryTrait, Statement,
};

use crate::access::audit::{Actor, authorize, note};
use crate::access::secret::{Secret, hash};
use crate::db::database::Database;
use crate::db::schema::Upkeep;
use crate::rows::entity::api_key;
use crate::{Error, Gate, Store, clock};

/// A row of `api_keys` that cannot be understood. It is not accepted, and it keeps the gate shut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedKey {
    /// Its number; 0 where even that cannot be read.
    pub id: i64,
    /// The damage.
    pub what: &'static str,
}

impl From<DamagedKey> for Error {
    fn from(DamagedKey { id, what }: DamagedKey) -> Self {
        Self::Damaged {
            table: "api_keys",
            row: id,
            what,
        }
    }
}

/// A key that was revoked.
#[derive(Clone, Debug, PartialEq)]
pub enum RevokedKey {
    /// The key, as it is now.
    Readable(ApiKey),
    /// It is revoked as well; the rest of its row cannot be understood.
    Damaged(DamagedKey),
}

/// A row of `api_keys` as it was read.
#[derive(Clone, Debug)]
pub(crate) enum KeyRow {
    /// A key and the hash of its secret.
    Readable(ApiKey, [u8; 32]),
    /// One that is not accepted, and keeps the gate shut.
    Damaged(DamagedKey),
    /// The same, and revoked: there is nothing to report.
    DamagedAndRevoked,
}

/// Whether keys exist in a database that is not open, and perhaps not made yet. Changes nothing. A row that cannot be
/// understood is a key here. A server that is not there is waited for as at a start, which asks this first.
pub async fn has_keys(url: &str) -> Result<bool, Error> {
    let Some(database) = Database::look(url, Upkeep::Migrate.patience()).await? else {
        return Ok(false);
    };
    let any = any_row(&database).await;
    database.close().await?;
    any
}

async fn any_row(db: &DatabaseConnection) -> Result<bool, Error> {
    let table = match db.get_database_backend() {
        DbBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'api_keys'",
        _ => "SELECT 1 WHERE to_regclass('api_keys') IS NOT NULL",
    };
    let exists = async |text: &str| {
        let statement = Statement::from_string(db.get_database_backend(), text);
        Ok::<bool, Error>(db.query_one_raw(statement).await?.is_some())
    };
    // A table that is not there yet holds none.
    Ok(exists(table).await? && exists("SELECT 1 FROM api_keys LIMIT 1").await?)
}

impl Store {
    /// Tells who may do what.
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Makes a key, which must be [checked](NewKey::checked). Its secret is told this once and never again.
    ///
    /// # Errors
    /// [`Error::Denied`]: of [`Actor::Anybody`], where a key exists by now. This holds between processes too.
    pub async fn create_key(&self, new: NewKey, by: Actor) -> Result<(ApiKey, Secret), Error> {
        let secret = Secret::new().map_err(|error| Error::Randomness(error.to_string()))?;
        let servers = (!new.servers.is_empty()).then(|| serde_json::json!(new.servers).to_string());
        let row = api_key::ActiveModel {
            id: NotSet,
            name: Set(new.name),
            hash: Set(hash(secret.reveal()).to_vec()),
            scopes: Set(Scope::bits(&new.scopes)),
            servers: Set(servers),
            created_at: Set(clock::now().0),
            expires_at: Set(new.expires_at.map(|end| end.0)),
            last_used_at: Set(None),
            revoked_at: Set(None),
        };
        let database = &self.inner.database;
        let making = async {
            let tx = database.change().await?;
            authorize(&tx, by).await?;
            let key = read(row.insert(&tx).await?)?;
            note(&tx, by, "createApiKey", about(&key)).await?;
            tx.commit().await?;
            Ok(key)
        };
        let key = database.step("keys", making).await?;
        self.inner.gate.refresh_or_warn().await;
        Ok((key, secret))
    }

    /// Revokes a key, from now on and wherever it is in use. Revoking it again changes nothing. `None`: there is no
    /// such key.
    pub async fn revoke_key(&self, id: i64, by: Actor) -> Result<Option<RevokedKey>, Error> {
        let revoking = self.mark_revoked(id, by);
        let key = self.inner.database.step("keys", revoking).await?;
        self.inner.gate.refresh_or_warn().await;
        Ok(key)
    }

    async fn mark_revoked(&self, id: i64, by: Actor) -> Result<Option<RevokedKey>, Error> {
        let tx = self.inner.database.change().await?;
        authorize(&tx, by).await?;
        let revoked = api_key::Entity::update_many()
            .col_expr(api_key::Column::RevokedAt, Expr::value(clock::now().0))
            .filter(api_key::Column::Id.eq(id))
            .filter(api_key::Column::RevokedAt.is_null())
            .exec(&tx)
            .await?;
        let row = tx.query_one(api_key::Entity::find_by_id(id).as_query()).await?;
        let key = row.map(|row| match model(&row).and_then(understood) {
            Ok((key, _)) => RevokedKey::Readable(key),
            Err(damaged) => RevokedKey::Damaged(damaged),
        });
        if let Some(key) = &key
            && revoked.rows_affected > 0
        {
            let target = match key {
                RevokedKey::Readable(key) => about(key),
                RevokedKey::Damaged(_) => format!("key {id}"),
            };
            note(&tx, by, "revokeApiKey", target).await?;
        }
        tx.commit().await?;
        Ok(key)
    }

    /// All keys, also those that are over, oldest first. Rows that cannot be understood are left out.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows = self.key_rows().await?;
        let readable = |row| match row {
            KeyRow::Readable(key, _) => Some(key),
            KeyRow::Damaged(_) | KeyRow::DamagedAndRevoked => None,
        };
        Ok(rows.into_iter().filter_map(readable).collect())
    }

    async fn key_rows(&self) -> Result<Vec<KeyRow>, Error> {
        let database = &self.inner.database;
        database.step("keys", rows(database.maintenance())).await
    }

    /// The rows of keys that cannot be understood, but for those that are revoked: nothing is left to be done about them.
    pub async fn damaged_keys(&self) -> Result<Vec<DamagedKey>, Error> {
        let rows = self.key_rows().await?;
        let damaged = |row| match row {
            KeyRow::Readable(..) | KeyRow::DamagedAndRevoked => None,
            KeyRow::Damaged(damaged) => Some(damaged),
        };
        Ok(rows.into_iter().filter_map(damaged).collect())
    }
}

/// All rows of `api_keys`, by number. One that cannot be understood does not keep the others from being read.
pub(crate) async fn rows(db: &DatabaseConnection) -> Result<Vec<KeyRow>, Error> {
    let select = api_key::Entity::find().order_by_asc(api_key::Column::Id);
    let rows = db.query_all(select.as_query()).await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| {
            let revoked = row.try_get::<Option<i64>>("", "revoked_at");
            let revoked = revoked.is_ok_and(|at| at.is_some());
            match model(&row).and_then(understood) {
                Ok((key, hash)) => KeyRow::Readable(key, hash),
                Err(_) if revoked => KeyRow::DamagedAndRevoked,
                Err(damaged) => KeyRow::Damaged(damaged),
            }
        })
        .collect())
}

/// The columns of a row: SQLite keeps whatever was put into them.
fn model(row: &QueryResult) -> Result<api_key::Model, DamagedKey> {
    api_key::Model::from_query_result(row, "").map_err(|_| DamagedKey {
        id: row.try_get("", "id").unwrap_or_default(),
        what: "a column is of another type",
    })
}

fn understood(row: api_key::Model) -> Result<(ApiKey, [u8; 32]), DamagedKey> {
    let id = row.id;
    let hash = <[u8; 32]>::try_from(row.hash.as_slice()).map_err(|_| DamagedKey {
        id,
        what: "the hash has not 32 bytes",
    })?;
    Ok((read(row)?, hash))
}

/// A name in quotes. Characters that cannot be seen stay what they are: how they are drawn is up to whoever shows it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""))
}

/// A key as the audit names it.
fn about(key: &ApiKey) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    format!("key {} {} ({})", key.id, quoted(&key.name), scopes.join(", "))
}

/// A row as a key. Whatever is wrong with it must not give more than the key was to give.
fn read(row: api_key::Model) -> Result<ApiKey, DamagedKey> {
    let damaged = |what| DamagedKey { id: row.id, what };
    let mut servers: Vec<String> = match &row.servers {
        None => Vec::new(),
        Some(json) => serde_json::from_str(json).map_err(|_| damaged("servers are no list of names"))?,
    };
    // Keys of older versions have names of any length.
    for server in &mut servers {
        cut_name(server);
    }
    if row.servers.is_some() && servers.is_empty() {
        return Err(damaged("servers are an empty list"));
    }
    let scopes = Scope::from_bits(row.scopes);
    if Scope::bits(&scopes) != row.scopes {
        return Err(damaged("scopes are not known to this version"));
    }
    Ok(ApiKey {
        id: row.id,
        name: row.name,
        scopes,
        servers,
        created_at: UnixNanos(row.created_at),
        expires_at: row.expires_at.map(UnixNanos),
        last_used_at: row.last_used_at.map(UnixNanos),
        revoked_at: row.revoked_at.map(UnixNanos),
    })
}
