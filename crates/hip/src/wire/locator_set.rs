//! LOCATOR_SET: where a mobile host is reached (RFC 8046 section 4).

use std::net::{IpAddr, Ipv6Addr};

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{LocatorType, ParameterType, TrafficType};

use super::Parameter;

/// The most locators in a parameter: RFC 8046 section 6.2.2 wants the addresses of one host limited, and a host that
/// moves has one.
pub const LOCATORS_MAX: usize = 16;

/// The octets of a locator's units: Locator Length counts in them.
const WORD: usize = 4;

/// The preferred locator bit.
const PREFERRED: u8 = 1;

/// Every locator that a host wants to keep or make active; none deprecates them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatorSet(pub Vec<Locator>);

/// One place where a host is reached.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// | Traffic Type  | Locator Type  | Locator Length|  Reserved   |P|
/// |                       Locator Lifetime                        |
/// |                            Locator                            /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// What may be sent there.
    pub traffic_type: TrafficType,
    /// Whether the sender prefers it for that traffic.
    pub preferred: bool,
    /// How long it is expected to be valid, in seconds, not zero; [`Locator::UNBOUNDED`] has no end.
    pub lifetime: u32,
    /// The place itself.
    pub value: LocatorValue,
}

/// The contents of a locator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocatorValue {
    /// Locator Type 0: an address. 16 octets; IPv4 as an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
    Address(IpAddr),
    /// Locator Type 1: an address, and the SPI of the ESP SA that is received there. 20 octets.
    Esp {
        /// The SPI that the sender receives.
        spi: u32,
        /// The address.
        address: IpAddr,
    },
    /// A locator of a type that this implementation does not know, kept as it is.
    Other {
        /// The type.
        locator_type: LocatorType,
        /// The contents: whole words of four octets, at most 255 of them.
        octets: Vec<u8>,
    },
}

impl Locator {
    /// The lifetime of a locator that does not expire (RFC 8046 section 5.1).
    pub const UNBOUNDED: u32 = u32::MAX;

    /// Announces the one place of a host that is not multihomed: preferred, for signalling and data, without end.
    pub const fn only(value: LocatorValue) -> Self {
        Self { traffic_type: TrafficType::BOTH, preferred: true, lifetime: Self::UNBOUNDED, value }
    }

    /// Returns the address, if the type is known.
    pub const fn address(&self) -> Option<IpAddr> {
        match self.value {
            LocatorValue::Address(address) | LocatorValue::Esp { address, .. } => Some(address),
            LocatorValue::Other { .. } => None,
        }
    }
}

impl LocatorValue {
    /// Returns the type.
    pub const fn locator_type(&self) -> LocatorType {
        match self {
            Self::Address(_) => LocatorType::ADDRESS,
            Self::Esp { .. } => LocatorType::ESP,
            Self::Other { locator_type, .. } => *locator_type,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Address(_) => 16,
            Self::Esp { .. } => 20,
            Self::Other { octets, .. } => octets.len(),
        }
    }

    fn decode(locator_type: LocatorType, octets: &[u8]) -> Result<Self, DecodeError> {
        let wrong_length = DecodeError::Length { field: "locator" };
        match locator_type {
            LocatorType::ADDRESS => {
                let octets: [u8; 16] = octets.try_into().map_err(|_| wrong_length)?;
                Ok(Self::Address(Ipv6Addr::from(octets).to_canonical()))
            }
            LocatorType::ESP => {
                let octets: [u8; 20] = octets.try_into().map_err(|_| wrong_length)?;
                let mut r = Reader::new(&octets);
                let spi = r.u32("locator SPI")?;
                let address = Ipv6Addr::from(r.array::<16>("locator address")?);
                Ok(Self::Esp { spi, address: address.to_canonical() })
            }
            locator_type => Ok(Self::Other { locator_type, octets: octets.to_vec() }),
        }
    }
}

impl Parameter for LocatorSet {
    const TYPE: ParameterType = ParameterType::LOCATOR_SET;
}

impl Encode for LocatorSet {
    fn encode(&self, w: &mut Writer) {
        self.0.iter().for_each(|locator| locator.encode(w));
    }
}

impl Encode for Locator {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.traffic_type.0);
        w.u8(self.value.locator_type().0);
        w.u8((self.value.len() / WORD) as u8);
        w.u8(if self.preferred { PREFERRED } else { 0 });
        w.u32(self.lifetime);
        match &self.value {
            LocatorValue::Address(address) => w.slice(&mapped(*address).octets()),
            LocatorValue::Esp { spi, address } => {
                w.u32(*spi);
                w.slice(&mapped(*address).octets());
            }
            LocatorValue::Other { octets, .. } => w.slice(octets),
        }
    }
}

impl<'a> Decode<'a> for LocatorSet {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut locators = Vec::new();
        while !r.is_empty() {
            if locators.len() == LOCATORS_MAX {
                return Err(DecodeError::TooMany { what: "locators", limit: LOCATORS_MAX });
            }
            locators.push(Locator::decode(r)?);
        }
        Ok(Self(locators))
    }
}

impl<'a> Decode<'a> for Locator {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let traffic_type = TrafficType(r.u8("traffic type")?);
        let locator_type = LocatorType(r.u8("locator type")?);
        let length = usize::from(r.u8("locator length")?) * WORD;
        let preferred = r.u8("preferred bit")? & PREFERRED == PREFERRED;
        let lifetime = r.u32("locator lifetime")?;
        //= rfc8046#section-4
        //# Each locator MUST have a non-zero lifetime.
        if lifetime == 0 {
            return Err(DecodeError::Value { field: "locator lifetime", value: 0 });
        }
        let value = LocatorValue::decode(locator_type, r.slice(length, "locator")?)?;
        Ok(Self { traffic_type, preferred, lifetime, value })
    }
}

/// Returns an address as IPv6, IPv4 within it.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LocatorSet {
        LocatorSet(vec![
            Locator::only(LocatorValue::Esp { spi: 0x1234_5678, address: [192, 0, 2, 33].into() }),
            Locator {
                traffic_type: TrafficType::SIGNALLING,
                preferred: false,
                lifetime: 600,
                value: LocatorValue::Address("2001:db8::33".parse().unwrap()),
            },
            Locator {
                traffic_type: TrafficType(9),
                preferred: false,
                lifetime: 1,
                value: LocatorValue::Other { locator_type: LocatorType(2), octets: vec![7; 28] },
            },
        ])
    }

    /// The octets of RFC 8046's figure 6, by hand.
    #[test]
    fn an_ipv4_locator_of_type_1_is_28_octets() {
        let value = LocatorValue::Esp { spi: 0x1234_5678, address: [192, 0, 2, 33].into() };
        let octets = LocatorSet(vec![Locator::only(value)]).to_octets();
        let expected = [
            &[0, 1, 5, 1, 0xff, 0xff, 0xff, 0xff, 0x12, 0x34, 0x56, 0x78][..],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 33],
        ];
        assert_eq!(octets, expected.concat());
    }

    #[test]
    fn reads_what_it_writes_and_refuses_it_cut_inside_a_locator() {
        let octets = sample().to_octets();
        assert_eq!(LocatorSet::from_octets(&octets), Ok(sample()));
        assert_eq!(LocatorSet::from_octets(&[]), Ok(LocatorSet(vec![])), "none deprecates them all");
        for length in 1..octets.len() {
            let cut = LocatorSet::from_octets(&octets[..length]);
            match length {
                28 | 52 => assert_eq!(cut.unwrap().0, sample().0[..length / 25]),
                _ => assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "cut at {length}: {cut:?}"),
            }
        }
    }

    #[test]
    fn reserved_bits_are_ignored() {
        let mut octets = sample().to_octets();
        octets[3] |= 0xfe;
        assert_eq!(LocatorSet::from_octets(&octets), Ok(sample()));
    }

    #[test]
    fn refuses_lengths_that_are_not_the_type_s_and_lifetimes_of_zero() {
        for (locator_type, words) in [(0, 3), (0, 5), (0, 0), (1, 4), (1, 6)] {
            let header = [0, locator_type, words, 1, 0, 0, 0, 9];
            let octets = [&header[..], &vec![1; usize::from(words) * WORD]].concat();
            let error = DecodeError::Length { field: "locator" };
            assert_eq!(LocatorSet::from_octets(&octets), Err(error), "{words} words of type {locator_type}");
        }
        let mut octets = sample().to_octets();
        octets[4..8].fill(0);
        let error = DecodeError::Value { field: "locator lifetime", value: 0 };
        assert_eq!(LocatorSet::from_octets(&octets), Err(error));
    }

    #[test]
    fn holds_no_more_than_the_limit() {
        let one = Locator::only(LocatorValue::Address([192, 0, 2, 1].into()));
        let most = LocatorSet(vec![one.clone(); LOCATORS_MAX]);
        assert_eq!(LocatorSet::from_octets(&most.to_octets()), Ok(most));
        let error = DecodeError::TooMany { what: "locators", limit: LOCATORS_MAX };
        assert_eq!(LocatorSet::from_octets(&LocatorSet(vec![one; LOCATORS_MAX + 1]).to_octets()), Err(error));
    }
}
