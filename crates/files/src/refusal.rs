//! What is wrong with a file or directory.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

/// What a file or directory of this user's own must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is a symbolic link: whoever made it chose what stands behind it.
    Link,
    /// It is something else than a directory.
    NotDirectory,
    /// It is something else than a regular file.
    NotRegular,
    /// Another user owns it.
    Owner {
        /// The user that this process acts as.
        us: u32,
    },
    /// Other users can write to it.
    Writable {
        /// Its permission bits.
        mode: u32,
    },
}

/// A file or directory is refused: which, whose it is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its path. Of a directory it may be one above the directory that was asked for.
    pub path: PathBuf,
    /// The user that owns it.
    pub owner: u32,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Refused {
    pub(crate) fn new(path: &Path, owner: u32, fault: Fault) -> Self {
        Self { path: path.to_owned(), owner, fault }
    }
}

/// A file or directory cannot be used.
#[derive(Debug)]
pub enum FileError {
    /// The system refuses.
    Io(io::Error),
    /// It is not to be used.
    Refused(Refused),
}

impl FileError {
    /// Says whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, owner, fault } = self;
        let path = path.display();
        match fault {
            Fault::Link => write!(f, "{path} (owner: user {owner}) is refused: it is a symbolic link"),
            Fault::NotDirectory => {
                write!(f, "{path} (owner: user {owner}) is refused: it is not a directory")
            }
            Fault::NotRegular => {
                write!(f, "{path} (owner: user {owner}) is refused: it is not a regular file")
            }
            Fault::Owner { us } => {
                write!(f, "{path} is refused: user {owner} owns it, and this process acts as user {us}")
            }
            Fault::Writable { mode } => {
                write!(
                    f,
                    "{path} (owner: user {owner}) is refused: other users can write to it (mode {mode:04o})"
                )
            }
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl Error for Refused {}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Refused(refused) => Some(refused),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Refused> for FileError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// For callers whose errors carry what the system says.
impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io(error) => error,
            FileError::Refused(refused) => Self::new(io::ErrorKind::PermissionDenied, refused),
        }
    }
}
