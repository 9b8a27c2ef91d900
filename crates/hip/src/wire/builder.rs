//! Packets to send.

use std::fmt;

use claviger_crypto::{CryptoError, prf::Prf};
use claviger_identity::{Hit, HostId, HostIdentity};
use claviger_wire::{Encode, Writer};

use crate::{
    iana::{PacketType, ParameterType},
    keys::IntegrityKey,
};

use super::{
    Controls, HipMac, HipMac2, HipSignature, HipSignature2, Parameter, coverage,
    packet::{HEADER_LEN, NEXT_HEADER_NONE, PACKET_LEN_MAX, VERSION},
    parameter,
};

/// The parameters do not fit a packet: at most 2,008 octets do (RFC 7401 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketTooLong;

impl fmt::Display for PacketTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet would be longer than {PACKET_LEN_MAX} octets")
    }
}

impl std::error::Error for PacketTooLong {}

/// Parameters in ascending order, as ENCRYPTED holds them and packets do.
#[derive(Debug, Default)]
pub struct ParameterBlock {
    w: Writer,
    last: u16,
    too_long: bool,
}

impl ParameterBlock {
    /// Starts with no parameter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a parameter.
    ///
    /// # Panics
    ///
    /// If its type is lower than that of the parameter before: callers write parameters in the order in which the
    /// RFC lists a packet's types.
    pub fn add<P: Parameter>(&mut self, parameter: &P) -> &mut Self {
        self.write(P::TYPE, &parameter.to_octets())
    }

    /// Says whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.w.is_empty() && !self.too_long
    }

    /// Shows the octets.
    ///
    /// # Errors
    ///
    /// [`PacketTooLong`] if they fit no packet.
    pub fn octets(&self) -> Result<&[u8], PacketTooLong> {
        if self.too_long { Err(PacketTooLong) } else { Ok(self.w.octets()) }
    }

    fn write(&mut self, parameter_type: ParameterType, contents: &[u8]) -> &mut Self {
        assert!(self.last <= parameter_type.0, "parameters are written in ascending order of type");
        self.last = parameter_type.0;
        self.too_long |= self.w.len() + parameter::padded_len(contents.len()) > PACKET_LEN_MAX;
        if !self.too_long {
            parameter::write(&mut self.w, parameter_type, contents);
        }
        self
    }
}

/// A packet that grows parameter by parameter; MAC and signature cover what stands before them.
///
/// ```
/// use claviger_crypto::{SystemRandom, provider, sign::KeyAlgorithm};
/// use claviger_hip::{
///     iana::PacketType,
///     verification::{Budget, Class, Limits},
///     wire::{EchoRequestSigned, Packet, PacketBuilder},
/// };
/// use claviger_identity::{Hit, HostIdentity};
/// use claviger_sansio::Time;
///
/// let host = HostIdentity::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new()?)?;
/// let mut builder = PacketBuilder::new(PacketType::CLOSE, host.hit(), Hit::NULL);
/// builder.add(&EchoRequestSigned(b"opaque".to_vec())).sign(&host)?;
/// let octets = builder.finish()?;
/// let packet = Packet::parse(&octets)?;
/// let permit = Budget::new(Class::Close).permit(&Limits::default(), Time::EPOCH)?;
/// packet.verify_signature(permit, provider(), host.host_id())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PacketBuilder {
    block: ParameterBlock,
}

impl PacketBuilder {
    /// Starts a packet without controls.
    pub fn new(packet_type: PacketType, sender: Hit, receiver: Hit) -> Self {
        let mut w = Writer::new();
        w.u8(NEXT_HEADER_NONE);
        w.u8(0);
        w.u8(packet_type.0 & 0x7f);
        w.u8(VERSION << 4 | 1);
        w.u16(0);
        w.u16(Controls::NONE.0);
        w.slice(sender.octets());
        w.slice(receiver.octets());
        Self { block: ParameterBlock { w, last: 0, too_long: false } }
    }

    /// Sets the controls; before a MAC or signature, which cover them.
    pub fn controls(&mut self, controls: Controls) -> &mut Self {
        self.block.w.patch_u16(6, controls.0);
        self
    }

    /// Appends a parameter.
    ///
    /// # Panics
    ///
    /// As [`ParameterBlock::add`].
    pub fn add<P: Parameter>(&mut self, parameter: &P) -> &mut Self {
        self.block.add(parameter);
        self
    }

    /// Appends HIP_MAC over what was added so far (RFC 7401 section 6.4.1).
    pub fn mac(&mut self, prf: &dyn Prf, key: &IntegrityKey) -> &mut Self {
        let mac = coverage::mac(self.covered(), &[], prf, key);
        self.add(&HipMac(mac.to_vec()))
    }

    /// Appends HIP_MAC_2 over what was added so far and the Responder's HOST_ID, which is not sent with it.
    pub fn mac_2(&mut self, prf: &dyn Prf, key: &IntegrityKey, responder: &HostId) -> &mut Self {
        let mut host_id = Writer::new();
        parameter::write(&mut host_id, ParameterType::HOST_ID, &responder.to_octets());
        let mac = coverage::mac(self.covered(), host_id.octets(), prf, key);
        self.add(&HipMac2(mac.to_vec()))
    }

    /// Appends HIP_SIGNATURE over what was added so far (RFC 7401 section 6.4.2).
    pub fn sign(&mut self, host: &HostIdentity) -> Result<&mut Self, CryptoError> {
        let signature = host.sign(&coverage::signature_message(self.covered()))?;
        Ok(self.add(&HipSignature { algorithm: host.host_id().algorithm(), signature }))
    }

    /// Appends HIP_SIGNATURE_2, which leaves out the receiver's HIT and the puzzle's Opaque and #I.
    pub fn sign_2(&mut self, host: &HostIdentity) -> Result<&mut Self, CryptoError> {
        let signature = host.sign(&coverage::signature_2_message(self.covered()))?;
        Ok(self.add(&HipSignature2 { algorithm: host.host_id().algorithm(), signature }))
    }

    /// Ends the packet. Its checksum is zero, as UDP carriage demands (RFC 5770 section 5.1); for IP protocol 139
    /// [`super::checksum::write`] fills it in.
    ///
    /// # Errors
    ///
    /// [`PacketTooLong`].
    pub fn finish(&self) -> Result<Vec<u8>, PacketTooLong> {
        let mut octets = self.block.octets()?.to_vec();
        octets[1] = coverage::header_length(octets.len()).ok_or(PacketTooLong)?;
        Ok(octets)
    }

    fn covered(&self) -> &[u8] {
        debug_assert!(self.block.w.len() >= HEADER_LEN);
        self.block.w.octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Cert, EchoRequestSigned, Packet, Seq};

    #[test]
    #[should_panic(expected = "ascending")]
    fn parameters_cannot_be_added_out_of_order() {
        PacketBuilder::new(PacketType::UPDATE, Hit::NULL, Hit::NULL)
            .add(&EchoRequestSigned(vec![]))
            .add(&Seq(1));
    }

    #[test]
    fn a_packet_holds_2008_octets_of_parameters() {
        let cert = |length| Cert {
            group: 1,
            count: 1,
            id: 1,
            cert_type: crate::iana::CertType::X509_V3,
            certificate: vec![7; length],
        };
        let build =
            |length| PacketBuilder::new(PacketType::UPDATE, Hit::NULL, Hit::NULL).add(&cert(length)).finish();
        let longest = build(2000).unwrap();
        assert_eq!((longest.len(), longest[1]), (PACKET_LEN_MAX, 255));
        assert_eq!(Packet::parse(&longest).unwrap().one::<Cert>().unwrap().certificate.len(), 2000);
        assert_eq!(build(2001), Err(PacketTooLong));
        assert_eq!(build(100_000), Err(PacketTooLong));
    }
}
