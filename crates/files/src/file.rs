//! Regular files of this user's own.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use nix::fcntl::OFlag;

use crate::{
    directory::check_above,
    owner::{is_trusted, us},
    refusal::{Fault, FileError, Refused},
};

/// The permission bits by which others than the owner can write.
pub(crate) const WRITABLE_BY_OTHERS: u32 = 0o022;

/// All permission bits.
pub(crate) const PERMISSIONS: u32 = 0o7777;

/// Opens a file, or makes it where `options` say so, and looks at what was opened: it is a regular file, this user owns
/// it, no other can write to it, and its name is no symbolic link.
///
/// `options` must not truncate: that would happen before the file is looked at. Flags of their own are replaced.
///
/// # Errors
///
/// [`FileError::Refused`] names what is wrong; [`FileError::Io`] if the system refuses, also because nothing is there.
pub fn open(path: &Path, options: &mut OpenOptions) -> Result<File, FileError> {
    let (file, metadata) = open_unchecked(path, options)?;
    check(path, &metadata)?;
    Ok(file)
}

/// Opens a file to read it, which may be the administrator's as well as this user's: what decides whom this process
/// trusts, and is no secret. Otherwise it is as with [`open`].
///
/// # Errors
///
/// As [`open`].
pub fn open_trusted(path: &Path) -> Result<File, FileError> {
    let (file, metadata) = open_unchecked(path, OpenOptions::new().read(true))?;
    let owner = if is_trusted(metadata.uid()) { metadata.uid() } else { us() };
    check_as(owner, path, &metadata)?;
    Ok(file)
}

fn open_unchecked(path: &Path, options: &mut OpenOptions) -> Result<(File, Metadata), FileError> {
    // A pipe would wait for its other end; regular files do not care.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match options.custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) => return Err(refused_link(path).map_or(FileError::Io(error), FileError::Refused)),
    };
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Looks at the metadata of a file that is open, as [`open`] does.
///
/// # Errors
///
/// [`Refused`] names what is wrong.
pub fn check(path: &Path, metadata: &Metadata) -> Result<(), Refused> {
    check_as(us(), path, metadata)
}

/// Looks at a file whose contents this process is going to obey, such as a library that it loads: behind whatever links
/// there stands a regular file, this user or root owns it, and nobody else can write to it, or exchange it from above.
///
/// # Errors
///
/// [`FileError::Refused`] names the file, or a directory above it, and what is wrong; [`FileError::Io`] if the system
/// refuses, also because nothing is there.
pub fn check_obeyed(path: &Path) -> Result<(), FileError> {
    let found = fs::canonicalize(path)?;
    let metadata = fs::symlink_metadata(&found)?;
    if !metadata.is_file() {
        return Err(Refused::new(&found, metadata.uid(), Fault::NotRegular).into());
    }
    if !is_trusted(metadata.uid()) {
        return Err(Refused::new(&found, metadata.uid(), Fault::Owner { us: us() }).into());
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let fault = Fault::Writable { mode: metadata.mode() & PERMISSIONS };
        return Err(Refused::new(&found, metadata.uid(), fault).into());
    }
    check_above(path)
}

fn check_as(us: u32, path: &Path, metadata: &Metadata) -> Result<(), Refused> {
    let refused = |fault| Err(Refused::new(path, metadata.uid(), fault));
    if !metadata.is_file() {
        return refused(Fault::NotRegular);
    }
    if metadata.uid() != us {
        return refused(Fault::Owner { us });
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return refused(Fault::Writable { mode: metadata.mode() & PERMISSIONS });
    }
    Ok(())
}

/// Says of a path that could not be opened whether that is because it is something else than a file. The system's own
/// words for it (too many levels of links, no such device) help nobody.
fn refused_link(path: &Path) -> Option<Refused> {
    let metadata = path.symlink_metadata().ok()?;
    let fault = match metadata.file_type() {
        kind if kind.is_symlink() => Fault::Link,
        kind if kind.is_file() => return None,
        _ => Fault::NotRegular,
    };
    Some(Refused::new(path, metadata.uid(), fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_user_is_refused_with_its_owner() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        assert_eq!(check_as(us(), file.path(), &metadata), Ok(()));
        let refused = check_as(us() + 1, file.path(), &metadata).unwrap_err();
        assert_eq!((refused.owner, refused.fault), (us(), Fault::Owner { us: us() + 1 }));
    }
}
