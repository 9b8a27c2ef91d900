//! MCAST_CHANNEL: a multicast group that a member asks for, and what the key server says to it.
//!
//! The parameter of the binding of HIP registration to group keying: type 38418, private use, non-critical. It
//! stands inside ENCRYPTED only, in I2, R2 and UPDATE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use claviger_group::{
    Channel, GroupId, Role,
    id::{GROUP_ID_LEN_MAX, IdType},
};
use claviger_hip::{
    iana::{ParameterType, RegType},
    wire::{Lifetime, Parameter},
};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{ChannelStatus, MCAST_CHANNEL};

/// The most in a packet: 32 of the shortest fill a quarter of one.
pub const CHANNELS_MAX: usize = 32;

/// The octets before Group ID.
const FIXED_LEN: usize = 8;

/// One group in a registration.
///
/// ```text
///  0                   1                   2                   3
/// |   Reg Type    |     Role      |    ID Type    |  Addr Family  |
/// |       Group ID Length         |   Lifetime    |    Status     |
/// |                    Group ID (variable)                        |
/// |        Group address (0, 4 or 16 octets)                      |
/// |        Source address (0, 4 or 16 octets)                     |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McastChannel {
    /// The service that the group is asked of.
    pub reg_type: RegType,
    /// The role asked for or granted.
    pub role: Role,
    /// The group.
    pub group: GroupId,
    /// Its addresses, if they are said.
    pub channel: Option<Channel>,
    /// How long; zero leaves the group.
    pub lifetime: Lifetime,
    /// The answer; [`ChannelStatus::GRANTED`], which is zero, in a request.
    pub status: ChannelStatus,
}

impl McastChannel {
    /// Repeats a request as an answer.
    pub fn answer(&self, status: ChannelStatus, role: Role, lifetime: Lifetime) -> Self {
        Self { role, lifetime, status, ..self.clone() }
    }

    /// Checks that the parameters of one packet agree.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooMany`] beyond [`CHANNELS_MAX`]; [`DecodeError::Unexpected`] if two for one Reg Type and
    /// group do not differ in source, or differ in role or lifetime.
    pub fn check_all(channels: &[Self]) -> Result<(), DecodeError> {
        if channels.len() > CHANNELS_MAX {
            return Err(DecodeError::TooMany { what: "MCAST_CHANNEL", limit: CHANNELS_MAX });
        }
        let source = |channel: &Self| channel.channel.and_then(|channel| channel.source());
        for (position, one) in channels.iter().enumerate() {
            let same = |other: &&Self| other.reg_type == one.reg_type && other.group == one.group;
            for other in channels[position + 1..].iter().filter(same) {
                let agree = one.role == other.role && one.lifetime == other.lifetime;
                if source(one) == source(other) || !agree {
                    return Err(DecodeError::Unexpected { what: "MCAST_CHANNEL" });
                }
            }
        }
        Ok(())
    }
}

impl Parameter for McastChannel {
    const TYPE: ParameterType = MCAST_CHANNEL;
}

impl Encode for McastChannel {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.reg_type.0);
        w.u8(self.role.bits());
        w.u8(self.group.id_type().0);
        w.u8(match self.channel.map(|channel| channel.group()) {
            None => 0,
            Some(IpAddr::V4(_)) => 1,
            Some(IpAddr::V6(_)) => 2,
        });
        w.u16(self.group.octets().len() as u16);
        w.u8(self.lifetime.0);
        w.u8(self.status.0);
        w.slice(self.group.octets());
        if let Some(channel) = self.channel {
            let any = match channel.group() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            write_address(w, channel.group());
            write_address(w, channel.source().unwrap_or(any));
        }
    }
}

impl<'a> Decode<'a> for McastChannel {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let contents_len = r.remaining();
        let reg_type = RegType(r.u8("reg type")?);
        let role_bits = r.u8("role")?;
        let role = Role::from_bits(role_bits)
            .ok_or(DecodeError::Value { field: "role", value: role_bits.into() })?;
        let id_type = IdType(r.u8("id type")?);
        let family = r.u8("addr family")?;
        let address_len = match family {
            0 => 0,
            1 => 4,
            2 => 16,
            _ => return Err(DecodeError::Value { field: "addr family", value: family.into() }),
        };
        let id_len = usize::from(r.u16("group id length")?);
        let lifetime = Lifetime(r.u8("lifetime")?);
        let status = ChannelStatus(r.u8("status")?);
        if contents_len != FIXED_LEN + id_len + 2 * address_len {
            return Err(DecodeError::Length { field: "MCAST_CHANNEL" });
        }
        if id_len > GROUP_ID_LEN_MAX {
            return Err(DecodeError::Length { field: "group id" });
        }
        let group = GroupId::new(id_type, r.slice(id_len, "group id")?)
            .map_err(|_| DecodeError::Length { field: "group id" })?;
        let channel = match family {
            0 => None,
            _ => {
                Some((read_address(r, family, "group address")?, read_address(r, family, "source address")?))
            }
        };
        let channel = channel
            .map(|(group, source)| Channel::new(group, Some(source)))
            .transpose()
            .map_err(|_| DecodeError::Value { field: "group address", value: family.into() })?;
        Ok(Self { reg_type, role, group, channel, lifetime, status })
    }
}

fn write_address(w: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(address) => w.slice(&address.octets()),
        IpAddr::V6(address) => w.slice(&address.octets()),
    }
}

fn read_address(r: &mut Reader<'_>, family: u8, field: &'static str) -> Result<IpAddr, DecodeError> {
    match family {
        1 => Ok(IpAddr::from(r.array::<4>(field)?)),
        _ => Ok(IpAddr::from(r.array::<16>(field)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iana::{GCKS_GDOI, GCKS_MIKEY};

    /// Checks that a channel survives its octets, and that no prefix of them is another of the same value.
    fn survives(channel: &McastChannel) {
        let octets = channel.to_octets();
        assert_eq!(McastChannel::from_octets(&octets).as_ref(), Ok(channel));
        for length in 0..octets.len() {
            assert_ne!(McastChannel::from_octets(&octets[..length]).as_ref(), Ok(channel), "cut at {length}");
        }
    }

    fn channel(group: &str, source: Option<&str>) -> Option<Channel> {
        let source = source.map(|source| source.parse().unwrap());
        Some(Channel::new(group.parse().unwrap(), source).unwrap())
    }

    fn sample(channel: Option<Channel>) -> McastChannel {
        McastChannel {
            reg_type: GCKS_GDOI,
            role: Role::Both,
            group: "#1234".parse().unwrap(),
            channel,
            lifetime: Lifetime(150),
            status: ChannelStatus::GRANTED,
        }
    }

    #[test]
    fn reads_what_it_writes() {
        for channel in [
            None,
            channel("239.192.0.1", None),
            channel("232.1.1.1", Some("10.0.0.1")),
            channel("ff15::1", None),
            channel("ff3e::8000:1", Some("2001:db8::1")),
        ] {
            let one = sample(channel);
            survives(&one);
            survives(&one.answer(ChannelStatus::NOT_AUTHORISED, Role::Receiver, Lifetime::CANCEL));
            for length in 0..one.to_octets().len() {
                assert!(McastChannel::from_octets(&one.to_octets()[..length]).is_err());
            }
        }
        assert_eq!(sample(None).to_octets(), [201, 3, 11, 0, 0, 4, 150, 0, 0, 0, 4, 0xd2]);
    }

    #[test]
    fn an_all_zero_source_is_any_source() {
        let octets = sample(channel("239.192.0.1", None)).to_octets();
        assert_eq!(octets[12..], [239, 192, 0, 1, 0, 0, 0, 0]);
        assert_eq!(McastChannel::from_octets(&octets).unwrap().channel.unwrap().source(), None);
    }

    #[test]
    fn refuses_what_the_binding_forbids() {
        let good = sample(channel("239.192.0.1", None)).to_octets();
        for (position, value, what) in [
            (1, 0, "no role"),
            (1, 4, "an unknown role"),
            (1, 0x83, "an unknown role beside known ones"),
            (3, 0, "addresses of no family"),
            (3, 2, "addresses of the other family"),
            (3, 3, "an unknown family"),
            (5, 3, "a group id that is too short"),
            (4, 1, "a group id that is too long"),
            (12, 10, "a unicast group"),
            (16, 239, "a multicast source"),
        ] {
            let mut octets = good.clone();
            octets[position] = value;
            assert!(McastChannel::from_octets(&octets).is_err(), "{what}");
        }
        assert!(McastChannel::from_octets(&[&good[..], &[0]].concat()).is_err(), "an octet too many");
        assert!(McastChannel::from_octets(&[201, 1, 11, 0, 0, 0, 1, 0]).is_err(), "a group without a name");
        let long = [&[201, 1, 11, 0, 1, 0, 1, 0][..], &[7; 256]].concat();
        assert!(McastChannel::from_octets(&long).is_err(), "a group name of 256 octets");
    }

    #[test]
    fn several_for_one_group_differ_in_source_and_agree_otherwise() {
        let one = sample(channel("232.1.1.1", Some("10.0.0.1")));
        let other = sample(channel("232.1.1.1", Some("10.0.0.2")));
        let unexpected = Err(DecodeError::Unexpected { what: "MCAST_CHANNEL" });
        assert_eq!(McastChannel::check_all(&[one.clone(), other.clone()]), Ok(()));
        assert_eq!(McastChannel::check_all(&[one.clone(), one.clone()]), unexpected);
        let role = McastChannel { role: Role::Receiver, ..other.clone() };
        assert_eq!(McastChannel::check_all(&[one.clone(), role]), unexpected);
        let lifetime = McastChannel { lifetime: Lifetime(1), ..other.clone() };
        assert_eq!(McastChannel::check_all(&[one.clone(), lifetime]), unexpected);
        let elsewhere = McastChannel { reg_type: GCKS_MIKEY, ..one.clone() };
        assert_eq!(McastChannel::check_all(&[one.clone(), elsewhere]), Ok(()));
        let many: Vec<McastChannel> = (0..33)
            .map(|number| McastChannel { group: format!("#{number}").parse().unwrap(), ..one.clone() })
            .collect();
        assert_eq!(McastChannel::check_all(&many[..32]), Ok(()));
        assert!(matches!(McastChannel::check_all(&many), Err(DecodeError::TooMany { limit: 32, .. })));
    }
}
