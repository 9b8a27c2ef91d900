//! What MACs and signatures are computed over (RFC 7401 section 6.4), and their verification on received packets.

use std::ops::Deref;

use claviger_crypto::{
    CryptoError, CryptoProvider,
    hash::{Digest, HashAlgorithm},
    prf::Prf,
};
use claviger_identity::{HostId, IdentityError};

use crate::{iana::ParameterType, keys::IntegrityKey, verification::Permit};

use super::{
    HipMac, HipMac2, HipSignature, HipSignature2, Packet, Parameters, RawParameter, packet::HEADER_LEN,
    parameter::PARAMETER_HEADER_LEN,
};

/// The position of Header Length in the header.
const LENGTH: std::ops::Range<usize> = 1..2;
/// The position of the checksum in the header.
const CHECKSUM: std::ops::Range<usize> = 4..6;
/// The position of the receiver's HIT in the header.
const RECEIVER: std::ops::Range<usize> = 24..40;
/// The octets of #K and Lifetime, behind which a PUZZLE is left out of HIP_SIGNATURE_2.
const PUZZLE_SIGNED_LEN: usize = 2;

/// A packet whose HIP_MAC or HIP_MAC_2 verifies under the key of an association. Only [`Packet::verify_mac`] and
/// [`Packet::verify_mac_2`] make it.
#[derive(Debug, PartialEq, Eq)]
pub struct Maced<'p>(&'p Packet<'p>);

/// A packet whose HIP_SIGNATURE verifies by a key. Only [`Packet::verify_signature`] makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed<'p>(&'p Packet<'p>);

/// A packet whose HIP_SIGNATURE_2 verifies by a key: all of it but the receiver's HIT and the puzzle's Opaque and #I.
/// Only [`Packet::verify_signature_2`] makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Presigned<'p>(&'p Packet<'p>);

/// A packet of which both MAC and signature verify: what it says is the peer's. Whatever changes an association asks
/// for this. Only [`Maced::verify_signature`] makes it, so that a check that is forgotten does not compile:
///
/// ```compile_fail
/// use claviger_hip::wire::{Authentic, Packet};
///
/// fn forge<'p>(packet: &'p Packet<'p>) -> Authentic<'p> {
///     Authentic(packet)
/// }
/// ```
///
/// ```compile_fail
/// use claviger_hip::wire::{Authentic, Signed};
///
/// fn forget_the_mac(packet: Signed<'_>) -> Authentic<'_> {
///     packet
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Authentic<'p>(Maced<'p>);

impl<'p> Deref for Maced<'p> {
    type Target = Packet<'p>;

    fn deref(&self) -> &Packet<'p> {
        self.0
    }
}

impl<'p> Deref for Signed<'p> {
    type Target = Packet<'p>;

    fn deref(&self) -> &Packet<'p> {
        self.0
    }
}

impl<'p> Deref for Presigned<'p> {
    type Target = Packet<'p>;

    fn deref(&self) -> &Packet<'p> {
        self.0
    }
}

impl<'p> Deref for Authentic<'p> {
    type Target = Maced<'p>;

    fn deref(&self) -> &Maced<'p> {
        &self.0
    }
}

impl<'p> Maced<'p> {
    /// Verifies HIP_SIGNATURE beside the MAC.
    ///
    /// # Errors
    ///
    /// As [`Packet::verify_signature`].
    pub fn verify_signature(
        self,
        permit: Permit,
        provider: &CryptoProvider,
        host_id: &HostId,
    ) -> Result<Authentic<'p>, IdentityError> {
        let Signed(_) = self.0.verify_signature(permit, provider, host_id)?;
        Ok(Authentic(self))
    }

    /// Takes the packet for what it repeats: one that was authentic, whatever stands behind its MAC now. Both are given as
    /// [`Packet::digest_covered`]. Otherwise the packet comes back.
    pub(crate) fn repeats(self, digest: &[u8; 32], authentic: &[u8; 32]) -> Result<Authentic<'p>, Self> {
        if digest == authentic { Ok(Authentic(self)) } else { Err(self) }
    }
}

impl Packet<'_> {
    /// Verifies HIP_MAC with the sender's key.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Authentication`] if it is missing, malformed or wrong.
    pub fn verify_mac(&self, prf: &dyn Prf, key: &IntegrityKey) -> Result<Maced<'_>, CryptoError> {
        let before = self.before(ParameterType::HIP_MAC).ok_or(CryptoError::Authentication)?;
        let HipMac(tag) = self.one().map_err(|_| CryptoError::Authentication)?;
        verify(&mac(before, &[], prf, key), &tag)?;
        Ok(Maced(self))
    }

    /// Verifies HIP_MAC_2 with the Responder's key and its HOST_ID parameter exactly as R1 brought it:
    /// [`RawParameter::octets`].
    ///
    /// # Errors
    ///
    /// [`CryptoError::Authentication`] if it is missing, malformed or wrong.
    pub fn verify_mac_2(
        &self,
        prf: &dyn Prf,
        key: &IntegrityKey,
        host_id_parameter: &[u8],
    ) -> Result<Maced<'_>, CryptoError> {
        let before = self.before(ParameterType::HIP_MAC_2).ok_or(CryptoError::Authentication)?;
        let HipMac2(tag) = self.one().map_err(|_| CryptoError::Authentication)?;
        verify(&mac(before, host_id_parameter, prf, key), &tag)?;
        Ok(Maced(self))
    }

    /// Verifies HIP_SIGNATURE with the sender's key. Whether that key is the sender's, its HIT says.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; a missing or malformed signature is [`CryptoError::Authentication`].
    pub fn verify_signature(
        &self,
        _permit: Permit,
        provider: &CryptoProvider,
        host_id: &HostId,
    ) -> Result<Signed<'_>, IdentityError> {
        let before = self.before(ParameterType::HIP_SIGNATURE).ok_or(CryptoError::Authentication)?;
        let tag: HipSignature = self.one().map_err(|_| CryptoError::Authentication)?;
        host_id.verify(provider, &signature_message(before), tag.algorithm, &tag.signature)?;
        Ok(Signed(self))
    }

    /// Verifies HIP_SIGNATURE_2 with the Responder's key. Whether that key is the Responder's, its HIT says.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; a missing or malformed signature is [`CryptoError::Authentication`].
    pub fn verify_signature_2(
        &self,
        _permit: Permit,
        provider: &CryptoProvider,
        host_id: &HostId,
    ) -> Result<Presigned<'_>, IdentityError> {
        let before = self.before(ParameterType::HIP_SIGNATURE_2).ok_or(CryptoError::Authentication)?;
        let tag: HipSignature2 = self.one().map_err(|_| CryptoError::Authentication)?;
        host_id.verify(provider, &signature_2_message(before), tag.algorithm, &tag.signature)?;
        Ok(Presigned(self))
    }

    /// Digests what HIP_MAC covers, and the HIP_MAC, with SHA-256. What the MAC does not cover, such as the signature, the
    /// padding behind it or what middleboxes append, makes no other packet of a replayed one.
    pub(crate) fn digest_covered(&self, provider: &CryptoProvider) -> Result<[u8; 32], CryptoError> {
        let octets = self.octets();
        let end = self
            .parameters()
            .raw(ParameterType::HIP_MAC)
            .map_or(octets.len(), |mac| mac.offset() + PARAMETER_HEADER_LEN + mac.contents().len());
        let mut digest = [0; 32];
        let hash = provider.hash(HashAlgorithm::Sha256)?;
        digest.copy_from_slice(&hash.digest(&[
            &octets[..LENGTH.start],
            &octets[LENGTH.end..CHECKSUM.start],
            &octets[CHECKSUM.end..end],
        ]));
        Ok(digest)
    }

    /// Shows the packet up to the first parameter of a type.
    fn before(&self, parameter_type: ParameterType) -> Option<&[u8]> {
        self.parameters().raw(parameter_type).map(|raw| &self.octets()[..raw.offset()])
    }
}

/// A MAC has the natural size of its hash (RFC 7401 section 5.2.12): no truncated tag is taken.
fn verify(expected: &Digest, tag: &[u8]) -> Result<(), CryptoError> {
    if expected.ct_eq(tag) { Ok(()) } else { Err(CryptoError::Authentication) }
}

/// Returns the Header Length of a packet, in units of 8 octets without the first; `None` if it is too long.
pub(super) fn header_length(packet_len: usize) -> Option<u8> {
    u8::try_from(packet_len / 8 - 1).ok()
}

/// Computes the MAC over a packet that ends before its HIP_MAC, and what HIP_MAC_2 adds to it.
pub(super) fn mac(before: &[u8], appended: &[u8], prf: &dyn Prf, key: &IntegrityKey) -> Digest {
    let header = covered_header(before, before.len() + appended.len());
    prf.prf(key.expose(), &[&header, &before[HEADER_LEN..], appended])
}

/// Returns what HIP_SIGNATURE covers of a packet that ends before it.
pub(super) fn signature_message(before: &[u8]) -> Vec<u8> {
    [&covered_header(before, before.len()), &before[HEADER_LEN..]].concat()
}

/// Returns what HIP_SIGNATURE_2 covers of a packet that ends before it.
pub(super) fn signature_2_message(before: &[u8]) -> Vec<u8> {
    let mut message = signature_message(before);
    message[RECEIVER].fill(0);
    for range in puzzle_variables(before) {
        message[range].fill(0);
    }
    message
}

/// Finds Opaque and #I of each PUZZLE in a packet.
pub(super) fn puzzle_variables(octets: &[u8]) -> Vec<std::ops::Range<usize>> {
    let range = |raw: &RawParameter<'_>| {
        let start = raw.offset() + PARAMETER_HEADER_LEN;
        start + PUZZLE_SIGNED_LEN.min(raw.contents().len())..start + raw.contents().len()
    };
    let parameters = Parameters::parse_at(&octets[HEADER_LEN..], HEADER_LEN).ok();
    let puzzles = parameters.iter().flat_map(Parameters::iter);
    puzzles.filter(|raw| raw.parameter_type() == ParameterType::PUZZLE).map(range).collect()
}

/// Copies the header with the Header Length of what is covered and a checksum of zero.
fn covered_header(octets: &[u8], length: usize) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header.copy_from_slice(&octets[..HEADER_LEN]);
    // What no Header Length can say is in no packet that could be sent; the builder refuses it at its end.
    header[1] = header_length(length).unwrap_or(u8::MAX);
    header[CHECKSUM].fill(0);
    header
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SecretBytes, SeededRandom, provider, sign::KeyAlgorithm};
    use claviger_identity::{Hit, HostIdentity};

    use super::*;
    use crate::{
        iana::PacketType,
        verification::tests::permit,
        wire::{EchoRequestUnsigned, PacketBuilder, Puzzle, Seq},
    };

    const WRONG: Result<(), CryptoError> = Err(CryptoError::Authentication);

    fn key(octet: u8) -> IntegrityKey {
        IntegrityKey::new(SecretBytes::new(vec![octet; 32]))
    }

    #[test]
    fn macs_and_signatures_cover_every_octet_before_them() {
        let prf = provider().prf(HashAlgorithm::Sha256).unwrap();
        let host =
            HostIdentity::generate(provider(), KeyAlgorithm::Ed25519, &mut SeededRandom::new(1)).unwrap();
        let mut builder = PacketBuilder::new(PacketType::UPDATE, host.hit(), Hit::new([9; 16]));
        builder.add(&Seq(1)).mac(prf, &key(1)).sign(&host).unwrap();
        builder.add(&EchoRequestUnsigned(b"by a middlebox".to_vec()));
        let octets = builder.finish().unwrap();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.verify_mac(prf, &key(1)).map(drop), Ok(()));
        assert_eq!(packet.verify_signature(permit(), provider(), host.host_id()).map(drop), Ok(()));
        assert_eq!(packet.verify_mac(prf, &key(2)).map(drop), WRONG);
        assert_eq!(packet.verify_mac_2(prf, &key(1), &[]).map(drop), WRONG);
        assert!(packet.verify_signature_2(permit(), provider(), host.host_id()).is_err());

        let mac_at = packet.parameters().raw(ParameterType::HIP_MAC).unwrap().offset();
        let signature_at = packet.parameters().raw(ParameterType::HIP_SIGNATURE).unwrap().offset();
        for position in (0..signature_at).filter(|position| !CHECKSUM.contains(position)) {
            let mut changed = octets.clone();
            changed[position] ^= 0x40;
            let Ok(packet) = Packet::parse(&changed) else { continue };
            assert!(
                packet.verify_signature(permit(), provider(), host.host_id()).is_err(),
                "octet {position}"
            );
            assert_eq!(packet.verify_mac(prf, &key(1)).is_err(), position < mac_at + 36, "octet {position}");
        }
    }

    #[test]
    fn mac_2_covers_the_host_id_that_is_not_sent() {
        let prf = provider().prf(HashAlgorithm::Sha384).unwrap();
        let host =
            HostIdentity::generate(provider(), KeyAlgorithm::EcdsaP384, &mut SeededRandom::new(1)).unwrap();
        let mut r1 = PacketBuilder::new(PacketType::NOTIFY, host.hit(), Hit::NULL);
        let r1 = r1.add(host.host_id()).finish().unwrap();
        let r1 = Packet::parse(&r1).unwrap();
        let host_id = r1.parameters().raw(ParameterType::HOST_ID).unwrap().octets();

        let mut builder = PacketBuilder::new(PacketType::R2, host.hit(), Hit::NULL);
        let octets = builder.mac_2(prf, &key(3), host.host_id()).finish().unwrap();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.verify_mac_2(prf, &key(3), host_id).map(drop), Ok(()));
        assert_eq!(packet.verify_mac_2(prf, &key(3), &host_id[..host_id.len() - 8]).map(drop), WRONG);
        assert_eq!(packet.verify_mac_2(prf, &key(4), host_id).map(drop), WRONG);
    }

    #[test]
    fn signature_2_leaves_out_the_receiver_and_the_puzzle_variables_only() {
        let host =
            HostIdentity::generate(provider(), KeyAlgorithm::Ed25519, &mut SeededRandom::new(1)).unwrap();
        let mut builder = PacketBuilder::new(PacketType::R1, host.hit(), Hit::new([9; 16]));
        builder.add(&Puzzle { k: 10, lifetime: 37, opaque: [1, 2], i: vec![7; 32] }).sign_2(&host).unwrap();
        let octets = builder.finish().unwrap();
        let end = octets.len() - 72;
        for position in 8..end {
            let mut changed = octets.clone();
            changed[position] ^= 0x40;
            let Ok(packet) = Packet::parse(&changed) else { continue };
            let free = RECEIVER.contains(&position) || (46..80).contains(&position);
            assert_eq!(
                packet.verify_signature_2(permit(), provider(), host.host_id()).is_ok(),
                free,
                "octet {position}"
            );
        }
    }
}
