//! Directories of this user's own, and what stands above them.

use std::{
    fs::{self, Metadata, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

use crate::{
    file::{PERMISSIONS, WRITABLE_BY_OTHERS},
    owner::{is_trusted, us},
    refusal::{Fault, FileError, Refused},
};

/// The permission bit by which everybody can write.
const WRITABLE_BY_ALL: u32 = 0o002;

/// The permission bit by which only owners can replace what is in a directory that others can write to.
const STICKY: u32 = 0o1000;

/// Looks at a directory that is to hold secrets: it is no symbolic link, this user owns it, no other can write to it, and
/// nobody but this user and root can exchange it from above.
///
/// # Errors
///
/// [`FileError::Refused`] names the directory, perhaps one above, and what is wrong; [`FileError::Io`] if the system refuses,
/// also because nothing is there.
pub fn check_directory(path: &Path) -> Result<(), FileError> {
    let metadata = open(path)?;
    if metadata.uid() != us() {
        return Err(Refused::new(path, metadata.uid(), Fault::Owner { us: us() }).into());
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let fault = Fault::Writable { mode: metadata.mode() & PERMISSIONS };
        return Err(Refused::new(path, metadata.uid(), fault).into());
    }
    check_above(path)
}

/// Looks at a directory in which other users may have files beside ours, as /tmp is: as [`check_directory`], but it may
/// be root's, and others may write to it where they cannot replace what is ours.
///
/// # Errors
///
/// As [`check_directory`].
pub fn check_shared_directory(path: &Path) -> Result<(), FileError> {
    let metadata = open(path)?;
    check_ancestor(path, &metadata, WRITABLE_BY_OTHERS)?;
    check_above(path)
}

/// Reads the metadata of the directory itself, whatever a link of its name points to.
fn open(path: &Path) -> Result<Metadata, FileError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
    match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(directory) => Ok(directory.metadata()?),
        Err(error) => match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => {
                Err(Refused::new(path, metadata.uid(), Fault::Link).into())
            }
            Ok(metadata) if !metadata.is_dir() => {
                Err(Refused::new(path, metadata.uid(), Fault::NotDirectory).into())
            }
            Ok(_) | Err(_) => Err(error.into()),
        },
    }
}

/// Looks at each directory above, as it is named and as it is found behind links.
pub(crate) fn check_above(path: &Path) -> Result<(), FileError> {
    let named = std::path::absolute(path)?;
    let found = fs::canonicalize(path)?;
    let above: Vec<PathBuf> = [named, found]
        .iter()
        .flat_map(|path| path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>())
        .collect();
    for ancestor in above {
        check_ancestor(&ancestor, &fs::symlink_metadata(&ancestor)?, WRITABLE_BY_ALL)?;
    }
    Ok(())
}

/// Whoever owns a directory, or a link, can exchange what stands below. A group that may write to one above ours is
/// taken for the user's own, as many systems give each user one.
fn check_ancestor(path: &Path, metadata: &Metadata, others: u32) -> Result<(), Refused> {
    let mode = metadata.mode() & PERMISSIONS;
    if !is_trusted(metadata.uid()) {
        return Err(Refused::new(path, metadata.uid(), Fault::Owner { us: us() }));
    }
    // A link has all bits, and they mean nothing.
    if !metadata.is_symlink() && mode & others != 0 && mode & STICKY == 0 {
        return Err(Refused::new(path, metadata.uid(), Fault::Writable { mode }));
    }
    Ok(())
}
