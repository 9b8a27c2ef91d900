//! Diffie-Hellman over the NIST curves (RFC 5903).

use aws_lc_rs::agreement::{Algorithm, PrivateKey, UnparsedPublicKey, agree};

use super::{KxAlgorithm, KxGroup, KxPrivate, SharedSecret};
use crate::{CryptoError, Random};

/// The octet before an uncompressed point (SEC 1 section 2.3.3), which RFC 5903 leaves out.
const UNCOMPRESSED: u8 = 4;

pub(super) struct Ecp {
    pub(super) algorithm: KxAlgorithm,
    pub(super) curve: &'static Algorithm,
    pub(super) public_len: usize,
}

impl KxGroup for Ecp {
    fn algorithm(&self) -> KxAlgorithm {
        self.algorithm
    }

    fn public_len(&self) -> usize {
        self.public_len
    }

    fn generate(&self, _random: &mut dyn Random) -> Result<Box<dyn KxPrivate>, CryptoError> {
        let private = PrivateKey::generate(self.curve).map_err(|_| CryptoError::Random)?;
        let public = private.compute_public_key().map_err(|_| CryptoError::Key)?;
        let public = public.as_ref().strip_prefix(&[UNCOMPRESSED]).ok_or(CryptoError::Key)?.to_vec();
        Ok(Box::new(EcpPrivate { curve: self.curve, private, public }))
    }
}

struct EcpPrivate {
    curve: &'static Algorithm,
    private: PrivateKey,
    public: Vec<u8>,
}

impl KxPrivate for EcpPrivate {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        let mut point = Vec::with_capacity(1 + peer.len());
        point.push(UNCOMPRESSED);
        point.extend_from_slice(peer);
        let peer = UnparsedPublicKey::new(self.curve, point);
        agree(&self.private, peer, CryptoError::PublicValue, |shared| Ok(SharedSecret::new(shared)))
    }
}
