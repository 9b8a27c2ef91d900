//! What is stored about a host: on the list, granted, a member; and which host the store is of.

use std::time::Duration;

use claviger_group::Role;
use claviger_identity::Hit;
use claviger_keytree::Leaf;
use claviger_sansio::Time;
use claviger_wire::{DecodeError, Reader, Writer};

use crate::{admission::grants::Grant, group::member::Membership};

pub(crate) fn encode_role(role: Role) -> Vec<u8> {
    super::encode(|w| w.u8(role.bits()))
}

pub(crate) fn decode_role(octets: &[u8]) -> Result<Role, DecodeError> {
    super::decode(octets, read_role)
}

pub(crate) fn encode_grant(grant: &Grant) -> Vec<u8> {
    super::encode(|w| {
        w.u8(grant.role.bits());
        w.u64(grant.lifetime.as_secs());
        w.u64(grant.expires.as_micros());
    })
}

pub(crate) fn decode_grant(octets: &[u8]) -> Result<Grant, DecodeError> {
    super::decode(octets, |r| {
        Ok(Grant {
            role: read_role(r)?,
            lifetime: Duration::from_secs(r.u64("grant lifetime")?),
            expires: read_time(r, "grant expiry")?,
        })
    })
}

pub(crate) fn encode_member(member: &Membership) -> Vec<u8> {
    super::encode(|w| {
        w.u32(member.leaf.index());
        w.u8(member.role.bits());
        write_time(w, member.since);
        write_time(w, member.last_pull);
        w.u16(member.sender_ids.len() as u16);
        member.sender_ids.iter().for_each(|id| w.u32(*id));
    })
}

pub(crate) fn decode_member(octets: &[u8]) -> Result<Membership, DecodeError> {
    super::decode(octets, |r| {
        Ok(Membership {
            leaf: Leaf::new(r.u32("leaf")?),
            role: read_role(r)?,
            since: read_time(r, "member since")?,
            last_pull: read_time(r, "last pull")?,
            sender_ids: (0..r.u16("sender id count")?)
                .map(|_| r.u32("sender id"))
                .collect::<Result<_, _>>()?,
        })
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
    let bits = r.u8("role")?;
    Role::from_bits(bits).ok_or(DecodeError::Value { field: "role", value: bits.into() })
}
