//! Diffie-Hellman over MODP groups (RFC 3526), which aws-lc does not offer.

use crypto_bigint::{
    BoxedUint, Odd, Resize,
    modular::{BoxedMontyForm, BoxedMontyParams},
};

use super::{KxAlgorithm, KxGroup, KxPrivate, SharedSecret};
use crate::{CryptoError, Random, SecretBytes};

/// The octets of a private exponent: 512 bits are twice the strength of the largest group here.
const EXPONENT_LEN: usize = 64;

/// A group given by its safe prime; the generator is 2.
pub(super) struct Modp {
    pub(super) algorithm: KxAlgorithm,
    pub(super) prime_hex: &'static str,
}

impl Modp {
    fn bits(&self) -> u32 {
        self.prime_hex.len() as u32 * 4
    }

    fn octets(&self) -> usize {
        self.prime_hex.len() / 2
    }

    fn prime(&self) -> BoxedUint {
        let octets: Vec<u8> = self
            .prime_hex
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| {
                let digits = std::str::from_utf8(pair).expect("the prime is ASCII");
                u8::from_str_radix(digits, 16).expect("the prime is hexadecimal")
            })
            .collect();
        BoxedUint::from_be_slice(&octets, self.bits()).expect("the prime has this many bits")
    }

    fn params(&self) -> BoxedMontyParams {
        BoxedMontyParams::new(Odd::new(self.prime()).expect("the prime is odd"))
    }
}

impl KxGroup for Modp {
    fn algorithm(&self) -> KxAlgorithm {
        self.algorithm
    }

    fn public_len(&self) -> usize {
        self.octets()
    }

    fn generate(&self, random: &mut dyn Random) -> Result<Box<dyn KxPrivate>, CryptoError> {
        let secret = SecretBytes::with(EXPONENT_LEN, |octets| random.fill(octets));
        let exponent = BoxedUint::from_be_slice(secret.expose(), EXPONENT_LEN as u32 * 8)
            .map_err(|_| CryptoError::Key)?;
        let params = self.params();
        let two = BoxedUint::from(2u8).resize(self.bits());
        let public = BoxedMontyForm::new(two, &params).pow(&exponent).retrieve();
        Ok(Box::new(ModpPrivate {
            public: public.to_be_bytes().into_vec(),
            exponent: zeroize::Zeroizing::new(exponent),
            params,
            prime: self.prime(),
        }))
    }
}

struct ModpPrivate {
    public: Vec<u8>,
    exponent: zeroize::Zeroizing<BoxedUint>,
    params: BoxedMontyParams,
    prime: BoxedUint,
}

impl KxPrivate for ModpPrivate {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        if peer.len() != self.public.len() {
            return Err(CryptoError::PublicValue);
        }
        let bits = self.prime.bits_precision();
        let peer = BoxedUint::from_be_slice(peer, bits).map_err(|_| CryptoError::PublicValue)?;
        let one = BoxedUint::one_with_precision(bits);
        let last = self.prime.wrapping_sub(&one);
        if peer <= one || peer >= last {
            return Err(CryptoError::PublicValue);
        }
        let shared =
            zeroize::Zeroizing::new(BoxedMontyForm::new(peer, &self.params).pow(&self.exponent).retrieve());
        Ok(SharedSecret::new(shared.to_be_bytes().into_vec()))
    }
}

/// RFC 3526 section 2.
pub(super) const PRIME_1536: &str = concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB",
    "9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF",
);

/// RFC 3526 section 3.
pub(super) const PRIME_2048: &str = concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB",
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718",
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
);

/// RFC 3526 section 4.
pub(super) const PRIME_3072: &str = concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB",
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718",
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33",
    "A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7",
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864",
    "D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2",
    "08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
);
