//! The file with the key that all others are derived from.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use claviger_crypto::{Random, SecretBytes};
use claviger_files::{Fault, FileError, Refused};
use zeroize::Zeroizing;

use crate::{
    StoreError,
    directory::{LockedDirectory, failure, unusable},
};

/// The file's name.
pub(crate) const KEY_FILE: &str = "store.key";

/// The name it has while it is made.
pub(crate) const KEY_FILE_NEW: &str = "store.key.new";

/// The octets of the key.
pub(crate) const KEY_LEN: usize = 32;

/// All permission bits.
const PERMISSIONS: u32 = 0o7777;

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
    let mut options = OpenOptions::new();
    let too_open = |mode| StoreError::KeyTooOpen { path: path.to_owned(), mode };
    let mut file = match claviger_files::open(path, options.read(true)) {
        Ok(file) => file,
        Err(FileError::Refused(Refused { fault: Fault::Writable { mode }, .. })) => {
            return Err(too_open(mode));
        }
        Err(error) => return Err(unusable("read", path)(error)),
    };
    // What is judged is the open file, so that it cannot be exchanged in between.
    let mode = file.metadata().map_err(failure("read", path))?.mode() & PERMISSIONS;
    if mode & OTHERS != 0 {
        return Err(too_open(mode));
    }

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

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

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
        assert!(read(key_file(0o400).path()).is_ok());
    }

    #[test]
    fn a_directory_or_device_is_no_key_file() {
        for path in ["/", "/dev/null"] {
            assert!(matches!(read(Path::new(path)).unwrap_err(), StoreError::NotOurs(_)), "{path}");
        }
    }
}
