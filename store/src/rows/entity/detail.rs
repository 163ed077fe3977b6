//! A row of `details`: what lists leave out.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "details")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) call: i64,
    pub(crate) request: Option<Vec<u8>>,
    /// Size before any cap.
    pub(crate) request_bytes: Option<i64>,
    pub(crate) response: Option<Vec<u8>>,
    /// Size before any cap.
    pub(crate) response_bytes: Option<i64>,
    pub(crate) stack_trace: Option<Vec<u8>>,
    /// A JSON object.
    pub(crate) attributes: Option<Vec<u8>>,
    /// See `body`.
    pub(crate) flags: i16,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
