//! Memory and files of a process, load of the machine, and restricted processes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access_tokens_testapp::process::Server;
use anyhow::{Context, Result};

/// Number of bytes in a mebibyte.
pub(super) const MIB: u64 = 1 << 20;

/// Minimum share of idle time on an idle machine in percent, and the time for which it is measured.
const MIN_IDLE_PERCENT: u64 = 80;
const SAMPLING_TIME: Duration = Duration::from_millis(500);

/// A running process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    folder: PathBuf,
}

impl Process {
    /// Returns the process of a server, found by its address among its environment variables.
    pub(super) fn of(server: &Server) -> Result<Self> {
        let told = format!("ACCESS_TOKENS__GRPC__LISTEN={}", server.address());
        let folders = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let is_it = |folder: &PathBuf| {
            let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == told.as_bytes())
        };
        let folder = folders.into_iter().find(is_it).context("its process is not among the others")?;
        Ok(Self { folder })
    }

    /// Returns this process.
    pub(super) fn this() -> Self {
        Self { folder: "/proc/self".into() }
    }

    /// Returns the resident memory in bytes.
    pub(super) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Returns the highest resident memory in bytes, since the start or since [`Self::reset_peak`].
    pub(super) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Resets the peak. Returns the resident memory in bytes.
    pub(super) fn reset_peak(&self) -> Result<u64> {
        std::fs::write(self.folder.join("clear_refs"), "5").context("the peak of its memory cannot be reset")?;
        self.memory()
    }

    /// Returns the number of open files.
    pub(super) fn files(&self) -> usize {
        std::fs::read_dir(self.folder.join("fd")).map_or(0, Iterator::count)
    }

    fn status(&self, name: &str) -> Result<u64> {
        let text = std::fs::read_to_string(self.folder.join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes << 10)
    }
}

/// Returns whether the machine has hardly any other load. Limits in milliseconds hold only then.
pub(super) async fn is_idle() -> Result<bool> {
    let before = ticks()?;
    tokio::time::sleep(SAMPLING_TIME).await;
    let after = ticks()?;
    let (idle, all) = (after.0 - before.0, after.1 - before.1);
    Ok(idle * 100 >= all * MIN_IDLE_PERCENT)
}

/// Returns the idle ticks of all cores, and all ticks.
fn ticks() -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let counts: Vec<u64> = line.split_whitespace().skip(1).map_while(|count| count.parse().ok()).collect();
    // The fourth number counts idle ticks, the fifth those that wait for a disk.
    Ok((counts.iter().skip(3).take(2).sum(), counts.iter().sum()))
}

/// Writes a script that starts a binary after a command such as `ulimit -n 128`, or through a program such as `taskset`.
pub(super) fn restricted_binary(folder: &Path, binary: &str, before: &str, through: &str) -> Result<String> {
    let path = folder.join("restrained");
    std::fs::write(&path, format!("#!/bin/sh\n{before}\nexec {through} '{binary}' \"$@\"\n"))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path.display().to_string())
}
