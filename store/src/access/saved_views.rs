//! `impl Store`: filters that people save under a name.

use mcptap_model::UnixNanos;
use sea_orm::ActiveValue::{NotSet, Set, Unchanged};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::access::audit::{Actor, authorize, note};
use crate::rows::entity::view;
use crate::{Error, Store, clock};

/// How many views one owner may have, and how many are shared by all.
const MOST: u64 = 200;

/// A filter under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its number.
    pub id: i64,
    /// The key of its owner; `None`: it is everybody's.
    pub owner: Option<i64>,
    /// What was saved.
    pub content: ViewContent,
    /// When it was saved first.
    pub created_at: UnixNanos,
    /// When it was changed last.
    pub updated_at: UnixNanos,
}

/// What is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewContent {
    /// What it is called.
    pub name: String,
    /// The filter, as JSON.
    pub filter: String,
    /// The columns to show.
    pub columns: Vec<String>,
    /// Besides, only calls that began in the last so many seconds, whenever it is opened.
    pub last_seconds: Option<i32>,
}

/// Whose views one may see and change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Of all.
    All,
    /// One's own to change; besides, those that are everybody's to see.
    Own(i64),
    /// One's own alone: the filters of others may name servers that a key bound to servers is not to know of.
    Bound(i64),
}

impl Store {
    /// Views, by name. There are at most a few hundred for each owner; more than 1,000 are not given, nor are those that
    /// cannot be read.
    pub async fn views(&self, reach: Reach) -> Result<Vec<View>, Error> {
        let mut select = view::Entity::find()
            .order_by_asc(view::Column::Name)
            .order_by_asc(view::Column::Id)
            .limit(1_000);
        select = match reach {
            Reach::All => select,
            Reach::Own(owner) => {
                select.filter(view::Column::Owner.is_null().or(view::Column::Owner.eq(owner)))
            }
            Reach::Bound(owner) => select.filter(view::Column::Owner.eq(owner)),
        };
        let rows = select.all(self.inner.database.read()).await?;
        let readable = |row| {
            read(row)
                .inspect_err(|error| self.inner.counters.damaged(error))
                .ok()
        };
        Ok(rows.into_iter().filter_map(readable).collect())
    }

    /// Saves a view. `None`: its owner has as many as may be (200).
    pub async fn save_view(
        &self,
        owner: Option<i64>,
        content: ViewContent,
        by: Actor,
    ) -> Result<Option<View>, Error> {
        let saving = self.insert(owner, content, by);
        self.inner.database.step("views", saving).await
    }

    async fn insert(
        &self,
        owner: Option<i64>,
        content: ViewContent,
        by: Actor,
    ) -> Result<Option<View>, Error> {
        let tx = self.inner.database.change().await?;
        authorize(&tx, by).await?;
        let now = clock::now().0;
        let row = view::ActiveModel {
            id: NotSet,
            name: Set(content.name),
            owner: Set(owner),
            filter: Set(content.filter),
            columns: Set(serde_json::json!(content.columns).to_string()),
            last_seconds: Set(content.last_seconds),
            created_at: Set(now),
            updated_at: Set(now),
        };
        let view = read(row.insert(&tx).await?)?;
        let others = view::Entity::find().filter(match owner {
            Some(owner) => view::Column::Owner.eq(owner),
            None => view::Column::Owner.is_null(),
        });
        if others.count(&tx).await? > MOST {
            tx.rollback().await?;
            return Ok(None);
        }
        note(&tx, by, "saveView", about(view.id)).await?;
        tx.commit().await?;
        Ok(Some(view))
    }

    /// Changes a view. `None`: there is none of that number within reach.
    pub async fn update_view(
        &self,
        id: i64,
        content: ViewContent,
        reach: Reach,
        by: Actor,
    ) -> Result<Option<View>, Error> {
        let updating = self.overwrite(id, content, reach, by);
        self.inner.database.step("views", updating).await
    }

    async fn overwrite(
        &self,
        id: i64,
        content: ViewContent,
        reach: Reach,
        by: Actor,
    ) -> Result<Option<View>, Error> {
        let Some(before) = self.changeable(id, reach).await? else {
            return Ok(None);
        };
        let tx = self.inner.database.change().await?;
        authorize(&tx, by).await?;
        let row = view::ActiveModel {
            id: Unchanged(id),
            name: Set(content.name),
            owner: Unchanged(before.owner),
            filter: Set(content.filter),
            columns: Set(serde_json::json!(content.columns).to_string()),
            last_seconds: Set(content.last_seconds),
            created_at: Unchanged(before.created_at),
            updated_at: Set(clock::now().0),
        };
        let view = match row.update(&tx).await {
            Ok(row) => read(row)?,
            // Deleted a moment ago.
            Err(sea_orm::DbErr::RecordNotUpdated) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        note(&tx, by, "updateView", about(view.id)).await?;
        tx.commit().await?;
        Ok(Some(view))
    }

    /// Deletes a view. Whether there was one of that number within reach.
    pub async fn delete_view(&self, id: i64, reach: Reach, by: Actor) -> Result<bool, Error> {
        self.inner
            .database
            .step("views", self.remove(id, reach, by))
            .await
    }

    async fn remove(&self, id: i64, reach: Reach, by: Actor) -> Result<bool, Error> {
        let Some(before) = self.changeable(id, reach).await? else {
            return Ok(false);
        };
        let tx = self.inner.database.change().await?;
        authorize(&tx, by).await?;
        let deleted = view::Entity::delete_by_id(id).exec(&tx).await?.rows_affected > 0;
        if deleted {
            note(&tx, by, "deleteView", about(before.id)).await?;
        }
        tx.commit().await?;
        Ok(deleted)
    }

    async fn changeable(&self, id: i64, reach: Reach) -> Result<Option<view::Model>, Error> {
        let row = view::Entity::find_by_id(id)
            .one(self.inner.database.read())
            .await?;
        Ok(row.filter(|row| match reach {
            Reach::All => true,
            Reach::Own(owner) | Reach::Bound(owner) => row.owner == Some(owner),
        }))
    }
}

/// A view as the audit names it. Not its filter, which may hold what is to be forgotten one day.
fn about(view: i64) -> String {
    format!("view {view}")
}

fn read(row: view::Model) -> Result<View, Error> {
    let columns = serde_json::from_str(&row.columns).map_err(|_| Error::Damaged {
        table: "views",
        row: row.id,
        what: "columns are no list of names",
    })?;
    Ok(View {
        id: row.id,
        owner: row.owner,
        content: ViewContent {
            name: row.name,
            filter: row.filter,
            columns,
            last_seconds: row.last_seconds,
        },
        created_at: UnixNanos(row.created_at),
        updated_at: UnixNanos(row.updated_at),
    })
}
