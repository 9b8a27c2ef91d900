//! How a HIT is made from a key: ORCHID version 2 (RFC 7343, RFC 7401 section 3.2).

use claviger_crypto::{CryptoError, CryptoProvider, hash::HashAlgorithm, hash::cshake128};

use crate::{Hit, HitSuite};

/// The Context ID of HIPv2 (RFC 7401 section 3.2), which RFC 9374 keeps for HITs of suite 5.
pub const CONTEXT_ID: [u8; 16] =
    [0xf0, 0xef, 0xf0, 0x2f, 0xbf, 0xf4, 0x3d, 0x0f, 0xe7, 0x93, 0x0c, 0x3c, 0x6e, 0x61, 0x74, 0xea];

/// The octets of the hash part of an ORCHID.
const HASH_PART_LEN: usize = 12;

/// Computes the HIT of `input`, the Host Identity field of a HOST_ID.
///
/// # Errors
///
/// [`CryptoError::Unsupported`] if the provider lacks the suite's hash.
pub fn generate(provider: &CryptoProvider, suite: HitSuite, input: &[u8]) -> Result<Hit, CryptoError> {
    let mut octets = [0; Hit::LEN];
    octets[..4].copy_from_slice(&[0x20, 0x01, 0x00, 0x20 | suite.id()]);
    let hash_part = &mut octets[Hit::LEN - HASH_PART_LEN..];
    match suite.rhash() {
        // A hash of variable output puts out the 96 bits themselves (RFC 9374 section 3.5.2.1).
        HashAlgorithm::CShake128 => cshake128(b"", b"", &[&CONTEXT_ID, input], hash_part),
        fixed @ (HashAlgorithm::Sha1
        | HashAlgorithm::Sha256
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha512) => {
            hash_part.copy_from_slice(encode_96(&provider.hash(fixed)?.digest(&[&CONTEXT_ID, input])))
        }
    }
    Ok(Hit::new(octets))
}

/// Encode_96: the middle 96 bits of a digest (RFC 7343 section 2).
fn encode_96(digest: &[u8]) -> &[u8] {
    let start = (digest.len() - HASH_PART_LEN) / 2;
    &digest[start..start + HASH_PART_LEN]
}

#[cfg(test)]
mod tests {
    use claviger_crypto::provider;

    use super::*;

    #[test]
    fn prefix_suite_and_the_middle_of_the_digest() {
        let digest = provider().hash(HashAlgorithm::Sha256).unwrap().digest(&[&CONTEXT_ID, b"key"]);
        let hit = generate(provider(), HitSuite::RsaDsaSha256, b"key").unwrap();
        assert!(hit.is_orchid());
        assert_eq!(hit.octets()[..4], [0x20, 0x01, 0x00, 0x21]);
        assert_eq!(hit.octets()[4..], digest[10..22]);

        let digest = provider().hash(HashAlgorithm::Sha384).unwrap().digest(&[&CONTEXT_ID, b"key"]);
        assert_eq!(
            generate(provider(), HitSuite::EcdsaSha384, b"key").unwrap().octets()[4..],
            digest[18..30]
        );
    }

    #[test]
    fn suite_5_is_the_first_96_bits_of_cshake128_without_truncation() {
        let hit = generate(provider(), HitSuite::EddsaCshake128, b"key").unwrap();
        let digest = provider().hash(HashAlgorithm::CShake128).unwrap().digest(&[&CONTEXT_ID, b"key"]);
        assert_eq!(hit.octets()[..4], [0x20, 0x01, 0x00, 0x25]);
        assert_eq!(hit.octets()[4..], digest[..12], "an output of 96 bits begins as one of 256 does");
        assert_eq!(HitSuite::of_hit(hit), Some(HitSuite::EddsaCshake128));
    }

    #[test]
    fn different_keys_and_suites_have_different_hits() {
        let hits: std::collections::BTreeSet<Hit> = HitSuite::ALL
            .into_iter()
            .flat_map(|suite| {
                [&b"one"[..], b"other"].map(|input| generate(provider(), suite, input).unwrap())
            })
            .collect();
        assert_eq!(hits.len(), 8);
    }
}
