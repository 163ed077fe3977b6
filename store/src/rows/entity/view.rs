//! A row of `views`: a filter that somebody saved under a name.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "views")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) name: String,
    /// Into `api_keys`; `None`: everybody's.
    pub(crate) owner: Option<i64>,
    /// JSON.
    pub(crate) filter: String,
    /// A JSON list of texts.
    pub(crate) columns: String,
    /// `None`: no such bound.
    pub(crate) last_seconds: Option<i32>,
    /// Nanoseconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
