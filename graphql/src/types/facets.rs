//! `CallFacets`: the values to offer in each filter menu.

use async_graphql::{Lookahead, Object, SimpleObject};
use mcptap_store::{FacetSet, Facets};

use crate::cost;
use crate::scalars::int;

/// A value that calls have, and how many have it.
pub(crate) struct Facet<'a>(&'a mcptap_store::Facet);

/// A value that calls have, and how many have it.
#[Object]
impl Facet<'_> {
    /// The value, as the filter takes it: an HTTP status is its digits, an outcome its name.
    async fn value(&self) -> &str {
        &self.0.value
    }

    /// How many calls have it, under the rest of the filter.
    async fn count(&self) -> i32 {
        int(self.0.count)
    }
}

/// The values in use, and how many calls have each.
pub(crate) struct CallFacets(pub(crate) Facets);

impl CallFacets {
    /// How many bytes the values have.
    pub(crate) fn bytes(&self) -> usize {
        let Facets {
            servers,
            tools,
            methods,
            http_statuses,
            outcomes,
            countries,
            clients,
            ..
        } = &self.0;
        let lists = [
            servers,
            tools,
            methods,
            http_statuses,
            outcomes,
            countries,
            clients,
        ];
        let facets = lists.into_iter().flatten();
        facets
            .map(|facet| facet.value.len() + size_of::<mcptap_store::Facet>())
            .sum()
    }
}

/// Which lists a request selects; the others are not computed.
pub(crate) fn wanted(selection: &Lookahead<'_>) -> FacetSet {
    let selected = |field| selection.field(field).exists() || selection.field("more").field(field).exists();
    FacetSet {
        servers: selected("servers"),
        tools: selected("tools"),
        methods: selected("methods"),
        http_statuses: selected("httpStatuses"),
        outcomes: selected("outcomes"),
        countries: selected("countries"),
        clients: selected("clients"),
    }
}

/// Which lists have more values than they give.
#[derive(SimpleObject)]
pub(crate) struct MoreFacets {
    /// Names of servers.
    servers: bool,
    /// Names of tools.
    tools: bool,
    /// MCP methods.
    methods: bool,
    /// HTTP statuses.
    http_statuses: bool,
    /// Outcomes.
    outcomes: bool,
    /// Countries.
    countries: bool,
    /// Names of clients.
    clients: bool,
}

fn list(facets: &[mcptap_store::Facet]) -> Vec<Facet<'_>> {
    facets.iter().map(Facet).collect()
}

/// The values to offer in each filter menu, most frequent first, then by value. Each list honours every part of the
/// filter but its own, so that choosing a server narrows the list of tools but not that of servers. Only the lists
/// that are selected are computed. A list has at most 1,000 values; `more` tells where there are more.
#[Object]
impl CallFacets {
    /// Names of servers, for `CallFilter.servers`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn servers(&self) -> Vec<Facet<'_>> {
        list(&self.0.servers)
    }

    /// Names of tools, for `CallFilter.tools`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn tools(&self) -> Vec<Facet<'_>> {
        list(&self.0.tools)
    }

    /// MCP methods, for `CallFilter.methods`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn methods(&self) -> Vec<Facet<'_>> {
        list(&self.0.methods)
    }

    /// HTTP statuses, for `CallFilter.httpStatuses`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn http_statuses(&self) -> Vec<Facet<'_>> {
        list(&self.0.http_statuses)
    }

    /// Outcomes, for `CallFilter.outcomes`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn outcomes(&self) -> Vec<Facet<'_>> {
        list(&self.0.outcomes)
    }

    /// Countries, for `CallFilter.countries`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn countries(&self) -> Vec<Facet<'_>> {
        list(&self.0.countries)
    }

    /// Names of clients, for `CallFilter.clients`.
    #[graphql(complexity = "cost::SCAN + cost::MENU * child_complexity")]
    async fn clients(&self) -> Vec<Facet<'_>> {
        list(&self.0.clients)
    }

    /// Which lists have more values than the 1,000 that they give. Ask only for those that are selected beside it.
    async fn more(&self) -> MoreFacets {
        let more = self.0.more;
        MoreFacets {
            servers: more.servers,
            tools: more.tools,
            methods: more.methods,
            http_statuses: more.http_statuses,
            outcomes: more.outcomes,
            countries: more.countries,
            clients: more.clients,
        }
    }
}
