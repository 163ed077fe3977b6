//! A row of `clients`: who called, and how.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "clients")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) protocol_version: Option<String>,
    pub(crate) transport: Option<i16>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
