//! Files that are whole or not there.
//!
//! A file is written beside its place, synchronised, and put there in one step: a process that is killed at any instant
//! leaves what was there before, or the whole of what is there now. One process writes to a place at a time.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Makes a file where nothing stands.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if something stands there, which is left as it is, and what the system says.
pub fn create(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path);
    write_new(&new, octets, mode)?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    linked?;
    synchronise(path)
}

/// Makes a file, in the place of the one that stands there.
///
/// # Errors
///
/// What the system says.
pub fn replace(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    replace_by(&beside(path), path, octets, mode)
}

/// Does what [`replace`] does, with a name of the caller's choice in the same directory for the file until it is whole.
///
/// # Errors
///
/// What the system says.
pub fn replace_by(new: &Path, path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    write_new(new, octets, mode)?;
    fs::rename(new, path)?;
    synchronise(path)
}

/// Makes durable that a name stands in its directory, or stands there no more.
///
/// # Errors
///
/// What the system says.
pub fn synchronise(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Names a file until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(NEW);
    name.into()
}

/// Writes a file durably, in the place of one that a killed process left.
fn write_new(new: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(new)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// What stands behind the name of a file until it is whole.
const NEW: &str = ".new";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_stands_there_is_replaced_only_where_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        create(&path, b"one", 0o600).unwrap();
        assert_eq!(create(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o133, 0);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_no_hindrance() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for write in [create, replace] {
            fs::write(directory.path().join("file.new"), "half").unwrap();
            write(&path, b"whole", 0o600).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_link_in_the_place_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("file"), directory.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        for name in ["file", "file.new"] {
            std::os::unix::fs::symlink(&victim, directory.path().join(name)).unwrap();
        }
        replace(&path, b"whole", 0o600).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!path.is_symlink());
    }
}
