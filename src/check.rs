//! The examination of everything that was set, which `serve` and `config check` both go through: the file, the
//! environment, flags, and what they name on this machine. The one starts only when nothing is wrong, and warns of what it
//! ignores; the other refuses both.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, ensure};

use crate::config::Config;
use crate::environment::{proxy_settings, unknown_variables, unset_secrets};
use crate::file::SettingsFile;
use crate::listen::{DESCRIPTORS, open_files};
use crate::problems::Problems;
use crate::proxy::ProxySettings;
use crate::settings::Settings;
use crate::values;

/// The result of the examination.
#[derive(Debug)]
pub struct Examined {
    config: Config,
    /// Reasons not to start.
    wrong: Problems,
    /// What has no effect though somebody meant it, or concerns the wrapper and the proxy alone.
    ignored: Problems,
}

impl Examined {
    /// Examines everything. `file` lies under `flags`, and `known` is what the command line reads from the environment.
    pub async fn new(flags: Settings, file: SettingsFile, known: &BTreeSet<String>) -> Self {
        let SettingsFile {
            settings,
            problems: mut wrong,
        } = file;
        let settings = flags.over(settings);
        let mut ignored = Problems::default();
        blank_entries(&settings, &mut ignored);
        let secrets = unset_secrets(settings.redact_env.as_deref().unwrap_or_default());
        let unknown = unknown_variables(known).into_iter();
        for problem in secrets.into_iter().chain(unknown.map(|name| name.to_string())) {
            ignored.add(anyhow::Error::msg(problem));
        }
        let url = settings.database_url.clone();
        let table = settings.proxy.clone().unwrap_or_default();
        let config = settings.settle(&mut wrong);
        // The same value may be wrong for more than one reader.
        let elsewhere = of_proxy_and_wrapper(table);
        ignored.add_new(elsewhere, &wrong);
        if let Some(path) = &config.geoip_file {
            wrong.or(values::countries(path), ());
        }
        for (setting, address) in config.addresses() {
            wrong.or(is_here(setting, address), ());
        }
        wrong.or(connections(&config), ());
        let understood = url.is_none_or(|url| values::database_url(&url).is_ok());
        let usable = understood && {
            let looked = mcptap_store::examine(&config.database_url).await;
            let looked = looked.context("database_url");
            let usable = looked.is_ok();
            wrong.or(looked, ());
            usable
        };
        // Where there is no database there are no keys.
        wrong.or(
            match usable {
                true => config.check_exposure().await,
                false => config.without_keys(),
            },
            (),
        );
        Self {
            config,
            wrong,
            ignored,
        }
    }

    /// The settings, and warnings of those without effect. Fails where the server cannot start so.
    pub fn usable(self) -> anyhow::Result<(Config, Vec<String>)> {
        if self.wrong.is_empty() {
            return Ok((self.config, self.ignored.texts()));
        }
        self.good().map(|config| (config, Vec::new()))
    }

    /// The settings, if nothing at all is wrong.
    pub fn good(self) -> anyhow::Result<Config> {
        let mut all = self.wrong;
        all.extend(self.ignored);
        all.end(self.config)
    }
}

/// Entries of lists that say nothing.
fn blank_entries(settings: &Settings, problems: &mut Problems) {
    for (name, list) in [
        ("allowed_origins", &settings.allowed_origins),
        ("allowed_hosts", &settings.allowed_hosts),
        ("redact_keys", &settings.redact_keys),
        ("redact_patterns", &settings.redact_patterns),
        ("redact_env", &settings.redact_env),
    ] {
        let list = list.as_deref().unwrap_or_default();
        let variable = format!("MCPTAP_{}", name.to_ascii_uppercase());
        // A variable that is set to nothing counts as unset.
        if list == [""] && std::env::var_os(variable).is_some_and(|value| value.is_empty()) {
            continue;
        }
        let said = match list {
            // The end of the last line is no entry.
            [before @ .., last] if last.trim().is_empty() && !before.is_empty() => before,
            all => all,
        };
        problems.unless(said.iter().all(|entry| !entry.trim().is_empty()), || {
            format!("{name} has an empty entry, which is ignored; leave it out")
        });
    }
}

/// Errors in the settings of the proxy and the wrapper, in the file and in the environment. Their flags are not known here,
/// so nothing has to be given.
fn of_proxy_and_wrapper(table: ProxySettings) -> Problems {
    let mut problems = Problems::default();
    let proxy = proxy_settings().and_then(|given| given.over(table).check());
    problems.or(proxy.context("in the settings of the proxy"), ());
    for error in mcptap_sdk::internals::check_env() {
        let error = anyhow::Error::new(error);
        problems.add(error.context("in the settings of wrapper and proxy"));
    }
    problems
}

/// An address that this machine has. Whether the port is free is not looked at: a server may be running.
fn is_here(setting: &str, address: SocketAddr) -> anyhow::Result<()> {
    let tried = TcpListener::bind(SocketAddr::new(address.ip(), 0)).map(drop);
    tried.with_context(|| {
        format!("{setting} is {address}, which this machine cannot listen at; give an address that it has")
    })
}

/// Connections that are allowed and cannot be had.
fn connections(config: &Config) -> anyhow::Result<()> {
    let (Some(count), Some(files)) = (config.max_connections, open_files()) else {
        return Ok(());
    };
    let needed = (count as u64).saturating_mul(3).saturating_add(DESCRIPTORS);
    ensure!(
        needed <= files,
        "max_connections is {count} for each of three ports, which takes {needed} open files, and the system lets this \
         process have {files}: raise its limit (ulimit -n), or allow fewer"
    );
    Ok(())
}
