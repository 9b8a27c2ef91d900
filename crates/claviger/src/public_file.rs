//! Files that everybody may read, and that decide whom this process trusts: certificates, and lists of revoked ones.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::Read,
    path::Path,
};

use claviger_files::FileError;

use crate::exit::{Exit, Failure, Outcome};

/// Everybody may read what is public.
pub(crate) const FILE_MODE: u32 = 0o644;

/// The most octets of a file: PEM makes four of three, and the longest list has 16 MiB.
const FILE_LEN_MAX: u64 = 24 * 1024 * 1024;

/// Reads a file of this user's own; `None` if there is none.
pub(crate) fn read(path: &Path) -> Outcome<Option<Vec<u8>>> {
    read_opened(path, claviger_files::open(path, OpenOptions::new().read(true)))
}

/// Reads a file that this user or the administrator made; `None` if there is none.
pub(crate) fn read_trusted(path: &Path) -> Outcome<Option<Vec<u8>>> {
    read_opened(path, claviger_files::open_trusted(path))
}

fn read_opened(path: &Path, opened: Result<File, FileError>) -> Outcome<Option<Vec<u8>>> {
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(unusable(path, "cannot be read", &error)),
    };
    let mut octets = Vec::new();
    let read = file.take(FILE_LEN_MAX + 1).read_to_end(&mut octets);
    read.map_err(|error| unusable(path, "cannot be read", &error))?;
    if octets.len() as u64 > FILE_LEN_MAX {
        return Err(unusable(path, "cannot be read", &format!("it has more than {FILE_LEN_MAX} octets")));
    }
    Ok(Some(octets))
}

/// Says that a file or directory does not serve.
pub(crate) fn unusable(path: &Path, how: &str, error: &dyn fmt::Display) -> Failure {
    Failure::new(Exit::Configuration, format!("{} {how}: {error}", path.display()))
}
