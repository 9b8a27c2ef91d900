//! Public keys, as tokens describe them.

use claviger_crypto::sign::PublicKey;

/// CKA_EC_PARAMS of P-256: its object identifier.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// CKA_EC_PARAMS of P-384.
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// CKA_EC_PARAMS of Ed25519: its object identifier (RFC 8410), or, from before there was one, its name.
const ED25519: [&[u8]; 2] = [&[0x06, 0x03, 0x2b, 0x65, 0x70], b"\x13\x0cedwards25519"];

/// The bits of an RSA modulus that can be verified.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Reads a key on a curve of NIST: CKA_EC_PARAMS and CKA_EC_POINT.
pub(crate) fn ecdsa(parameters: &[u8], point: &[u8]) -> Option<PublicKey> {
    let (length, key): (_, fn(Vec<u8>) -> PublicKey) = match parameters {
        P256 => (64, PublicKey::EcdsaP256),
        P384 => (96, PublicKey::EcdsaP384),
        _ => return None,
    };
    let coordinates = unwrapped(point, length + 1)?.strip_prefix(&[UNCOMPRESSED])?;
    Some(key(coordinates.to_vec()))
}

/// Reads a key of EdDSA: CKA_EC_PARAMS and CKA_EC_POINT.
pub(crate) fn eddsa(parameters: &[u8], point: &[u8]) -> Option<PublicKey> {
    let octets = unwrapped(point, 32)?.try_into().ok()?;
    ED25519.contains(&parameters).then_some(PublicKey::Ed25519(octets))
}

/// Reads a key of RSA: CKA_MODULUS and CKA_PUBLIC_EXPONENT.
pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<PublicKey> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let is_sound = RSA_BITS.contains(&bits) && !exponent.is_empty();
    is_sound.then(|| PublicKey::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
}

/// What an uncompressed point begins with (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// What an OCTET STRING begins with.
const OCTET_STRING: u8 = 4;

/// Takes a point out of the OCTET STRING that it stands in (PKCS #11 section 6.3.3). Some tokens leave that away.
fn unwrapped(point: &[u8], length: usize) -> Option<&[u8]> {
    match point {
        _ if point.len() == length => Some(point),
        [OCTET_STRING, octets, inner @ ..] if usize::from(*octets) == length && inner.len() == length => {
            Some(inner)
        }
        _ => None,
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_within_an_octet_string_and_without() {
        for (parameters, length) in [(P256, 64), (P384, 96)] {
            let coordinates = vec![7; length];
            let point = [&[4][..], &coordinates].concat();
            let wrapped = [&[4, length as u8 + 1][..], &point].concat();
            for form in [&point, &wrapped] {
                let expected = if length == 64 {
                    PublicKey::EcdsaP256(coordinates.clone())
                } else {
                    PublicKey::EcdsaP384(coordinates.clone())
                };
                assert_eq!(ecdsa(parameters, form), Some(expected));
            }
            for cut in 0..wrapped.len() {
                let is_bare = wrapped[..cut].len() == length + 1 && wrapped[0] == 4;
                assert!(is_bare || ecdsa(parameters, &wrapped[..cut]).is_none(), "{cut}");
            }
        }
        for parameters in ED25519 {
            for form in [&[9; 32][..], &[&[4, 32][..], &[9; 32]].concat()] {
                assert_eq!(eddsa(parameters, form), Some(PublicKey::Ed25519([9; 32])));
            }
        }
    }

    #[test]
    fn points_of_other_forms_and_curves_are_none() {
        let point = |first: u8, length: usize| [&[first][..], &vec![7; length]].concat();
        assert_eq!(ecdsa(P256, &point(2, 32)), None, "compressed");
        assert_eq!(ecdsa(P256, &point(3, 64)), None, "a prefix that nothing has");
        assert_eq!(ecdsa(P256, &point(4, 96)), None, "of the other curve");
        assert_eq!(ecdsa(P384, &point(4, 64)), None, "of the other curve");
        assert_eq!(ecdsa(P256, &[&[4, 66][..], &point(4, 64)].concat()), None, "a length that is not that");
        assert_eq!(ecdsa(P256, &[]), None);
        // secp256k1, and P-256 with octets behind its identifier.
        assert_eq!(ecdsa(&[6, 5, 0x2b, 0x81, 4, 0, 0x0a], &point(4, 64)), None);
        assert_eq!(ecdsa(&[P256, &[0]].concat(), &point(4, 64)), None);
        // Ed448.
        assert_eq!(eddsa(&[6, 3, 0x2b, 0x65, 0x71], &[9; 32]), None);
        assert_eq!(eddsa(ED25519[0], &[9; 57]), None);
    }

    #[test]
    fn rsa_keys_lose_leading_zeros_and_small_and_huge_ones_are_none() {
        let modulus = |length: usize| [&[0x80][..], &vec![1; length - 1]].concat();
        let key = |modulus: &[u8], exponent: &[u8]| {
            Some(PublicKey::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
        };
        let shown = [&[0][..], &modulus(256)].concat();
        assert_eq!(rsa(&shown, &[0, 1, 0, 1]), key(&modulus(256), &[1, 0, 1]));
        assert_eq!(rsa(&modulus(1024), &[3]), key(&modulus(1024), &[3]));
        assert_eq!(rsa(&modulus(255), &[3]), None);
        // 2047 bits.
        assert_eq!(rsa(&[&[0x7f][..], &[1; 255]].concat(), &[3]), None);
        assert_eq!(rsa(&modulus(1025), &[3]), None);
        assert_eq!(rsa(&modulus(256), &[0]), None);
        assert_eq!(rsa(&[], &[]), None);
    }
}
