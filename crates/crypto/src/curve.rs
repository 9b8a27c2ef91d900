//! Private keys on the NIST curves, drawn from a given source.

use aws_lc_rs::agreement::{self, Algorithm, PrivateKey};

use crate::{CryptoError, Random, SecretBytes};

/// Candidates tried for one key. Of a sound source one in 2^32 at most is out of range: eight in a row come from
/// none.
const CANDIDATES_MAX: u32 = 8;

/// The octet before an uncompressed point (SEC 1 section 2.3.3), which the protocols leave out.
pub(crate) const UNCOMPRESSED: u8 = 4;

/// A curve, and how long a private key is.
pub(crate) struct Curve {
    pub(crate) agreement: &'static Algorithm,
    private_len: usize,
    /// The bits of the first octet that the order of the group has.
    first_octet: u8,
}

pub(crate) static P256: Curve =
    Curve { agreement: &agreement::ECDH_P256, private_len: 32, first_octet: 0xff };
pub(crate) static P384: Curve =
    Curve { agreement: &agreement::ECDH_P384, private_len: 48, first_octet: 0xff };
pub(crate) static P521: Curve =
    Curve { agreement: &agreement::ECDH_P521, private_len: 66, first_octet: 0x01 };

/// A key pair that was drawn.
pub(crate) struct DrawnKey {
    /// The private key as a big-endian integer of fixed length.
    pub(crate) scalar: SecretBytes,
    pub(crate) private: PrivateKey,
    /// The point x | y.
    pub(crate) public: Vec<u8>,
}

impl Curve {
    /// Draws a key pair by rejection: integers as long as the order until one is between 1 and the order less one
    /// (FIPS 186-5 appendix A.2.2). aws-lc judges that, and computes the public key.
    pub(crate) fn draw(&self, random: &mut dyn Random) -> Result<DrawnKey, CryptoError> {
        for _ in 0..CANDIDATES_MAX {
            let scalar = SecretBytes::with(self.private_len, |octets| {
                random.fill(octets);
                octets[0] &= self.first_octet;
            });
            let Ok(private) = PrivateKey::from_private_key(self.agreement, scalar.expose()) else {
                continue;
            };
            let public = private.compute_public_key().map_err(|_| CryptoError::Key)?;
            let public = public.as_ref().strip_prefix(&[UNCOMPRESSED]).ok_or(CryptoError::Key)?.to_vec();
            return Ok(DrawnKey { scalar, private, public });
        }
        Err(CryptoError::Random)
    }
}

/// Writes a point x | y as SEC 1 does.
pub(crate) fn uncompressed(point: &[u8]) -> Vec<u8> {
    [&[UNCOMPRESSED], point].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Yields the given octets, over and over.
    struct Constant(u8, u32);

    impl Random for Constant {
        fn fill(&mut self, octets: &mut [u8]) {
            self.1 += 1;
            octets.fill(self.0);
        }
    }

    /// The order of each curve begins with a one bit, and 0xff.. is above it; zero is no key.
    #[test]
    fn candidates_out_of_range_are_refused_and_their_number_is_bounded() {
        for curve in [&P256, &P384, &P521] {
            for octet in [0x00, 0xff] {
                let mut source = Constant(octet, 0);
                let drawn = curve.draw(&mut source).err();
                // The order of P-521 begins with 0x01ff: what is left of 0xff.. is above it too.
                assert_eq!((drawn, source.1), (Some(CryptoError::Random), CANDIDATES_MAX));
            }
            assert!(curve.draw(&mut Constant(0x55, 0)).is_ok());
        }
    }

    /// RFC 5903 section 8.1: a private key of P-256 and the public key that belongs to it.
    #[test]
    fn the_public_key_is_that_of_the_drawn_integer() {
        struct Given;
        impl Random for Given {
            fn fill(&mut self, octets: &mut [u8]) {
                let i: [u8; 32] = [
                    0xC8, 0x8F, 0x01, 0xF5, 0x10, 0xD9, 0xAC, 0x3F, 0x70, 0xA2, 0x92, 0xDA, 0xA2, 0x31, 0x6D,
                    0xE5, 0x44, 0xE9, 0xAA, 0xB8, 0xAF, 0xE8, 0x40, 0x49, 0xC6, 0x2A, 0x9C, 0x57, 0x86, 0x2D,
                    0x14, 0x33,
                ];
                octets.copy_from_slice(&i);
            }
        }
        let drawn = P256.draw(&mut Given).unwrap();
        assert_eq!(drawn.public[..8], [0xDA, 0xD0, 0xB6, 0x53, 0x94, 0x22, 0x1C, 0xF9]);
        assert_eq!(drawn.public[32..40], [0x52, 0x71, 0xA0, 0x46, 0x1C, 0xDB, 0x82, 0x52]);
    }
}
