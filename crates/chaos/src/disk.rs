//! A disk whose power can be cut: an ext4 file system in an image, on a loop device.
//!
//! Data that programs have written but not flushed is in the memory of the file system and not in the image. A copy of the image,
//! taken while all writing processes are frozen, is therefore the state after a power cut of a disk that keeps what it has
//! received.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// Maximum number of attempts: of a copy, if the file system itself has written meanwhile, and of unmounting.
const MAX_ATTEMPTS: usize = 20;
/// Time between two attempts to unmount.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A mounted disk. It is unmounted and deleted when it is dropped.
pub(crate) struct Disk {
    device: String,
    /// Number of the mounted image.
    image: usize,
    mounted: bool,
    folder: TempDir,
}

/// Returns the reason for which this machine cannot have such disks, or `None`.
pub(crate) fn missing() -> Option<String> {
    let Ok(user) = run("id", ["-u"]) else { return Some("`id` does not run".to_owned()) };
    if user != "0" {
        return Some("it needs root, who may mount".to_owned());
    }
    for (program, argument) in [("mkfs.ext4", "-V"), ("losetup", "--version"), ("mount", "--version")] {
        if Command::new(program).arg(argument).output().is_err() {
            return Some(format!("it needs {program}"));
        }
    }
    run("losetup", ["--find"]).err().map(|error| format!("it needs a loop device: {error:#}"))
}

impl Disk {
    /// Creates and mounts a disk of this size.
    pub(crate) fn new(megabytes: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("access-tokens-disk-").tempdir()?;
        // PostgreSQL runs as another user, who must be able to enter the directory.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        std::fs::create_dir(folder.path().join("mounted"))?;
        let mut disk = Self { device: String::new(), image: 0, mounted: false, folder };
        let image = disk.image(0);
        std::fs::File::create(&image)?.set_len(megabytes as u64 * 1_024 * 1_024)?;
        run("mkfs.ext4", [OsStr::new("-q"), OsStr::new("-F"), OsStr::new("-m"), OsStr::new("0"), image.as_os_str()])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Returns the mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn image(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("image-{number}"))
    }

    fn mount(&mut self) -> Result<()> {
        let image = self.image(self.image);
        self.device = run("losetup", [OsStr::new("--find"), OsStr::new("--show"), image.as_os_str()])?;
        // The file system flushes nothing by itself within five minutes, so that data without an explicit flush is lost.
        let mounted = self.path();
        let options = [OsStr::new("-o"), OsStr::new("commit=300"), OsStr::new(&self.device), mounted.as_os_str()];
        run("mount", options)?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        if self.mounted {
            release(&self.path())?;
            self.mounted = false;
        }
        if !self.device.is_empty() {
            run("losetup", ["--detach", &std::mem::take(&mut self.device)])?;
        }
        Ok(())
    }

    /// Flushes everything, so that the next power cut affects later writes only.
    pub(crate) fn flush(&self) -> Result<()> {
        run("sync", [OsStr::new("--file-system"), self.path().as_os_str()])?;
        Ok(())
    }

    /// Copies what has reached the disk. All writing processes must be frozen.
    pub(crate) fn copy(&self) -> Result<()> {
        let (image, copy) = (self.image(self.image), self.image(self.image + 1));
        for _ in 0..MAX_ATTEMPTS {
            let before = self.written()?;
            run("cp", [OsStr::new("--sparse=always"), image.as_os_str(), copy.as_os_str()])?;
            // If the device has written meanwhile, the copy may be a mixture that no power cut leaves.
            if before.under_way == 0 && self.written()? == before {
                return Ok(());
            }
        }
        bail!("the file system does not come to rest")
    }

    fn written(&self) -> Result<Written> {
        let name = Path::new(&self.device).file_name().and_then(OsStr::to_str).context("a loop device")?;
        let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let numbers: Vec<u64> = stat.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        ensure!(numbers.len() > 8, "no statistics of {name}");
        Ok(Written { requests: numbers[4], sectors: numbers[6], under_way: numbers[8] })
    }

    /// Mounts the copy in place of the current image. No process may use the disk.
    pub(crate) fn mount_copy(&mut self) -> Result<()> {
        self.unmount()?;
        std::fs::remove_file(self.image(self.image))?;
        self.image += 1;
        self.mount()
    }
}

/// Statistics of a block device.
#[derive(Debug, PartialEq)]
struct Written {
    requests: u64,
    sectors: u64,
    under_way: u64,
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            let _ = run("umount", [OsStr::new("--lazy"), self.path().as_os_str()]);
            let _ = run("losetup", ["--detach", &self.device]);
        }
    }
}

/// Unmounts. The kernel closes the files of killed processes a little later, so unmounting is repeated.
#[expect(clippy::disallowed_methods, reason = "waits for other processes, in synchronous code")]
fn release(mounted: &Path) -> Result<()> {
    let mut done = run("umount", [mounted]);
    for _ in 0..MAX_ATTEMPTS {
        if done.is_ok() {
            break;
        }
        std::thread::sleep(RETRY_INTERVAL);
        done = run("umount", [mounted]);
    }
    done.map(drop)
}

/// Runs a program and returns its output.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{program} failed: {complaint}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Compiles a library for `LD_PRELOAD` that makes all flushes do nothing: the mutation of a power cut.
pub(crate) fn build_no_flush_library(folder: &Path) -> Result<String> {
    let (source, library) = (folder.join("nothing.c"), folder.join("nothing.so"));
    let empty = ["fsync", "fdatasync", "syncfs"].map(|name| format!("int {name}(int file) {{ return 0; }}\n"));
    std::fs::write(&source, format!("{}void sync(void) {{}}\n", empty.concat()))?;
    let arguments =
        [OsStr::new("-shared"), OsStr::new("-fPIC"), OsStr::new("-o"), library.as_os_str(), source.as_os_str()];
    run("cc", arguments)?;
    Ok(library.display().to_string())
}
