//! A row of `unindexed`: a call that the index of words does not know as it is, though it knows its last change.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "unindexed")]
pub(crate) struct Model {
    /// Into `calls`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) call: i64,
    /// The change after which that is so; more than any change where the index cannot hold the call.
    pub(crate) seq: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
