//! A row of `api_keys`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) name: String,
    /// SHA-256 of the secret.
    pub(crate) hash: Vec<u8>,
    /// A bit for each scope.
    pub(crate) scopes: i16,
    /// A JSON list of names; `None`: all servers.
    pub(crate) servers: Option<String>,
    /// Nanoseconds since 1970, as all times here.
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
