//! PINs, from files that nobody else can read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use claviger_crypto::{SecretBytes, secret_type};

use crate::error::PinFault;

/// The octets of a PIN's file at most. Tokens take PINs of up to 255.
pub const PIN_FILE_LEN_MAX: u64 = 256;

/// The permission bits that others than the owner have.
const OPEN_TO_OTHERS: u32 = 0o077;

secret_type! {
    /// What opens a token to its user.
    pub struct Pin;
}

/// Reads a PIN from a file. An end of line behind it is not part of it.
///
/// # Errors
///
/// [`PinFault`] if the file is missing, empty or too long, belongs to another user, or is open to others.
pub fn read(path: &Path) -> Result<Pin, PinFault> {
    let failed = |error| PinFault::File(path.to_owned(), error);
    let file = claviger_files::open(path, OpenOptions::new().read(true)).map_err(failed)?;
    let metadata = file.metadata().map_err(|error| failed(error.into()))?;
    if metadata.mode() & OPEN_TO_OTHERS != 0 {
        return Err(PinFault::Open(path.to_owned(), metadata.mode() & 0o7777));
    }
    if metadata.len() > PIN_FILE_LEN_MAX {
        return Err(PinFault::Long);
    }
    let octets = read_octets(file, metadata.len()).map_err(|error| failed(error.into()))?;
    let octets = octets.expose();
    let line = octets.strip_suffix(b"\n").unwrap_or(octets);
    let pin = line.strip_suffix(b"\r").unwrap_or(line);
    if pin.is_empty() { Err(PinFault::Empty) } else { Ok(Pin::new(pin)) }
}

fn read_octets(mut file: File, length: u64) -> io::Result<SecretBytes> {
    let mut result = Ok(());
    let length = usize::try_from(length).unwrap_or(0);
    let octets = SecretBytes::with(length, |octets| result = file.read_exact(octets));
    result.map(|()| octets)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
        path::PathBuf,
    };

    use claviger_files::{Fault, FileError};

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_pin_is_read_without_the_end_of_its_line() {
        for content in [&b"4711"[..], b"4711\n", b"4711\r\n"] {
            let (_directory, path) = file(content, 0o600);
            assert_eq!(read(&path).unwrap().expose(), b"4711");
        }
        let (_directory, path) = file(b" 47 11 \n\n", 0o400);
        assert_eq!(read(&path).unwrap().expose(), b" 47 11 \n");
    }

    #[test]
    fn a_pin_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o611] {
            let (_directory, path) = file(b"4711", mode);
            let fault = read(&path).unwrap_err();
            assert!(
                matches!(&fault, PinFault::Open(named, found) if *named == path && *found == mode),
                "{fault:?}"
            );
            assert!(
                fault.to_string().ends_with(&format!("is open to other users (mode {mode:04o})")),
                "{fault}"
            );
        }
        for mode in [0o620, 0o602] {
            let (_directory, path) = file(b"4711", mode);
            let PinFault::File(_, FileError::Refused(refused)) = read(&path).unwrap_err() else {
                panic!("{mode:o}")
            };
            assert_eq!(refused.fault, Fault::Writable { mode });
        }
    }

    #[test]
    fn a_pin_behind_a_link_is_refused() {
        let (directory, path) = file(b"4711", 0o600);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let PinFault::File(_, FileError::Refused(refused)) = read(&link).unwrap_err() else {
            panic!("a link")
        };
        assert_eq!(refused.fault, Fault::Link);
    }

    #[test]
    fn no_pin_and_too_long_a_one_are_told_apart() {
        for content in [&b""[..], b"\n", b"\r\n"] {
            let (_directory, path) = file(content, 0o600);
            assert!(matches!(read(&path), Err(PinFault::Empty)));
        }
        let (_directory, path) = file(&[b'1'; 257], 0o600);
        assert!(matches!(read(&path), Err(PinFault::Long)));
        let missing = read(Path::new("/nowhere/pin")).unwrap_err();
        assert!(matches!(&missing, PinFault::File(_, error) if error.is_missing()), "{missing:?}");
    }

    #[test]
    fn a_pin_is_never_printed() {
        let (_directory, path) = file(b"4711", 0o600);
        assert_eq!(format!("{:?}", read(&path).unwrap()), "Pin(..)");
    }
}
