//! What a process of the service takes of the machine, and how to give it less.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access_tokens_testapp::process::Server;
use anyhow::{Context, Result};

/// For people, and for bounds.
pub(super) const MIB: u64 = 1 << 20;

/// So many of a hundred ticks are idle on a machine that is quiet, looked at for so long.
const MIN_IDLE_PERCENT: u64 = 80;
const SAMPLING_TIME: Duration = Duration::from_millis(500);

/// A process that runs.
#[derive(Debug, Clone)]
pub(super) struct Process {
    folder: PathBuf,
}

impl Process {
    /// The process of a server: the one that was told to listen there.
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

    /// This one.
    pub(super) fn this() -> Self {
        Self { folder: "/proc/self".into() }
    }

    /// Bytes of memory that it has now.
    pub(super) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most bytes of memory that it ever had, or had since [`Self::reset_peak`].
    pub(super) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// From now on the peak is that of the time from now on. Answers what it has now.
    pub(super) fn reset_peak(&self) -> Result<u64> {
        std::fs::write(self.folder.join("clear_refs"), "5").context("the peak of its memory cannot be reset")?;
        self.memory()
    }

    /// How many files it has open.
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

/// Is there hardly anything else to do on this machine now? Whoever promises milliseconds needs it.
pub(super) async fn is_idle() -> Result<bool> {
    let before = ticks()?;
    tokio::time::sleep(SAMPLING_TIME).await;
    let after = ticks()?;
    let (idle, all) = (after.0 - before.0, after.1 - before.1);
    Ok(idle * 100 >= all * MIN_IDLE_PERCENT)
}

/// How many ticks the cores had nothing to do, and how many there were.
fn ticks() -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let counts: Vec<u64> = line.split_whitespace().skip(1).map_while(|count| count.parse().ok()).collect();
    // The fourth is idle, the fifth waits for a disk.
    Ok((counts.iter().skip(3).take(2).sum(), counts.iter().sum()))
}

/// A binary that starts another one after it has given up something, such as `ulimit -n 128`, or through `taskset`.
pub(super) fn restricted_binary(folder: &Path, binary: &str, before: &str, through: &str) -> Result<String> {
    let path = folder.join("restrained");
    std::fs::write(&path, format!("#!/bin/sh\n{before}\nexec {through} '{binary}' \"$@\"\n"))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path.display().to_string())
}
