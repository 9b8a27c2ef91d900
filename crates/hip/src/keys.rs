//! KEYMAT (RFC 7401 section 6.5), and what services derive from the same key.
//!
//! ```text
//! PRK     = HKDF-Extract(#I | #J, Kij)
//! KEYMAT  = HKDF-Expand(PRK, smaller HIT | greater HIT)
//!         = HIP-gl encryption | HIP-gl integrity | HIP-lg encryption | HIP-lg integrity | keys of ESP ...
//! service = HKDF-Expand(PRK, label of the service ...)
//! ```

use claviger_crypto::{
    CryptoError, CryptoProvider, SecretBytes, hash::HashAlgorithm, hkdf, kx::SharedSecret, prf::Prf,
    secret_type,
};
use claviger_identity::Hit;

use crate::iana::CipherId;

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

    /// Returns the two hosts.
    pub fn hosts(&self) -> Hosts {
        self.hosts
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

    /// Derives octets for a service that hosts register to: HKDF-Expand(PRK, info), where the info begins with a label of
    /// the service. KEYMAT's own begins with a HIT, and neither uses up anything of the other.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] beyond the 255 outputs that HKDF has.
    pub fn expand(&self, info: &[&[u8]], length: usize) -> Result<SecretBytes, CryptoError> {
        hkdf::expand(self.prf, self.prk.expose(), info, length)
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::provider;

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
    fn null_encryption_has_no_key() {
        let keymat = keymat(HashAlgorithm::Sha256, CipherId::NULL_ENCRYPT, LESSER, GREATER);
        assert!(keymat.outgoing().encryption.expose().is_empty());
        assert_eq!(keymat.index(), 64);
    }
}
