//! Diffie-Hellman over the NIST curves (RFC 5903).

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, agree};

use super::{KxAlgorithm, KxGroup, KxPrivate, SharedSecret};
use crate::{
    CryptoError, Random,
    curve::{Curve, DrawnKey, uncompressed},
};

pub(super) struct Ecp {
    pub(super) algorithm: KxAlgorithm,
    pub(super) curve: &'static Curve,
    pub(super) public_len: usize,
}

impl KxGroup for Ecp {
    fn algorithm(&self) -> KxAlgorithm {
        self.algorithm
    }

    fn public_len(&self) -> usize {
        self.public_len
    }

    fn generate(&self, random: &mut dyn Random) -> Result<Box<dyn KxPrivate>, CryptoError> {
        let DrawnKey { private, public, .. } = self.curve.draw(random)?;
        Ok(Box::new(EcpPrivate { curve: self.curve, private, public }))
    }
}

struct EcpPrivate {
    curve: &'static Curve,
    private: PrivateKey,
    public: Vec<u8>,
}

impl KxPrivate for EcpPrivate {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        let peer = UnparsedPublicKey::new(self.curve.agreement, uncompressed(peer));
        agree(&self.private, peer, CryptoError::PublicValue, |shared| Ok(SharedSecret::new(shared)))
    }
}
