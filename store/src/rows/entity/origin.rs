//! A row of `origins`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "origins")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) service: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) scope: String,
    pub(crate) scope_version: Option<String>,
    /// A JSON object.
    pub(crate) resource: Vec<u8>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
