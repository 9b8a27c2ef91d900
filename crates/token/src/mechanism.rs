//! Which operation of a token makes which signature.

use std::borrow::Cow;

use claviger_crypto::{
    CryptoError, CryptoProvider,
    hash::HashAlgorithm,
    sign::{KeyAlgorithm, SignatureAlgorithm},
};
use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    types::Ulong,
};

/// The signatures that are asked of a key of this kind: what HIP makes, and what certificates are signed by.
pub(crate) fn asked_of(kind: KeyAlgorithm) -> &'static [SignatureAlgorithm] {
    match kind {
        KeyAlgorithm::EcdsaP256 => &[SignatureAlgorithm::EcdsaP256Sha256],
        KeyAlgorithm::EcdsaP384 => &[SignatureAlgorithm::EcdsaP384Sha384],
        KeyAlgorithm::Ed25519 => &[SignatureAlgorithm::Ed25519],
        KeyAlgorithm::Rsa => &[SignatureAlgorithm::RsaPssSha256, SignatureAlgorithm::RsaPkcs1Sha256],
    }
}

/// An operation of a token that makes a signature of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// ECDSA over a digest of ours.
    Ecdsa(HashAlgorithm),
    /// ECDSA, the token hashes.
    EcdsaSha256,
    /// ECDSA, the token hashes.
    EcdsaSha384,
    /// Ed25519.
    Eddsa,
    /// RSASSA-PKCS1-v1_5 over a DigestInfo of ours.
    RsaPkcs,
    /// RSASSA-PSS over a digest of ours.
    RsaPss,
    /// RSASSA-PKCS1-v1_5, the token hashes.
    Sha256RsaPkcs,
    /// RSASSA-PSS, the token hashes.
    Sha256RsaPss,
}

impl Operation {
    /// Finds an operation among those that a token offers. Where it is ours to hash we do: the message need not go
    /// through a slow line.
    pub(crate) fn choose(algorithm: SignatureAlgorithm, offered: &[MechanismType]) -> Option<Self> {
        let candidates: &[Self] = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => &[Self::Ecdsa(HashAlgorithm::Sha256), Self::EcdsaSha256],
            SignatureAlgorithm::EcdsaP384Sha384 => &[Self::Ecdsa(HashAlgorithm::Sha384), Self::EcdsaSha384],
            SignatureAlgorithm::Ed25519 => &[Self::Eddsa],
            SignatureAlgorithm::RsaPkcs1Sha256 => &[Self::RsaPkcs, Self::Sha256RsaPkcs],
            SignatureAlgorithm::RsaPssSha256 => &[Self::RsaPss, Self::Sha256RsaPss],
        };
        candidates.iter().copied().find(|operation| offered.contains(&operation.mechanism().mechanism_type()))
    }

    /// Returns the mechanism with its parameters.
    pub(crate) fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Ecdsa(_) => Mechanism::Ecdsa,
            Self::EcdsaSha256 => Mechanism::EcdsaSha256,
            Self::EcdsaSha384 => Mechanism::EcdsaSha384,
            Self::Eddsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            Self::RsaPkcs => Mechanism::RsaPkcs,
            Self::RsaPss => Mechanism::RsaPkcsPss(PSS_SHA256),
            Self::Sha256RsaPkcs => Mechanism::Sha256RsaPkcs,
            Self::Sha256RsaPss => Mechanism::Sha256RsaPkcsPss(PSS_SHA256),
        }
    }

    /// Makes of a message what the token is given.
    pub(crate) fn input<'a>(
        self,
        provider: &CryptoProvider,
        message: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, CryptoError> {
        let digest = |hash| Ok::<_, CryptoError>(provider.hash(hash)?.digest(&[message]).to_vec());
        Ok(match self {
            Self::Ecdsa(hash) => digest(hash)?.into(),
            Self::RsaPss => digest(HashAlgorithm::Sha256)?.into(),
            Self::RsaPkcs => [DIGEST_INFO_SHA256, &digest(HashAlgorithm::Sha256)?].concat().into(),
            Self::EcdsaSha256
            | Self::EcdsaSha384
            | Self::Eddsa
            | Self::Sha256RsaPkcs
            | Self::Sha256RsaPss => message.into(),
        })
    }
}

/// PSS over SHA-256, the salt as long as the digest.
const PSS_SHA256: PkcsPssParams =
    PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: Ulong::new(32) };

/// What stands before a SHA-256 digest in a DigestInfo (RFC 8017 section 9.2).
const DIGEST_INFO_SHA256: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use claviger_crypto::provider;

    use super::*;

    #[test]
    fn digests_are_ours_where_the_token_lets_us() {
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        let both = [MechanismType::ECDSA_SHA256, MechanismType::ECDSA];
        assert_eq!(Operation::choose(algorithm, &both), Some(Operation::Ecdsa(HashAlgorithm::Sha256)));
        assert_eq!(Operation::choose(algorithm, &both[..1]), Some(Operation::EcdsaSha256));
        assert_eq!(Operation::choose(algorithm, &[MechanismType::ECDSA_SHA384]), None);
        assert_eq!(Operation::choose(algorithm, &[]), None);
        let algorithm = SignatureAlgorithm::EcdsaP384Sha384;
        let both = [MechanismType::ECDSA, MechanismType::ECDSA_SHA384];
        assert_eq!(Operation::choose(algorithm, &both), Some(Operation::Ecdsa(HashAlgorithm::Sha384)));
        assert_eq!(Operation::choose(algorithm, &both[1..]), Some(Operation::EcdsaSha384));
        for (algorithm, both, ours, theirs) in [
            (
                SignatureAlgorithm::RsaPssSha256,
                [MechanismType::RSA_PKCS_PSS, MechanismType::SHA256_RSA_PKCS_PSS],
                Operation::RsaPss,
                Operation::Sha256RsaPss,
            ),
            (
                SignatureAlgorithm::RsaPkcs1Sha256,
                [MechanismType::RSA_PKCS, MechanismType::SHA256_RSA_PKCS],
                Operation::RsaPkcs,
                Operation::Sha256RsaPkcs,
            ),
        ] {
            assert_eq!(Operation::choose(algorithm, &both), Some(ours));
            assert_eq!(Operation::choose(algorithm, &both[1..]), Some(theirs));
            assert_eq!(Operation::choose(algorithm, &[MechanismType::ECDSA]), None);
        }
        assert_eq!(
            Operation::choose(SignatureAlgorithm::Ed25519, &[MechanismType::EDDSA]),
            Some(Operation::Eddsa)
        );
    }

    #[test]
    fn every_operation_is_given_its_input() {
        for (operation, length) in [
            (Operation::Ecdsa(HashAlgorithm::Sha256), 32),
            (Operation::Ecdsa(HashAlgorithm::Sha384), 48),
            (Operation::RsaPss, 32),
            (Operation::RsaPkcs, 51),
            (Operation::EcdsaSha256, 7),
            (Operation::EcdsaSha384, 7),
            (Operation::Eddsa, 7),
            (Operation::Sha256RsaPkcs, 7),
            (Operation::Sha256RsaPss, 7),
        ] {
            let input = operation.input(provider(), b"message").unwrap();
            assert_eq!(input.len(), length, "{operation:?}");
        }
        let none = CryptoProvider { hashes: &[], ..*provider() };
        assert_eq!(Operation::RsaPss.input(&none, b""), Err(CryptoError::Unsupported));
    }
}
