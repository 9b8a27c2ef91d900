//! Pinned roots, and lists of what they and the CAs below them revoked: the judge of certificates.

use claviger_crypto::CryptoProvider;
use const_oid::ObjectIdentifier;

use crate::{
    certificate::Certificate,
    crl::Crl,
    error::Error,
    limits::{OTHERS_MAX, SIGNATURES_MAX},
    oid::Oid,
    path::Search,
};

/// What is asked about revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// Nothing: certificates end when they expire.
    NotChecked,
    /// Each certificate below the root stands on none of these lists, and there is a current one on which it would.
    Lists(Vec<Crl>),
}

/// What a certificate is to be used for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purpose {
    /// Where the certificate names purposes in its extended key usage, one of these must be there, or any purpose.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// The extensions that the caller reads, so that they may be critical in the certificate that is judged.
    pub extensions: Vec<Oid>,
    /// Those that the caller reads in the certificates of CAs and roots, so that they may be critical there.
    pub ca_extensions: Vec<Oid>,
}

/// Roots that an operator trusts, and what is known of revocation.
///
/// A root is trusted for its name and key, within its own validity, constraints and key usage (RFC 5937); its own
/// signature is not looked at, and neither is a list for one that says that it is revoked: who no longer trusts a root
/// takes it away.
pub struct Authority {
    provider: &'static CryptoProvider,
    roots: Vec<Certificate>,
    revocation: Revocation,
}

impl Authority {
    /// Pins roots.
    pub fn new(provider: &'static CryptoProvider, roots: Vec<Certificate>, revocation: Revocation) -> Self {
        Self { provider, roots, revocation }
    }

    /// Takes other lists of revoked certificates in place of those so far.
    pub fn set_revocation(&mut self, revocation: Revocation) {
        self.revocation = revocation;
    }

    /// Shows the pinned roots.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Finds a chain from a certificate to a root by RFC 5280 section 6, from among others that a peer sent along.
    ///
    /// `others` may stand in any order, and have some that do not belong; more than
    /// [`OTHERS_MAX`] are not looked at. `now` is in seconds since 1970. What is yielded
    /// begins with the certificate and ends with the root.
    ///
    /// # Errors
    ///
    /// [`Error`]: where no chain holds, what came furthest says which certificate breaks which rule.
    pub fn judge<'a>(
        &'a self,
        certificate: &'a Certificate,
        others: &'a [Certificate],
        purpose: &Purpose,
        now: u64,
    ) -> Result<Vec<&'a Certificate>, Error> {
        let mut search = Search {
            provider: self.provider,
            roots: &self.roots,
            others: &others[..others.len().min(OTHERS_MAX)],
            revocation: &self.revocation,
            purpose,
            now,
            signatures_left: SIGNATURES_MAX,
        };
        search.chain(certificate, 0)
    }
}
