//! `mcptap wrap --install` and `--uninstall`: a client's configuration on disk is changed by [`edit`](super::edit),
//! shown, kept in a copy, and replaced in one step.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::edit;

/// What the names of copies end with; a number follows when there is one already.
const BACKUP: &str = "mcptap-backup";
/// How many copies may stand beside a file.
const MOST_BACKUPS: usize = 1000;
/// Unchanged lines shown around a change.
const AROUND: usize = 3;
/// How large a client's configuration may be, in bytes.
const MOST: u64 = 16 << 20;

/// How the client is to start mcptap.
#[derive(Clone, Debug)]
pub(crate) struct Wrapper {
    /// The path of mcptap.
    pub(super) exe: String,
    /// The path of its settings file.
    pub(super) settings: Option<String>,
}

impl Wrapper {
    /// With absolute paths: clients start servers in folders of their own.
    pub(crate) fn new(exe: &Path, settings: Option<&Path>) -> anyhow::Result<Self> {
        let text = |of: &str, path: &Path| {
            let text = path.to_str().map(str::to_owned);
            text.with_context(|| {
                format!(
                    "the path of {of}, {}, is no valid text; move it elsewhere",
                    path.display()
                )
            })
        };
        let settings = settings.map(|path| {
            let path = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
            text("the settings file", &path)
        });
        Ok(Self {
            exe: text("mcptap", exe)?,
            settings: settings.transpose()?,
        })
    }
}

/// Lets mcptap wrap a server in a client's configuration. Returns the message to the user: the change, and what was done.
pub(crate) fn install(
    config: &Path,
    server: &str,
    wrapper: &Wrapper,
    dry_run: bool,
) -> anyhow::Result<String> {
    change(config, dry_run, |text| {
        let edited = edit::install(text, server, wrapper)?;
        Ok(edited.ok_or_else(|| format!("{server} is wrapped already; nothing was changed\n")))
    })
}

/// Takes the wrapping of a server away again. What to tell the user.
pub(crate) fn uninstall(config: &Path, server: &str, dry_run: bool) -> anyhow::Result<String> {
    change(config, dry_run, |text| {
        let edited = edit::uninstall(text, server)?;
        Ok(edited.ok_or_else(|| format!("{server} is not wrapped; nothing was changed\n")))
    })
}

/// Changes a file, unless there is nothing to change.
fn change(
    config: &Path,
    dry_run: bool,
    edit: impl Fn(&str) -> Result<Result<String, String>, edit::Problem>,
) -> anyhow::Result<String> {
    // A link stays one: what it leads to is replaced.
    let file = fs::canonicalize(config).with_context(|| format!("opening {}", config.display()))?;
    let old = mcptap::read_text(&file, MOST).with_context(|| format!("reading {}", file.display()))?;
    let new = match edit(&old).with_context(|| format!("cannot change {}", file.display()))? {
        Ok(new) => new,
        Err(told) => return Ok(told),
    };
    let shown = difference(&old, &new, &file);
    if dry_run {
        return Ok(shown);
    }
    if fs::metadata(&file).is_ok_and(|data| data.permissions().readonly()) {
        bail!(
            "{} is read-only, so it was not changed; make it writable and try again",
            file.display()
        );
    }
    let copy = back_up(&file, &old)?;
    replace(&file, &new).with_context(|| format!("writing {}; it is as it was", file.display()))?;
    Ok(format!(
        "{shown}\nchanged {}; as it was before, it is kept in {}\nrestart the client to let it read this\n",
        file.display(),
        copy.display()
    ))
}

/// A name beside a file.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    file.with_file_name(name)
}

/// Writes a new file with the permissions of another one.
fn write_new(path: &Path, text: &str, like: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Configurations hold secrets: not for a moment is it open to others.
        options.mode(0o600);
    }
    options.open(path).and_then(|mut file: File| {
        let finished = file
            .write_all(text.as_bytes())
            .and_then(|()| file.set_permissions(fs::metadata(like)?.permissions()))
            .and_then(|()| file.sync_all());
        finished.inspect_err(|_| {
            // What is half written helps nobody.
            let _ = fs::remove_file(path);
        })
    })
}

/// Keeps a copy beside the file; older ones stay.
fn back_up(file: &Path, text: &str) -> anyhow::Result<PathBuf> {
    for number in 1..=MOST_BACKUPS {
        let ending = match number {
            1 => BACKUP.to_owned(),
            number => format!("{BACKUP}-{number}"),
        };
        let copy = beside(file, &ending);
        match write_new(&copy, text, file) {
            Ok(()) => return Ok(copy),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "keeping a copy in {}; {} was not changed",
                        copy.display(),
                        file.display()
                    )
                });
            }
        }
    }
    bail!(
        "there are {MOST_BACKUPS} copies beside {}; delete those you do not need",
        file.display()
    )
}

/// Replaces a file in one step.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let new = beside(file, &format!("mcptap-{}", std::process::id()));
    write_new(&new, text, file)?;
    fs::rename(&new, file).inspect_err(|_| {
        // The file itself is as it was; this one would only stand around.
        let _ = fs::remove_file(&new);
    })
}

/// The change as a unified diff of one hunk.
fn difference(old: &str, new: &str, file: &Path) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - same;
    let same_end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(most)
        .take_while(|(old, new)| old == new)
        .count();
    let start = same.saturating_sub(AROUND);
    let until = |lines: &[&str]| (lines.len() - same_end + AROUND).min(lines.len());
    let part = |lines: &[&str], from: usize, to: usize, mark: char| -> String {
        let lines = lines.get(from..to).unwrap_or_default();
        lines.iter().map(|line| format!("{mark}{line}\n")).collect()
    };
    format!(
        "--- {file}\n+++ {file}\n@@ -{from},{old_lines} +{from},{new_lines} @@\n{}{}{}{}",
        part(&old, start, same, ' '),
        part(&old, same, old.len() - same_end, '-'),
        part(&new, same, new.len() - same_end, '+'),
        part(&old, old.len() - same_end, until(&old), ' '),
        file = file.display(),
        from = start + 1,
        old_lines = until(&old) - start,
        new_lines = until(&new) - start,
    )
}
