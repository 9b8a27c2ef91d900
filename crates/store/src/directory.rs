//! The store's directory: its files, its lock, and what makes their names durable.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use claviger_files::FileError;

use crate::StoreError;

/// The permission bits of the directories that are made.
const DIRECTORY_MODE: u32 = 0o700;

/// The permission bits of the files that are made.
const FILE_MODE: u32 = 0o600;

/// The lock file's name.
const LOCK_FILE: &str = "store.lock";

/// A directory that this process has locked. The lock ends with the value, or with the process however it ends.
pub(crate) struct LockedDirectory {
    path: PathBuf,
    lock: File,
}

impl LockedDirectory {
    /// Makes the directory if it is not there, and locks it. It must be this user's own, and so must be all that the
    /// store reads and writes in it.
    pub(crate) fn lock(path: &Path) -> Result<Self, StoreError> {
        make_directory(path)?;
        claviger_files::check_directory(path).map_err(unusable("use", path))?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let lock = claviger_files::open(&lock_path, &mut options).map_err(unusable("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { directory: path.to_owned() }),
            Err(TryLockError::Error(source)) => {
                Err(StoreError::File { action: "lock", path: lock_path, source })
            }
        }
    }

    /// Removes what a kill left of a file in the making. A file published under its final name stays under that.
    pub(crate) fn remove_leftover(&self, name: &str) -> Result<(), StoreError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(failure("remove", &path)),
        }
    }

    /// Makes an empty file for this user alone.
    pub(crate) fn create(&self, name: &str) -> Result<File, StoreError> {
        let path = self.file(name);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failure("create", &path))
    }

    /// Opens a file that is there, for reading and writing.
    pub(crate) fn open(&self, name: &str) -> Result<File, StoreError> {
        let path = self.file(name);
        claviger_files::open(&path, OpenOptions::new().read(true).write(true))
            .map_err(unusable("open", &path))
    }

    /// Gives a complete and synced file its final name, which nothing may have yet, durably.
    pub(crate) fn publish(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (self.file(from), self.file(to));
        // A link, unlike a rename, never replaces a file that someone put there meanwhile.
        fs::hard_link(&from, &to).map_err(failure("create", &to))?;
        self.sync()?;
        fs::remove_file(&from).map_err(failure("remove", &from))
    }

    /// Says whether a file is there.
    pub(crate) fn holds(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.file(name);
        path.try_exists().map_err(failure("look for", &path))
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the directory's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn sync(&self) -> Result<(), StoreError> {
        sync_directory(&self.path)
    }
}

impl Drop for LockedDirectory {
    /// Unlocks by name: closing the file is not enough while a child that another thread just forked still has it.
    fn drop(&mut self) {
        // Should this fail, the lock ends with the process.
        let _ = self.lock.unlock();
    }
}

/// Turns what the system says into an error that names the attempt and the path.
pub(crate) fn failure(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { action, path, source }
}

/// As [`failure`], for a file that may be refused.
pub(crate) fn unusable(action: &'static str, path: &Path) -> impl FnOnce(FileError) -> StoreError {
    let path = path.to_owned();
    move |error| match error {
        FileError::Io(source) => StoreError::File { action, path, source },
        FileError::Refused(refused) => StoreError::NotOurs(refused),
    }
}

/// Makes a directory and those above it that are missing. Each name is synced into the directory above it.
fn make_directory(path: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir())
        .collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
            // Another process of this user may be making the same directory.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            result => result.map_err(failure("create", directory))?,
        }
        match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent)?,
            _ => sync_directory(Path::new("."))?,
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failure("sync", path))
}
