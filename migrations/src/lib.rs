//! The history of mcptap's tables, each step frozen. A step names its tables itself and uses nothing of ours, so
//! that it does tomorrow what it did today.

mod m20261122_000001_calls;
mod m20261124_000002_identity;
mod m20261124_000002_keys;
mod m20261124_000003_search;
mod m20261124_000004_views;
mod m20261128_000005_large_traces;
mod m20261128_000006_times;
mod m20261128_000007_tools;
mod m20261128_000008_sources;
mod m20261128_000009_running;
mod m20261129_000010_traces;
mod m20261129_000011_lineage;
mod m20261129_000012_arrivals;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

/// All steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_calls::Migration),
            Box::new(m20261124_000002_keys::Migration),
            Box::new(m20261124_000002_identity::Migration),
            Box::new(m20261124_000003_search::Migration),
            Box::new(m20261124_000004_views::Migration),
            Box::new(m20261128_000005_large_traces::Migration),
            Box::new(m20261128_000006_times::Migration),
            Box::new(m20261128_000007_tools::Migration),
            Box::new(m20261128_000008_sources::Migration),
            Box::new(m20261128_000009_running::Migration),
            Box::new(m20261129_000010_traces::Migration),
            Box::new(m20261129_000011_lineage::Migration),
            Box::new(m20261129_000012_arrivals::Migration),
        ]
    }
}
