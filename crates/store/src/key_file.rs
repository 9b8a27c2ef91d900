//! The file with the key that all others are derived from.

use std::{
    fs::{self, File, Metadata},
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use claviger_crypto::{Random, SecretBytes};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::{
    StoreError,
    directory::{LockedDirectory, failure},
};

/// The file's name.
pub(crate) const KEY_FILE: &str = "store.key";

/// The name it has while it is made.
pub(crate) const KEY_FILE_NEW: &str = "store.key.new";

/// The octets of the key.
pub(crate) const KEY_LEN: usize = 32;

/// The permission bits that nobody but the owner may have.
const OTHERS: u32 = 0o077;

/// Draws a key and writes it. There must be no key file yet.
pub(crate) fn make(directory: &LockedDirectory, random: &mut dyn Random) -> Result<(), StoreError> {
    let key = SecretBytes::with(KEY_LEN, |octets| random.fill(octets));
    let path = directory.file(KEY_FILE_NEW);
    let mut file = directory.create(KEY_FILE_NEW)?;
    file.write_all(key.expose()).map_err(failure("write", &path))?;
    file.sync_all().map_err(failure("sync", &path))?;
    directory.publish(KEY_FILE_NEW, KEY_FILE)
}

/// Reads the key, if nobody else can have read or written it.
pub(crate) fn read(path: &Path) -> Result<SecretBytes, StoreError> {
    // Looked at before it is opened, because opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(failure("read", path))?.is_file() {
        return Err(StoreError::KeyNotOurs { path: path.to_owned() });
    }
    let mut file = File::open(path).map_err(failure("read", path))?;
    // What is judged is the open file, so that it cannot be exchanged in between.
    let metadata = file.metadata().map_err(failure("read", path))?;
    judge(path, &metadata, geteuid().as_raw())?;

    let mut octets = Zeroizing::new([0; KEY_LEN + 1]);
    let mut length = 0;
    while length < octets.len() {
        match file.read(&mut octets[length..]).map_err(failure("read", path))? {
            0 => break,
            read => length += read,
        }
    }
    if length != KEY_LEN {
        return Err(StoreError::KeyLength { path: path.to_owned(), expected: KEY_LEN });
    }
    Ok(SecretBytes::copy_of(&octets[..KEY_LEN]))
}

fn judge(path: &Path, metadata: &Metadata, user: u32) -> Result<(), StoreError> {
    if !metadata.is_file() || metadata.uid() != user {
        return Err(StoreError::KeyNotOurs { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(StoreError::KeyTooOpen { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    fn key_file(mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; KEY_LEN]).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn any_bit_for_others_is_too_open() {
        for bit in 0..6 {
            let mode = 0o600 | 1 << bit;
            let file = key_file(mode);
            let error = read(file.path()).unwrap_err();
            assert!(matches!(error, StoreError::KeyTooOpen { mode: found, .. } if found == mode), "{error}");
        }
        assert_eq!(read(key_file(0o600).path()).unwrap().expose(), [7; KEY_LEN]);
        assert_eq!(
            judge(Path::new(""), &key_file(0o400).as_file().metadata().unwrap(), own()).ok(),
            Some(())
        );
    }

    #[test]
    fn a_file_of_another_user_is_not_ours() {
        let file = key_file(0o600);
        let metadata = file.as_file().metadata().unwrap();
        assert!(judge(file.path(), &metadata, own()).is_ok());
        assert!(matches!(
            judge(file.path(), &metadata, own() + 1).unwrap_err(),
            StoreError::KeyNotOurs { .. }
        ));
    }

    #[test]
    fn a_directory_or_device_is_no_key_file() {
        for path in ["/", "/dev/null"] {
            assert!(matches!(read(Path::new(path)).unwrap_err(), StoreError::KeyNotOurs { .. }), "{path}");
        }
    }

    fn own() -> u32 {
        geteuid().as_raw()
    }
}
