//! A public key with its domain identifier (RFC 7401 section 5.2.9).

use std::fmt;

use claviger_crypto::{
    CryptoProvider,
    sign::{PublicKey, SignatureAlgorithm},
};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{Hit, HitSuite, IdentityError, orchid};

/// The HI algorithms (<https://www.iana.org/assignments/hip-parameters>), also the SIG alg of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HiAlgorithm(pub u16);

impl HiAlgorithm {
    /// DSA; never made or verified here.
    pub const DSA: Self = Self(3);
    /// RSA, signing by RSASSA-PSS.
    pub const RSA: Self = Self(5);
    /// ECDSA on NIST P-256 or P-384.
    pub const ECDSA: Self = Self(7);
    /// ECDSA on SECP160R1; never made or verified here.
    pub const ECDSA_LOW: Self = Self(9);
    /// EdDSA (RFC 9374).
    pub const EDDSA: Self = Self(13);
}

/// ECC Curve of NIST P-256.
const ECDSA_CURVE_P256: u16 = 1;
/// ECC Curve of NIST P-384.
const ECDSA_CURVE_P384: u16 = 2;
/// EdDSA Curve of Ed25519 (RFC 9374).
const EDDSA_CURVE_25519: u16 = 1;
/// What stands before an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// The longest domain identifier: its length field has 12 bits.
const DOMAIN_IDENTIFIER_LEN_MAX: usize = 0x0fff;

/// What a host says of its name. HIP does not prove it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DomainIdentifier {
    /// Nothing.
    #[default]
    None,
    /// A fully qualified domain name, in the binary format of RFC 1035 section 3.1.
    Fqdn(Vec<u8>),
    /// A network access identifier (RFC 4282).
    Nai(Vec<u8>),
    /// A type that this implementation does not know.
    Other {
        /// The four-bit DI-Type.
        di_type: u8,
        /// The octets.
        octets: Vec<u8>,
    },
}

impl DomainIdentifier {
    fn di_type(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Fqdn(_) => 1,
            Self::Nai(_) => 2,
            Self::Other { di_type, .. } => *di_type,
        }
    }

    fn octets(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Fqdn(octets) | Self::Nai(octets) | Self::Other { octets, .. } => octets,
        }
    }
}

/// The contents of a HOST_ID parameter. The key's octets stay as they came, since the HIT hashes them.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |          HI Length            |DI-Type|      DI Length        |
/// |          Algorithm            |         Host Identity         /
/// /                               |       Domain Identifier       /
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId {
    algorithm: HiAlgorithm,
    host_identity: Vec<u8>,
    domain_identifier: DomainIdentifier,
}

impl HostId {
    /// Encodes a public key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::PublicKey`] if the key is too long, [`IdentityError::DomainIdentifier`] if the domain identifier
    /// is.
    pub fn new(key: &PublicKey, domain_identifier: DomainIdentifier) -> Result<Self, IdentityError> {
        if domain_identifier.octets().len() > DOMAIN_IDENTIFIER_LEN_MAX || domain_identifier.di_type() > 0x0f
        {
            return Err(IdentityError::DomainIdentifier);
        }
        let (algorithm, host_identity) = encode_key(key)?;
        Ok(Self { algorithm, host_identity, domain_identifier })
    }

    /// Returns the HI algorithm.
    pub fn algorithm(&self) -> HiAlgorithm {
        self.algorithm
    }

    /// Shows the Host Identity field, which the HIT hashes.
    pub fn host_identity(&self) -> &[u8] {
        &self.host_identity
    }

    /// Shows what the host says of its name.
    pub fn domain_identifier(&self) -> &DomainIdentifier {
        &self.domain_identifier
    }

    /// Computes the HIT that names this key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Algorithm`] if no known HIT suite hashes keys of this algorithm, [`IdentityError::Crypto`] if
    /// the provider lacks the suite's hash.
    pub fn hit(&self, provider: &CryptoProvider) -> Result<Hit, IdentityError> {
        let suite = HitSuite::of_algorithm(self.algorithm).ok_or(IdentityError::Algorithm)?;
        Ok(orchid::generate(provider, suite, &self.host_identity)?)
    }

    /// Reads the public key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Algorithm`] if the algorithm or curve is unknown, [`IdentityError::PublicKey`] if the
    /// octets are no such key.
    pub fn public_key(&self) -> Result<PublicKey, IdentityError> {
        match self.algorithm {
            HiAlgorithm::RSA => decode_rsa(&self.host_identity),
            HiAlgorithm::ECDSA => decode_ecdsa(&self.host_identity),
            HiAlgorithm::EDDSA => decode_eddsa(&self.host_identity),
            _ => Err(IdentityError::Algorithm),
        }
    }

    /// Verifies the signature of a HIP_SIGNATURE or HIP_SIGNATURE_2 with this SIG alg over `message`.
    ///
    /// # Errors
    ///
    /// [`IdentityError::SignatureAlgorithm`] if the algorithm is not the key's, [`IdentityError::Crypto`] with
    /// [`Authentication`](claviger_crypto::CryptoError::Authentication) if the signature is not by this key over this message, and what
    /// [`HostId::public_key`] says.
    pub fn verify(
        &self,
        provider: &CryptoProvider,
        message: &[u8],
        algorithm: HiAlgorithm,
        signature: &[u8],
    ) -> Result<(), IdentityError> {
        if algorithm != self.algorithm {
            return Err(IdentityError::SignatureAlgorithm);
        }
        let key = self.public_key()?;
        let how = signature_algorithm(&key);
        Ok(provider.verify(&key, how, message, signature)?)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostId")
            .field("algorithm", &self.algorithm.0)
            .field("domain_identifier", &self.domain_identifier)
            .finish_non_exhaustive()
    }
}

impl Encode for HostId {
    fn encode(&self, w: &mut Writer) {
        let domain = self.domain_identifier.octets();
        let length = u16::try_from(self.host_identity.len())
            .expect("keys and decoded fields have at most 65,535 octets");
        w.u16(length);
        w.u16(u16::from(self.domain_identifier.di_type()) << 12 | domain.len() as u16);
        w.u16(self.algorithm.0);
        w.slice(&self.host_identity);
        w.slice(domain);
    }
}

impl<'a> Decode<'a> for HostId {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let hi_len = r.u16("host identity length")?;
        let domain = r.u16("domain identifier length")?;
        let algorithm = HiAlgorithm(r.u16("host identity algorithm")?);
        let host_identity = r.slice(hi_len.into(), "host identity")?.to_vec();
        let octets = r.slice((domain & 0x0fff).into(), "domain identifier")?.to_vec();
        let domain_identifier = match (domain >> 12) as u8 {
            0 if octets.is_empty() => DomainIdentifier::None,
            0 => return Err(DecodeError::Length { field: "domain identifier" }),
            1 => DomainIdentifier::Fqdn(octets),
            2 => DomainIdentifier::Nai(octets),
            di_type => DomainIdentifier::Other { di_type, octets },
        };
        Ok(Self { algorithm, host_identity, domain_identifier })
    }
}

/// Says how a key signs in HIP: RSASSA-PSS (RFC 7401 section 5.2.9), ECDSA with the digest that RFC 4754 gives the
/// curve, and EdDSA.
pub(crate) fn signature_algorithm(key: &PublicKey) -> SignatureAlgorithm {
    match key {
        PublicKey::EcdsaP256(_) => SignatureAlgorithm::EcdsaP256Sha256,
        PublicKey::EcdsaP384(_) => SignatureAlgorithm::EcdsaP384Sha384,
        PublicKey::Ed25519(_) => SignatureAlgorithm::Ed25519,
        PublicKey::Rsa { .. } => SignatureAlgorithm::RsaPssSha256,
    }
}

fn encode_key(key: &PublicKey) -> Result<(HiAlgorithm, Vec<u8>), IdentityError> {
    let mut w = Writer::new();
    let mut ecdsa = |curve, point: &[u8]| {
        w.u16(curve);
        w.u8(UNCOMPRESSED);
        w.slice(point);
    };
    let algorithm = match key {
        PublicKey::EcdsaP256(point) => {
            ecdsa(ECDSA_CURVE_P256, point);
            HiAlgorithm::ECDSA
        }
        PublicKey::EcdsaP384(point) => {
            ecdsa(ECDSA_CURVE_P384, point);
            HiAlgorithm::ECDSA
        }
        PublicKey::Ed25519(octets) => {
            w.u16(EDDSA_CURVE_25519);
            w.zeros(2);
            w.slice(octets);
            HiAlgorithm::EDDSA
        }
        PublicKey::Rsa { modulus, exponent } => {
            // RFC 3110 section 2: one octet of exponent length, or zero and two octets.
            match u8::try_from(exponent.len()) {
                Ok(length @ 1..) => w.u8(length),
                _ => {
                    w.u8(0);
                    w.u16(u16::try_from(exponent.len()).map_err(|_| IdentityError::PublicKey)?);
                }
            }
            w.slice(exponent);
            w.slice(modulus);
            HiAlgorithm::RSA
        }
    };
    let octets = w.into_octets();
    if octets.len() > usize::from(u16::MAX) {
        return Err(IdentityError::PublicKey);
    }
    Ok((algorithm, octets))
}

fn decode_rsa(octets: &[u8]) -> Result<PublicKey, IdentityError> {
    let truncated = |_| IdentityError::PublicKey;
    let mut r = Reader::new(octets);
    let exponent_len = match r.u8("exponent length").map_err(truncated)? {
        0 => usize::from(r.u16("exponent length").map_err(truncated)?),
        length => length.into(),
    };
    let exponent = without_leading_zeros(r.slice(exponent_len, "exponent").map_err(truncated)?);
    let modulus = without_leading_zeros(r.take_rest());
    if exponent.is_empty() || modulus.is_empty() {
        return Err(IdentityError::PublicKey);
    }
    Ok(PublicKey::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
}

fn without_leading_zeros(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    &octets[zeros..]
}

fn decode_ecdsa(octets: &[u8]) -> Result<PublicKey, IdentityError> {
    let (curve, point) = split_curve(octets)?;
    // The octet before the point is there in practice; RFC 5903 and RFC 4754 leave it out.
    let bare = |length: usize| match point {
        [UNCOMPRESSED, bare @ ..] if bare.len() == length => Ok(bare.to_vec()),
        bare if bare.len() == length => Ok(bare.to_vec()),
        _ => Err(IdentityError::PublicKey),
    };
    match curve {
        ECDSA_CURVE_P256 => Ok(PublicKey::EcdsaP256(bare(64)?)),
        ECDSA_CURVE_P384 => Ok(PublicKey::EcdsaP384(bare(96)?)),
        _ => Err(IdentityError::Algorithm),
    }
}

fn decode_eddsa(octets: &[u8]) -> Result<PublicKey, IdentityError> {
    let (curve, rest) = split_curve(octets)?;
    match (curve, rest) {
        (EDDSA_CURVE_25519, [0, 0, key @ ..]) => {
            Ok(PublicKey::Ed25519(key.try_into().map_err(|_| IdentityError::PublicKey)?))
        }
        (EDDSA_CURVE_25519, _) => Err(IdentityError::PublicKey),
        _ => Err(IdentityError::Algorithm),
    }
}

fn split_curve(octets: &[u8]) -> Result<(u16, &[u8]), IdentityError> {
    let (curve, rest) = octets.split_first_chunk::<2>().ok_or(IdentityError::PublicKey)?;
    Ok((u16::from_be_bytes(*curve), rest))
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{
        CryptoError, SeededRandom, provider,
        sign::{KeyAlgorithm, SigningKey},
    };

    use super::*;

    fn keys() -> Vec<PublicKey> {
        let algorithms =
            [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa];
        let mut random = SeededRandom::new(1);
        let mut public =
            |algorithm| SigningKey::generate(provider(), algorithm, &mut random).unwrap().public().clone();
        algorithms.map(&mut public).into()
    }

    #[test]
    fn reads_what_it_writes_for_every_key_and_domain_identifier() {
        for key in keys() {
            for domain_identifier in [
                DomainIdentifier::None,
                DomainIdentifier::Fqdn(b"\x04host\x07example\0".to_vec()),
                DomainIdentifier::Nai(b"host@example".to_vec()),
                DomainIdentifier::Other { di_type: 9, octets: vec![1] },
            ] {
                let host_id = HostId::new(&key, domain_identifier).unwrap();
                let octets = host_id.to_octets();
                let again = HostId::from_octets(&octets).unwrap();
                assert_eq!(again, host_id);
                assert_eq!(again.public_key(), Ok(key.clone()));
                for length in 0..octets.len() {
                    assert!(HostId::from_octets(&octets[..length]).is_err());
                }
            }
        }
    }

    #[test]
    fn the_hit_covers_the_key_and_not_the_name() {
        for key in keys() {
            let one = HostId::new(&key, DomainIdentifier::None).unwrap();
            let other = HostId::new(&key, DomainIdentifier::Nai(b"a@b".to_vec())).unwrap();
            assert_eq!(one.hit(provider()).unwrap(), other.hit(provider()).unwrap());
            assert_eq!(
                HitSuite::of_hit(one.hit(provider()).unwrap()),
                HitSuite::of_algorithm(one.algorithm())
            );
        }
    }

    #[test]
    fn layouts_are_those_of_the_rfcs() {
        let p256 = HostId::new(&PublicKey::EcdsaP256(vec![7; 64]), DomainIdentifier::None).unwrap();
        assert_eq!(p256.host_identity()[..4], [0, 1, 4, 7]);
        let eddsa = HostId::new(&PublicKey::Ed25519([7; 32]), DomainIdentifier::None).unwrap();
        assert_eq!(eddsa.to_octets()[..11], [0, 36, 0, 0, 0, 13, 0, 1, 0, 0, 7]);
        let rsa = PublicKey::Rsa { modulus: vec![9; 256], exponent: vec![1, 0, 1] };
        let rsa = HostId::new(&rsa, DomainIdentifier::None).unwrap();
        assert_eq!(rsa.host_identity()[..5], [3, 1, 0, 1, 9]);
        let long = PublicKey::Rsa { modulus: vec![9; 256], exponent: vec![3; 256] };
        let long = HostId::new(&long, DomainIdentifier::None).unwrap();
        assert_eq!(long.host_identity()[..4], [0, 1, 0, 3]);
        assert!(long.public_key().is_ok());
    }

    /// Computed apart from this code, by SHAKE128, which is cSHAKE128 without names.
    #[test]
    fn hit_of_an_eddsa_key() {
        let key = PublicKey::Ed25519(std::array::from_fn(|i| i as u8));
        let hit = HostId::new(&key, DomainIdentifier::None).unwrap().hit(provider()).unwrap();
        assert_eq!(hit.to_string(), "2001:25:f14d:c876:e9d4:f744:2ab3:ef6d");
    }

    #[test]
    fn refuses_octets_that_are_no_keys() {
        for (algorithm, host_identity, error) in [
            (HiAlgorithm::RSA, vec![], IdentityError::PublicKey),
            (HiAlgorithm::RSA, vec![3, 1, 0], IdentityError::PublicKey),
            (HiAlgorithm::RSA, vec![0, 0, 0, 9], IdentityError::PublicKey),
            (HiAlgorithm::RSA, vec![1, 3], IdentityError::PublicKey),
            (HiAlgorithm::ECDSA, vec![0], IdentityError::PublicKey),
            (HiAlgorithm::ECDSA, vec![0, 1, 4], IdentityError::PublicKey),
            (HiAlgorithm::ECDSA, vec![0, 3, 4], IdentityError::Algorithm),
            (HiAlgorithm::EDDSA, vec![0, 1, 0, 0, 1], IdentityError::PublicKey),
            (HiAlgorithm::EDDSA, [vec![0, 1, 0, 1], vec![1; 32]].concat(), IdentityError::PublicKey),
            (HiAlgorithm::EDDSA, [vec![0, 3, 0, 0], vec![1; 57]].concat(), IdentityError::Algorithm),
            (HiAlgorithm::DSA, vec![], IdentityError::Algorithm),
            (HiAlgorithm(99), vec![], IdentityError::Algorithm),
        ] {
            let host_id = HostId { algorithm, host_identity, domain_identifier: DomainIdentifier::None };
            assert_eq!(host_id.public_key(), Err(error), "{host_id:?}");
        }
        assert!(HostId::from_octets(&[0, 0, 0, 1, 0, 5, 7]).is_err(), "a name of no type");
        let long = DomainIdentifier::Nai(vec![0; 4096]);
        let key = PublicKey::Ed25519([0; 32]);
        assert_eq!(HostId::new(&key, long), Err(IdentityError::DomainIdentifier));
        let error =
            HostId::new(&key, DomainIdentifier::None).unwrap().verify(provider(), b"", HiAlgorithm::RSA, b"");
        assert_eq!(error, Err(IdentityError::SignatureAlgorithm));
    }

    #[test]
    fn a_wrong_signature_is_an_authentication_failure() {
        let key = PublicKey::Ed25519([0; 32]);
        let host_id = HostId::new(&key, DomainIdentifier::None).unwrap();
        assert_eq!(
            host_id.verify(provider(), b"", HiAlgorithm::EDDSA, &[0; 63]),
            Err(IdentityError::Crypto(CryptoError::Authentication))
        );
    }
}
