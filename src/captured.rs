//! Settings of what wrapper and proxy may record, examined before anything starts: with a mistake in them more would be
//! recorded than somebody meant.

use std::collections::BTreeSet;

use anyhow::Context;
use mcptap_sdk::internals::CaptureDefaults;

use crate::environment::{unknown_variables, unset_secrets};
use crate::problems::Problems;
use crate::settings::Settings;

/// The settings of the commands that watch servers, where no variable says otherwise.
#[derive(Debug)]
pub struct Captured {
    defaults: CaptureDefaults,
    ignored: Vec<String>,
}

impl Captured {
    /// Takes `body_cap` and `redact_…` of the settings file. Fails where one of them is wrong.
    pub fn of_file(file: &Settings) -> anyhow::Result<Self> {
        let own = Settings {
            body_cap: file.body_cap.clone(),
            redact_keys: file.redact_keys.clone(),
            redact_patterns: file.redact_patterns.clone(),
            redact_env: file.redact_env.clone(),
            ..Settings::default()
        };
        let body_cap = own.clone().resolve()?.body_cap;
        Ok(Self {
            defaults: CaptureDefaults {
                body_cap: own.body_cap.map(|_| body_cap),
                redact_keys: own.redact_keys.unwrap_or_default(),
                redact_patterns: own.redact_patterns.unwrap_or_default(),
                redact_env: own.redact_env.unwrap_or_default(),
            },
            ignored: Vec::new(),
        })
    }

    /// Looks at the environment too; `known`: what the command line reads from it. Fails where a variable is misspelt that
    /// was to say what is recorded.
    pub fn examine(file: &Settings, known: &BTreeSet<String>) -> anyhow::Result<Self> {
        let mut captured = Self::of_file(file)?;
        let listed = std::env::var("MCPTAP_REDACT_ENV").unwrap_or_default();
        let listed: Vec<String> = listed.split(',').map(str::to_owned).collect();
        let secrets = match listed.iter().all(|name| name.trim().is_empty()) {
            true => &captured.defaults.redact_env,
            false => &listed,
        };
        captured.ignored = unset_secrets(secrets);
        let mut problems = Problems::default();
        for unknown in unknown_variables(known) {
            match unknown.is_about_recording() {
                true => problems.add(anyhow::anyhow!("{unknown}")),
                false => captured.ignored.push(unknown.to_string()),
            }
        }
        let why = "nothing was started, because more might be recorded than is meant";
        problems.end(captured).context(why)
    }

    /// Logs what has no effect though somebody meant it.
    pub fn warn(&self) {
        for problem in &self.ignored {
            tracing::warn!("{problem}");
        }
    }

    /// The settings where no variable says otherwise.
    pub(crate) fn defaults(&self) -> &CaptureDefaults {
        &self.defaults
    }
}
