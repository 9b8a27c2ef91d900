//! Which associations protect keys of groups, and the keys of a registration (binding section 4).
//!
//! ```text
//! HKDF-Expand(PRK, "HIP-GKM 1" | Reg Type | member's HIT | key server's HIT)
//!     = SKEYID_d | SKEYID_a | SKEYID_e | CKY-I | CKY-R | P1-IV
//! ```

use claviger_crypto::{CryptoError, SecretBytes, hash::HashAlgorithm};
use claviger_group::{CookiePair, MemberId, RegistrationSa};
use claviger_hip::{
    Security, Side,
    iana::{CipherId, DhGroup, RegType},
    keys::{Hosts, Keymat},
};
use claviger_identity::HitSuite;
use claviger_wire::Reader;

/// The label that sets group keying apart from KEYMAT, whose info begins with a HIT.
const GROUP_KEY_LABEL: &[u8] = b"HIP-GKM 1";

/// The octets of CKY-I, CKY-R and P1-IV.
const COOKIES_AND_IV_LEN: usize = 8 + 8 + 16;

/// Says whether group keys may hang on an association: no NULL encryption, no SHA-1 suite, none of the groups 1, 2, 3, 5
/// and 10.
pub fn allows_keys(security: &Security) -> bool {
    security.cipher.algorithm().is_some()
        && security.hit_suite != HitSuite::EcdsaLowSha1
        && security.peer_hit_suite != HitSuite::EcdsaLowSha1
        && !matches!(security.dh_group.0, 1 | 2 | 3 | 5 | 10)
}

/// Says whether an association with this cipher and group is strong enough for group keys of 256 bits: AES-256-CBC
/// and a group of matching strength, 8 or 9.
pub const fn carries_256_bit_keys(cipher: CipherId, group: DhGroup) -> bool {
    cipher.0 == CipherId::AES_256_CBC.0 && matches!(group.0, 8 | 9)
}

/// Derives the keys of one registration type on an association, of which this host is the given side. The member is the
/// side that asked.
///
/// Whether a cookie is all zero is for the caller to ask ([`CookiePair::has_zero`]), and to answer by a new base
/// exchange.
///
/// # Errors
///
/// [`CryptoError::Unsupported`] under NULL encryption and under SHA-1, where nothing is granted.
pub fn registration_keys(
    keymat: &Keymat,
    reg_type: RegType,
    side: Side,
) -> Result<RegistrationSa, CryptoError> {
    let cipher = keymat.cipher().algorithm().ok_or(CryptoError::Unsupported)?;
    if keymat.rhash() == HashAlgorithm::Sha1 {
        return Err(CryptoError::Unsupported);
    }
    let Hosts { local, peer } = keymat.hosts();
    let (member, gcks) = match side {
        Side::Registrar => (peer, local),
        Side::Requester => (local, peer),
    };
    let hash_len = keymat.prf().output_len();
    let info: [&[u8]; 4] = [GROUP_KEY_LABEL, &[reg_type.0], member.octets(), gcks.octets()];
    let stream = keymat.expand(&info, 3 * hash_len + COOKIES_AND_IV_LEN)?;

    let mut r = Reader::new(stream.expose());
    let mut key = |name| r.slice(hash_len, name).map(SecretBytes::copy_of).map_err(|_| CryptoError::Length);
    let (skeyid_d, skeyid_a, skeyid_e) = (key("SKEYID_d")?, key("SKEYID_a")?, key("SKEYID_e")?);
    let cookies = CookiePair(r.array("cookies").map_err(|_| CryptoError::Length)?);
    let phase1_iv = r.array("P1-IV").map_err(|_| CryptoError::Length)?;
    Ok(RegistrationSa {
        peer: MemberId::Hit(peer),
        cookies,
        skeyid_d,
        skeyid_a,
        skeyid_e,
        phase1_iv,
        hash: keymat.rhash(),
        cipher,
    })
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{cipher::CipherAlgorithm, kx::SharedSecret, provider};
    use claviger_hip::keys::Prk;
    use claviger_identity::Hit;

    use super::*;
    use crate::iana::{GCKS_GDOI, GCKS_GSAKMP};

    const LESSER: Hit = Hit::new([1; 16]);
    const GREATER: Hit = Hit::new([2; 16]);
    const HASHES: [HashAlgorithm; 3] =
        [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::CShake128];

    fn prk(rhash: HashAlgorithm) -> Prk {
        Prk::extract(provider(), rhash, &[3; 32], &[4; 32], &SharedSecret::new(vec![5; 32])).unwrap()
    }

    fn keymat(rhash: HashAlgorithm, cipher: CipherId, local: Hit, peer: Hit) -> Keymat {
        Keymat::derive(provider(), rhash, cipher, prk(rhash), Hosts { local, peer }).unwrap()
    }

    #[test]
    fn no_keys_hang_on_weak_associations() {
        let strong = Security {
            cipher: CipherId::AES_128_CBC,
            dh_group: DhGroup::NIST_P256,
            hit_suite: HitSuite::EcdsaSha384,
            peer_hit_suite: HitSuite::RsaDsaSha256,
        };
        assert!(allows_keys(&strong));
        for weak in [
            Security { cipher: CipherId::NULL_ENCRYPT, ..strong },
            Security { dh_group: DhGroup::MODP_1536, ..strong },
            Security { dh_group: DhGroup::SECP160R1, ..strong },
            Security { hit_suite: HitSuite::EcdsaLowSha1, ..strong },
            Security { peer_hit_suite: HitSuite::EcdsaLowSha1, ..strong },
        ] {
            assert!(!allows_keys(&weak), "{weak:?}");
        }
    }

    #[test]
    fn nothing_is_registered_under_null_encryption() {
        let keymat = keymat(HashAlgorithm::Sha256, CipherId::NULL_ENCRYPT, LESSER, GREATER);
        let keys = registration_keys(&keymat, GCKS_GDOI, Side::Requester);
        assert_eq!(keys.err(), Some(CryptoError::Unsupported));
    }

    #[test]
    fn member_and_key_server_derive_the_same_registration() {
        for rhash in HASHES {
            let member = registration_keys(
                &keymat(rhash, CipherId::AES_128_CBC, LESSER, GREATER),
                GCKS_GDOI,
                Side::Requester,
            )
            .unwrap();
            let server = registration_keys(
                &keymat(rhash, CipherId::AES_128_CBC, GREATER, LESSER),
                GCKS_GDOI,
                Side::Registrar,
            )
            .unwrap();
            assert_eq!(member.skeyid_a, server.skeyid_a);
            assert_eq!(member.skeyid_d, server.skeyid_d);
            assert_eq!(member.skeyid_e, server.skeyid_e);
            assert_eq!((member.cookies, member.phase1_iv), (server.cookies, server.phase1_iv));
            assert_eq!(member.peer, MemberId::Hit(GREATER));
            assert_eq!(server.peer, MemberId::Hit(LESSER));
        }
    }

    #[test]
    fn registrations_differ_by_type_and_by_who_is_the_member() {
        let derive = |reg_type, member, gcks| {
            registration_keys(
                &keymat(HashAlgorithm::Sha256, CipherId::AES_128_CBC, member, gcks),
                reg_type,
                Side::Requester,
            )
            .unwrap()
        };
        let one = derive(GCKS_GDOI, LESSER, GREATER);
        for other in [derive(GCKS_GSAKMP, LESSER, GREATER), derive(GCKS_GDOI, GREATER, LESSER)] {
            assert_ne!(one.skeyid_a, other.skeyid_a);
            assert_ne!(one.cookies, other.cookies);
        }
    }

    /// The layout of the derived octets, against HKDF written out.
    #[test]
    fn registration_keys_lie_in_the_stated_order() {
        let rhash = HashAlgorithm::Sha256;
        let prf = provider().prf(rhash).unwrap();
        let mut info = b"HIP-GKM 1".to_vec();
        info.push(201);
        info.extend_from_slice(&[[1; 16], [2; 16]].concat());
        let mut stream = Vec::new();
        let mut block = Vec::new();
        for counter in 1..=4 {
            block = prf.prf(prk(rhash).expose(), &[&block, &info, &[counter]]).to_vec();
            stream.extend_from_slice(&block);
        }
        let keymat = keymat(rhash, CipherId::AES_256_CBC, GREATER, LESSER);
        let keys = registration_keys(&keymat, GCKS_GDOI, Side::Registrar).unwrap();
        assert_eq!(keys.skeyid_d.expose(), &stream[..32]);
        assert_eq!(keys.skeyid_a.expose(), &stream[32..64]);
        assert_eq!(keys.skeyid_e.expose(), &stream[64..96]);
        assert_eq!(keys.cookies.0, stream[96..112]);
        assert_eq!(keys.phase1_iv, stream[112..128]);
        assert_eq!((keys.hash, keys.cipher), (rhash, CipherAlgorithm::Aes256Cbc));
    }

    #[test]
    fn nothing_is_registered_under_sha_1() {
        let keymat = keymat(HashAlgorithm::Sha1, CipherId::AES_128_CBC, LESSER, GREATER);
        let keys = registration_keys(&keymat, GCKS_GDOI, Side::Requester);
        assert_eq!(keys.err(), Some(CryptoError::Unsupported));
    }
}
