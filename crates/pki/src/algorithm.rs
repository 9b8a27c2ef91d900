//! Which algorithms the identifiers in certificates name.

use claviger_crypto::sign::{
    CertificateKey, CertificateSignature, KeyAlgorithm, PublicKey, SignatureAlgorithm,
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5912::{
            ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_EC_PUBLIC_KEY, ID_MGF_1,
            ID_RSASSA_PSS, ID_SHA_256, ID_SHA_384, ID_SHA_512, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1,
            SECP_521_R_1, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
            SHA_512_WITH_RSA_ENCRYPTION,
        },
        rfc8410::ID_ED_25519,
    },
};
use der::{
    Decode, Encode, Sequence,
    asn1::{Any, BitString, UintRef},
};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// What precedes the coordinates of an elliptic-curve point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The longest RSA exponent in octets: longer ones only cost time.
const EXPONENT_LEN_MAX: usize = 8;

/// Says how a certificate is signed; `None` if in a way that is not known.
pub(crate) fn signature(identifier: &AlgorithmIdentifierOwned) -> Option<CertificateSignature> {
    let known = match identifier.oid {
        ECDSA_WITH_SHA_256 => CertificateSignature::EcdsaSha256,
        ECDSA_WITH_SHA_384 => CertificateSignature::EcdsaSha384,
        ECDSA_WITH_SHA_512 => CertificateSignature::EcdsaSha512,
        ID_ED_25519 => CertificateSignature::Ed25519,
        SHA_256_WITH_RSA_ENCRYPTION => CertificateSignature::RsaPkcs1Sha256,
        SHA_384_WITH_RSA_ENCRYPTION => CertificateSignature::RsaPkcs1Sha384,
        SHA_512_WITH_RSA_ENCRYPTION => CertificateSignature::RsaPkcs1Sha512,
        ID_RSASSA_PSS => return pss(identifier),
        _ => return None,
    };
    // ECDSA and Ed25519 have no parameters (RFC 5758 section 3.2, RFC 8410 section 3); RSA has NULL, and what has none
    // is taken as well (RFC 4055 section 5).
    identifier.parameters.as_ref().is_none_or(Any::is_null).then_some(known)
}

/// RSASSA-PSS-params (RFC 4055 section 3.1).
#[derive(Sequence)]
struct PssParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt_length: Option<u32>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u32>,
}

/// Reads which form of RSASSA-PSS is meant: one digest for message and mask, and a salt as long as it.
fn pss(identifier: &AlgorithmIdentifierOwned) -> Option<CertificateSignature> {
    let parameters: PssParameters = identifier.parameters.as_ref()?.decode_as().ok()?;
    let hash = parameters.hash?.oid;
    let mask = parameters.mask.filter(|mask| mask.oid == ID_MGF_1)?;
    let mask_hash: AlgorithmIdentifierOwned = mask.parameters?.decode_as().ok()?;
    // The default of the trailer is 1, and no other is defined.
    if mask_hash.oid != hash || parameters.trailer.is_some_and(|trailer| trailer != 1) {
        return None;
    }
    match (hash, parameters.salt_length?) {
        (ID_SHA_256, 32) => Some(CertificateSignature::RsaPssSha256),
        (ID_SHA_384, 48) => Some(CertificateSignature::RsaPssSha384),
        (ID_SHA_512, 64) => Some(CertificateSignature::RsaPssSha512),
        _ => None,
    }
}

/// Says how a key signs certificates, and how that is named.
pub(crate) fn signing(key: KeyAlgorithm) -> (SignatureAlgorithm, AlgorithmIdentifierOwned) {
    let (how, oid) = match key {
        KeyAlgorithm::EcdsaP256 => (SignatureAlgorithm::EcdsaP256Sha256, ECDSA_WITH_SHA_256),
        KeyAlgorithm::EcdsaP384 => (SignatureAlgorithm::EcdsaP384Sha384, ECDSA_WITH_SHA_384),
        KeyAlgorithm::Ed25519 => (SignatureAlgorithm::Ed25519, ID_ED_25519),
        KeyAlgorithm::Rsa => (SignatureAlgorithm::RsaPkcs1Sha256, SHA_256_WITH_RSA_ENCRYPTION),
    };
    // PKCS #1 has NULL, the others nothing (RFC 4055 section 5, RFC 5758 section 3.2, RFC 8410 section 3).
    let parameters = (key == KeyAlgorithm::Rsa).then(Any::null);
    (how, AlgorithmIdentifierOwned { oid, parameters })
}

/// Writes a signature as certificates have it: r | s of ECDSA as a SEQUENCE of two INTEGERs (RFC 3279 section 2.2.3).
pub(crate) fn signature_value(key: KeyAlgorithm, signature: Vec<u8>) -> der::Result<Vec<u8>> {
    match key {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => {
            let (r, s) = signature.split_at(signature.len() / 2);
            EcdsaSignature { r: UintRef::new(r)?, s: UintRef::new(s)? }.to_der()
        }
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa => Ok(signature),
    }
}

/// Ecdsa-Sig-Value (RFC 3279 section 2.2.3).
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// RSAPublicKey (RFC 8017 appendix A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// Reads a public key; `None` if it is of a kind that is not known, or malformed.
pub(crate) fn key(info: &SubjectPublicKeyInfoOwned) -> Option<CertificateKey> {
    let octets = info.subject_public_key.as_bytes()?;
    match info.algorithm.oid {
        ID_EC_PUBLIC_KEY => {
            let curve: ObjectIdentifier = info.algorithm.parameters.as_ref()?.decode_as().ok()?;
            let point = octets.strip_prefix(&[UNCOMPRESSED])?.to_vec();
            match (curve, point.len()) {
                (SECP_256_R_1, 64) => Some(CertificateKey::Signing(PublicKey::EcdsaP256(point))),
                (SECP_384_R_1, 96) => Some(CertificateKey::Signing(PublicKey::EcdsaP384(point))),
                (SECP_521_R_1, 132) => Some(CertificateKey::EcdsaP521(point)),
                _ => None,
            }
        }
        ID_ED_25519 => {
            let octets = octets.try_into().ok().filter(|_| info.algorithm.parameters.is_none())?;
            Some(CertificateKey::Signing(PublicKey::Ed25519(octets)))
        }
        RSA_ENCRYPTION | ID_RSASSA_PSS => {
            let RsaPublicKey { modulus, exponent } = RsaPublicKey::from_der(octets).ok()?;
            let (modulus, exponent) = (modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec());
            (exponent.len() <= EXPONENT_LEN_MAX)
                .then_some(CertificateKey::Signing(PublicKey::Rsa { modulus, exponent }))
        }
        _ => None,
    }
}

/// Writes a public key.
pub(crate) fn key_info(key: &PublicKey) -> der::Result<SubjectPublicKeyInfoOwned> {
    let (oid, parameters, octets) = match key {
        PublicKey::EcdsaP256(point) => {
            (ID_EC_PUBLIC_KEY, Some(Any::from(&SECP_256_R_1)), uncompressed(point))
        }
        PublicKey::EcdsaP384(point) => {
            (ID_EC_PUBLIC_KEY, Some(Any::from(&SECP_384_R_1)), uncompressed(point))
        }
        PublicKey::Ed25519(octets) => (ID_ED_25519, None, octets.to_vec()),
        PublicKey::Rsa { modulus, exponent } => {
            let numbers = RsaPublicKey { modulus: UintRef::new(modulus)?, exponent: UintRef::new(exponent)? };
            (RSA_ENCRYPTION, Some(Any::null()), numbers.to_der()?)
        }
    };
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters },
        subject_public_key: BitString::from_bytes(&octets)?,
    })
}

fn uncompressed(point: &[u8]) -> Vec<u8> {
    [&[UNCOMPRESSED], point].concat()
}
