//! KEYMAT (RFC 7401 section 6.5), and the keys of a registration that hang on it.
//!
//! ```text
//! PRK     = HKDF-Extract(#I | #J, Kij)
//! KEYMAT  = HKDF-Expand(PRK, smaller HIT | greater HIT)
//!         = HIP-gl encryption | HIP-gl integrity | HIP-lg encryption | HIP-lg integrity | keys of ESP ...
//! group   = HKDF-Expand(PRK, "HIP-GKM 1" | Reg Type | member's HIT | key server's HIT)
//!         = SKEYID_d | SKEYID_a | SKEYID_e | CKY-I | CKY-R | P1-IV
//! ```

use claviger_crypto::{
    CryptoError, CryptoProvider, SecretBytes, hash::HashAlgorithm, hkdf, kx::SharedSecret, prf::Prf,
    secret_type,
};
use claviger_group::{CookiePair, MemberId, RegistrationSa};
use claviger_identity::Hit;
use claviger_wire::Reader;

use crate::{
    iana::{CipherId, RegType},
    registration::Side,
};

secret_type! {
    /// The pseudo-random key of HKDF, from which everything of an association is expanded.
    pub struct Prk;
}

secret_type! {
    /// The key of one direction's ENCRYPTED parameters.
    pub struct EncryptionKey;
}

secret_type! {
    /// The key of one direction's HIP_MAC.
    pub struct IntegrityKey;
}

/// The label that sets group keying apart from KEYMAT, whose info begins with a HIT.
const GROUP_KEY_LABEL: &[u8] = b"HIP-GKM 1";
/// The octets of CKY-I, CKY-R and P1-IV.
const COOKIES_AND_IV_LEN: usize = 8 + 8 + 16;

impl Prk {
    /// HKDF-Extract with salt #I | #J.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the provider lacks the hash.
    pub fn extract(
        provider: &CryptoProvider,
        rhash: HashAlgorithm,
        i: &[u8],
        j: &[u8],
        shared: &SharedSecret,
    ) -> Result<Self, CryptoError> {
        Ok(Self::new(hkdf::extract(provider.prf(rhash)?, &[i, j].concat(), shared.expose())))
    }
}

/// The two hosts of an association, as one of them sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hosts {
    /// The one that holds the keys.
    pub local: Hit,
    /// The other.
    pub peer: Hit,
}

impl Hosts {
    /// Says whose keys are drawn first (RFC 7401 section 6.5).
    fn local_is_greater(&self) -> bool {
        self.local > self.peer
    }

    /// Returns sort(HIT-I | HIT-R): the smaller HIT and the greater.
    fn sorted(&self) -> [u8; 2 * Hit::LEN] {
        let (smaller, greater) =
            if self.local_is_greater() { (self.peer, self.local) } else { (self.local, self.peer) };
        let mut info = [0; 2 * Hit::LEN];
        info[..Hit::LEN].copy_from_slice(smaller.octets());
        info[Hit::LEN..].copy_from_slice(greater.octets());
        info
    }
}

/// The keys of one direction.
#[derive(Debug, Clone)]
pub struct DirectionKeys {
    /// For ENCRYPTED; empty with NULL encryption.
    pub encryption: EncryptionKey,
    /// For HIP_MAC and HIP_MAC_2.
    pub integrity: IntegrityKey,
}

/// The keys of an association, as one of its two hosts sees them.
#[derive(Debug, Clone)]
pub struct Keymat {
    /// The HMAC or KMAC over the association's hash, the Responder's RHASH.
    prf: &'static dyn Prf,
    cipher: CipherId,
    prk: Prk,
    hosts: Hosts,
    outgoing: DirectionKeys,
    incoming: DirectionKeys,
    drawn: usize,
}

impl Keymat {
    /// Draws the four keys of the base exchange.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if hash or cipher is unknown.
    pub fn derive(
        provider: &CryptoProvider,
        rhash: HashAlgorithm,
        cipher: CipherId,
        prk: Prk,
        hosts: Hosts,
    ) -> Result<Self, CryptoError> {
        let prf = provider.prf(rhash)?;
        let encryption_len = cipher.key_len().ok_or(CryptoError::Unsupported)?;
        let direction_len = encryption_len + prf.output_len();
        let stream = hkdf::expand(prf, prk.expose(), &[&hosts.sorted()], 2 * direction_len)?;
        let direction = |octets: &[u8]| {
            let (encryption, integrity) = octets.split_at(encryption_len);
            DirectionKeys {
                encryption: EncryptionKey::new(encryption),
                integrity: IntegrityKey::new(integrity),
            }
        };
        let (greater_to_lesser, lesser_to_greater) = stream.expose().split_at(direction_len);
        let (outgoing, incoming) = if hosts.local_is_greater() {
            (direction(greater_to_lesser), direction(lesser_to_greater))
        } else {
            (direction(lesser_to_greater), direction(greater_to_lesser))
        };
        Ok(Self { prf, cipher, prk, hosts, outgoing, incoming, drawn: 2 * direction_len })
    }

    /// Returns the hash of the association: the Responder's RHASH.
    pub fn rhash(&self) -> HashAlgorithm {
        self.prf.algorithm()
    }

    /// Returns the MAC of the association's packets.
    pub fn prf(&self) -> &'static dyn Prf {
        self.prf
    }

    /// Returns the HIP cipher of the association.
    pub fn cipher(&self) -> CipherId {
        self.cipher
    }

    /// Shows the keys of packets that this host sends.
    pub fn outgoing(&self) -> &DirectionKeys {
        &self.outgoing
    }

    /// Shows the keys of packets that the peer sends.
    pub fn incoming(&self) -> &DirectionKeys {
        &self.incoming
    }

    /// Shows what registrations derive their keys from.
    pub fn prk(&self) -> &Prk {
        &self.prk
    }

    /// Says how many octets the base exchange has drawn: the KEYMAT Index of its ESP_INFO.
    pub fn index(&self) -> u16 {
        u16::try_from(self.drawn).expect("four keys have fewer than 65,536 octets")
    }

    /// Draws octets of KEYMAT from an index on, for ESP (RFC 7402 section 7).
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] beyond the 255 outputs that HKDF has.
    pub fn draw(&self, index: u16, length: usize) -> Result<SecretBytes, CryptoError> {
        let index = usize::from(index);
        let end = index.checked_add(length).ok_or(CryptoError::Length)?;
        let stream = hkdf::expand(self.prf, self.prk.expose(), &[&self.hosts.sorted()], end)?;
        Ok(SecretBytes::copy_of(&stream.expose()[index..]))
    }

    /// Derives the keys of one registration type on this association, of which this host is the given side:
    /// HKDF-Expand(PRK, label | Reg Type | member's HIT | key server's HIT). The member is who asked.
    ///
    /// Whether a cookie is all zero is for the caller to ask ([`CookiePair::has_zero`]), and to answer by a new base
    /// exchange.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] under NULL encryption and under SHA-1, where nothing is granted.
    pub fn registration_keys(&self, reg_type: RegType, side: Side) -> Result<RegistrationSa, CryptoError> {
        let cipher = self.cipher.algorithm().ok_or(CryptoError::Unsupported)?;
        if self.rhash() == HashAlgorithm::Sha1 {
            return Err(CryptoError::Unsupported);
        }
        let Hosts { local, peer } = self.hosts;
        let (member, gcks) = match side {
            Side::Registrar => (peer, local),
            Side::Requester => (local, peer),
        };
        let hash_len = self.prf.output_len();
        let info: [&[u8]; 4] = [GROUP_KEY_LABEL, &[reg_type.0], member.octets(), gcks.octets()];
        let stream = hkdf::expand(self.prf, self.prk.expose(), &info, 3 * hash_len + COOKIES_AND_IV_LEN)?;

        let mut r = Reader::new(stream.expose());
        let mut key =
            |name| r.slice(hash_len, name).map(SecretBytes::copy_of).map_err(|_| CryptoError::Length);
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
            hash: self.rhash(),
            cipher,
        })
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{cipher::CipherAlgorithm, provider};

    use super::*;

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
    fn both_hosts_draw_the_same_keys_crosswise() {
        for rhash in HASHES {
            let one = keymat(rhash, CipherId::AES_128_CBC, LESSER, GREATER);
            let other = keymat(rhash, CipherId::AES_128_CBC, GREATER, LESSER);
            assert_eq!(one.outgoing().encryption, other.incoming().encryption);
            assert_eq!(one.outgoing().integrity, other.incoming().integrity);
            assert_eq!(one.incoming().encryption, other.outgoing().encryption);
            assert_eq!(one.incoming().integrity, other.outgoing().integrity);
            assert_ne!(one.outgoing().integrity, one.incoming().integrity);
            assert_ne!(one.outgoing().encryption, one.incoming().encryption);
        }
    }

    /// RFC 7401 section 6.5: the greater HIT's keys come first, encryption before integrity.
    #[test]
    fn keys_are_drawn_in_the_order_of_the_rfc() {
        let keymat = keymat(HashAlgorithm::Sha384, CipherId::AES_256_CBC, GREATER, LESSER);
        assert_eq!(keymat.index(), 160);
        let stream = keymat.draw(0, 160).unwrap();
        assert_eq!(keymat.outgoing().encryption.expose(), &stream.expose()[..32]);
        assert_eq!(keymat.outgoing().integrity.expose(), &stream.expose()[32..80]);
        assert_eq!(keymat.incoming().encryption.expose(), &stream.expose()[80..112]);
        assert_eq!(keymat.incoming().integrity.expose(), &stream.expose()[112..160]);
        assert_eq!(keymat.draw(100, 60).unwrap().expose(), &stream.expose()[100..]);
        assert!(keymat.draw(u16::MAX, 1).is_err());
    }

    #[test]
    fn null_encryption_has_no_key_and_registers_nothing() {
        let keymat = keymat(HashAlgorithm::Sha256, CipherId::NULL_ENCRYPT, LESSER, GREATER);
        assert!(keymat.outgoing().encryption.expose().is_empty());
        assert_eq!(keymat.index(), 64);
        let keys = keymat.registration_keys(RegType::GCKS_GDOI, Side::Requester);
        assert_eq!(keys.err(), Some(CryptoError::Unsupported));
    }

    #[test]
    fn member_and_key_server_derive_the_same_registration() {
        for rhash in HASHES {
            let member = keymat(rhash, CipherId::AES_128_CBC, LESSER, GREATER)
                .registration_keys(RegType::GCKS_GDOI, Side::Requester)
                .unwrap();
            let server = keymat(rhash, CipherId::AES_128_CBC, GREATER, LESSER)
                .registration_keys(RegType::GCKS_GDOI, Side::Registrar)
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
            keymat(HashAlgorithm::Sha256, CipherId::AES_128_CBC, member, gcks)
                .registration_keys(reg_type, Side::Requester)
                .unwrap()
        };
        let one = derive(RegType::GCKS_GDOI, LESSER, GREATER);
        for other in
            [derive(RegType::GCKS_GSAKMP, LESSER, GREATER), derive(RegType::GCKS_GDOI, GREATER, LESSER)]
        {
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
        let keys = keymat.registration_keys(RegType::GCKS_GDOI, Side::Registrar).unwrap();
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
        let keys = keymat.registration_keys(RegType::GCKS_GDOI, Side::Requester);
        assert_eq!(keys.err(), Some(CryptoError::Unsupported));
    }
}
