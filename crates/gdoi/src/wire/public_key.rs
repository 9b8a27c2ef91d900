//! SIG_ALGORITHM_KEY: the group's verification key inside a KD (RFC 6407 sections 5.6.2.2 and 5.6.3.3).
//!
//! RFC 6407 leaves the encoding open. It is a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7; RFC 8410 for
//! Ed25519), as other implementations of GDOI send it for RSA.

use claviger_crypto::sign::{KeyAlgorithm, PublicKey};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::error::{Error, PeerIncompatible};

/// A key and the algorithm that it is for, in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo(pub PublicKey);

/// SEQUENCE { OID ecPublicKey, OID prime256v1 }.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];

/// SEQUENCE { OID ecPublicKey, OID secp384r1 }.
const P384: &[u8] = &[
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22,
];

/// SEQUENCE { OID Ed25519 }.
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// SEQUENCE { OID rsaEncryption, NULL }.
const RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

const TAG_INTEGER: u8 = 0x02;
const TAG_BIT_STRING: u8 = 0x03;
const TAG_SEQUENCE: u8 = 0x30;

/// What precedes the coordinates of an elliptic-curve point.
const UNCOMPRESSED: u8 = 4;

/// The longest RSA modulus in octets: 8192 bits, more than any library verifies.
const MODULUS_LEN_MAX: usize = 1024;

/// The longest RSA exponent in octets: longer ones only cost time.
const EXPONENT_LEN_MAX: usize = 8;

impl Encode for SubjectPublicKeyInfo {
    fn encode(&self, w: &mut Writer) {
        let (algorithm, bits) = match &self.0 {
            PublicKey::EcdsaP256(point) => (P256, [&[UNCOMPRESSED], &point[..]].concat()),
            PublicKey::EcdsaP384(point) => (P384, [&[UNCOMPRESSED], &point[..]].concat()),
            PublicKey::Ed25519(key) => (ED25519, key.to_vec()),
            PublicKey::Rsa { modulus, exponent } => {
                (RSA, tlv(TAG_SEQUENCE, &[integer(modulus), integer(exponent)].concat()))
            }
        };
        let bit_string = tlv(TAG_BIT_STRING, &[&[0], &bits[..]].concat());
        w.slice(&tlv(TAG_SEQUENCE, &[algorithm, &bit_string].concat()));
    }
}

impl Decode<'_, Error> for SubjectPublicKeyInfo {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut info = element(r, TAG_SEQUENCE)?;
        let algorithm = tlv(TAG_SEQUENCE, element(&mut info, TAG_SEQUENCE)?.take_rest());
        let mut bits = element(&mut info, TAG_BIT_STRING)?;
        info.finish()?;
        bits.zeros(1, "unused bits of the public key")?;
        let key = match &algorithm[..] {
            P256 => PublicKey::EcdsaP256(point::<64>(&mut bits)?),
            P384 => PublicKey::EcdsaP384(point::<96>(&mut bits)?),
            ED25519 => PublicKey::Ed25519(bits.array("Ed25519 key")?),
            RSA => {
                let mut numbers = element(&mut bits, TAG_SEQUENCE)?;
                let modulus = positive(&mut numbers, MODULUS_LEN_MAX)?;
                let exponent = positive(&mut numbers, EXPONENT_LEN_MAX)?;
                numbers.finish()?;
                PublicKey::Rsa { modulus, exponent }
            }
            other => return Err(PeerIncompatible::PublicKeyAlgorithm(other.len()).into()),
        };
        bits.finish()?;
        Ok(Self(key))
    }
}

/// Says of which kind a key's signatures are; kept beside the codec so that both list the same kinds.
pub fn is_supported(kind: KeyAlgorithm) -> bool {
    matches!(
        kind,
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa
    )
}

fn point<const N: usize>(bits: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let form = bits.u8("point form")?;
    if form != UNCOMPRESSED {
        return Err(DecodeError::Value { field: "point form", value: form.into() });
    }
    Ok(bits.array::<N>("point")?.to_vec())
}

/// Reads a positive INTEGER without its leading zero.
fn positive(r: &mut Reader<'_>, length_max: usize) -> Result<Vec<u8>, DecodeError> {
    let octets = element(r, TAG_INTEGER)?.take_rest();
    let octets = match octets {
        [0, rest @ ..] if rest.first().is_some_and(|&octet| octet >= 0x80) => rest,
        [1..=0x7f, ..] => octets,
        _ => return Err(DecodeError::Length { field: "RSA integer" }),
    };
    if octets.len() > length_max {
        return Err(DecodeError::TooMany { what: "octets of an RSA integer", limit: length_max });
    }
    Ok(octets.to_vec())
}

/// Reads one DER element; its length must be in the shortest form.
fn element<'a>(r: &mut Reader<'a>, tag: u8) -> Result<Reader<'a>, DecodeError> {
    let found = r.u8("DER tag")?;
    if found != tag {
        return Err(DecodeError::Value { field: "DER tag", value: found.into() });
    }
    let length = match r.u8("DER length")? {
        short @ 0..=0x7f => short.into(),
        0x81 => match r.u8("DER length")? {
            length @ 0x80.. => length.into(),
            _ => return Err(DecodeError::Length { field: "DER element" }),
        },
        0x82 => match r.u16("DER length")? {
            length @ 0x100.. => length.into(),
            _ => return Err(DecodeError::Length { field: "DER element" }),
        },
        _ => return Err(DecodeError::Length { field: "DER element" }),
    };
    r.sub(length, "DER element")
}

/// Writes one DER element of at most 65,535 octets.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut octets = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    octets.extend_from_slice(content);
    octets
}

fn integer(octets: &[u8]) -> Vec<u8> {
    match octets.first() {
        Some(0x80..) => tlv(TAG_INTEGER, &[&[0], octets].concat()),
        _ => tlv(TAG_INTEGER, octets),
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SeededRandom, provider, sign::SigningKey};

    use super::*;
    use crate::wire::refuses_every_cut;

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        for kind in
            [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa]
        {
            assert!(is_supported(kind));
            let key =
                SigningKey::generate(provider(), kind, &mut SeededRandom::new(1)).unwrap().public().clone();
            let key = SubjectPublicKeyInfo(key);
            assert_eq!(
                refuses_every_cut(&key.to_octets(), |octets| SubjectPublicKeyInfo::from_octets(octets)),
                key
            );
        }
    }

    /// RFC 8410 section 10.1.
    #[test]
    fn ed25519_example() {
        let octets = [
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf, 0x44, 0x09,
            0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b, 0x96, 0xc8, 0x50, 0x86, 0xaa,
            0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31, 0x66, 0xe1,
        ];
        let key = SubjectPublicKeyInfo::from_octets(&octets).unwrap();
        assert!(matches!(key.0, PublicKey::Ed25519([0x19, 0xbf, ..])));
        assert_eq!(key.to_octets(), octets);
    }

    #[test]
    fn refuses_other_algorithms_and_loose_encodings() {
        let reason = |octets: &[u8]| SubjectPublicKeyInfo::from_octets(octets).unwrap_err().reason();
        let key = SubjectPublicKeyInfo(PublicKey::Ed25519([7; 32]));
        let mut octets = key.to_octets();
        octets[8] = 0x71; // Ed448
        assert_eq!(reason(&octets), "unsupported");
        let octets = key.to_octets();
        let long_form = [&[0x30, 0x81, 0x2a][..], &octets[2..]].concat();
        assert_eq!(reason(&long_form), "malformed");
        let negative = PublicKey::Rsa { modulus: vec![0x7f; 256], exponent: vec![] };
        assert_eq!(reason(&SubjectPublicKeyInfo(negative).to_octets()), "malformed");
    }
}
