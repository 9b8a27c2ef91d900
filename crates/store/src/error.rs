//! Why a store refuses.

use std::{error::Error, fmt, io, path::PathBuf};

use claviger_crypto::CryptoError;
use claviger_files::Refused;
use claviger_sansio::durable::Table;

/// What a store cannot or will not do. It never carries a secret, nor a record's name.
#[derive(Debug)]
pub enum StoreError {
    /// A record was altered, or its content is not what the core writes.
    Corrupt {
        /// The table it is in.
        table: Table,
    },
    /// Cryptography or its source of randomness failed.
    Crypto(CryptoError),
    /// The database, or the mark beside it, was altered or cut, or is not one.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database was complete once and is gone.
    DatabaseMissing {
        /// Where it was.
        path: PathBuf,
    },
    /// A file could not be made, read or written.
    File {
        /// What was attempted, as in "cannot ...".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has the store open.
    InUse {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The key file has not exactly the octets of a key.
    KeyLength {
        /// The key file.
        path: PathBuf,
        /// The octets it must have.
        expected: usize,
    },
    /// The key file is gone, and there is state that needs it.
    KeyMissing {
        /// Where it was.
        path: PathBuf,
    },
    /// The key file can be read or written by others than its owner.
    KeyTooOpen {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key is not the one that the database was made with.
    KeyWrong {
        /// The key file.
        path: PathBuf,
    },
    /// The database was written by a newer version of this program.
    NewerFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is understood here.
        supported: u32,
    },
    /// The directory, or a file in it, is not this user's own.
    NotOurs(Refused),
    /// The database lacks commits that were answered: an older one was put back, or its last commit was damaged.
    RolledBack {
        /// The database.
        path: PathBuf,
        /// The file that tells how many commits were answered.
        mark: PathBuf,
        /// The commits that the database has.
        found: u64,
        /// The commits that were answered.
        answered: u64,
    },
    /// A record's name or value exceeds what a store keeps.
    TooLong {
        /// The table it was meant for.
        table: Table,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { table } => {
                write!(f, "a record of the table {} was altered or is damaged", table.name())
            }
            Self::Crypto(error) => write!(f, "the store's cryptography failed: {error}"),
            Self::Damaged { path, source } => {
                write!(f, "the store's file {} is damaged: {source}", path.display())
            }
            Self::DatabaseMissing { path } => write!(
                f,
                "the database {} is missing, though it was there before; restore it, or remove the store's other files too to begin anew",
                path.display()
            ),
            Self::File { action, path, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::InUse { directory } => {
                write!(f, "another process is using the store in {}", directory.display())
            }
            Self::KeyLength { path, expected } => {
                write!(f, "the key file {} does not have exactly {expected} octets", path.display())
            }
            Self::KeyMissing { path } => write!(
                f,
                "the key file {} is missing, and the database cannot be read without it; no new one is made",
                path.display()
            ),
            Self::KeyTooOpen { path, mode } => write!(
                f,
                "the key file {0} has mode {mode:04o} and is open to others; after asking who may have read it: chmod 600 {0}",
                path.display()
            ),
            Self::KeyWrong { path } => {
                write!(f, "the key file {} is not the one that the database was made with", path.display())
            }
            Self::NewerFormat { path, found, supported } => write!(
                f,
                "the database {} has format {found} and this program knows none above {supported}; use the newer program",
                path.display()
            ),
            Self::NotOurs(refused) => refused.fmt(f),
            Self::RolledBack { path, mark, found, answered } => write!(
                f,
                "the database {} ends with commit {found}, but commit {answered} was answered; restore the newer one, or remove {} to go on without, and then replace every group",
                path.display(),
                mark.display()
            ),
            Self::TooLong { table } => {
                write!(f, "a record of the table {} is longer than a store keeps", table.name())
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Crypto(error) => Some(error),
            Self::Damaged { source, .. } => Some(source.as_ref()),
            Self::File { source, .. } => Some(source),
            Self::NotOurs(refused) => Some(refused),
            Self::Corrupt { .. }
            | Self::DatabaseMissing { .. }
            | Self::InUse { .. }
            | Self::KeyLength { .. }
            | Self::KeyMissing { .. }
            | Self::KeyTooOpen { .. }
            | Self::KeyWrong { .. }
            | Self::NewerFormat { .. }
            | Self::RolledBack { .. }
            | Self::TooLong { .. } => None,
        }
    }
}

impl From<CryptoError> for StoreError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}
