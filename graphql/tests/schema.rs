//! `schema.graphql` is what the code says.

#[test]
fn schema_graphql_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema.graphql");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == mcptap_graphql::sdl(),
        "schema.graphql is stale. Renew it with: cargo run -- schema > schema.graphql"
    );
}
