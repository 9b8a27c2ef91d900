//! Two hosts in memory, in every exchange.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod certificates;
mod edges;
mod life;
mod mobility;
mod registration;
mod rekeying;
#[path = "../support/mod.rs"]
mod support;

use std::{sync::Arc, time::Duration};

use claviger_crypto::{
    provider,
    sign::{KeyAlgorithm, RsaSize, SigningKey},
};
use claviger_hip::{
    ApiMisuse, AssociationState, FailReason, HostConfig, LimitError, PeerIncompatible, PeerMisbehaved,
    TransportFormats,
    iana::{CipherId, DhGroup, EspSuite, PacketType, ParameterType, RegFailure, RegType},
    wire::{Lifetime, Packet},
};
use claviger_hip_groups::{
    Event, McastChannel, RegistrationAnswer, RegistrationRequest, Withdrawal,
    iana::{ChannelStatus, GCKS_GSAKMP, GCKS_MIKEY},
    keys::allows_keys,
};
use claviger_identity::{DomainIdentifier, Hit, HitSuite, HostIdentity};
use claviger_sansio::Socket;

use support::*;

fn state_at_server(pair: &Pair) -> Option<AssociationState> {
    pair.server.host.association(&pair.member.hit()).map(|info| info.state)
}

fn state_at_member(pair: &Pair) -> Option<AssociationState> {
    pair.member.host.association(&pair.server.hit()).map(|info| info.state)
}

/// A server that has no services and asks nobody.
fn plain_pair() -> Pair {
    let mut server = server_config();
    server.services.clear();
    Pair::new(member_config(), server)
}

#[test]
fn a_base_exchange_registers_a_member() {
    let mut pair = Pair::default_pair();
    // I1 -->  <-- R1  I2 { ENCRYPTED{ HOST_ID, MCAST_CHANNEL }, REG_REQUEST } -->  <-- R2 { REG_RESPONSE }
    pair.establish(Some(join(&["market"])));
    let (member, server) = (pair.member.take_events(), pair.server.take_events());
    assert_eq!(names(&member), ["established", "registered", "changed"]);
    assert_eq!(names(&server), ["requested", "established", "changed"]);
    let Event::Registered { answer, .. } = &member[1] else { panic!("{member:?}") };
    assert_eq!(answer.items[0].status, ChannelStatus::GRANTED);
    assert_eq!(answer.granted, Some(Lifetime::at_most(HOUR).duration()));
    let Event::RegistrationRequested { request, security, host_id, fresh, .. } = &server[0] else { panic!() };
    assert_eq!(request.items, join(&["market"]).items);
    assert!(allows_keys(security) && *fresh);
    assert_eq!(host_id.hit(provider()), Ok(pair.member.hit()));
    assert!(pair.keys_agree());
    assert_eq!(pair.log.len(), 4);
    assert_eq!(state_at_member(&pair), Some(AssociationState::Established));
    assert_eq!(state_at_server(&pair), Some(AssociationState::R2Sent));
    pair.pass(Duration::from_secs(60), |_, _| true);
    assert_eq!(state_at_server(&pair), Some(AssociationState::Established));
}

/// Neither groups nor the member's key are to be seen on the wire (binding section 3).
#[test]
fn nothing_on_the_wire_names_the_group_or_the_member_s_key() {
    let mut pair = Pair::default_pair();
    let host_id = {
        pair.establish(Some(join(&["a-group-that-nobody-may-know-of"])));
        let events = pair.server.take_events();
        let Event::RegistrationRequested { host_id, .. } = &events[0] else { panic!() };
        host_id.host_identity().to_vec()
    };
    for (_, octets) in &pair.log {
        assert!(!octets.windows(12).any(|window| window == b"nobody-may-k"));
        assert!(!octets.windows(16).any(|window| window == &host_id[8..24]));
    }
}

#[test]
fn every_group_cipher_and_identity_meets_every_other() {
    let rsa = || SigningKey::generate_rsa(RsaSize::Bits2048).unwrap();
    let rsa = || Arc::new(HostIdentity::new(provider(), Box::new(rsa()), DomainIdentifier::None).unwrap());
    let identities = [
        [identity(KeyAlgorithm::EcdsaP256), identity(KeyAlgorithm::EcdsaP256)],
        [identity(KeyAlgorithm::EcdsaP384), identity(KeyAlgorithm::EcdsaP384)],
        [identity(KeyAlgorithm::Ed25519), identity(KeyAlgorithm::Ed25519)],
        [rsa(), rsa()],
    ];
    let groups =
        [DhGroup::MODP_1536, DhGroup::MODP_3072, DhGroup::NIST_P256, DhGroup::NIST_P384, DhGroup::NIST_P521];
    for (position, group) in groups.into_iter().enumerate() {
        for cipher in [CipherId::AES_256_CBC, CipherId::AES_128_CBC, CipherId::NULL_ENCRYPT] {
            for (own, [identity, _]) in identities.iter().enumerate() {
                let [_, other] = &identities[(own + position) % identities.len()];
                let strict = |mut config: HostConfig| {
                    config.dh_groups = vec![group];
                    config.ciphers = vec![cipher];
                    config
                };
                let member = strict(config(identity.clone(), [192, 0, 2, 1].into()));
                let mut server = strict(config(other.clone(), [192, 0, 2, 2].into()));
                server.services = vec![GDOI];
                let weak = group == DhGroup::MODP_1536 || cipher == CipherId::NULL_ENCRYPT;
                let request = (!weak).then(|| join(&["market"]));
                let mut pair = Pair::new(member, server);
                pair.establish(request);
                assert_eq!(pair.keys_agree(), !weak, "{group} {cipher} {own}");
                let info = pair.member.host.association(&pair.server.hit()).unwrap();
                assert_eq!((info.dh_group, info.cipher), (Some(group), Some(cipher)));
            }
        }
    }
}

#[test]
fn no_keys_hang_on_a_weak_association_at_either_side() {
    for (group, cipher) in
        [(DhGroup::MODP_1536, CipherId::AES_256_CBC), (DhGroup::NIST_P256, CipherId::NULL_ENCRYPT)]
    {
        let weak = |mut config: HostConfig| {
            config.dh_groups = vec![group];
            config.ciphers = vec![cipher];
            config
        };
        let mut pair = Pair::new(weak(member_config()), weak(server_config()));
        // The member checks before I2: it sends none.
        pair.connect(Some(join(&["market"])));
        pair.pass(Duration::from_secs(1), |_, _| true);
        let events = pair.member.take_events();
        let too_weak = FailReason::Incompatible(PeerIncompatible::TooWeak);
        assert!(matches!(events[..], [Event::Failed { reason, .. }] if reason == too_weak), "{events:?}");
        assert!(pair.sent(pair.member.hit(), PacketType::I2).is_empty());
        // Nor does it ask later.
        pair.establish(None);
        let peer = pair.server.hit();
        assert_eq!(pair.member.host.request(pair.now, peer, join(&["market"])), Err(ApiMisuse::TooWeak));
    }
}

#[test]
fn null_encryption_and_finite_field_groups_are_neither_offered_nor_accepted_unless_configured() {
    let only = |groups: &[DhGroup], ciphers: &[CipherId]| {
        let mut member = member_config();
        member.dh_groups = groups.to_vec();
        member.ciphers = ciphers.to_vec();
        let mut server = HostConfig::new(identity(KeyAlgorithm::EcdsaP256), claviger_crypto::provider());
        server.puzzle_difficulty = 0;
        let mut pair = Pair::new(member, server);
        pair.connect(None);
        pair.pass(Duration::from_secs(2), |_, _| true);
        match pair.member.take_events()[..] {
            [Event::Failed { reason, .. }] => reason,
            ref events => panic!("{events:?}"),
        }
    };
    assert_eq!(
        only(&[DhGroup::NIST_P256], &[CipherId::NULL_ENCRYPT]),
        FailReason::Incompatible(PeerIncompatible::Cipher)
    );
    for group in [DhGroup::MODP_1536, DhGroup::MODP_3072] {
        assert_eq!(
            only(&[group], &[CipherId::AES_128_CBC]),
            FailReason::Incompatible(PeerIncompatible::DhGroup)
        );
    }
}

#[test]
fn groups_and_ciphers_are_chosen_by_preference() {
    let mut member = member_config();
    member.dh_groups = vec![DhGroup::NIST_P256, DhGroup::NIST_P521, DhGroup::NIST_P384];
    let mut server = server_config();
    server.dh_groups = vec![DhGroup::NIST_P384, DhGroup::NIST_P521];
    server.ciphers = vec![CipherId::AES_128_CBC, CipherId::AES_256_CBC];
    let mut pair = Pair::new(member, server);
    pair.establish(None);
    let info = pair.server.host.association(&pair.member.hit()).unwrap();
    // RFC 7401 section 6.7 step 4: the Responder's order decides on the group; the Initiator's on the cipher.
    assert_eq!(info.dh_group, Some(DhGroup::NIST_P384));
    assert_eq!(info.cipher, Some(CipherId::AES_256_CBC));
}

#[test]
fn an_initiator_says_what_it_cannot_agree_on() {
    let fails_with = |change: &dyn Fn(&mut HostConfig, &mut HostConfig), request| {
        let (mut member, mut server) = (member_config(), server_config());
        change(&mut member, &mut server);
        let mut pair = Pair::new(member, server);
        pair.connect(request);
        pair.pass(Duration::from_secs(40), |_, _| true);
        assert!(pair.sent(pair.member.hit(), PacketType::I2).is_empty(), "no I2 is sent");
        match pair.member.take_events()[..] {
            [Event::Failed { reason, .. }] => reason,
            ref events => panic!("{events:?}"),
        }
    };
    let incompatible = FailReason::Incompatible;
    assert_eq!(
        fails_with(&|_, server| server.hit_suites = vec![HitSuite::RsaDsaSha256], None),
        incompatible(PeerIncompatible::OwnHitSuite)
    );
    assert_eq!(
        fails_with(&|member, _| member.hit_suites = vec![HitSuite::RsaDsaSha256], None),
        incompatible(PeerIncompatible::HitSuite)
    );
    assert_eq!(
        fails_with(&|_, server| server.services.clear(), Some(join(&["market"]))),
        incompatible(PeerIncompatible::Service)
    );
    assert_eq!(
        fails_with(&|_, server| server.services = vec![RegType::RENDEZVOUS], Some(join(&["market"]))),
        incompatible(PeerIncompatible::Service)
    );
    assert_eq!(
        fails_with(
            &|member, server| {
                member.transport = TransportFormats::Esp(vec![EspSuite::AES_GCM_16]);
                server.transport = TransportFormats::Esp(vec![EspSuite::AES_128_CBC_HMAC_SHA_256]);
            },
            None
        ),
        incompatible(PeerIncompatible::EspSuite)
    );
    assert_eq!(
        fails_with(&|_, server| server.puzzle_difficulty = 25, None),
        FailReason::Limit(LimitError::Puzzle)
    );
}

#[test]
fn a_host_without_services_answers_at_once() {
    let mut pair = plain_pair();
    pair.establish(None);
    assert_eq!(names(&pair.server.take_events()), ["established", "changed"]);
    assert_eq!(names(&pair.member.take_events()), ["established", "changed"]);
    assert!(!pair.keys_agree());
}
