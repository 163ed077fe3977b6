//! A row of `audit`: something that was done with the rights of an administrator.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    /// Nanoseconds since 1970.
    pub(crate) at: i64,
    /// Into `api_keys`; `None`: nobody had a key yet, or the command line.
    pub(crate) key: Option<i64>,
    pub(crate) what: String,
    pub(crate) subject: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
