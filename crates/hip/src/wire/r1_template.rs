//! A precomputed R1 (RFC 7401 section 5.3.2).

use claviger_identity::Hit;

use crate::iana::PacketType;

use super::{Packet, PacketError, coverage};

/// The position of the receiver's HIT in the header.
const RECEIVER: std::ops::Range<usize> = 24..40;

/// An R1 that was signed beforehand; its receiver and the puzzle's variables are filled in for each I1.
#[derive(Debug, Clone)]
pub struct R1Template {
    octets: Vec<u8>,
    puzzle: std::ops::Range<usize>,
}

impl R1Template {
    /// Takes a finished R1 with one PUZZLE, whose Opaque and #I may be any octets of their final length.
    ///
    /// # Errors
    ///
    /// [`PacketError`] if the octets are no such packet.
    pub fn new(octets: Vec<u8>) -> Result<Self, PacketError> {
        let packet = Packet::parse(&octets)?;
        if packet.packet_type() != PacketType::R1 {
            return Err(PacketError::UnknownPacketType(packet.packet_type()));
        }
        packet.one::<super::Puzzle>()?;
        let puzzle = coverage::puzzle_variables(&octets).swap_remove(0);
        Ok(Self { octets, puzzle })
    }

    /// Shows the R1 as it was signed.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Makes the R1 for one Initiator; its checksum is zero.
    ///
    /// # Panics
    ///
    /// If `i` does not have as many octets as the template's #I.
    pub fn fill(&self, receiver: Hit, opaque: [u8; 2], i: &[u8]) -> Vec<u8> {
        let mut octets = self.octets.clone();
        octets[RECEIVER].copy_from_slice(receiver.octets());
        let (opaque_field, i_field) = octets[self.puzzle.clone()].split_at_mut(2);
        opaque_field.copy_from_slice(&opaque);
        i_field.copy_from_slice(i);
        octets
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SeededRandom, provider, sign::KeyAlgorithm};
    use claviger_identity::HostIdentity;

    use super::*;
    use crate::{
        verification::tests::permit,
        wire::{PacketBuilder, Puzzle, Seq},
    };

    #[test]
    fn a_filled_template_still_verifies() {
        let host =
            HostIdentity::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SeededRandom::new(1)).unwrap();
        let mut builder = PacketBuilder::new(PacketType::R1, host.hit(), Hit::NULL);
        builder.add(&Puzzle { k: 1, lifetime: 40, opaque: [0; 2], i: vec![0; 48] }).sign_2(&host).unwrap();
        let template = R1Template::new(builder.finish().unwrap()).unwrap();
        let octets = template.fill(Hit::new([5; 16]), [6, 7], &[8; 48]);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.verify_signature_2(permit(), provider(), host.host_id()).map(drop), Ok(()));
        assert_eq!(packet.receiver(), Hit::new([5; 16]));
        let puzzle: Puzzle = packet.one().unwrap();
        assert_eq!((puzzle.opaque, puzzle.i), ([6, 7], vec![8; 48]));
    }

    #[test]
    fn refuses_packets_that_are_no_r1_with_a_puzzle() {
        let update = PacketBuilder::new(PacketType::UPDATE, Hit::NULL, Hit::NULL).add(&Seq(0)).finish();
        assert!(R1Template::new(update.unwrap()).is_err());
        let r1 = PacketBuilder::new(PacketType::R1, Hit::NULL, Hit::NULL).finish();
        assert!(R1Template::new(r1.unwrap()).is_err());
    }
}
