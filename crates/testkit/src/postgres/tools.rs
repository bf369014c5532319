//! Finds the programs of PostgreSQL, and runs them as a user other than root.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// Directory of the server programs in Debian and Ubuntu, with a directory for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

const MISSING: &str = "these tests start a PostgreSQL of their own, but `initdb` is neither in PATH nor in \
    /usr/lib/postgresql/*/bin. Install it with `apt-get install postgresql` (15 or later), or run `scripts/test`, \
    which does so.";

/// Ends a program when its standard input is closed.
const GUARDED: &str = r#""$@" </dev/null & pid=$!; cat >/dev/null; kill -s KILL "$pid""#;

/// The programs of one PostgreSQL installation.
#[derive(Debug)]
pub(super) struct Tools {
    bin: PathBuf,
    /// The user that runs the programs: PostgreSQL refuses to run as root.
    account: Option<Account>,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Tools {
    /// Searches `initdb`, and `postgres` and `psql` beside it.
    pub(super) fn find() -> Result<Self> {
        Self::find_in(candidates())
    }

    fn find_in(folders: Vec<PathBuf>) -> Result<Self> {
        let bin = folders.into_iter().find_map(|folder| {
            let initdb = folder.join("initdb").canonicalize().ok()?;
            let bin = initdb.parent()?;
            ["postgres", "psql"].iter().all(|name| bin.join(name).is_file()).then(|| bin.to_owned())
        });
        Ok(Self { bin: bin.context(MISSING)?, account: account()? })
    }

    /// Returns a command that runs one of the programs as the right user, without the PostgreSQL settings of the caller.
    pub(super) fn command(&self, program: &str) -> Command {
        self.as_account(self.bin.join(program))
    }

    /// Returns a command that runs a shell script as the same user.
    pub(super) fn script(&self, script: &str) -> Command {
        let mut command = self.as_account("sh");
        command.args(["-c", script, "sh"]);
        command
    }

    /// Starts a program as the same user, with its error output in a file.
    pub(super) fn guarded(&self, program: &Path, arguments: &[&str], log: &Path) -> Result<Guarded> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = self.script(GUARDED);
        command.arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0);
        Ok(Guarded(command.spawn().with_context(|| format!("cannot run {}", program.display()))?))
    }

    /// Returns the directory of the programs.
    pub(super) fn bin(&self) -> &Path {
        &self.bin
    }

    fn as_account(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if let Some(account) = self.account {
            command.uid(account.user).gid(account.group);
        }
        command
    }

    /// Gives a directory to the user of the server.
    pub(super) fn give(&self, folder: &Path) -> Result<()> {
        if let Some(account) = self.account {
            std::os::unix::fs::chown(folder, Some(account.user), Some(account.group))?;
        }
        Ok(())
    }
}

/// A program that is killed when this value is dropped, and when this process ends in any other way.
#[derive(Debug)]
pub(super) struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Searches a program. Debian installs some in a directory that is not in the PATH of ordinary users.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs to the end and returns the standard output, or fails with the error output.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Sends a signal, such as `QUIT`.
pub(super) fn signal(name: &str, processes: &[u32]) -> Result<()> {
    let script = r#"name="$1"; shift; kill -s "$name" "$@""#;
    run(Command::new("sh").args(["-c", script, "sh", name]).args(processes.iter().map(u32::to_string)))?;
    Ok(())
}

/// Restricts a process to some cores.
pub(super) fn pin(cores: &str, process: u32) -> Result<()> {
    run(Command::new("taskset").args(["-acp", cores, &process.to_string()]))?;
    Ok(())
}

/// Returns the living children of a process.
pub(super) fn children(parent: u32) -> Result<Vec<u32>> {
    let processes = std::fs::read_dir("/proc").context("processes are looked up in /proc")?;
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name is in parentheses and may contain anything; the state and the parent follow.
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(parent.to_string().as_str())
    };
    Ok(ids.filter(is_child).collect())
}

/// Returns the directories of PATH, then those of Debian, the newest version first.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort();
    std::env::split_paths(&path).chain(debian.into_iter().rev().map(|(_, folder)| folder)).collect()
}

/// Returns no account if this process is not root; otherwise `postgres` or `nobody`.
fn account() -> Result<Option<Account>> {
    let id = |arguments: &[&str]| -> Result<u32> { Ok(run(Command::new("id").args(arguments))?.parse()?) };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    let of = |name| Some(Account { user: id(&["-u", name]).ok()?, group: id(&["-g", name]).ok()? });
    let account = of("postgres").or_else(|| of("nobody"));
    account.map(Some).context("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_postgresql_the_error_says_how_to_get_it() {
        let nowhere = tempfile::tempdir().expect("a folder");
        let error = Tools::find_in(vec![nowhere.path().to_owned()]).expect_err("no initdb there");
        assert!(error.to_string().contains("apt-get install postgresql"), "{error}");
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let error = run(Command::new("sh").args(["-c", "echo too bad >&2; exit 3"])).expect_err("it failed");
        assert!(error.to_string().contains("too bad"), "{error}");
    }
}
