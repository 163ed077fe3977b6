//! `impl Store`: keys are made, listed and revoked.

use mcptap_model::{ApiKey, NewKey, Scope, UnixNanos};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::audit::{Actor, note};
use crate::database::Database;
use crate::entity::api_key;
use crate::secret::{Secret, hash};
use crate::{Error, Gate, Store, clock};

/// Whether keys exist in a database that is not open, and perhaps not made yet. Changes nothing.
pub async fn has_keys(url: &str) -> Result<bool, Error> {
    let Some(database) = Database::look(url).await? else {
        return Ok(false);
    };
    let any = api_key::Entity::find().one(database.read()).await;
    database.close().await;
    // A table that is not there yet holds none.
    Ok(matches!(any, Ok(Some(_))))
}

impl Store {
    /// Tells who may do what.
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Makes a key, which must be [checked](NewKey::checked). Its secret is told this once and never again.
    pub async fn create_key(&self, new: NewKey, by: Actor) -> Result<(ApiKey, Secret), Error> {
        let secret = Secret::new().map_err(|error| Error::Randomness(error.to_string()))?;
        let servers = (!new.servers.is_empty()).then(|| serde_json::json!(new.servers).to_string());
        let tx = self.inner.database.change().await?;
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
        let key = read(row.insert(&tx).await?)?;
        note(&tx, by, "createApiKey", about(&key)).await?;
        tx.commit().await?;
        self.inner.gate.refresh().await?;
        Ok((key, secret))
    }

    /// Revokes a key, from now on and wherever it is in use. Revoking it again changes nothing. `None`: there is no
    /// such key.
    pub async fn revoke_key(&self, id: i64, by: Actor) -> Result<Option<ApiKey>, Error> {
        let tx = self.inner.database.change().await?;
        let revoked = api_key::Entity::update_many()
            .col_expr(api_key::Column::RevokedAt, Expr::value(clock::now().0))
            .filter(api_key::Column::Id.eq(id))
            .filter(api_key::Column::RevokedAt.is_null())
            .exec(&tx)
            .await?;
        let key = api_key::Entity::find_by_id(id)
            .one(&tx)
            .await?
            .map(read)
            .transpose()?;
        if let Some(key) = &key
            && revoked.rows_affected > 0
        {
            note(&tx, by, "revokeApiKey", about(key)).await?;
        }
        tx.commit().await?;
        self.inner.gate.refresh().await?;
        Ok(key)
    }

    /// All keys, also those that are over, oldest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows = api_key::Entity::find()
            .order_by_asc(api_key::Column::Id)
            .all(self.inner.database.read())
            .await?;
        rows.into_iter().map(read).collect()
    }
}

/// A key as the audit names it.
fn about(key: &ApiKey) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    format!("key {} {:?} ({})", key.id, key.name, scopes.join(", "))
}

/// A row as a key.
pub(crate) fn read(row: api_key::Model) -> Result<ApiKey, Error> {
    let servers = match &row.servers {
        None => Vec::new(),
        // A key whose servers cannot be read must not reach all of them.
        Some(json) => serde_json::from_str(json).map_err(|_| Error::Damaged {
            table: "api_keys",
            row: row.id,
            what: "servers are no list of names",
        })?,
    };
    Ok(ApiKey {
        id: row.id,
        name: row.name,
        scopes: Scope::from_bits(row.scopes),
        servers,
        created_at: UnixNanos(row.created_at),
        expires_at: row.expires_at.map(UnixNanos),
        last_used_at: row.last_used_at.map(UnixNanos),
        revoked_at: row.revoked_at.map(UnixNanos),
    })
}
