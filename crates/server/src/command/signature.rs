//! The message authentication code of a backup copy. It proves that the copy was made with the keys of this installation and has not been
//! changed since then.
//!
//! The code is in a separate file beside the copy. SQLite would treat additional bytes in the copy as damage, and other tools must be able
//! to read the copy.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use access_tokens_secrets::{HmacSha256, KeyRing};
use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use tempfile::TempPath;

use super::new_file;

/// Purpose in the derivation of the key. It must not change: otherwise the codes of older copies could not be checked.
const KEY_LABEL: &str = "backup";
/// The first word of the file, which states its format.
const FORMAT: &str = "access-tokens-backup-1";
/// Number of bytes that are read at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Maximum size of the file, in bytes: format, key id and code together have fewer than 100 bytes.
const MAX_FILE_BYTES: u64 = 256;

/// Returns the path of the file that contains the code of a copy.
pub(super) fn path(copy: &Path) -> PathBuf {
    let mut path = copy.as_os_str().to_owned();
    path.push(".mac");
    path.into()
}

/// Computes the code of `content` with the current key of the ring, and writes it into a file beside `copy`. The file is removed when the
/// result is dropped: the copy does not have its final name yet.
pub(super) fn write(content: &Path, copy: &Path, ring: &KeyRing) -> anyhow::Result<TempPath> {
    let keys = ring.derive_hmac(KEY_LABEL);
    let (id, mac) = keys.current();
    let code = hash_file(content, mac.clone())?.finalize().into_bytes();
    let path = path(copy);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(new_file::MODE);
    let name = path.display().to_string();
    // A temporary path is absolute; errors show the path as it was given. An existing file is not removed.
    let path = TempPath::try_from_path(path).with_context(|| name.clone())?;
    let mut file = match options.open(&path) {
        Ok(file) => file,
        Err(error) => {
            let _ = path.keep();
            return Err(error).context(name);
        }
    };
    let text = format!("{FORMAT} {id} {}\n", STANDARD.encode(code));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.context(name)?;
    Ok(path)
}

/// Refuses `content` if the code beside `copy` does not match it.
pub(super) fn check(content: &Path, copy: &Path, ring: &KeyRing) -> anyhow::Result<()> {
    let path = path(copy);
    let mut text = String::new();
    // Reading a pipe could block for an unlimited time.
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!("{} is no regular file", path.display());
    }
    let Ok(file) = File::open(&path) else { bail!("there is no {}, which proves who made the copy", path.display()) };
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    let words: Vec<_> = text.split_whitespace().collect();
    let [FORMAT, id, code] = words[..] else { bail!("{} is not what `access-tokens backup` writes", path.display()) };
    let code = STANDARD.decode(code).with_context(|| path.display().to_string())?;
    let keys = ring.derive_hmac(KEY_LABEL);
    let Some(mac) = keys.get(id) else {
        bail!("{} was written with key {id}, which is not in the ring", path.display())
    };
    if hash_file(content, mac.clone())?.verify_slice(&code).is_err() {
        bail!("the copy was changed after it was made: it does not fit {}", path.display());
    }
    Ok(())
}

fn hash_file(content: &Path, mut mac: HmacSha256) -> anyhow::Result<HmacSha256> {
    let mut file = File::open(content).with_context(|| content.display().to_string())?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk).with_context(|| content.display().to_string())? {
            0 => return Ok(mac),
            bytes => mac.update(&chunk[..bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use access_tokens_testkit::keys::{RING_A, RING_B, ring};

    #[test]
    fn a_copy_that_was_changed_or_is_of_other_keys_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (copy, ring_a) = (folder.path().join("copy.db"), ring(&[RING_A]));
        fs::write(&copy, vec![7; CHUNK_BYTES + 3]).expect("written");
        let said = |ring: &KeyRing| check(&copy, &copy, ring).map_err(|error| format!("{error:#}"));
        assert!(said(&ring_a).expect_err("unsigned").contains("copy.db.mac"));
        drop(write(&copy, &copy, &ring_a).expect("signed"));
        assert!(!path(&copy).exists(), "not kept");
        write(&copy, &copy, &ring_a).expect("signed").keep().expect("kept");
        assert!(write(&copy, &copy, &ring_a).is_err(), "nothing is overwritten");
        said(&ring_a).expect("as it was made");
        said(&ring(&[RING_B, RING_A])).expect("after a rotation");
        assert!(said(&ring(&[RING_B])).expect_err("foreign").contains("key a, which is not in the ring"));
        // A different key with the same id.
        let other = format!("a {}", RING_B.split_once(' ').expect("a key").1);
        assert!(said(&ring(&[&other])).expect_err("foreign").contains("was changed"));
        let mut bytes = vec![7; CHUNK_BYTES + 3];
        for at in [0, CHUNK_BYTES, CHUNK_BYTES + 2] {
            bytes[at] ^= 1;
            fs::write(&copy, &bytes).expect("written");
            assert!(said(&ring_a).expect_err("changed").contains("was changed"), "{at}");
            bytes[at] ^= 1;
        }
        fs::write(&copy, &bytes[1..]).expect("written");
        assert!(said(&ring_a).is_err(), "shorter");
        fs::write(path(&copy), "nonsense").expect("written");
        assert!(said(&ring_a).expect_err("malformed").contains("is not what"));
    }
}
