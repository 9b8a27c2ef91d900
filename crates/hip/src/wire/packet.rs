//! The fixed header and what follows it (RFC 7401 section 5.1).

use std::fmt;

use claviger_identity::Hit;
use claviger_wire::{DecodeError, Reader};

use crate::iana::{PacketType, ParameterType};

use super::{Parameter, Parameters};

/// The octets of the fixed header.
pub const HEADER_LEN: usize = 40;

/// The longest packet in octets: Header Length counts units of 8 octets and leaves out the first.
pub const PACKET_LEN_MAX: usize = (255 + 1) * 8;

/// The protocol version that this implementation speaks.
pub const VERSION: u8 = 2;

/// IPPROTO_NONE: nothing follows.
pub const NEXT_HEADER_NONE: u8 = 59;

/// Why octets are not a HIP packet that can be looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// A field is cut or contradicts another.
    Decode(DecodeError),
    /// A parameter stands behind one of a higher type.
    Order(ParameterType),
    /// A critical parameter is of a type that this implementation does not know.
    UnknownCriticalParameter(ParameterType),
    /// The packet is of a type that this implementation does not know.
    UnknownPacketType(PacketType),
    /// The packet is of another version of HIP.
    Version(u8),
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Order(parameter) => write!(f, "parameter {parameter} stands behind one of a higher type"),
            Self::UnknownCriticalParameter(parameter) => {
                write!(f, "critical parameter {} is unknown", parameter.0)
            }
            Self::UnknownPacketType(packet_type) => write!(f, "packet type {} is unknown", packet_type.0),
            Self::Version(version) => write!(f, "packet is of version {version}"),
        }
    }
}

impl std::error::Error for PacketError {}

impl From<DecodeError> for PacketError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// The Controls field (RFC 7401 section 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controls(pub u16);

impl Controls {
    /// No control.
    pub const NONE: Self = Self(0);
    /// The sender's Host Identity is anonymous.
    pub const ANONYMOUS: Self = Self(1);

    /// Says whether the sender's Host Identity is anonymous; the other bits are ignored.
    pub const fn is_anonymous(self) -> bool {
        self.0 & Self::ANONYMOUS.0 != 0
    }
}

/// A received packet: its header, and its parameters split but not interpreted. The octets stay as they came.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// | Next Header   | Header Length |0| Packet Type |Version| RES.|1|
/// |          Checksum             |           Controls            |
/// |                Sender's Host Identity Tag (HIT)               |
/// |               Receiver's Host Identity Tag (HIT)              |
/// /                        HIP Parameters                         /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    octets: &'a [u8],
    packet_type: PacketType,
    checksum: u16,
    controls: Controls,
    sender: Hit,
    receiver: Hit,
    parameters: Parameters<'a>,
}

impl<'a> Packet<'a> {
    /// Splits a received packet, without the four zero octets of UDP carriage.
    ///
    /// Reserved bits and the two fixed bits are ignored (RFC 7401 section 5.1). Octets behind the packet are ignored
    /// if its Next Header announces them.
    ///
    /// # Errors
    ///
    /// [`PacketError`]; nothing is authenticated by success.
    pub fn parse(octets: &'a [u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(octets);
        let next_header = r.u8("next header")?;
        let length = (usize::from(r.u8("header length")?) + 1) * 8;
        let packet_type = PacketType(r.u8("packet type")? & 0x7f);
        let version = r.u8("version")? >> 4;
        if version != VERSION {
            return Err(PacketError::Version(version));
        }
        let checksum = r.u16("checksum")?;
        let controls = Controls(r.u16("controls")?);
        let sender = Hit::new(r.array("sender's HIT")?);
        let receiver = Hit::new(r.array("receiver's HIT")?);
        let parameters_len =
            length.checked_sub(HEADER_LEN).ok_or(DecodeError::Length { field: "header length" })?;
        let parameters = r.slice(parameters_len, "parameters")?;
        if next_header == NEXT_HEADER_NONE {
            r.finish()?;
        }
        if packet_type.name().is_none() {
            return Err(PacketError::UnknownPacketType(packet_type));
        }
        let parameters = Parameters::parse_at(parameters, HEADER_LEN)?;
        Ok(Self { octets: &octets[..length], packet_type, checksum, controls, sender, receiver, parameters })
    }

    /// Shows the packet as it was received.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Returns the type.
    pub fn packet_type(&self) -> PacketType {
        self.packet_type
    }

    /// Returns the checksum; [`Packet::verify_checksum`] judges it.
    pub fn checksum(&self) -> u16 {
        self.checksum
    }

    /// Returns the controls.
    pub fn controls(&self) -> Controls {
        self.controls
    }

    /// Returns the sender's HIT, unproven.
    pub fn sender(&self) -> Hit {
        self.sender
    }

    /// Returns the receiver's HIT.
    pub fn receiver(&self) -> Hit {
        self.receiver
    }

    /// Shows the parameters.
    pub fn parameters(&self) -> &Parameters<'a> {
        &self.parameters
    }

    /// Decodes the parameter of type `P`, if there is one; see [`Parameters::find`].
    pub fn find<P: Parameter>(&self) -> Result<Option<P>, DecodeError> {
        self.parameters.find()
    }

    /// Decodes the parameter of type `P`, which must be there; see [`Parameters::one`].
    pub fn one<P: Parameter>(&self) -> Result<P, DecodeError> {
        self.parameters.one()
    }

    /// Decodes every parameter of type `P`; see [`Parameters::all`].
    pub fn all<P: Parameter>(&self) -> Result<Vec<P>, DecodeError> {
        self.parameters.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DhGroupList, PacketBuilder};

    fn i1() -> Vec<u8> {
        let (sender, receiver) = (Hit::new([1; 16]), Hit::new([2; 16]));
        let mut builder = PacketBuilder::new(PacketType::I1, sender, receiver);
        builder.add(&DhGroupList(vec![crate::iana::DhGroup::NIST_P256]));
        builder.finish().unwrap()
    }

    #[test]
    fn reads_the_header() {
        let octets = i1();
        assert_eq!(octets[..8], [59, 5, 1, 0x21, 0, 0, 0, 0]);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.packet_type(), PacketType::I1);
        assert_eq!((packet.sender(), packet.receiver()), (Hit::new([1; 16]), Hit::new([2; 16])));
        assert!(!packet.controls().is_anonymous());
        assert_eq!(packet.octets(), octets);
    }

    #[test]
    fn ignores_reserved_and_fixed_bits() {
        let mut octets = i1();
        octets[2] |= 0x80;
        octets[3] = 0x2e;
        octets[6] = 0xff;
        assert_eq!(Packet::parse(&octets).unwrap().packet_type(), PacketType::I1);
    }

    #[test]
    fn refuses_other_versions_types_and_lengths() {
        let change = |position: usize, value: u8| {
            let mut octets = i1();
            octets[position] = value;
            Packet::parse(&octets).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(3, 0x11), PacketError::Version(1));
        assert_eq!(change(2, 99), PacketError::UnknownPacketType(PacketType(99)));
        assert_eq!(change(1, 3), PacketError::Decode(DecodeError::Length { field: "header length" }));
        assert_eq!(change(1, 4), PacketError::Decode(DecodeError::Trailing { octets: 8 }));
        assert_eq!(change(1, 6), PacketError::Decode(DecodeError::Truncated { field: "parameters" }));
    }

    #[test]
    fn ignores_what_another_next_header_announces() {
        let mut octets = i1();
        octets[0] = 17;
        octets.extend_from_slice(b"trailing");
        assert_eq!(Packet::parse(&octets).unwrap().octets().len(), 48);
    }
}
