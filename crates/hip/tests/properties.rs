//! Every parameter and packet that can be written is read back the same, and no octets make a decoder panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Debug;

use claviger_crypto::{provider, sign::PublicKey};
use claviger_group::{Channel, GroupId, Role, id::IdType};
use claviger_hip::{
    iana::{
        CertType, CipherId, DhGroup, EspSuite, LocatorType, NotifyType, PacketType, ParameterType,
        RegFailure, RegType, TrafficType,
    },
    rules,
    wire::{
        Ack, Cert, Controls, DhGroupList, DiffieHellman, EchoRequestSigned, EchoRequestUnsigned,
        EchoResponseSigned, EchoResponseUnsigned, Encrypted, EspInfo, EspTransform, HipCipher, HipMac,
        HipMac2, HipSignature, HipSignature2, HitSuiteList, Lifetime, Locator, LocatorSet, LocatorValue,
        Notification, Packet, PacketBuilder, Parameter, Parameters, Puzzle, R1Counter, RegFailed, RegInfo,
        RegRequest, RegResponse, Seq, Solution, TransportFormatList,
    },
};
use claviger_hip_groups::{McastChannel, iana::ChannelStatus};
use claviger_identity::{DomainIdentifier, HiAlgorithm, Hit, HostId};
use claviger_wire::Decode;
use proptest::{collection::vec, prelude::*};

/// Writes a parameter into a packet and finds it there.
fn survives<P: Parameter + PartialEq + Debug>(parameter: P) -> Result<(), TestCaseError> {
    let mut builder = PacketBuilder::new(PacketType::NOTIFY, Hit::NULL, Hit::NULL);
    let octets = builder.add(&parameter).finish().unwrap();
    let packet = Packet::parse(&octets).unwrap();
    let raw = packet.parameters().raw(P::TYPE).unwrap();
    prop_assert_eq!(raw.contents(), parameter.to_octets());
    prop_assert_eq!(raw.octets().len() % 8, 0);
    prop_assert_eq!(packet.one::<P>(), Ok(parameter));
    Ok(())
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..600)
}

fn key() -> impl Strategy<Value = PublicKey> {
    prop_oneof![
        vec(any::<u8>(), 64).prop_map(PublicKey::EcdsaP256),
        vec(any::<u8>(), 96).prop_map(PublicKey::EcdsaP384),
        any::<[u8; 32]>().prop_map(PublicKey::Ed25519),
        (1..=255u8, vec(any::<u8>(), 255..512), vec(1..=255u8, 1..300)).prop_map(
            |(first, rest, exponent)| PublicKey::Rsa { modulus: [vec![first], rest].concat(), exponent }
        ),
    ]
}

fn domain_identifier() -> impl Strategy<Value = DomainIdentifier> {
    prop_oneof![
        Just(DomainIdentifier::None),
        octets().prop_map(DomainIdentifier::Fqdn),
        octets().prop_map(DomainIdentifier::Nai),
        (3..16u8, octets()).prop_map(|(di_type, octets)| DomainIdentifier::Other { di_type, octets }),
    ]
}

fn channel() -> impl Strategy<Value = Option<Channel>> {
    prop_oneof![
        Just(None),
        (any::<[u8; 3]>(), any::<[u8; 4]>(), any::<bool>()).prop_map(|([a, b, c], source, any_source)| {
            let source = (!any_source).then(|| source.into());
            Channel::new([224 | a & 7, b, c, 1].into(), source).ok()
        }),
        (any::<[u8; 15]>(), any::<[u8; 16]>()).prop_map(|(tail, source)| {
            let mut group = [0xff; 16];
            group[1..].copy_from_slice(&tail);
            Channel::new(group.into(), Some(source.into())).ok()
        }),
    ]
}

fn mcast_channel() -> impl Strategy<Value = McastChannel> {
    let role = prop_oneof![Just(Role::Receiver), Just(Role::Sender), Just(Role::Both)];
    let group = (any::<u8>(), vec(any::<u8>(), 1..=255))
        .prop_map(|(id_type, octets)| GroupId::new(IdType(id_type), octets).unwrap());
    (any::<[u8; 3]>(), role, group, channel()).prop_map(
        |([reg_type, lifetime, status], role, group, channel)| McastChannel {
            reg_type: RegType(reg_type),
            role,
            group,
            channel,
            lifetime: Lifetime(lifetime),
            status: ChannelStatus(status),
        },
    )
}

fn locator() -> impl Strategy<Value = Locator> {
    let address = any::<std::net::IpAddr>().prop_map(|address| address.to_canonical());
    let other = (2..=255u8, vec(any::<u32>(), 0..6)).prop_map(|(locator_type, words)| {
        let octets = words.into_iter().flat_map(u32::to_be_bytes).collect();
        LocatorValue::Other { locator_type: LocatorType(locator_type), octets }
    });
    let value = prop_oneof![
        address.clone().prop_map(LocatorValue::Address),
        (any::<u32>(), address).prop_map(|(spi, address)| LocatorValue::Esp { spi, address }),
        other,
    ];
    (any::<u8>(), any::<bool>(), 1..=u32::MAX, value).prop_map(
        |(traffic_type, preferred, lifetime, value)| Locator {
            traffic_type: TrafficType(traffic_type),
            preferred,
            lifetime,
            value,
        },
    )
}

proptest! {
    #[test]
    fn numbers_and_lists_survive(
        counter in any::<u64>(),
        reserved in any::<[u8; 4]>(),
        id in any::<u32>(),
        ids in vec(any::<u32>(), 1..100),
        list in vec(any::<u8>(), 0..255),
        long_list in vec(any::<u16>(), 0..200),
        spi in any::<u32>(),
        index in any::<u16>(),
    ) {
        survives(R1Counter { reserved, counter })?;
        survives(Seq(id))?;
        survives(Ack(ids))?;
        survives(DhGroupList(list.iter().copied().map(DhGroup).collect()))?;
        survives(HitSuiteList(list))?;
        survives(HipCipher(long_list.iter().copied().map(CipherId).collect()))?;
        survives(TransportFormatList(long_list.iter().copied().map(ParameterType).collect()))?;
        survives(EspTransform(long_list.into_iter().map(EspSuite).collect()))?;
        survives(EspInfo { keymat_index: index, old_spi: id, new_spi: spi })?;
    }

    #[test]
    fn locators_survive(locators in vec(locator(), 0..=16)) {
        survives(LocatorSet(locators))?;
    }

    #[test]
    fn puzzles_and_keys_survive(
        [k, lifetime, group] in any::<[u8; 3]>(),
        opaque in any::<[u8; 2]>(),
        pairs in vec(any::<[u8; 2]>(), 1..=64),
        public_value in octets(),
        key in key(),
        domain_identifier in domain_identifier(),
    ) {
        let (i, j): (Vec<u8>, Vec<u8>) = pairs.iter().map(|[i, j]| (*i, *j)).unzip();
        survives(Puzzle { k, lifetime, opaque, i: i.clone() })?;
        survives(Solution { k, opaque, i, j })?;
        survives(DiffieHellman { group: DhGroup(group), public_value })?;
        let host_id = HostId::new(&key, domain_identifier).unwrap();
        prop_assert_eq!(host_id.public_key(), Ok(key));
        survives(host_id)?;
    }

    #[test]
    fn opaque_contents_survive(octets in octets(), number in any::<u16>(), [group, id] in any::<[u8; 2]>()) {
        survives(EchoRequestSigned(octets.clone()))?;
        survives(EchoRequestUnsigned(octets.clone()))?;
        survives(EchoResponseSigned(octets.clone()))?;
        survives(EchoResponseUnsigned(octets.clone()))?;
        survives(HipMac(octets.clone()))?;
        survives(HipMac2(octets.clone()))?;
        survives(HipSignature { algorithm: HiAlgorithm(number), signature: octets.clone() })?;
        survives(HipSignature2 { algorithm: HiAlgorithm(number), signature: octets.clone() })?;
        survives(Notification { notify_type: NotifyType(number), data: octets.clone() })?;
        survives(Encrypted::from_octets(&[&[0; 4], &octets[..]].concat()).unwrap())?;
        let (id, cert_type) = (id.max(1), CertType(group));
        survives(Cert { group, count: 255, id, cert_type, certificate: octets })?;
    }

    #[test]
    fn registrations_survive(
        [lifetime, other] in any::<[u8; 2]>(),
        types in vec(any::<u8>(), 0..300),
        channel in mcast_channel(),
    ) {
        let types: Vec<RegType> = types.into_iter().map(RegType).collect();
        let (lifetime_min, lifetime_max) = (Lifetime(lifetime), Lifetime(other));
        survives(RegInfo { lifetime_min, lifetime_max, types: types.clone() })?;
        survives(RegRequest { lifetime: lifetime_min, types: types.clone() })?;
        survives(RegResponse { lifetime: lifetime_min, types: types.clone() })?;
        survives(RegFailed { failure: RegFailure(other), types })?;
        survives(channel)?;
    }

    #[test]
    fn headers_survive(sender in any::<[u8; 16]>(), receiver in any::<[u8; 16]>(), controls in any::<u16>()) {
        let (sender, receiver) = (Hit::new(sender), Hit::new(receiver));
        for packet_type in [PacketType::I1, PacketType::CLOSE_ACK] {
            let mut builder = PacketBuilder::new(packet_type, sender, receiver);
            let octets = builder.controls(Controls(controls)).finish().unwrap();
            let packet = Packet::parse(&octets).unwrap();
            prop_assert_eq!(packet.packet_type(), packet_type);
            prop_assert_eq!((packet.sender(), packet.receiver()), (sender, receiver));
            prop_assert_eq!(packet.controls(), Controls(controls));
        }
    }

    #[test]
    fn no_octets_make_a_decoder_panic(octets in vec(any::<u8>(), 0..200)) {
        interpret(&octets);
        if let Ok(parameters) = Parameters::parse(&octets) {
            prop_assert!(parameters.iter().all(|raw| raw.octets().len() % 8 == 0));
        }
    }

    /// Octets behind a header that is sound, so that the parameters are reached.
    #[test]
    fn no_parameters_make_a_packet_panic(
        packet_type in 0..24u8,
        raw in vec((0..ANY_TYPE.len(), vec(any::<u8>(), 0..80)), 0..12),
    ) {
        let mut raw = raw;
        raw.sort();
        let mut octets = PacketBuilder::new(PacketType(packet_type), Hit::NULL, Hit::NULL).finish().unwrap();
        for (index, contents) in raw {
            octets.extend_from_slice(&ANY_TYPE[index].0.to_be_bytes());
            octets.extend_from_slice(&(contents.len() as u16).to_be_bytes());
            octets.extend_from_slice(&contents);
            octets.resize(octets.len().next_multiple_of(8), 0);
        }
        octets[1] = (octets.len() / 8 - 1) as u8;
        match Packet::parse(&octets) {
            Ok(packet) => {
                let _ = rules::check::<McastChannel>(&packet);
                let _ = rules::check_encrypted::<McastChannel>(&packet, packet.parameters());
                packet.parameters().iter().for_each(|raw| interpret(raw.contents()));
            }
            Err(error) => prop_assert!(PacketType(packet_type).name().is_none(), "{}", error),
        }
    }
}

/// Every known type, in ascending order.
const ANY_TYPE: [ParameterType; 28] = [
    ParameterType::ESP_INFO,
    ParameterType::R1_COUNTER,
    ParameterType::LOCATOR_SET,
    ParameterType::PUZZLE,
    ParameterType::SOLUTION,
    ParameterType::SEQ,
    ParameterType::ACK,
    ParameterType::DH_GROUP_LIST,
    ParameterType::DIFFIE_HELLMAN,
    ParameterType::HIP_CIPHER,
    ParameterType::ENCRYPTED,
    ParameterType::HOST_ID,
    ParameterType::HIT_SUITE_LIST,
    ParameterType::CERT,
    ParameterType::NOTIFICATION,
    ParameterType::ECHO_REQUEST_SIGNED,
    ParameterType::REG_INFO,
    ParameterType::REG_REQUEST,
    ParameterType::REG_RESPONSE,
    ParameterType::REG_FAILED,
    ParameterType::ECHO_RESPONSE_SIGNED,
    ParameterType::TRANSPORT_FORMAT_LIST,
    ParameterType::ESP_TRANSFORM,
    McastChannel::TYPE,
    ParameterType::HIP_MAC,
    ParameterType::HIP_SIGNATURE,
    ParameterType::ECHO_RESPONSE_UNSIGNED,
    ParameterType::ECHO_REQUEST_UNSIGNED,
];

/// Reads octets as everything that they could be.
fn interpret(octets: &[u8]) {
    fn one<P: Parameter>(octets: &[u8]) {
        if let Ok(parameter) = P::from_octets(octets) {
            assert_eq!(parameter.to_octets().len(), octets.len());
        }
    }
    let _ = Packet::parse(octets);
    let _ = HostId::from_octets(octets).map(|host_id| {
        let _ = host_id.public_key();
        host_id.verify(provider(), b"message", host_id.algorithm(), octets)
    });
    one::<Ack>(octets);
    one::<Cert>(octets);
    one::<DiffieHellman>(octets);
    one::<Encrypted>(octets);
    one::<EspInfo>(octets);
    one::<EspTransform>(octets);
    one::<HipCipher>(octets);
    one::<HipSignature>(octets);
    one::<HostId>(octets);
    one::<LocatorSet>(octets);
    one::<McastChannel>(octets);
    one::<Notification>(octets);
    one::<Puzzle>(octets);
    one::<R1Counter>(octets);
    one::<RegInfo>(octets);
    one::<RegRequest>(octets);
    one::<Seq>(octets);
    one::<Solution>(octets);
    one::<TransportFormatList>(octets);
}
