//! The list of what an owner revoked.

use std::path::Path;

use claviger_pki::{Certificate, Crl};

use super::Serials;
use crate::{
    exit::{Exit, Failure, Outcome},
    public_file::{self, unusable},
};

/// The list of what an owner revoked; once it is on the disk, its number is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RevocationList {
    /// It grows with each list.
    pub(crate) number: u64,
    /// From when on it holds, in seconds since 1970.
    pub(crate) this_update: u64,
    /// Until when it holds, in seconds since 1970.
    pub(crate) next_update: u64,
    /// What was revoked, and since when.
    pub(crate) revoked: Serials,
}

impl RevocationList {
    /// Reads the list of an owner. Without it nobody knew what was revoked, so a missing one is an error.
    pub(super) fn read(path: &Path, owner: &Certificate) -> Outcome<Self> {
        let Some(octets) = public_file::read(path)? else {
            let message = format!("{} is missing: what was revoked would be forgotten", path.display());
            return Err(Failure::new(Exit::Configuration, message)
                .hint("restore it, if need be from a key server's directory of lists"));
        };
        let read = Crl::from_pem(&octets).map_err(|error| unusable(path, "holds no list", &error))?;
        if read.issuer() != owner.subject() {
            let message = format!("{} is a list of {}, not of this owner", path.display(), read.issuer());
            return Err(Failure::new(Exit::Configuration, message));
        }
        let (Some(number), Some(next_update)) = (read.number(), read.next_update()) else {
            let message = format!("{} has no number or no end, as lists of owners have", path.display());
            return Err(Failure::new(Exit::Configuration, message));
        };
        Ok(Self {
            number,
            this_update: read.this_update(),
            next_update,
            revoked: read.revoked().map(|(serial, since)| (serial.to_vec(), since)).collect(),
        })
    }

    /// How long it holds from when it was made, in seconds.
    pub(super) fn lifetime(&self) -> u64 {
        self.next_update.saturating_sub(self.this_update).saturating_sub(super::BEGIN_EARLIER)
    }
}
