//! `impl Store`: when senders were heard last.

use std::collections::HashMap;

use mcptap_model::UnixNanos;

use super::heartbeats::of_processes;
use crate::read::readers::Reading;
use crate::rows::hash::text_hash;
use crate::{Error, Store};

impl Store {
    /// When heartbeats of these processes, as [`Origin::process`](mcptap_model::Origin::process) names them, were received
    /// last. Processes without one are left out: those that have no call without an end, and those of senders that send none.
    pub async fn last_heard(&self, processes: &[String]) -> Result<HashMap<String, UnixNanos>, Error> {
        let tx = self.snapshot(Reading::Light).await?;
        let stored = of_processes(&*tx, processes.iter().map(|process| text_hash(process))).await?;
        tx.commit().await?;
        let noted = &self.inner.heartbeats;
        let heard = processes.iter().filter_map(|process| {
            let hash = text_hash(process);
            let at = noted.heard(hash).max(stored.get(&hash).copied())?;
            Some((process.clone(), at))
        });
        Ok(heard.collect())
    }
}
