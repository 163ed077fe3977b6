//! `impl Store`: the values to offer in each filter menu.

use mcptap_model::CallFilter;

use crate::{Error, Store};

/// A value and how many calls have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The value, as the filter takes it.
    pub value: String,
    /// How many calls have it.
    pub count: u64,
}

/// Which lists of [`Facets`] are asked for; the others stay empty and cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FacetSet {
    /// Server names.
    pub servers: bool,
    /// Tool names.
    pub tools: bool,
    /// MCP methods.
    pub methods: bool,
    /// HTTP statuses.
    pub http_statuses: bool,
    /// Outcomes.
    pub outcomes: bool,
    /// Countries.
    pub countries: bool,
    /// Client names.
    pub clients: bool,
}

impl FacetSet {
    /// All seven.
    pub const ALL: Self = Self {
        servers: true,
        tools: true,
        methods: true,
        http_statuses: true,
        outcomes: true,
        countries: true,
        clients: true,
    };
}

/// The values in use and how many calls have each, most frequent first, then by value. Each list honours every part
/// of the filter but its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Server names.
    pub servers: Vec<Facet>,
    /// Tool names.
    pub tools: Vec<Facet>,
    /// MCP methods.
    pub methods: Vec<Facet>,
    /// HTTP statuses.
    pub http_statuses: Vec<Facet>,
    /// Outcomes, by the contract's names.
    pub outcomes: Vec<Facet>,
    /// Countries.
    pub countries: Vec<Facet>,
    /// Client names.
    pub clients: Vec<Facet>,
}

impl Store {
    /// The menus' values under a filter. Only what `wanted` names is computed.
    pub async fn facets(&self, _filter: &CallFilter, _wanted: FacetSet) -> Result<Facets, Error> {
        Err(Error::Unsupported)
    }
}
