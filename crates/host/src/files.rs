//! Files that operators name. They are read up to a maximum size, and refused if others can read what is secret.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

/// Maximum size of a configuration file, of a file with the value of a setting, and of a file in PEM, in bytes.
const MAX_BYTES: u64 = 1_024 * 1_024;

/// Users that may be able to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All users: the content is no secret.
    Any,
    /// The owner only, and the group if the file belongs to root: see [`mode_open_to_others`].
    OwnerOnly,
}

/// Reads a file as text. The error shows nothing of the content.
pub fn read(path: &Path, access: Access) -> io::Result<Zeroizing<String>> {
    into_text(read_bytes(path, access)?)
}

/// Reads a file as bytes.
pub fn read_bytes(path: &Path, access: Access) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open_regular(path)?;
    let metadata = file.metadata()?;
    // The mode of the open file is checked, so that the file cannot be exchanged between the check and the read.
    if access == Access::OwnerOnly
        && let Some(mode) = mode_open_to_others(&metadata)
    {
        let error = format!("it has mode {mode:04o}, so that others can read it: chmod 600 {}", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, error));
    }
    read_open(&file, MAX_BYTES)
}

/// Reads an open file of at most `max_bytes`.
pub fn read_open(file: &File, max_bytes: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = usize::try_from(file.metadata()?.len().min(max_bytes)).unwrap_or_default();
    // The whole buffer is reserved first: a buffer that grows leaves copies of secrets in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    if file.take(max_bytes + 1).read_to_end(&mut bytes)? as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Converts bytes to text without a copy. The error shows nothing of them.
pub fn into_text(mut bytes: Zeroizing<Vec<u8>>) -> io::Result<Zeroizing<String>> {
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")
    })
}

/// Opens a regular file, also through a symbolic link. Other kinds of files are refused before they are opened: to open
/// a FIFO waits for a writer, and a device may never end. A file that the shell has already opened, such as
/// `/dev/stdin`, may be of any kind.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() && !is_handed_over(path) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

/// Returns whether a path names a file that this process already has open.
fn is_handed_over(path: &Path) -> bool {
    let folders = ["/dev/fd", "/proc/self/fd"].map(Path::new);
    path == Path::new("/dev/stdin") || path.parent().is_some_and(|parent| folders.contains(&parent))
}

/// Returns the mode of a file with a secret, if others than the service can read or change it.
///
/// Kubernetes gives a secret to a process through the group: the file belongs to root and has mode 0440, so the group
/// must be able to read it. If the file belongs to the user of the service, the group must not have access.
pub fn mode_open_to_others(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.mode() & 0o777;
    let own = std::fs::metadata("/proc/self").map(|me| me.uid()).unwrap_or(metadata.uid());
    let allowed = if metadata.uid() == 0 && own != 0 { 0o740 } else { 0o700 };
    (mode & !allowed != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_that_are_too_long_open_to_others_or_not_text_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        fs::write(&path, "hunter2\n").expect("written");
        for mode in [0o644, 0o640, 0o604, 0o660, 0o622] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
            let error = read(&path, Access::OwnerOnly).expect_err("refused").to_string();
            assert!(error.contains(&format!("{mode:04o}")) && !error.contains("hunter2"), "{error}");
            assert_eq!(read(&path, Access::Any).expect("no secret").as_str(), "hunter2\n");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(read(&path, Access::OwnerOnly).expect("private").as_str(), "hunter2\n");
        fs::write(&path, b"hunter\xff").expect("written");
        let error = read(&path, Access::OwnerOnly).expect_err("refused").to_string();
        assert!(error.contains("not UTF-8") && !error.contains("hunter"), "{error}");
        fs::write(&path, vec![b'a'; 1_024 * 1_024 + 1]).expect("written");
        assert!(read(&path, Access::OwnerOnly).expect_err("refused").to_string().contains("more than 1048576 bytes"));
        let endless = read(Path::new("/dev/zero"), Access::Any).expect_err("refused").to_string();
        assert!(endless.contains("not a regular file"), "{endless}");
        assert!(read(directory.path(), Access::Any).is_err());
    }

    #[test]
    fn a_fifo_is_refused_and_a_link_to_a_file_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let (fifo, file, link) =
            (directory.path().join("fifo"), directory.path().join("file"), directory.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("runs").success());
        for access in [Access::Any, Access::OwnerOnly] {
            let error = read(&fifo, access).expect_err("refused").to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
        fs::write(&file, "hunter2\n").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert_eq!(read(&link, Access::OwnerOnly).expect("a file").as_str(), "hunter2\n");
        assert!(is_handed_over(Path::new("/dev/stdin")) && is_handed_over(Path::new("/dev/fd/63")));
        assert!(!is_handed_over(Path::new("/dev/zero")) && !is_handed_over(&fifo));
    }
}
