//! What is stored about a host: on the list, granted, a member; and which host the store is of.

use std::time::Duration;

use claviger_group::Role;
use claviger_identity::Hit;
use claviger_keytree::Leaf;
use claviger_sansio::Time;
use claviger_wire::{DecodeError, Reader, Writer};

use super::{Version, field::read_coded};
use crate::{
    admission::{admittance::Admittance, certified::Certified, grants::Grant},
    group::{member::Membership, sender_ids::HeldIds},
};

pub(crate) fn encode_admittance(admittance: Admittance) -> Vec<u8> {
    let Admittance { role, without_lease } = admittance;
    super::encode(|w| {
        w.u8(role.bits());
        w.u8(u8::from(without_lease));
    })
}

pub(crate) fn decode_admittance(octets: &[u8]) -> Result<Admittance, DecodeError> {
    super::decode_any(octets, |version, r| match version {
        Version::Three | Version::Four => Ok(read_role(r)?.into()),
        Version::Five | Version::Six | Version::Seven => Ok(Admittance {
            role: read_role(r)?,
            without_lease: read_coded(r, "without lease", [false, true], u8::from)?,
        }),
    })
}

/// Notes that a host is denied a group: there is nothing else to say.
pub(crate) fn encode_denial() -> Vec<u8> {
    super::encode(|_| ())
}

pub(crate) fn decode_denial(octets: &[u8]) -> Result<(), DecodeError> {
    super::decode(octets, |_| Ok(()))
}

/// Writes a grant; the chain of certificates has a record of its own, since it stays when the grant is renewed.
pub(crate) fn encode_grant(grant: &Grant) -> Vec<u8> {
    let Grant { role, lifetime, expires, certified } = grant;
    super::encode(|w| {
        w.u8(role.bits());
        w.u64(lifetime.as_secs());
        write_time(w, *expires);
        w.u8(u8::from(certified.is_some()));
        if let Some(Certified { role, until, chain: _ }) = certified {
            w.u8(role.map_or(0, Role::bits));
            write_time(w, *until);
        }
    })
}

/// Reads a grant, and what a certificate gave of it and until when.
pub(crate) fn decode_grant(octets: &[u8]) -> Result<(Grant, Option<GivenUntil>), DecodeError> {
    super::decode_any(octets, |version, r| {
        let grant = Grant {
            role: read_role(r)?,
            lifetime: Duration::from_secs(r.u64("grant lifetime")?),
            expires: read_time(r, "grant expiry")?,
            certified: None,
        };
        let is_certified = match version {
            Version::Three | Version::Four | Version::Five | Version::Six => false,
            Version::Seven => read_coded(r, "is certified", [false, true], u8::from)?,
        };
        if !is_certified {
            return Ok((grant, None));
        }
        let role = match r.u8("certified role")? {
            0 => None,
            bits => Some(role_of(bits)?),
        };
        Ok((grant, Some((role, read_time(r, "certified until")?))))
    })
}

/// The role that a certificate gave, if any, and when it is over.
pub(crate) type GivenUntil = (Option<Role>, Time);

pub(crate) fn encode_member(member: &Membership) -> Vec<u8> {
    super::encode(|w| {
        w.u32(member.leaf.index());
        w.u8(member.role.bits());
        write_time(w, member.since);
        write_time(w, member.last_pull);
        w.u8(u8::from(member.registered_anew));
        w.u16(member.sender_ids.latest().len() as u16);
        w.u32(member.sender_ids.len());
        member.sender_ids.all().iter().for_each(|id| w.u32(*id));
    })
}

pub(crate) fn decode_member(octets: &[u8]) -> Result<Membership, DecodeError> {
    super::decode_any(octets, |version, r| {
        let (leaf, role) = (Leaf::new(r.u32("leaf")?), read_role(r)?);
        let (since, last_pull) = (read_time(r, "member since")?, read_time(r, "last pull")?);
        let (registered_anew, latest, count) = match version {
            Version::Three | Version::Four | Version::Five => {
                let count = r.u16("sender id count")?;
                (false, count, count.into())
            }
            Version::Six | Version::Seven => (
                read_coded(r, "registered anew", [false, true], u8::from)?,
                r.u16("sender ids of the last PULL")?,
                r.u32("sender id count")?,
            ),
        };
        let ids = (0..count).map(|_| r.u32("sender id")).collect::<Result<_, _>>()?;
        let sender_ids = HeldIds::restore(ids, latest);
        Ok(Membership { leaf, role, since, last_pull, sender_ids, registered_anew })
    })
}

pub(crate) fn encode_owner(hit: &Hit) -> Vec<u8> {
    super::encode(|w| w.slice(hit.octets()))
}

pub(crate) fn decode_owner(octets: &[u8]) -> Result<Hit, DecodeError> {
    super::decode(octets, |r| Ok(Hit::new(r.array("owner")?)))
}

pub(crate) fn write_time(w: &mut Writer, time: Time) {
    w.u64(time.as_micros());
}

pub(crate) fn read_time(r: &mut Reader<'_>, field: &'static str) -> Result<Time, DecodeError> {
    Ok(Time::from_micros(r.u64(field)?))
}

fn read_role(r: &mut Reader<'_>) -> Result<Role, DecodeError> {
    role_of(r.u8("role")?)
}

fn role_of(bits: u8) -> Result<Role, DecodeError> {
    Role::from_bits(bits).ok_or(DecodeError::Value { field: "role", value: bits.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_without_a_lease_is_stored_and_was_nobody_before() {
        for role in [Role::Receiver, Role::Sender, Role::Both] {
            for without_lease in [false, true] {
                let admittance = Admittance { role, without_lease };
                assert_eq!(decode_admittance(&encode_admittance(admittance)), Ok(admittance));
            }
            for version in [3, 4] {
                assert_eq!(decode_admittance(&[version, role.bits()]), Ok(role.into()));
            }
        }
        for wrong in [&[5, 3][..], &[5, 3, 2], &[5, 3, 1, 0], &[4, 3, 1], &[5, 0, 0]] {
            assert!(decode_admittance(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_certificate_gave_is_stored_and_before_there_was_none() {
        let (role, lifetime, expires) = (Role::Receiver, Duration::from_secs(60), Time::from_secs(90));
        let grant = Grant { role, lifetime, expires, certified: None };
        let octets = encode_grant(&grant);
        assert_eq!(decode_grant(&octets), Ok((grant.clone(), None)));
        let before = [&[6], &octets[1..octets.len() - 1]].concat();
        for version in [3, 4, 5, 6] {
            let before = [&[version], &before[1..]].concat();
            assert_eq!(decode_grant(&before), Ok((grant.clone(), None)));
        }
        let with = |tail: &[u8]| [&octets[..octets.len() - 1], tail].concat();
        let until = [&[0; 7][..], &[9]].concat();
        for (bits, given) in [(0, None), (3, Some(Role::Both))] {
            let read = decode_grant(&with(&[&[1, bits][..], &until].concat()));
            assert_eq!(read, Ok((grant.clone(), Some((given, Time::from_micros(9))))));
        }
        for wrong in [&[][..], &[2], &[1], &[1, 4], &[1, 3, 0], &[0, 0]] {
            assert!(decode_grant(&with(wrong)).is_err(), "{wrong:?}");
        }
        assert_eq!(decode_denial(&encode_denial()), Ok(()));
    }

    #[test]
    fn all_sender_ids_of_a_member_are_stored_and_before_only_the_latest_were() {
        let mut member = Membership {
            leaf: Leaf::new(7),
            role: Role::Both,
            since: Time::from_secs(1),
            last_pull: Time::from_secs(2),
            sender_ids: HeldIds::restore(vec![3, 4, 5], 2),
            registered_anew: true,
        };
        assert_eq!(decode_member(&encode_member(&member)), Ok(member.clone()));
        let times = [1u64, 2].map(|seconds| (seconds * 1_000_000).to_be_bytes()).concat();
        let before = [&[5, 0, 0, 0, 7, 3][..], &times, &[0, 2, 0, 0, 0, 4, 0, 0, 0, 5]].concat();
        (member.sender_ids, member.registered_anew) = (HeldIds::restore(vec![4, 5], 2), false);
        assert_eq!(decode_member(&before), Ok(member));
    }
}
