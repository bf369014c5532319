//! Stops a cluster when the process that started it has ended for any reason.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use super::tools::Tools;

/// Reads a pipe that only this process holds open: when the process ends, the kernel closes the pipe and the script continues. It
/// has a process group of its own, so that an interrupt from the keyboard does not end it first.
const SCRIPT: &str = r#"
    cat >/dev/null
    lock="$1/data/postmaster.pid"
    if read -r server 2>/dev/null <"$lock"; then
        kill -s QUIT "$server"
        tries=0
        while [ -e "$lock" ] && kill -s 0 "$server" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    fi
    rm -rf "$1"
"#;

/// A process that ends after this one, when it has stopped the server and removed its directory.
#[derive(Debug)]
pub(super) struct Watchdog {
    process: Child,
    folder: PathBuf,
}

impl Watchdog {
    /// Starts a watchdog of the server in a directory, which it removes at the end.
    pub(super) fn over(tools: &Tools, folder: PathBuf) -> Result<Self> {
        let mut command = tools.script(SCRIPT);
        command.arg(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = command.spawn().context("cannot run sh")?;
        Ok(Self { process, folder })
    }

    /// Returns the directory that it watches.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
