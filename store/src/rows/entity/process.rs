//! A row of `processes`: when a process that announces running calls was last heard of.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "processes")]
pub(crate) struct Model {
    /// The hash of what names the process.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    /// Nanoseconds since 1970.
    pub(crate) heard_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
