//! Sizes in bytes as people write them, and how much memory this process may use.

use std::fmt;
use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use serde::{Serialize, Serializer};

use crate::given::{Given, Value};

/// The smallest budget: one export of the largest size fits with all that is built of it.
pub(crate) const LEAST: usize = 128 << 20;
/// The largest budget that is taken by default: more is for operators who say so.
const MOST: usize = 2 << 30;

/// Units, largest first.
const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

/// A size in bytes: a number, or one with a unit such as `512MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(usize);

impl Size {
    /// Of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub(crate) fn bytes(self) -> usize {
        self.0
    }
}

impl Value for Size {
    fn read(text: &str) -> Result<Self, String> {
        let size = mcptap_model::bytes(text).map(Self);
        size.ok_or_else(|| "give a number of bytes, or one with a unit such as 512MiB or 2GiB".to_owned())
    }
}

impl From<usize> for Given<Size> {
    fn from(bytes: usize) -> Self {
        Self::Value(Size(bytes))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, unit): &&(&str, usize)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("", 1));
        write!(formatter, "{}{name}", self.0 / unit)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        match text.parse() {
            Ok(bytes) => serializer.serialize_u64(bytes),
            Err(_) => serializer.serialize_str(&text),
        }
    }
}

/// A quarter of the memory that this process may use, in whole MiB, within bounds.
pub(crate) fn default_budget() -> Size {
    let mebibyte = 1 << 20;
    Size((usable() / 4).clamp(LEAST, MOST) / mebibyte * mebibyte)
}

/// The least of what the machine has and what limits leave of it.
fn usable() -> usize {
    let limits = [
        address_space(),
        machine(),
        cgroup(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")),
    ];
    limits.into_iter().flatten().min().unwrap_or_default()
}

/// What a limit of the address space (`ulimit -v`) leaves besides what the process has already, much of which it never uses.
fn address_space() -> Option<usize> {
    let limit = usize::try_from(getrlimit(Resource::As).current?).ok()?;
    Some(limit.saturating_sub(told("/proc/self/status", "VmSize:").unwrap_or_default()))
}

fn machine() -> Option<usize> {
    told("/proc/meminfo", "MemTotal:")
}

/// A size that the system tells in a file, in bytes.
fn told(file: &str, name: &str) -> Option<usize> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The tightest limit of this process's control group and the groups around it, of either version.
fn cgroup(groups: &Path, root: &Path) -> Option<usize> {
    let text = fs::read_to_string(groups).ok()?;
    let limits = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (base, file) = if number == "0" && controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // Inside a container the path is often that of the host: then only the root is there.
        let own = base.join(path.trim_start_matches('/'));
        own.ancestors()
            .take_while(|group| group.starts_with(&base))
            .filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok())
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        assert_eq!(Size::read("512MiB").unwrap().bytes(), 512 << 20);
        assert!(Size::read("1.5GiB").unwrap_err().contains("2GiB"));
        assert_eq!(Size::of(512 << 20).to_string(), "512MiB");
        assert_eq!(Size::of(1500).to_string(), "1500");
        let sizes = [Size::of(1500), Size::of(512 << 20)];
        assert_eq!(serde_json::to_string(&sizes).unwrap(), "[1500,\"512MiB\"]");
    }

    #[test]
    fn the_tightest_group_counts() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("pod/container");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("memory.max"), "max\n").unwrap();
        fs::write(dir.path().join("pod/memory.max"), "1073741824\n").unwrap();
        let groups = dir.path().join("groups");
        fs::write(&groups, "3:cpu:/x\n0::/pod/container\n").unwrap();
        assert_eq!(cgroup(&groups, dir.path()), Some(1 << 30));
        fs::create_dir_all(dir.path().join("memory")).unwrap();
        fs::write(dir.path().join("memory/memory.limit_in_bytes"), "268435456\n").unwrap();
        fs::write(&groups, "4:memory:/host/only\n0::/pod/container\n").unwrap();
        assert_eq!(cgroup(&groups, dir.path()), Some(256 << 20));
    }

    #[test]
    fn what_is_taken_already_is_known() {
        let taken = told("/proc/self/status", "VmSize:").unwrap();
        assert!(taken > 1 << 20, "{taken}");
        assert_eq!(told("/proc/self/status", "VmNothing:"), None);
    }

    #[test]
    fn a_budget_is_found_whatever_the_machine() {
        let budget = default_budget().bytes();
        assert!((LEAST..=MOST).contains(&budget) && budget.is_multiple_of(1 << 20));
    }
}
