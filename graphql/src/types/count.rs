//! `Count`: a number, and how far it can be relied on.

use async_graphql::{Enum, Object};

use crate::scalars::int;

/// A count that may have stopped early.
pub(crate) struct Count(pub(crate) mcptap_model::Count);

/// How a count relates to the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum CountRelation {
    /// There are exactly this many.
    Exact,
    /// There are this many or more: counting stopped there.
    AtLeast,
}

/// A number, and how far it can be relied on.
#[Object]
impl Count {
    /// The number.
    async fn value(&self) -> i32 {
        int(self.0.value)
    }

    /// Whether that is all of them.
    async fn relation(&self) -> CountRelation {
        if self.0.exact {
            CountRelation::Exact
        } else {
            CountRelation::AtLeast
        }
    }
}
