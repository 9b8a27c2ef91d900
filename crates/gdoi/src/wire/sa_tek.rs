//! The SA TEK payload: the policy of one data security SA (RFC 6407 section 5.5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!                                                 +-+-+-+-+-+-+-+-!
//!                                                 ! Protocol-ID   !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !    Protocol   !  SRC ID Type  !         SRC ID Port           !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !SRC ID Data Len!          SRC Identification Data              ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ! DST ID Type   !         DST ID Port           !DST ID Data Len!
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ! DST Identification Data                                       ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ! Transform ID  !                        SPI                    !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !      SPI      !       RFC 2407 SA Attributes                  ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ```
//!
//! ESP (Protocol-ID 1) is known, AH is not. The private-use SA attribute 32001 (Basic) gives the UDP port of ESP
//! in UDP where it is not 4500.

use std::time::Duration;

use claviger_group::{Channel, Encapsulation, EspTransform, Spi, Tek, tek::TekKeys};
use claviger_isakmp::wire::attribute::{self, Attribute, basic, once};
use claviger_wire::{Decode, DecodeError, Reader, Writer};

use crate::{
    error::{Error, PeerIncompatible, PeerMisbehaved},
    iana::{esp, ipsec, tek_protocol},
    wire::{
        Dialect,
        sa_kek::{address, encode_address, id_type},
    },
};

/// The policy of a data security SA: a [`Tek`] without its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaTek {
    /// Names the SA in every packet.
    pub spi: Spi,
    /// The algorithms.
    pub transform: EspTransform,
    /// Where packets go, and from where for source-specific multicast.
    pub channel: Channel,
    /// How ESP travels.
    pub encapsulation: Encapsulation,
    /// The UDP port of ESP where [`Encapsulation::is_udp`].
    pub encapsulation_port: u16,
    /// The UDP destination port inside that the SA is for; zero is any port and protocol.
    pub application_port: u16,
    /// How long the SA may be used, in whole seconds.
    pub lifetime: Duration,
    /// Which addresses of the inner packet a tunnel's outer header repeats.
    pub preservation: AddressPreservation,
    /// In which direction the SA is installed.
    pub direction: SaDirection,
}

/// Which addresses of the inner packet a tunnel's outer header repeats (RFC 6407 section 5.5.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressPreservation {
    /// None of them.
    None = 1,
    /// The source.
    SourceOnly = 2,
    /// The destination.
    DestinationOnly = 3,
    /// Both; so also if nothing is said.
    #[default]
    SourceAndDestination = 4,
}

/// In which direction an SA is installed (RFC 6407 section 5.5.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaDirection {
    /// The member sends.
    SenderOnly = 1,
    /// The member receives.
    ReceiverOnly = 2,
    /// The member sends and receives; so also if nothing is said.
    #[default]
    Symmetric = 3,
}

/// IPPROTO_UDP.
const PROTOCOL_UDP: u8 = 17;

/// The UDP port of ESP in UDP (RFC 3948) where no attribute gives another.
const UDP_ENCAPSULATION_PORT_DEFAULT: u16 = 4500;

/// The key length of AES-CBC that RFC 3602 section 2.3 calls the default.
const KEY_BITS_DEFAULT: u16 = 128;

/// The lifetime of an SA whose policy gives none (RFC 2407 section 4.5).
const LIFETIME_DEFAULT: Duration = Duration::from_secs(28_800);

impl From<&Tek> for SaTek {
    fn from(tek: &Tek) -> Self {
        Self {
            spi: tek.spi,
            transform: tek.transform,
            channel: tek.channel,
            encapsulation: tek.encapsulation,
            encapsulation_port: tek.encapsulation_port,
            application_port: tek.application_port,
            lifetime: tek.lifetime,
            preservation: AddressPreservation::default(),
            direction: SaDirection::default(),
        }
    }
}

impl SaTek {
    /// Joins the policy and its downloaded keys.
    ///
    /// # Errors
    ///
    /// Those of [`SaTek::supported`], and [`PeerMisbehaved::KeyLength`] if the keys are not the transform's.
    pub fn to_tek(&self, keys: &TekKeys) -> Result<Tek, Error> {
        self.supported()?;
        let keys = TekKeys::new(self.transform, keys.encryption.clone(), keys.integrity.clone())
            .map_err(|_| PeerMisbehaved::KeyLength)?;
        Ok(Tek {
            spi: self.spi,
            transform: self.transform,
            keys,
            channel: self.channel,
            encapsulation: self.encapsulation,
            encapsulation_port: self.encapsulation_port,
            application_port: self.application_port,
            lifetime: self.lifetime,
        })
    }

    /// Says whether the data planes can do what the policy asserts.
    ///
    /// # Errors
    ///
    /// [`Error::PeerIncompatible`] for a tunnel that does not preserve both addresses, and for an SA of one
    /// direction: a [`Tek`] has both.
    pub fn supported(&self) -> Result<(), Error> {
        if self.encapsulation.is_tunnel() && self.preservation != AddressPreservation::SourceAndDestination {
            return Err(PeerIncompatible::AddressPreservation(self.preservation as u16).into());
        }
        if self.direction != SaDirection::Symmetric {
            return Err(PeerIncompatible::SaDirection(self.direction as u16).into());
        }
        Ok(())
    }

    /// Reads the body of an SA TEK payload.
    ///
    /// # Errors
    ///
    /// [`Error::PeerIncompatible`] for a protocol, attribute or algorithm that is not understood,
    /// [`Error::Decode`] for a wrong form.
    pub fn from_octets_in(octets: &[u8], dialect: Dialect) -> Result<Self, Error> {
        let mut r = Reader::new(octets);
        let protocol_id = r.u8("TEK protocol")?;
        if protocol_id != tek_protocol::IPSEC_ESP {
            return Err(PeerIncompatible::TekProtocol(protocol_id).into());
        }
        let (channel, application_port) = decode_selector(&mut r, dialect)?;
        let transform = r.u8("ESP transform")?;
        let spi = r.u32("TEK SPI")?;
        let spi = Spi::new(spi).ok_or(DecodeError::Value { field: "TEK SPI", value: spi.into() })?;
        let attributes = TekAttributes::decode(&mut r)?;
        let encapsulation = attributes.encapsulation()?;
        Ok(Self {
            spi,
            transform: attributes.transform(transform, dialect)?,
            channel,
            encapsulation,
            encapsulation_port: attributes.encapsulation_port(encapsulation)?,
            application_port,
            lifetime: attributes.lifetime()?,
            preservation: attributes.preservation()?,
            direction: attributes.direction()?,
        })
    }

    /// Writes the body of an SA TEK payload.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        w.u8(tek_protocol::IPSEC_ESP);
        w.u8(if self.application_port == 0 { 0 } else { PROTOCOL_UDP });
        w.u8(id_type(&self.channel.group()));
        w.u16(0);
        encode_address(w, self.channel.source());
        w.u8(id_type(&self.channel.group()));
        w.u16(self.application_port);
        encode_address(w, Some(self.channel.group()));
        w.u8(if self.transform.is_counter_mode() { esp::AES_GCM_16 } else { esp::AES_CBC });
        w.u32(self.spi.as_u32());
        self.encode_attributes(w)
    }

    fn encode_attributes(&self, w: &mut Writer) -> Result<(), Error> {
        //= rfc2407#section-4.5
        //# An SA Life Duration attribute MUST always follow an SA Life
        //# Type which describes the units of duration.
        basic(w, ipsec::LIFE_TYPE, ipsec::LIFE_SECONDS);
        let lifetime = u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX);
        attribute::variable(w, ipsec::LIFE_DURATION, |w| {
            w.u32(lifetime);
        })?;
        basic(w, ipsec::ENCAPSULATION_MODE, self.encapsulation as u16);
        if !self.transform.is_counter_mode() {
            basic(w, ipsec::AUTHENTICATION_ALGORITHM, ipsec::AUTH_HMAC_SHA2_256);
        }
        basic(w, ipsec::KEY_LENGTH, self.transform.key_bits());
        if self.encapsulation.is_tunnel() || self.preservation != AddressPreservation::default() {
            basic(w, ipsec::ADDRESS_PRESERVATION, self.preservation as u16);
        }
        basic(w, ipsec::SA_DIRECTION, self.direction as u16);
        if self.encapsulation.is_udp() && self.encapsulation_port != UDP_ENCAPSULATION_PORT_DEFAULT {
            basic(w, ipsec::UDP_ENCAPSULATION_PORT, self.encapsulation_port);
        }
        Ok(())
    }
}

/// Reads which packets the SA is for: the channel and the application's port.
fn decode_selector(r: &mut Reader<'_>, dialect: Dialect) -> Result<(Channel, u16), Error> {
    let protocol = r.u8("TEK selector protocol")?;
    let source_type = r.u8("TEK SRC ID type")?;
    let source_port = r.u16("TEK SRC ID port")?;
    if source_port != 0 {
        return Err(PeerIncompatible::SourcePort(source_port).into());
    }
    let source = address(r, source_type, dialect.tek_addresses_reversed)?;
    let group_type = r.u8("TEK DST ID type")?;
    let application_port = r.u16("TEK DST ID port")?;
    let group = address(r, group_type, dialect.tek_addresses_reversed)?
        .ok_or(DecodeError::Missing { what: "TEK DST identification" })?;
    // A port without UDP, or UDP without a port, would protect other packets than a Tek can say.
    if (protocol, application_port == 0) != (0, true)
        && (protocol, application_port == 0) != (PROTOCOL_UDP, false)
    {
        return Err(PeerIncompatible::SelectorProtocol(protocol).into());
    }
    let channel = Channel::new(group, source)
        .map_err(|_| DecodeError::Value { field: "TEK identification data", value: 0 })?;
    Ok((channel, application_port))
}

#[derive(Default)]
struct TekAttributes {
    life_type: Option<u16>,
    seconds: Option<u32>,
    encapsulation: Option<u16>,
    authentication: Option<u16>,
    key_length: Option<u16>,
    preservation: Option<u16>,
    direction: Option<u16>,
    udp_port: Option<u16>,
}

impl Decode<'_, Error> for TekAttributes {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        while let Some(attribute) = Attribute::next(r)? {
            let (place, what) = match attribute.class {
                ipsec::LIFE_TYPE => (&mut found.life_type, "SA life type"),
                ipsec::LIFE_DURATION => {
                    found.life_duration(&attribute)?;
                    continue;
                }
                //= rfc6407#section-5.5.1
                //# The GDOI supports all IPsec DOI SA Attributes for
                //# GDOI_PROTO_IPSEC_ESP and GDOI_PROTO_IPSEC_AH, excluding the Group
                //# Description (Section 4.5 of [RFC2407]), which MUST NOT be sent by
                //# a GDOI implementation and is ignored by a GDOI implementation if
                //# received.
                ipsec::GROUP_DESCRIPTION => continue,
                ipsec::ENCAPSULATION_MODE => (&mut found.encapsulation, "encapsulation mode"),
                ipsec::AUTHENTICATION_ALGORITHM => (&mut found.authentication, "authentication algorithm"),
                ipsec::KEY_LENGTH => (&mut found.key_length, "key length"),
                ipsec::ADDRESS_PRESERVATION => (&mut found.preservation, "address preservation"),
                ipsec::SA_DIRECTION => (&mut found.direction, "SA direction"),
                ipsec::UDP_ENCAPSULATION_PORT => (&mut found.udp_port, "UDP encapsulation port"),
                class => return Err(PeerIncompatible::SaAttribute(class).into()),
            };
            once(place, attribute.basic(what)?, what)?;
        }
        Ok(found)
    }
}

impl TekAttributes {
    fn life_duration(&mut self, attribute: &Attribute<'_>) -> Result<(), Error> {
        match self.life_type {
            Some(ipsec::LIFE_SECONDS) => {}
            Some(other) => return Err(PeerIncompatible::LifeType(other).into()),
            None => return Err(DecodeError::Missing { what: "SA life type" }.into()),
        }
        let seconds = attribute.number("SA life duration")?;
        if seconds == 0 {
            return Err(DecodeError::Value { field: "SA life duration", value: 0 }.into());
        }
        Ok(once(&mut self.seconds, seconds, "SA life duration")?)
    }

    fn lifetime(&self) -> Result<Duration, Error> {
        match (self.life_type, self.seconds) {
            (_, Some(seconds)) => Ok(Duration::from_secs(seconds.into())),
            (None, None) => Ok(LIFETIME_DEFAULT),
            (Some(_), None) => Err(DecodeError::Missing { what: "SA life duration" }.into()),
        }
    }

    fn transform(&self, transform: u8, dialect: Dialect) -> Result<EspTransform, Error> {
        let bits = match self.key_length.ok_or(DecodeError::Missing { what: "key length" })? {
            0 if dialect.key_length_zero => KEY_BITS_DEFAULT,
            bits => bits,
        };
        let authentication = match self.authentication {
            None => false,
            Some(ipsec::AUTH_HMAC_SHA2_256) => true,
            Some(other) => return Err(PeerIncompatible::AuthenticationAlgorithm(other).into()),
        };
        match (transform, bits, authentication) {
            (esp::AES_GCM_16, 128, false) => Ok(EspTransform::Aes128Gcm16),
            (esp::AES_GCM_16, 256, false) => Ok(EspTransform::Aes256Gcm16),
            (esp::AES_CBC, 128, true) => Ok(EspTransform::Aes128CbcHmacSha256),
            (esp::AES_CBC, 256, true) => Ok(EspTransform::Aes256CbcHmacSha256),
            (esp::AES_GCM_16, _, true) => {
                Err(DecodeError::Unexpected { what: "authentication algorithm" }.into())
            }
            (esp::AES_CBC, _, false) => Err(DecodeError::Missing { what: "authentication algorithm" }.into()),
            (esp::AES_GCM_16 | esp::AES_CBC, bits, _) => Err(PeerIncompatible::KeyLength(bits).into()),
            (transform, ..) => Err(PeerIncompatible::EspTransform(transform).into()),
        }
    }

    fn encapsulation(&self) -> Result<Encapsulation, Error> {
        let mode = self.encapsulation.ok_or(DecodeError::Missing { what: "encapsulation mode" })?;
        Encapsulation::from_value(mode).ok_or(PeerIncompatible::EncapsulationMode(mode).into())
    }

    fn encapsulation_port(&self, encapsulation: Encapsulation) -> Result<u16, Error> {
        match self.udp_port {
            None => Ok(UDP_ENCAPSULATION_PORT_DEFAULT),
            Some(0) => Err(DecodeError::Value { field: "UDP encapsulation port", value: 0 }.into()),
            Some(port) if encapsulation.is_udp() => Ok(port),
            Some(_) => Err(DecodeError::Unexpected { what: "UDP encapsulation port" }.into()),
        }
    }

    fn preservation(&self) -> Result<AddressPreservation, Error> {
        match self.preservation {
            None | Some(4) => Ok(AddressPreservation::SourceAndDestination),
            Some(1) => Ok(AddressPreservation::None),
            Some(2) => Ok(AddressPreservation::SourceOnly),
            Some(3) => Ok(AddressPreservation::DestinationOnly),
            Some(other) => Err(PeerIncompatible::AddressPreservation(other).into()),
        }
    }

    fn direction(&self) -> Result<SaDirection, Error> {
        match self.direction {
            //= rfc6407#section-5.5.1.1.2
            //# An SA TEK payload that does not include the SA Direction attribute is
            //# treated as a Symmetric IPsec SA.
            None | Some(3) => Ok(SaDirection::Symmetric),
            Some(1) => Ok(SaDirection::SenderOnly),
            Some(2) => Ok(SaDirection::ReceiverOnly),
            Some(other) => Err(PeerIncompatible::SaDirection(other).into()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::octets_of;

    pub(crate) fn sample() -> SaTek {
        SaTek {
            spi: Spi::new(0x1234_5678).unwrap(),
            transform: EspTransform::Aes128Gcm16,
            channel: Channel::new("239.192.0.1".parse().unwrap(), None).unwrap(),
            encapsulation: Encapsulation::UdpTransport,
            encapsulation_port: 4500,
            application_port: 0,
            lifetime: Duration::from_secs(3600),
            preservation: AddressPreservation::SourceAndDestination,
            direction: SaDirection::Symmetric,
        }
    }

    fn decode(octets: &[u8]) -> Result<SaTek, Error> {
        SaTek::from_octets_in(octets, Dialect::RFC)
    }

    #[test]
    fn reads_what_it_writes() {
        let channels = [
            Channel::new("232.1.1.1".parse().unwrap(), Some("10.0.0.1".parse().unwrap())).unwrap(),
            Channel::new("ff15::1".parse().unwrap(), None).unwrap(),
            Channel::new("ff3e::1".parse().unwrap(), Some("2001:db8::1".parse().unwrap())).unwrap(),
        ];
        for channel in channels {
            for transform in EspTransform::ALL {
                for mode in 1..=4 {
                    let encapsulation = Encapsulation::from_value(mode).unwrap();
                    let encapsulation_port = if encapsulation.is_udp() { 14_500 } else { 4500 };
                    let application_port = 5004;
                    let policy = SaTek {
                        channel,
                        transform,
                        encapsulation,
                        encapsulation_port,
                        application_port,
                        ..sample()
                    };
                    assert_eq!(decode(&octets_of(|w| policy.encode(w))), Ok(policy));
                }
            }
        }
    }

    #[test]
    fn writes_an_address_preservation_that_transport_mode_does_not_need() {
        let policy = SaTek { preservation: AddressPreservation::DestinationOnly, ..sample() };
        assert_eq!(decode(&octets_of(|w| policy.encode(w))), Ok(policy));
    }

    #[test]
    fn a_cut_payload_is_never_the_whole_one() {
        let policy = SaTek { encapsulation_port: 9, ..sample() };
        let octets = octets_of(|w| policy.encode(w));
        for length in 0..octets.len() {
            assert_ne!(decode(&octets[..length]), Ok(policy.clone()), "cut at {length}");
        }
    }

    #[test]
    fn aborts_at_what_it_does_not_understand() {
        let octets = octets_of(|w| sample().encode(w));
        let transform_at = octets.windows(5).position(|w| w == [20, 0x12, 0x34, 0x56, 0x78]).unwrap();
        let replaced = |at: usize, value: u8| {
            let mut octets = octets.clone();
            octets[at] = value;
            decode(&octets)
        };
        assert_eq!(replaced(0, 2), Err(PeerIncompatible::TekProtocol(2).into()), "AH");
        assert_eq!(replaced(0, 128), Err(PeerIncompatible::TekProtocol(128).into()));
        assert_eq!(
            replaced(transform_at, 18),
            Err(PeerIncompatible::EspTransform(18).into()),
            "an 8-octet ICV"
        );
        assert_eq!(replaced(transform_at, 12).unwrap_err().reason(), "malformed", "CBC alone");
        let with = |extra: &[u8]| decode(&[&octets, extra].concat());
        assert_eq!(with(&[0x80, 11, 0, 1]), Err(PeerIncompatible::SaAttribute(11).into()), "64-bit numbers");
        assert_eq!(with(&[0x80, 3, 0, 1]), Ok(sample()), "a Group Description is ignored");
        assert_eq!(with(&[0x80, 5, 0, 5]).unwrap_err().reason(), "malformed", "a MAC beside GCM");
        assert_eq!(with(&[0xfd, 1, 0, 0]).unwrap_err().reason(), "malformed", "port zero");
    }

    #[test]
    fn a_tunnel_preserves_both_addresses_and_an_sa_has_both_directions() {
        let tunnel = SaTek { encapsulation: Encapsulation::Tunnel, ..sample() };
        assert_eq!(tunnel.supported(), Ok(()));
        for preservation in [1u16, 2, 3] {
            let mut octets = octets_of(|w| tunnel.encode(w));
            let at = octets.windows(4).position(|w| w == [0x80, 14, 0, 4]).unwrap();
            octets[at + 3] = preservation as u8;
            assert!(decode(&octets).unwrap().supported().is_err());
        }
        let one_way = SaTek { direction: SaDirection::ReceiverOnly, ..sample() };
        let read = decode(&octets_of(|w| one_way.encode(w))).unwrap();
        assert_eq!(read.supported(), Err(PeerIncompatible::SaDirection(2).into()));
    }
}
