//! Which private extensions a member accepts.
//!
//! They are of private use in RFC 6407's registries: a member that lacks one, or is told to refuse it, ends the
//! GROUPKEY-PULL that offers it with ATTRIBUTES-NOT-SUPPORTED, before it asks for any key.

use crate::{
    error::{Error, PeerIncompatible},
    iana::kek,
    wire::SaKek,
};
use claviger_group::PushAuthentication;

/// The private extensions that a member accepts when a key server offers them; all, unless it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extensions {
    /// Messages that share a signature.
    pub batch_signatures: bool,
    /// Trees with 32-bit node ids.
    pub lkh_32: bool,
    /// Messages that go to one place only.
    pub places: bool,
}

/// One private extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// Messages that share a signature.
    BatchSignatures,
    /// Trees with 32-bit node ids.
    Lkh32,
    /// Messages that go to one place only.
    Places,
}

impl Extensions {
    /// All that are implemented.
    pub const ALL: Self = Self { batch_signatures: true, lkh_32: true, places: true };

    /// RFC 6407 as it stands.
    pub const NONE: Self = Self { batch_signatures: false, lkh_32: false, places: false };

    /// Says whether a rekey SA needs none but these.
    ///
    /// # Errors
    ///
    /// [`Error::PeerIncompatible`] names what is not understood or refused: KEK_MANAGEMENT_ALGORITHM, SIG_ALGORITHM,
    /// PLACE_DESTINATION or REKEY_FIRST.
    pub fn check(self, policy: &SaKek) -> Result<(), Error> {
        match policy.management {
            None | Some(kek::MANAGEMENT_LKH) => {}
            Some(kek::MANAGEMENT_LKH_32) if self.lkh_32 => {}
            Some(other) => return Err(PeerIncompatible::KekManagement(other).into()),
        }
        if policy.form == PushAuthentication::Batch && !self.batch_signatures {
            return Err(PeerIncompatible::Signature(policy.signature_code()?).into());
        }
        if policy.place.is_some() && !self.places {
            return Err(PeerIncompatible::PlaceDestination(kek::PLACE_DESTINATION).into());
        }
        if policy.rekey_first.is_some() && !self.places {
            return Err(PeerIncompatible::RekeyFirst(kek::REKEY_FIRST).into());
        }
        Ok(())
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self::ALL
    }
}
