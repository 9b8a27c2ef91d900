//! The policy of a group, part by part.

use std::time::Duration;

use claviger_crypto::{cipher::CipherAlgorithm, sign::KeyAlgorithm};
use claviger_group::{
    Channel, Encapsulation, EspTransform, GroupPlace, GroupPolicy, KekManagement, Prefix, PushAuthentication,
    policy::{AccessPolicy, DataPolicy, LeasePolicy, RekeyPolicy, Times, TreePolicy},
    sender_id::SENDER_ID_BITS,
};
use claviger_wire::{DecodeError, Reader, Writer};

use super::{
    Version,
    field::{
        read_channel, read_coded, read_duration, read_encapsulation, read_transform, write_channel,
        write_duration, write_transform,
    },
    push::{read_address, write_address},
};

pub(super) fn write(w: &mut Writer, policy: &GroupPolicy) {
    let GroupPolicy { data, rekey, tree, times, access, lease } = policy;
    write_data(w, data);
    write_rekey(w, rekey);
    let TreePolicy { degree, places } = tree;
    w.u8(*degree);
    write_places(w, places);
    write_times(w, times);
    let AccessPolicy { members_max, registration_lifetime } = access;
    w.u32(*members_max);
    write_duration(w, *registration_lifetime);
    write_lease(w, *lease);
}

/// Reads a policy as a record of this version has it.
pub(super) fn read(version: Version, r: &mut Reader<'_>) -> Result<GroupPolicy, DecodeError> {
    match version {
        Version::Three => version_3::read(r),
        // A group keeps the policy that it was made with: there were no leases.
        Version::Four => read_parts(r, |_| Ok(LeasePolicy::OFF)),
        Version::Five | Version::Six | Version::Seven => read_parts(r, read_lease),
    }
}

fn read_parts(
    r: &mut Reader<'_>,
    read_lease: impl FnOnce(&mut Reader<'_>) -> Result<LeasePolicy, DecodeError>,
) -> Result<GroupPolicy, DecodeError> {
    Ok(GroupPolicy {
        data: read_data(r)?,
        rekey: read_rekey(r)?,
        tree: TreePolicy { degree: r.u8("degree")?, places: read_places(r)? },
        times: read_times(r)?,
        access: AccessPolicy {
            members_max: r.u32("members max")?,
            registration_lifetime: read_duration(r, "registration lifetime")?,
        },
        lease: read_lease(r)?,
    })
}

fn write_data(w: &mut Writer, data: &DataPolicy) {
    let DataPolicy {
        channel,
        encapsulation,
        encapsulation_port,
        application_port,
        transform,
        // It follows from the others.
        replayable: _,
        sender_id_bits,
    } = data;
    write_channel(w, channel);
    w.u8(*encapsulation as u8);
    w.u16(*encapsulation_port);
    w.u16(*application_port);
    write_transform(w, *transform);
    w.u8(*sender_id_bits);
}

fn read_data(r: &mut Reader<'_>) -> Result<DataPolicy, DecodeError> {
    let channel = read_channel(r)?;
    let encapsulation = read_encapsulation(r)?;
    let encapsulation_port = r.u16("encapsulation port")?;
    let application_port = r.u16("application port")?;
    let transform = read_transform(r)?;
    Ok(DataPolicy {
        channel,
        encapsulation,
        encapsulation_port,
        application_port,
        transform,
        replayable: is_replayable(transform, &channel, encapsulation),
        sender_id_bits: read_sender_id_bits(r)?,
    })
}

fn read_sender_id_bits(r: &mut Reader<'_>) -> Result<u8, DecodeError> {
    read_coded(r, "sender id bits", SENDER_ID_BITS, std::convert::identity)
}

/// Says whether outsiders can repeat a group's packets. Where that is so it was asked for, or the group was made before
/// there was a choice.
fn is_replayable(transform: EspTransform, channel: &Channel, encapsulation: Encapsulation) -> bool {
    !transform.refuses_replays(channel, encapsulation)
}

fn write_rekey(w: &mut Writer, rekey: &RekeyPolicy) {
    let RekeyPolicy {
        address,
        port,
        kek_cipher,
        signature,
        authentication,
        management,
        batch_interval,
        batch_max,
    } = rekey;
    match address {
        Some(address) => write_address(w, *address),
        None => w.u8(0),
    }
    write_port(w, *port);
    w.u16(kek_cipher.key_len() as u16);
    w.u8(signature_code(*signature));
    w.u8(authentication_code(*authentication));
    w.u8(management_code(*management));
    write_duration(w, *batch_interval);
    w.u32(*batch_max);
}

fn read_rekey(r: &mut Reader<'_>) -> Result<RekeyPolicy, DecodeError> {
    Ok(RekeyPolicy {
        address: read_address(r)?,
        port: read_port(r)?,
        kek_cipher: read_kek_cipher(r)?,
        signature: read_signature(r)?,
        authentication: read_authentication(r)?,
        management: read_management(r)?,
        batch_interval: read_duration(r, "batch interval")?,
        batch_max: r.u32("batch max")?,
    })
}

fn write_port(w: &mut Writer, port: Option<u16>) {
    // No port of a policy is zero.
    w.u16(port.unwrap_or(0));
}

fn read_port(r: &mut Reader<'_>) -> Result<Option<u16>, DecodeError> {
    Ok(Some(r.u16("push port")?).filter(|port| *port != 0))
}

fn read_kek_cipher(r: &mut Reader<'_>) -> Result<CipherAlgorithm, DecodeError> {
    match r.u16("KEK length")? {
        16 => Ok(CipherAlgorithm::Aes128Cbc),
        32 => Ok(CipherAlgorithm::Aes256Cbc),
        length => Err(DecodeError::Value { field: "KEK length", value: length.into() }),
    }
}

fn read_signature(r: &mut Reader<'_>) -> Result<KeyAlgorithm, DecodeError> {
    read_coded(r, "signature algorithm", SIGNATURES, signature_code)
}

fn read_authentication(r: &mut Reader<'_>) -> Result<PushAuthentication, DecodeError> {
    let all = [PushAuthentication::Message, PushAuthentication::Batch];
    read_coded(r, "push authentication", all, authentication_code)
}

fn authentication_code(authentication: PushAuthentication) -> u8 {
    match authentication {
        PushAuthentication::Message => 0,
        PushAuthentication::Batch => 1,
    }
}

fn read_management(r: &mut Reader<'_>) -> Result<KekManagement, DecodeError> {
    read_coded(r, "KEK management", [KekManagement::Lkh, KekManagement::Lkh32], management_code)
}

fn management_code(management: KekManagement) -> u8 {
    match management {
        KekManagement::Lkh => 0,
        KekManagement::Lkh32 => 1,
    }
}

fn write_times(w: &mut Writer, times: &Times) {
    let Times { tek_lifetime, tek_rekey, kek_lifetime, kek_rekey, activation_delay, deactivation_delay } =
        times;
    for duration in [tek_lifetime, tek_rekey, kek_lifetime, kek_rekey, activation_delay, deactivation_delay] {
        write_duration(w, *duration);
    }
}

fn read_times(r: &mut Reader<'_>) -> Result<Times, DecodeError> {
    Ok(Times {
        tek_lifetime: read_duration(r, "TEK lifetime")?,
        tek_rekey: read_duration(r, "TEK rekey interval")?,
        kek_lifetime: read_duration(r, "KEK lifetime")?,
        kek_rekey: read_duration(r, "KEK rekey interval")?,
        activation_delay: read_duration(r, "activation delay")?,
        deactivation_delay: read_duration(r, "deactivation delay")?,
    })
}

fn write_places(w: &mut Writer, places: &[GroupPlace]) {
    w.u16(places.len() as u16);
    for place in places {
        write_address(w, place.prefix.address());
        w.u8(place.prefix.length());
        write_address(w, place.push_address);
        w.u32(place.members);
    }
}

fn read_places(r: &mut Reader<'_>) -> Result<Vec<GroupPlace>, DecodeError> {
    let missing = DecodeError::Missing { what: "address of a place" };
    let count = r.u16("place count")?;
    let mut place = || {
        let address = read_address(r)?.ok_or(missing)?;
        let length = r.u8("prefix length")?;
        let wrong = |_| DecodeError::Value { field: "prefix length", value: length.into() };
        let prefix = Prefix::new(address, length).map_err(wrong)?;
        let push_address = read_address(r)?.ok_or(missing)?;
        Ok(GroupPlace { prefix, push_address, members: r.u32("members of a place")? })
    };
    (0..count).map(|_| place()).collect()
}

fn write_lease(w: &mut Writer, lease: LeasePolicy) {
    let LeasePolicy { time, receivers } = lease;
    // A lease is 10 to 65,535 whole seconds. None is zero.
    w.u16(time.map_or(0, |time| time.as_secs() as u16));
    w.u8(u8::from(receivers));
}

fn read_lease(r: &mut Reader<'_>) -> Result<LeasePolicy, DecodeError> {
    let seconds = Some(r.u16("lease")?).filter(|seconds| *seconds != 0);
    Ok(LeasePolicy {
        time: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        receivers: read_coded(r, "leases of receivers", [false, true], u8::from)?,
    })
}

const SIGNATURES: [KeyAlgorithm; 4] =
    [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa];

fn signature_code(algorithm: KeyAlgorithm) -> u8 {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => 1,
        KeyAlgorithm::EcdsaP384 => 2,
        KeyAlgorithm::Ed25519 => 3,
        KeyAlgorithm::Rsa => 4,
    }
}

/// Records of version 3 had the policy as one row of fields, in an order of its own.
mod version_3 {
    use super::*;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<GroupPolicy, DecodeError> {
        let channel = read_channel(r)?;
        let encapsulation = read_encapsulation(r)?;
        let encapsulation_port = r.u16("encapsulation port")?;
        let application_port = r.u16("application port")?;
        let transform = read_transform(r)?;
        let address = read_address(r)?;
        let port = read_port(r)?;
        let kek_cipher = read_kek_cipher(r)?;
        let signature = read_signature(r)?;
        let authentication = read_authentication(r)?;
        let management = read_management(r)?;
        let degree = r.u8("degree")?;
        let members_max = r.u32("members max")?;
        let batch_max = r.u32("batch max")?;
        let sender_id_bits = read_sender_id_bits(r)?;
        let times = read_times(r)?;
        let batch_interval = read_duration(r, "batch interval")?;
        let registration_lifetime = read_duration(r, "registration lifetime")?;
        let places = read_places(r)?;
        Ok(GroupPolicy {
            data: DataPolicy {
                channel,
                encapsulation,
                encapsulation_port,
                application_port,
                transform,
                replayable: is_replayable(transform, &channel, encapsulation),
                sender_id_bits,
            },
            rekey: RekeyPolicy {
                address,
                port,
                kek_cipher,
                signature,
                authentication,
                management,
                batch_interval,
                batch_max,
            },
            tree: TreePolicy { degree, places },
            times,
            access: AccessPolicy { members_max, registration_lifetime },
            lease: LeasePolicy::OFF,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_ids_of_a_length_that_there_is_not_are_in_no_record() {
        let mut policy = GroupPolicy::new(Channel::new("239.192.0.1".parse().unwrap(), None).unwrap());
        for bits in 0..=u8::MAX {
            policy.data.sender_id_bits = bits;
            let mut w = Writer::new();
            write_data(&mut w, &policy.data);
            let octets = w.into_octets();
            let read = read_data(&mut Reader::new(&octets)).map(|data| data.sender_id_bits);
            let is_one = SENDER_ID_BITS.contains(&bits);
            let wrong = DecodeError::Value { field: "sender id bits", value: bits.into() };
            assert_eq!(read, if is_one { Ok(bits) } else { Err(wrong) });
        }
    }
}
