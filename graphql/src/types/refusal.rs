//! Failures of mutations that are to be expected, as data.

use async_graphql::{Interface, SimpleObject};

/// Why a mutation did nothing.
#[derive(Interface)]
#[graphql(
    name = "Refusal",
    field(
        name = "message",
        ty = "&String",
        desc = "What is wrong and what would be right, for people."
    )
)]
pub(crate) enum Refusal {
    /// The input cannot be.
    InvalidInput(InvalidInput),
    /// There is no such thing.
    NotFound(NotFound),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// Something in the input cannot be.
#[derive(SimpleObject)]
pub(crate) struct InvalidInput {
    /// What is wrong and what would be right, for people.
    pub(crate) message: String,
    /// The field of the input that is wrong.
    pub(crate) field: String,
}

/// There is nothing with this `id`, or nothing that the caller may change.
#[derive(SimpleObject)]
pub(crate) struct NotFound {
    /// What was not found, for people.
    pub(crate) message: String,
}

/// The caller may not do this: it takes a key with another scope.
#[derive(SimpleObject)]
pub(crate) struct Forbidden {
    /// What it takes, for people.
    pub(crate) message: String,
}
