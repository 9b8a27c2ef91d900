//! Why an input, a command or a restart fails.

use std::fmt;

use claviger_group::{GroupId, MemberId, policy::PolicyError};
use claviger_identity::Hit;
use claviger_isakmp::Unread;
use claviger_wire::DecodeError;

/// Why a datagram was dropped. It is for the log and a counter; no state has changed.
#[derive(Debug)]
pub enum Error {
    /// The GDOI endpoint dropped it.
    Gdoi(claviger_gdoi::Error),
    /// The HIP endpoint dropped it.
    Hip(claviger_hip::Error),
    /// It is for a protocol that this key server does not speak.
    Unread(Unread),
}

impl Error {
    /// Names the reason in `snake_case`, as its counter is named.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Gdoi(error) => error.reason(),
            Self::Hip(error) => error.reason(),
            Self::Unread(unread) => unread.reason(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gdoi(error) => error.fmt(f),
            Self::Hip(error) => error.fmt(f),
            Self::Unread(unread) => unread.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// Why a command of the administrator is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// The cookies of a registration SA are in use.
    CookiesInUse,
    /// The group exists already.
    GroupExists(GroupId),
    /// No such group.
    GroupUnknown(GroupId),
    /// The group has no KEK to replace.
    GroupWithoutKek(GroupId),
    /// A host that may not send cannot be let send without a lease.
    NoSender,
    /// The host is neither allowed in the group nor a member of it.
    HostUnknown(MemberId),
    /// The policy is not coherent.
    Policy(PolicyError),
    /// The policy asks for more than this server's HIP offers, so that nobody could register.
    PolicyBeyondOffer,
    /// The owner of a group has no roots, or more than 255.
    Roots,
    /// Making or using a key failed.
    Crypto(claviger_crypto::CryptoError),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CookiesInUse => f.write_str("the cookies of the registration SA are in use"),
            Self::GroupExists(group) => write!(f, "group {group} exists already"),
            Self::GroupUnknown(group) => write!(f, "there is no group {group}"),
            Self::GroupWithoutKek(group) => write!(f, "group {group} has no KEK"),
            Self::NoSender => f.write_str("a host that may not send needs no leave to send without a lease"),
            Self::HostUnknown(host) => write!(f, "{host} is not on the group's list"),
            Self::Policy(error) => error.fmt(f),
            Self::PolicyBeyondOffer => f.write_str(
                "a group with 256-bit keys needs HIP_CIPHER AES-256-CBC and DH group 8 or 9 among the server's offers",
            ),
            Self::Roots => f.write_str("the owner of a group has from 1 to 255 root certificates"),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<PolicyError> for CommandError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl From<claviger_crypto::CryptoError> for CommandError {
    fn from(error: claviger_crypto::CryptoError) -> Self {
        Self::Crypto(error)
    }
}

/// Why the stored state cannot be taken up.
#[derive(Debug)]
pub enum RestoreError {
    /// A record does not decode.
    Decode {
        /// The table of the record.
        table: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A record refers to another one that is missing, or contradicts it.
    Inconsistent {
        /// The table of the record.
        table: &'static str,
    },
    /// The state is another host's.
    OtherIdentity {
        /// Whose it is.
        stored: Hit,
        /// Who was to take it up.
        own: Hit,
    },
    /// A stored key is not one.
    Crypto(claviger_crypto::CryptoError),
    /// The HIP endpoint could not be made.
    Hip(claviger_hip::Error),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode { table, error } => write!(f, "stored record of table {table}: {error}"),
            Self::Inconsistent { table } => {
                write!(f, "stored records of table {table} contradict each other")
            }
            Self::OtherIdentity { stored, own } => {
                write!(f, "the store belongs to the key server {stored}, and this host's identity is {own}")
            }
            Self::Crypto(error) => write!(f, "stored key: {error}"),
            Self::Hip(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<claviger_crypto::CryptoError> for RestoreError {
    fn from(error: claviger_crypto::CryptoError) -> Self {
        Self::Crypto(error)
    }
}
