//! Questions in, answers out: the GraphQL API over the store
