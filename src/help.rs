//! The help of commands that use a few of the server's settings. The others are taken all the same, as the file and the
//! environment have them too, but not listed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use clap::{Arg, Args, Command};
use mcptap::Settings;

/// The names of all settings.
static SETTINGS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let command = Settings::augment_args(Command::new("settings"));
    command
        .get_arguments()
        .map(|setting| setting.get_id().to_string())
        .collect()
});

/// What opens a database uses.
pub(crate) const OF_THE_DATABASE: &[&str] = &["database_url", "log"];

/// Leaves out of a command's help the settings that it does not use. What is no setting stays.
pub(crate) fn only(used: &'static [&'static str]) -> impl Fn(Arg) -> Arg {
    move |argument| {
        let id = argument.get_id().as_str();
        let unused = SETTINGS.contains(id) && !used.contains(&id);
        argument.hide(unused)
    }
}
