//! How lists of tools and servers are sorted.

use async_graphql::{Enum, InputObject};
use mcptap_store::{Figure, Ranking};

/// The fields that tools and servers are sorted by. Figures are those of `CallStats`, over the calls of the list's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum AggregateOrderField {
    /// How many calls.
    CallCount,
    /// How many of them are errors.
    ErrorCount,
    /// The share of errors that is certain: the lower bound of Wilson's interval for 95 %. One failure of one call stands
    /// below forty of fifty.
    ErrorRate,
    /// The median duration.
    #[graphql(name = "P50")]
    P50,
    /// The duration that 95 % of the calls do not exceed.
    #[graphql(name = "P95")]
    P95,
    /// The duration that 99 % of the calls do not exceed.
    #[graphql(name = "P99")]
    P99,
    /// The name, then that of the server.
    Key,
}

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub(crate) enum OrderDirection {
    /// The least first.
    Asc,
    /// The greatest first.
    #[default]
    Desc,
}

/// How tools and servers are sorted. Where the figure is the same, they stand by name, from A on; what has no figure (no
/// call with an end) stands last. Figures change while calls come in, and pages are of the moment in which they are asked
/// for: something whose figure passes that of the cursor meanwhile is on two pages, or on none.
#[derive(Clone, Copy, Debug, InputObject)]
pub(crate) struct AggregateOrder {
    /// The field that decides.
    pub(crate) field: AggregateOrderField,
    /// Which end comes first.
    #[graphql(default)]
    pub(crate) direction: OrderDirection,
}

/// The same, as the store has it.
pub(crate) enum Sorted {
    /// By name; whether from the last on.
    ByName(bool),
    /// By a figure.
    Ranked(Ranking),
}

impl AggregateOrder {
    /// By name where nothing is said.
    pub(crate) fn sorted(order: Option<Self>) -> Sorted {
        let Some(Self { field, direction }) = order else {
            return Sorted::ByName(false);
        };
        let descending = direction == OrderDirection::Desc;
        let by = match field {
            AggregateOrderField::CallCount => Figure::Calls,
            AggregateOrderField::ErrorCount => Figure::Errors,
            AggregateOrderField::ErrorRate => Figure::ErrorRate,
            AggregateOrderField::P50 => Figure::P50,
            AggregateOrderField::P95 => Figure::P95,
            AggregateOrderField::P99 => Figure::P99,
            AggregateOrderField::Key => return Sorted::ByName(descending),
        };
        Sorted::Ranked(Ranking { by, descending })
    }
}
