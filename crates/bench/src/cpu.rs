//! CPU time and memory of processes, from /proc.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Unit of the CPU times in /proc. It does not depend on the clock of the kernel.
const TICK: Duration = Duration::from_millis(10);

/// A process, or a process and its children.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CpuOwner {
    /// The process alone.
    Process(u32),
    /// The process with its children, also those that have ended.
    Family(u32),
}

impl CpuOwner {
    /// Returns the CPU time so far, in user and in kernel mode.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let ticks = match self {
            Self::Process(id) => stat(id)?.own,
            Self::Family(id) => {
                let mut parent = stat(id)?;
                loop {
                    let children = children(id)?.into_iter().filter_map(|id| stat(id).ok());
                    let children: u64 = children.map(|stat| stat.own).sum();
                    // If a child ended meanwhile, its time was counted twice or not at all: the times are read again.
                    let ended_children = parent.ended_children;
                    parent = stat(id)?;
                    if parent.ended_children == ended_children {
                        break parent.own + ended_children + children;
                    }
                }
            }
        };
        Ok(TICK * u32::try_from(ticks)?)
    }
}

/// Returns the resident memory of a process in KiB: the current one and the highest one.
pub(crate) fn memory(id: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let kib = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line in /proc")?;
        Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
    };
    Ok((kib("VmRSS")?, kib("VmHWM")?))
}

/// Returns the process id in the lock file of PostgreSQL.
pub(crate) fn postmaster(folder: &Path) -> Result<u32> {
    let lock = std::fs::read_to_string(folder.join("data/postmaster.pid"))?;
    Ok(lock.lines().next().context("an empty lock file")?.trim().parse()?)
}

struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

fn stat(id: u32) -> Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name is in parentheses and may contain anything.
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short line in /proc")?.parse()?) };
    Ok(Stat {
        parent: u32::try_from(field(1)?)?,
        own: field(11)? + field(12)?,
        ended_children: field(13)? + field(14)?,
    })
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let all = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(all.filter(|id| stat(*id).is_ok_and(|stat| stat.parent == parent)).collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_a_child_has_used_counts_for_its_family_after_its_end() {
        let this = std::process::id();
        let before = CpuOwner::Family(this).cpu().unwrap();
        let busy = Command::new("sh").args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]).status();
        assert!(busy.unwrap().success());
        let used = CpuOwner::Family(this).cpu().unwrap() - before;
        assert!(used >= TICK * 5, "{used:?}");
    }

    #[test]
    fn memory_that_is_used_is_seen() {
        let before = memory(std::process::id()).unwrap().0;
        let block = vec![7_u8; 32 << 20];
        let (now, most) = memory(std::process::id()).unwrap();
        assert!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
        assert!(now >= before + 30 * 1024, "{before} KiB, then {now} KiB");
        assert!(most >= now);
    }
}
