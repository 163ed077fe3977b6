//! Something to see: a small shop's MCP server, instrumented, and clients of both eras that keep calling it.
//!
//! Everything is real but the shop: HTTP on a free loopback port, spans and logs by OTLP to the endpoint
//! given. The telemetry of the shop is its own and passed by hand; nothing global is set, since the process
//! is a collector too.

mod client;
mod server;

use anyhow::Context;
use mcptap::Settings;
use mcptap_model::{Access, NewKey, Scope};
use mcptap_sdk::{Telemetry, Watch};
use mcptap_store::{Actor, Store};
use tokio_util::sync::CancellationToken;

use client::Era;

/// The server's name, as it appears in mcptap.
const NAME: &str = "demo-orders";

/// Where its calls are kept unless something else is said: not among those of a real server.
pub(crate) const DATABASE: &str = "sqlite://mcptap-demo.db?mode=rwc";

/// The defaults that are its own.
pub(crate) fn settings() -> Settings {
    Settings {
        database_url: Some(DATABASE.to_owned()),
        ..Settings::default()
    }
}

/// Runs the demo until `shutdown`. `otlp_http_endpoint` is the base URL of a collector over `store`
/// (`http://127.0.0.1:4318`), which need not be up yet. From the first API key on, the shop sends with a key of its own.
///
/// # Errors
/// No loopback port is free, the endpoint is no URL, or the database fails. Failed calls are part of the show and only
/// logged.
pub(crate) async fn run(
    store: &Store,
    otlp_http_endpoint: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let nobody = Access::everything();
    if store.gate().still(&nobody).is_ok() {
        let open = shutdown.child_token();
        let mut showing = std::pin::pin!(show(otlp_http_endpoint, None, open.clone()));
        tokio::select! {
            shown = &mut showing => return shown,
            _ = store.gate().ended(&nobody) => open.cancel(),
        }
        showing.await?;
    }
    if shutdown.is_cancelled() {
        return Ok(());
    }
    let new = NewKey {
        name: "the demo".to_owned(),
        scopes: vec![Scope::Ingest],
        servers: vec![NAME.to_owned()],
        expires_at: None,
    };
    let (key, secret) = store.create_key(new, Actor::CommandLine).await?;
    let shown = show(otlp_http_endpoint, Some(secret.reveal()), shutdown).await;
    store.revoke_key(key.id, Actor::CommandLine).await?;
    shown
}

async fn show(
    otlp_http_endpoint: &str,
    api_key: Option<&str>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // In memory: the collector is this very process, so that nothing could be delivered later.
    let mut telemetry = Telemetry::builder(NAME)
        .service_name_is_default(false)
        .endpoint(otlp_http_endpoint)
        .in_memory();
    if let Some(secret) = api_key {
        telemetry = telemetry.api_key(secret);
    }
    let telemetry = telemetry.start().context("setting up the demo's telemetry")?;
    let shop = server::Shop::new(telemetry.logger_provider());
    let watch = Watch::with(&telemetry);
    let url = server::serve(shop, watch, shutdown.clone()).await?;
    tracing::info!(%url, "the demo's server is up");
    tokio::join!(
        client::keep_calling(&url, Era::Sessions, shutdown.clone()),
        client::keep_calling(&url, Era::Stateless, shutdown.clone()),
    );
    tokio::task::spawn_blocking(move || {
        if let Err(error) = telemetry.shutdown() {
            tracing::debug!(%error, "the demo's last telemetry was not taken");
        }
    })
    .await
    .context("ending the demo's telemetry")
}

/// Chance, good enough for a demo: a splitmix64 that starts from a hash of nothing, which is random per
/// process.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(()))
    }

    /// A number from 0 to `below` - 1; 0 when `below` is 0.
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(below).unwrap_or(0)
    }

    /// One of `choices`.
    fn pick<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        let at = usize::try_from(self.roll(choices.len() as u64)).unwrap_or(0);
        choices.get(at).copied().unwrap_or(otherwise)
    }
}
