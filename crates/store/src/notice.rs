//! What a store takes up although it may be a loss: the program says so in its log.

use std::{fmt, path::PathBuf};

/// Something at the opening of a store that an interrupted first start explains, or a person who removed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// There was a key, and neither database nor mark: the store begins empty.
    BegunEmpty {
        /// The key file.
        key: PathBuf,
    },
    /// There was a database with commits, and no mark: whether it is the latest one cannot be known.
    MarkMissing {
        /// The mark, which was made anew.
        mark: PathBuf,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BegunEmpty { key } => write!(
                f,
                "beside the key file {} there is no database: a first start was interrupted, or the database was removed; the store begins empty",
                key.display()
            ),
            Self::MarkMissing { mark } => write!(
                f,
                "the mark {} is missing and made anew: it is not known whether the database beside it is the latest one",
                mark.display()
            ),
        }
    }
}
