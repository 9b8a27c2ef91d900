//! Why a packet of a group was dropped.

use std::fmt;

use claviger_group::GroupId;

/// Why a packet was neither protected nor opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// ESP drops or cannot make it, and has counted it.
    Esp(claviger_esp::Error),
    /// There are no keys of this group.
    NotKeyed(GroupId),
}

impl Error {
    /// Names the reason in `snake_case`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Esp(error) => error.reason(),
            Self::NotKeyed(_) => "not_keyed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esp(error) => error.fmt(f),
            Self::NotKeyed(group) => write!(f, "no keys of group {group}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<claviger_esp::Error> for Error {
    fn from(error: claviger_esp::Error) -> Self {
        Self::Esp(error)
    }
}
