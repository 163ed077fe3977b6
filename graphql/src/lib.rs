//! Queries in, answers out: the GraphQL API over the store.
//!
//! A request comes in through `router`: over HTTP, answered once or with `events`, or on a WebSocket (`socket`). `access` says
//! who asks and what that caller may see. `ask` reads it, `document` refuses what would be too much work before the GraphQL
//! library sees it, `weight` says what it costs, and `engine` lets in what is within `limits`, has it executed, and gives
//! the answer its `shape`; `meter` counts its bytes while it is built. `query` reads the arguments with `input`, `connection` and `cursor`, asks the
//! store once, and wraps the answer in `types`, which are newtypes over the model. Whatever an object needs
//! besides its row comes through `loaders`, once for all objects of the answer. `subscription` does the same again and
//! again, each time the store's feed moves. Errors leave through `error`, masked and with a code. The schema is
//! printed by [`sdl`] and committed as `schema.graphql`.

mod access;
mod answer;
mod ask;
mod bounds;
mod connection;
mod cost;
mod cursor;
mod document;
mod engine;
mod error;
mod events;
mod input;
mod limits;
mod loaders;
mod media;
mod meter;
mod mutation;
mod origin;
mod permits;
mod query;
mod resume;
mod router;
mod scalars;
mod shape;
mod socket;
mod subscription;
mod types;
mod weight;

use async_graphql::{ID, SDLExportOptions, SchemaBuilder};
use mcptap_store::Store;

pub use limits::{Introspection, Limits};
pub use mutation::Mutation;
pub use origin::{CrossOrigin, Origins, Page};
pub use query::Query;
pub use router::{Options, router};
pub use socket::Standing;
pub use subscription::Subscription;
pub use types::Receivers;

/// Tells readers of the schema what it is for.
const DESCRIPTION: &str = "The traffic log of MCP servers: every MCP request as its server handled it, with sessions, tools, \
                           health and statistics, searched and filtered, and live as it happens.";

/// The schema, ready to answer.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema over a store.
pub fn schema(store: Store) -> Schema {
    builder().extension(meter::Meter).data(store).finish()
}

/// The schema as text: what `schema.graphql` must be. Needs no database.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions()
        .use_space_ident();
    let sdl = builder().finish().sdl_with_options(options);
    sdl.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation, Subscription)
        .override_output_type_description::<ID>(
            "Identifies an object for good. Opaque: to be given back as it was received.",
        )
        // Objects of unions, none of which is asked for by this interface alone.
        .register_output_type::<types::Refusal>()
        .limit_directives(10)
}
