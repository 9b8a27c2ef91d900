//! Why a path refuses.

use std::{error, fmt};

/// A path, or a rekey of it, that is refused. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// A wrapped key does not unwrap, or is wrapped in two ways.
    Content,
    /// A key is wrapped under one that its node had before the key that is held.
    HandleWentBack,
    /// A message is of another rekey than those before it.
    HeadDiffers,
    /// A key has not the length of its algorithm.
    KeyLength,
    /// The rekey is not for this member: its tree, or a key that it begins at, is another.
    NotForUs,
    /// The path does not lead to a root.
    PathContent,
    /// The announced root key is no successor of the one that is held.
    RootNotNewer,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "wrapped key does not unwrap",
            Self::HandleWentBack => "key is wrapped under one that precedes the one held",
            Self::HeadDiffers => "message is of another rekey than those before it",
            Self::KeyLength => "key has not the length of its algorithm",
            Self::NotForUs => "no key of the rekey starts at one that is held here",
            Self::PathContent => "path does not lead to a root",
            Self::RootNotNewer => "announced root key is no successor of the one held",
        })
    }
}

impl error::Error for PathError {}
