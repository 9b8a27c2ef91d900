//! What a registration yields.

use std::fmt;

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, hash::HashAlgorithm};

use crate::MemberId;

/// The ISAKMP cookies CKY-I | CKY-R: 16 octets that name a registration SA, or the SPI of a rekey SA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CookiePair(pub [u8; 16]);

impl CookiePair {
    /// Shows CKY-I, the member's half.
    pub fn initiator(&self) -> &[u8] {
        &self.0[..8]
    }

    /// Shows CKY-R, the key server's half.
    pub fn responder(&self) -> &[u8] {
        &self.0[8..]
    }

    /// Says whether either cookie is all zero, which ISAKMP reserves.
    pub fn has_zero(&self) -> bool {
        self.0[..8] == [0; 8] || self.0[8..] == [0; 8]
    }
}

impl fmt::Display for CookiePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for CookiePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookiePair({self})")
    }
}

/// A registration security association: the proven peer and the keying material of the exchanges under it.
///
/// It is what RFC 6407 section 2 asks of a Phase 1: authentication, confidentiality and integrity, named by its
/// cookies.
#[derive(Debug, Clone)]
pub struct RegistrationSa {
    /// The other side.
    pub peer: MemberId,
    /// CKY-I | CKY-R; CKY-I is the member's, whoever began the registration.
    pub cookies: CookiePair,
    /// Reserved for derivations.
    pub skeyid_d: SecretBytes,
    /// The key of the HASH payloads.
    pub skeyid_a: SecretBytes,
    /// What the encryption key is taken or expanded from (RFC 2409 appendix B).
    pub skeyid_e: SecretBytes,
    /// Stands for the last block of Phase 1, from which each exchange's first IV is hashed: 16 octets.
    pub phase1_iv: [u8; 16],
    /// The hash behind prf and IVs.
    pub hash: HashAlgorithm,
    /// The cipher of the exchanges.
    pub cipher: CipherAlgorithm,
}
