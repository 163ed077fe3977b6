//! A row of `sessions`: a session together with a wire id.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) hash: Vec<u8>,
    /// Into `names`.
    pub(crate) server: i64,
    pub(crate) source: Option<i16>,
    pub(crate) key: Option<String>,
    pub(crate) key_hash: Option<i64>,
    pub(crate) wire: Option<String>,
    pub(crate) wire_hash: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
