//! Creates files that replace nothing and that only their owner may read.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context as _, bail};

/// Mode of the files, which may hold secrets: only the owner may read them.
pub(super) const MODE: u32 = 0o600;

/// Creates the file of an option. A file with content is not overwritten: it may be a corrected file, or the input. A link to a file is not
/// followed. A link to a pipe or a terminal is, because `/dev/stdout` may be one.
pub(super) fn create(path: &Path, option: &str) -> anyhow::Result<File> {
    let name = || path.display().to_string();
    let found = path.symlink_metadata().ok();
    let target = path.metadata().ok();
    let is_link = found.as_ref().is_some_and(|found| found.file_type().is_symlink());
    if is_link && target.as_ref().is_none_or(|target| target.is_file()) {
        bail!("{}: is a link; give {option} a new file", name());
    }
    if target.is_some_and(|target| target.is_file() && target.len() > 0) {
        bail!("{}: exists; give {option} a new file", name());
    }
    let file = OpenOptions::new().write(true).create_new(found.is_none()).mode(MODE).open(path).with_context(name)?;
    // An empty file that existed keeps its mode otherwise.
    if file.metadata().with_context(name)?.is_file() {
        file.set_permissions(Permissions::from_mode(MODE)).with_context(name)?;
    }
    Ok(file)
}

/// Returns whether both are the same file on disk.
pub(super) fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok(one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_replaced_and_no_link_to_a_file_is_followed() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let refusal = |name: &str| create(&path(name), "--output").expect_err(name).to_string();
        fs::write(path("full"), "content").expect("written");
        fs::write(path("empty"), "").expect("written");
        fs::set_permissions(path("empty"), Permissions::from_mode(0o644)).expect("set");
        for (target, link) in [("full", "to full"), ("empty", "to empty"), ("missing", "to nothing")] {
            symlink(path(target), path(link)).expect("a link");
            assert!(refusal(link).ends_with("is a link; give --output a new file"), "{link}");
        }
        assert!(!path("missing").exists());
        assert!(refusal("full").ends_with("exists; give --output a new file"));
        assert_eq!(fs::read_to_string(path("full")).expect("a file"), "content");
        for name in ["empty", "new"] {
            create(&path(name), "--output").expect(name);
            assert_eq!(fs::metadata(path(name)).expect("a file").permissions().mode() & 0o777, MODE, "{name}");
        }
        symlink("/dev/null", path("to a device")).expect("a link");
        create(&path("to a device"), "--output").expect("no file on disk");
    }

    #[test]
    fn one_file_has_many_names() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let file = |name: &str| create(&directory.path().join(name), "--output").expect(name);
        assert!(is_same(&file("a"), &file("./a")).expect("compared"));
        assert!(!is_same(&file("a"), &file("b")).expect("compared"));
        let device = || create(Path::new("/dev/null"), "--output").expect("a device");
        assert!(!is_same(&device(), &device()).expect("compared"));
    }
}
