//! Why an input or a command fails.

use std::fmt;

use claviger_group::{GroupId, Spi};
use claviger_isakmp::Unread;
use claviger_sansio::Counted;

use crate::Counter;

/// Why a datagram was dropped or a command refused. No state has changed.
#[derive(Debug)]
pub enum Error {
    /// A repair or announcement of a rekey was of no use.
    Delivery(claviger_delivery::Error),
    /// A data SA cannot be held beside the others.
    DataSa(SaFault),
    /// The GDOI endpoint dropped it.
    Gdoi(claviger_gdoi::Error),
    /// The HIP endpoint dropped it.
    Hip(claviger_hip::Error),
    /// The member did not ask for this group, or holds no keys of it.
    NotKeyed(GroupId),
    /// A rekey message under a rekey SA that was announced, and whose keys have not all come.
    RekeySaIncomplete,
    /// A GROUPKEY-PUSH under cookies that no group of this member has.
    RekeySaUnknown,
    /// A datagram is for a protocol that this member does not speak.
    Unread(Unread),
}

impl Error {
    /// Names the reason in `snake_case`, as its counter is named.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Delivery(error) => error.reason(),
            Self::DataSa(fault) => Counter::from(fault).name(),
            Self::Gdoi(error) => error.reason(),
            Self::Hip(error) => error.reason(),
            Self::NotKeyed(_) => Counter::NotKeyed.name(),
            Self::RekeySaIncomplete => Counter::RekeySaIncomplete.name(),
            Self::RekeySaUnknown => Counter::RekeySaUnknown.name(),
            Self::Unread(unread) => unread.reason(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivery(error) => error.fmt(f),
            Self::DataSa(fault) => fault.fmt(f),
            Self::Gdoi(error) => error.fmt(f),
            Self::Hip(error) => error.fmt(f),
            Self::NotKeyed(group) => write!(f, "no keys of group {group}"),
            Self::RekeySaIncomplete => {
                f.write_str("rekey message under a rekey SA whose keys are still coming")
            }
            Self::RekeySaUnknown => f.write_str("rekey message for an unknown rekey SA"),
            Self::Unread(unread) => unread.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<claviger_delivery::Error> for Error {
    fn from(error: claviger_delivery::Error) -> Self {
        Self::Delivery(error)
    }
}

impl From<SaFault> for Error {
    fn from(fault: SaFault) -> Self {
        Self::DataSa(fault)
    }
}

impl From<claviger_gdoi::Error> for Error {
    fn from(error: claviger_gdoi::Error) -> Self {
        Self::Gdoi(error)
    }
}

impl From<claviger_hip::Error> for Error {
    fn from(error: claviger_hip::Error) -> Self {
        Self::Hip(error)
    }
}

/// Why a data SA is not taken up. Nothing of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaFault {
    /// Another SA has the same key: counter modes would repeat their nonces (RFC 6407 section 3.5).
    KeyReused(Spi),
    /// A sender id has another number of bits than those before it.
    SenderIdBits,
    /// Another SA has the same SPI and other keys.
    SpiInUse(Spi),
    /// The member already holds as many SAs as it may.
    TooManySas,
}

impl fmt::Display for SaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyReused(spi) => write!(f, "the key is in use under SPI {spi}"),
            Self::SenderIdBits => f.write_str("sender id has the wrong number of bits"),
            Self::SpiInUse(spi) => write!(f, "SPI {spi} is in use with other keys"),
            Self::TooManySas => f.write_str("no room for another security association"),
        }
    }
}
