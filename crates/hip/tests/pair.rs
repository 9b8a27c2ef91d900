//! Two hosts in memory, in every exchange.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::{sync::Arc, time::Duration};

use claviger_crypto::sign::{KeyAlgorithm, RsaSize, SigningKey};
use claviger_hip::{
    ApiMisuse, AssociationState, Event, FailReason, HostConfig, LimitError, PeerIncompatible, PeerMisbehaved,
    RegistrationAnswer, RegistrationRequest, TransportFormats,
    iana::{ChannelStatus, CipherId, DhGroup, EspSuite, PacketType, RegFailure, RegType},
    wire::{Lifetime, Packet, Puzzle},
};
use claviger_identity::{DomainIdentifier, Hit, HitSuite, HostIdentity};
use claviger_sansio::Carriage;

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
    assert_eq!(answer.channels[0].status, ChannelStatus::GRANTED);
    assert_eq!(answer.granted, Some(Lifetime::at_most(HOUR).duration()));
    let Event::RegistrationRequested { request, security, host_id, fresh, .. } = &server[0] else { panic!() };
    assert_eq!(request.channels, join(&["market"]).channels);
    assert!(security.allows_keys() && *fresh);
    assert_eq!(host_id.hit(), Ok(pair.member.hit()));
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
    let rsa = || Arc::new(HostIdentity::from_key(rsa(), DomainIdentifier::None).unwrap());
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
fn null_encryption_and_group_3_are_neither_offered_nor_accepted_unless_configured() {
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
    assert_eq!(
        only(&[DhGroup::MODP_1536], &[CipherId::AES_128_CBC]),
        FailReason::Incompatible(PeerIncompatible::DhGroup)
    );
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
    // RFC 7401 §6.7 step 4: the Responder's order decides on the group; the Initiator's on the cipher.
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

#[test]
fn a_refused_member_has_an_association_but_no_keys() {
    let mut pair = Pair::default_pair();
    pair.decide = Some(refuse);
    pair.establish(Some(join(&["market"])));
    let events = pair.member.take_events();
    let Event::Registered { answer, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((answer.granted, answer.failure), (None, Some(RegFailure::ADDITIONAL_CREDENTIALS)));
    assert_eq!(answer.channels[0].status, ChannelStatus::NOT_AUTHORISED);
    assert!(pair.member.host.registration_sa(&pair.server.hit(), GDOI).is_none());
    assert!(pair.server.host.registration_sa(&pair.member.hit(), GDOI).is_none());
}

#[test]
fn r2_waits_for_the_registrar() {
    let mut pair = Pair::default_pair();
    pair.decide = None;
    pair.connect(Some(join(&["market"])));
    pair.run();
    assert!(pair.server.host.association(&pair.member.hit()).is_none());
    assert!(pair.sent(pair.server.hit(), PacketType::R2).is_empty());
    // I2 is repeated meanwhile: one request is outstanding, and stays the only one.
    pair.pass(Duration::from_secs(2), |_, _| true);
    assert!(pair.sent(pair.member.hit(), PacketType::I2).len() > 1);
    let events = pair.server.take_events();
    assert_eq!(names(&events), ["requested"]);
    let Event::RegistrationRequested { ticket, request, .. } = &events[0] else { panic!() };

    let mut wrong = grant(request);
    wrong.channels.clear();
    assert_eq!(pair.server.host.answer(pair.now, *ticket, wrong), Err(ApiMisuse::AnswerMismatch));
    pair.server.host.answer(pair.now, *ticket, grant(request)).unwrap();
    assert_eq!(pair.server.host.answer(pair.now, *ticket, grant(request)), Err(ApiMisuse::UnknownTicket));
    pair.run();
    assert!(pair.keys_agree());
}

#[test]
fn a_request_that_the_program_never_answers_is_forgotten() {
    let mut pair = Pair::default_pair();
    pair.decide = None;
    pair.connect(Some(join(&["market"])));
    pair.pass(Duration::from_secs(90), |_, _| true);
    assert!(names(&pair.member.take_events()).contains(&"failed"));
    for event in pair.server.take_events() {
        let Event::RegistrationRequested { ticket, request, .. } = event else { continue };
        assert_eq!(pair.server.host.answer(pair.now, ticket, grant(&request)), Err(ApiMisuse::UnknownTicket));
    }
    pair.decide = Some(grant);
    pair.establish(Some(join(&["market"])));
}

#[test]
fn types_that_are_not_offered_are_refused_without_asking_the_program() {
    let mut server = server_config();
    server.services = vec![RegType::RENDEZVOUS, GDOI];
    let mut pair = Pair::new(member_config(), server);
    pair.establish(None);
    // The server withdraws nothing and announces nothing, but the member's view is forged by its own API.
    let gsakmp = RegistrationRequest { reg_type: RegType::GCKS_GSAKMP, lifetime: HOUR, channels: vec![] };
    let peer = pair.server.hit();
    assert_eq!(pair.member.host.request(pair.now, peer, gsakmp), Err(ApiMisuse::UnknownService));
    let rendezvous = RegistrationRequest { reg_type: RegType::RENDEZVOUS, lifetime: HOUR, channels: vec![] };
    pair.member.host.request(pair.now, peer, rendezvous).unwrap();
    pair.run();
    assert!(names(&pair.member.take_events()).contains(&"registered"));
}

#[test]
fn update_registers_more_renews_and_leaves() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.take_events();
    pair.server.take_events();
    let peer = pair.server.hit();

    let leave_one = RegistrationRequest {
        reg_type: GDOI,
        lifetime: Duration::ZERO,
        channels: vec![group("one", Duration::ZERO)],
    };
    let renew_all = RegistrationRequest { reg_type: GDOI, lifetime: HOUR, channels: vec![] };
    for request in [join(&["two", "three"]), renew_all, leave_one.clone()] {
        // UPDATE { SEQ, ENCRYPTED, REG_REQUEST } -->  <-- UPDATE { SEQ, ACK, REG_RESPONSE }  UPDATE { ACK } -->
        pair.log.clear();
        pair.member.host.request(pair.now, peer, request.clone()).unwrap();
        assert_eq!(
            pair.member.host.request(pair.now, peer, request.clone()),
            Err(ApiMisuse::RequestOutstanding)
        );
        pair.run();
        assert_eq!(pair.log.len(), 3);
        let events = pair.server.take_events();
        let Event::RegistrationRequested { request: seen, fresh, .. } = &events[0] else {
            panic!("{events:?}")
        };
        assert!(!fresh);
        assert_eq!(seen.channels, request.channels);
        // Leaving one group must not read as leaving all.
        assert!(!seen.lifetime.is_zero());
        let events = pair.member.take_events();
        assert!(names(&events).contains(&"registered"), "{events:?}");
        assert!(pair.keys_agree());
    }

    let leave_all = RegistrationRequest { reg_type: GDOI, lifetime: Duration::ZERO, channels: vec![] };
    pair.member.host.request(pair.now, peer, leave_all).unwrap();
    pair.run();
    let events = pair.server.take_events();
    let Event::RegistrationRequested { request, .. } = &events[0] else { panic!("{events:?}") };
    assert!(request.lifetime.is_zero() && request.channels.is_empty());
    assert!(pair.member.host.registration_sa(&peer, GDOI).is_none(), "nothing is granted any more");
    assert!(pair.server.host.registration_sa(&pair.member.hit(), GDOI).is_none());
    assert!(pair.is_established(), "the association stays");
}

#[test]
fn a_renewal_keeps_the_keys_and_a_lifetime_that_runs_out_ends_them() {
    let short = RegistrationRequest { reg_type: GDOI, lifetime: Duration::from_secs(40), channels: vec![] };
    let mut pair = Pair::default_pair();
    pair.establish(Some(short.clone()));
    let cookies = pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap().cookies;
    pair.pass(Duration::from_secs(20), |_, _| true);
    pair.member.host.request(pair.now, pair.server.hit(), short).unwrap();
    pair.run();
    pair.pass(Duration::from_secs(30), |_, _| true);
    let renewed = pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap();
    assert_eq!(renewed.cookies, cookies);
    pair.pass(Duration::from_secs(15), |_, _| true);
    assert!(pair.member.host.registration_sa(&pair.server.hit(), GDOI).is_none());
    assert!(pair.server.host.registration_sa(&pair.member.hit(), GDOI).is_none());
}

#[test]
fn a_lifetime_outside_the_offer_is_granted_at_its_edge() {
    let mut server = server_config();
    server.registration_lifetime_min = Duration::from_secs(60);
    server.registration_lifetime_max = Duration::from_secs(600);
    let mut pair = Pair::new(member_config(), server);
    pair.establish(Some(join(&["market"])));
    let events = pair.server.take_events();
    let Event::RegistrationRequested { request, .. } = &events[0] else { panic!() };
    assert_eq!(request.lifetime, Duration::from_secs(600));
}

#[test]
fn eviction_is_told_until_it_is_acknowledged() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one", "two"])));
    pair.member.take_events();
    pair.server.take_events();
    let member = pair.member.hit();
    pair.server.host.revoke(pair.now, member, GDOI, vec![group("one", HOUR)]).unwrap();
    // UPDATE { SEQ, ENCRYPTED{ MCAST_CHANNEL }, REG_RESPONSE } is lost twice.
    let mut lost = 0;
    pair.pass(Duration::from_secs(10), |sender, _| {
        lost += usize::from(sender != member);
        sender == member || lost > 2
    });
    let events = pair.member.take_events();
    let Some(Event::Revoked { channels, reg_type, .. }) =
        events.iter().find(|e| matches!(e, Event::Revoked { .. }))
    else {
        panic!("{events:?}")
    };
    assert_eq!(*reg_type, GDOI);
    assert_eq!(channels[0].status, ChannelStatus::NOT_AUTHORISED);
    assert!(channels[0].lifetime.is_cancel());
    assert!(names(&pair.server.take_events()).contains(&"revoke_acknowledged"));
    assert!(pair.keys_agree(), "the other group goes on");

    pair.server.host.revoke(pair.now, member, GDOI, vec![]).unwrap();
    assert!(pair.server.host.registration_sa(&member, GDOI).is_none(), "at once");
    pair.run();
    assert!(pair.member.host.registration_sa(&pair.server.hit(), GDOI).is_none());
}

#[test]
fn several_evictions_go_one_after_the_other() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one", "two", "three"])));
    pair.member.take_events();
    let member = pair.member.hit();
    for name in ["one", "two", "three"] {
        pair.server.host.revoke(pair.now, member, GDOI, vec![group(name, HOUR)]).unwrap();
    }
    assert_eq!(pair.server.transmits().len(), 1, "one UPDATE is outstanding");
    pair.pass(Duration::from_secs(5), |_, _| true);
    let revoked = pair.member.take_events();
    assert_eq!(names(&revoked).iter().filter(|name| **name == "revoked").count(), 3);
}

#[test]
fn an_eviction_and_a_request_may_cross() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.take_events();
    pair.server.take_events();
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.pass(Duration::from_secs(20), |_, _| true);
    let member = pair.member.take_events();
    assert!(names(&member).contains(&"revoked") && names(&member).contains(&"registered"), "{member:?}");
    assert!(names(&pair.server.take_events()).contains(&"revoke_acknowledged"));
}

#[test]
fn an_evicted_member_that_does_not_answer_is_lost() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.server.take_events();
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
    pair.pass(Duration::from_secs(60), |_, _| false);
    let events = pair.server.take_events();
    assert!(names(&events).contains(&"lost"), "{events:?}");
    assert!(state_at_server(&pair).is_none());
    assert!(pair.server.host.snapshot(&pair.member.hit()).is_none());
}

#[test]
fn every_packet_of_a_registration_may_be_lost_once() {
    for lost in 0..9 {
        let mut pair = Pair::default_pair();
        pair.connect(Some(join(&["market"])));
        let mut count = 0;
        let mut passes = |_: Hit, _: &[u8]| {
            count += 1;
            count - 1 != lost
        };
        pair.pass(Duration::from_secs(10), &mut passes);
        assert!(pair.is_established(), "packet {lost}");
        pair.member.host.request(pair.now, pair.server.hit(), join(&["more"])).unwrap();
        pair.pass(Duration::from_secs(10), &mut passes);
        pair.member.host.close(pair.now, pair.server.hit()).unwrap();
        pair.pass(Duration::from_secs(10), &mut passes);
        let (member, server) = (pair.member.take_events(), pair.server.take_events());
        let count = |events: &[Event], name| names(events).iter().filter(|n| **n == name).count();
        for (name, at_member, at_server) in [
            ("established", 1, 1),
            ("registered", 2, 0),
            ("requested", 0, 2),
            ("closed", 1, 1),
            ("lost", 0, 0),
        ] {
            assert_eq!(count(&member, name), at_member, "{name} at the member, packet {lost} lost");
            assert_eq!(count(&server, name), at_server, "{name} at the server, packet {lost} lost");
        }
        assert_eq!(count(&member, "failed"), 0, "packet {lost} lost");
    }
}

#[test]
fn a_third_of_all_packets_may_be_lost() {
    let mut state = 7u64;
    for _ in 0..20 {
        let mut pair = Pair::default_pair();
        let mut passes = |_: Hit, _: &[u8]| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            !(state >> 33).is_multiple_of(3)
        };
        pair.connect(Some(join(&["market"])));
        pair.pass(Duration::from_secs(30), &mut passes);
        assert!(pair.is_established() && pair.keys_agree());
        pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("market", HOUR)]).unwrap();
        pair.pass(Duration::from_secs(30), &mut passes);
        assert!(names(&pair.member.take_events()).contains(&"revoked"));
    }
}

#[test]
fn a_call_that_nobody_answers_fails_after_all_attempts() {
    let mut pair = Pair::default_pair();
    pair.connect(None);
    assert_eq!(state_at_member(&pair), Some(AssociationState::I1Sent));
    let peer = pair.server.hit();
    let again = pair.member.host.connect(pair.now, peer, pair.server.address, Carriage::HipUdp, None);
    assert_eq!(again, Err(ApiMisuse::ExchangeRunning));
    pair.pass(Duration::from_secs(60), |_, _| false);
    let events = pair.member.take_events();
    assert!(
        matches!(events[..], [Event::Failed { reason: FailReason::Unanswered { .. }, .. }]),
        "{events:?}"
    );
    assert_eq!(pair.sent(pair.member.hit(), PacketType::I1).len(), 7);
    assert!(state_at_member(&pair).is_none());
}

/// RFC 7401 §4.4.3: of two that call each other the one with the smaller HIT becomes Initiator.
#[test]
fn two_that_call_each_other_end_in_one_association() {
    for member_is_greater in [false, true] {
        let mut pair = Pair::ordered(member_is_greater);
        pair.connect(Some(join(&["market"])));
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Carriage::HipUdp, None).unwrap();
        pair.pass(Duration::from_secs(20), |_, _| true);
        assert!(pair.is_established());
        let info = pair.member.host.association(&pair.server.hit()).unwrap();
        assert_eq!(info.initiator, !member_is_greater);
        let smaller = pair.member.hit().min(pair.server.hit());
        assert!(pair.sent(smaller, PacketType::R1).is_empty(), "its own call goes on, so it answers none");
        assert!(pair.keys_agree(), "the member's request is not lost");
        let (member, server) = (pair.member.take_events(), pair.server.take_events());
        for events in [&member, &server] {
            assert_eq!(names(events).iter().filter(|name| **name == "established").count(), 1, "{events:?}");
        }
    }
}

/// RFC 8003 §4.3: nothing is asked of a peer that has announced nothing.
#[test]
fn a_request_of_one_that_became_responder_waits_for_the_announcement() {
    loop {
        let mut pair = plain_pair();
        if pair.member.hit() < pair.server.hit() {
            continue;
        }
        pair.connect(Some(join(&["market"])));
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Carriage::HipUdp, None).unwrap();
        pair.pass(Duration::from_secs(10), |_, _| true);
        assert!(pair.is_established());
        assert!(pair.sent(pair.member.hit(), PacketType::UPDATE).is_empty());
        let server = pair.server.hit();
        let again = pair.member.host.request(pair.now, server, join(&["market"]));
        assert_eq!(again, Err(ApiMisuse::RequestOutstanding));
        pair.pass(Duration::from_secs(30), |_, _| true);
        let events = pair.member.take_events();
        let nothing = |event: &Event| matches!(event, Event::Registered { answer, .. } if answer.granted.is_none() && answer.failure.is_none());
        assert!(events.iter().any(nothing), "{events:?}");
        break;
    }
}

/// Both I1s were answered before either R1 arrived, so both I2s are under way (RFC 7401 §6.9 step 5).
#[test]
fn i2s_that_cross_end_in_one_association() {
    for member_is_greater in [false, true] {
        let mut pair = Pair::ordered(member_is_greater);
        pair.connect(None);
        let from_member = pair.member.transmits();
        pair.deliver(pair.member.hit(), &from_member[0]);
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Carriage::HipUdp, None).unwrap();
        let from_server = pair.server.transmits();
        assert_eq!(from_server.len(), 2, "R1 and an own I1");
        // The member takes R1 first and is in I2-SENT when the server's I1 comes.
        pair.deliver(pair.server.hit(), &from_server[0]);
        pair.deliver(pair.server.hit(), &from_server[1]);
        let from_member = pair.member.transmits();
        assert_eq!(from_member.len(), 2, "I2 and R1");
        // The server takes R1 first and sends its I2; then the member's I2 comes.
        pair.deliver(pair.member.hit(), &from_member[1]);
        pair.deliver(pair.member.hit(), &from_member[0]);
        pair.pass(Duration::from_secs(20), |_, _| true);
        assert!(pair.is_established());
        let info = pair.member.host.association(&pair.server.hit()).unwrap();
        assert_eq!(info.initiator, !member_is_greater);
    }
}

#[test]
fn a_fresh_base_exchange_replaces_the_association_only_when_it_is_complete() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    let before = pair.server.host.registration_sa(&pair.member.hit(), GDOI).unwrap();
    pair.server.take_events();
    pair.decide = None;
    pair.connect(Some(join(&["two"])));
    pair.run();
    let events = pair.server.take_events();
    let Event::RegistrationRequested { ticket, request, fresh: true, .. } = &events[0] else {
        panic!("{events:?}")
    };
    let meanwhile = pair.server.host.registration_sa(&pair.member.hit(), GDOI).unwrap();
    assert_eq!(meanwhile.cookies, before.cookies);
    pair.server.host.answer(pair.now, *ticket, grant(request)).unwrap();
    pair.run();
    let after = pair.server.host.registration_sa(&pair.member.hit(), GDOI).unwrap();
    assert_ne!(after.cookies, before.cookies);
    assert!(pair.keys_agree());
}

#[test]
fn close_ends_the_association_at_both_sides() {
    for by_member in [true, false] {
        let mut pair = Pair::default_pair();
        pair.establish(Some(join(&["market"])));
        pair.member.take_events();
        pair.server.take_events();
        let (member, server) = (pair.member.hit(), pair.server.hit());
        if by_member {
            pair.member.host.close(pair.now, server).unwrap();
            assert_eq!(state_at_member(&pair), Some(AssociationState::Closing));
            assert!(pair.member.host.registration_sa(&server, GDOI).is_none(), "keys end with CLOSE");
            assert!(pair.member.host.snapshot(&server).is_none());
        } else {
            pair.server.host.close(pair.now, member).unwrap();
        }
        pair.run();
        let (at_member, at_server) = (pair.member.take_events(), pair.server.take_events());
        for (events, by_peer) in [(at_member, !by_member), (at_server, by_member)] {
            let closed = |e: &Event| matches!(e, Event::Closed { by_peer: told, .. } if *told == by_peer);
            assert!(events.iter().any(closed), "{events:?}");
        }
        let (closer, closed) = if by_member {
            (state_at_member(&pair), state_at_server(&pair))
        } else {
            (state_at_server(&pair), state_at_member(&pair))
        };
        assert_eq!((closer, closed), (None, Some(AssociationState::Closed)));
        pair.pass(Duration::from_secs(300), |_, _| true);
        assert_eq!((state_at_member(&pair), state_at_server(&pair)), (None, None));
        // The next call begins anew.
        pair.establish(Some(join(&["market"])));
    }
}

#[test]
fn closes_that_cross_are_both_answered() {
    let mut pair = Pair::default_pair();
    pair.establish(None);
    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
    pair.server.host.close(pair.now, pair.member.hit()).unwrap();
    pair.pass(Duration::from_secs(30), |_, _| true);
    assert_eq!((state_at_member(&pair), state_at_server(&pair)), (None, None));
    for events in [pair.member.take_events(), pair.server.take_events()] {
        assert_eq!(names(&events).iter().filter(|name| **name == "closed").count(), 1, "{events:?}");
    }
}

#[test]
fn a_close_that_nobody_answers_ends_too() {
    let mut pair = Pair::default_pair();
    pair.establish(None);
    pair.member.take_events();
    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
    assert_eq!(pair.member.host.close(pair.now, pair.server.hit()), Err(ApiMisuse::NoAssociation));
    pair.pass(Duration::from_secs(60), |_, _| false);
    assert!(names(&pair.member.take_events()).contains(&"lost"));
    assert!(state_at_member(&pair).is_none());
}

#[test]
fn an_unused_association_is_closed_but_one_with_a_registration_is_not() {
    let mut pair = Pair::default_pair();
    pair.establish(None);
    pair.pass(Duration::from_secs(16 * 60), |_, _| true);
    assert!(state_at_member(&pair).is_none_or(|state| state == AssociationState::Closed));
    assert!(state_at_server(&pair).is_none_or(|state| state == AssociationState::Closed));

    let mut pair = Pair::default_pair();
    pair.establish(Some(RegistrationRequest { reg_type: GDOI, lifetime: 12 * HOUR, channels: vec![] }));
    pair.pass(Duration::from_secs(3600), |_, _| true);
    assert!(pair.keys_agree());
}

/// RFC 7401 §4.1.4: R1s are made anew, and those before are accepted for as long again.
#[test]
fn r1s_rotate_and_the_previous_generation_is_accepted() {
    let counter =
        |r1: &[u8]| Packet::parse(r1).unwrap().one::<claviger_hip::wire::R1Counter>().unwrap().counter;
    let mut pair = plain_pair();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0);
    pair.deliver(pair.member.hit(), &i1);
    let old = pair.server.transmits().remove(0);
    pair.now = pair.now + Duration::from_secs(299);
    pair.deliver(pair.member.hit(), &i1);
    let late = pair.server.transmits().remove(0);
    assert_eq!(counter(&old.payload), counter(&late.payload));
    pair.now = pair.now + Duration::from_secs(2);
    pair.server.host.handle_timeout(pair.now);
    pair.deliver(pair.member.hit(), &i1);
    let new = pair.server.transmits().remove(0);
    assert!(counter(&new.payload) > counter(&late.payload));
    // The R1 of the previous generation, two seconds old, still leads to an association.
    pair.deliver(pair.server.hit(), &late);
    pair.run();
    assert!(pair.is_established(), "{:?}", pair.server.errors);
}

#[test]
fn the_generation_counter_grows_over_restarts() {
    let counter = |pair: &mut Pair| {
        pair.connect(None);
        pair.run();
        let r1 = pair.sent(pair.server.hit(), PacketType::R1).pop().unwrap();
        Packet::parse(&r1).unwrap().one::<claviger_hip::wire::R1Counter>().unwrap().counter
    };
    let config = server_config();
    let mut pair = Pair::new(member_config(), config.clone());
    pair.pass(Duration::from_secs(3600), |_, _| true);
    let before = counter(&mut pair);
    pair.now = pair.now + Duration::from_millis(1);
    let now = pair.now;
    let host = claviger_hip::Host::new(config, Box::new(claviger_crypto::SeededRandom::new(3)), now).unwrap();
    pair.server.host = host;
    pair.member.host.close(now, pair.server.hit()).unwrap();
    pair.pass(Duration::from_secs(60), |_, _| false);
    assert!(counter(&mut pair) > before);
}

#[test]
fn puzzle_difficulty_is_changed_while_running() {
    let mut pair = plain_pair();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0);
    let k = |pair: &mut Pair| {
        pair.deliver(pair.member.hit(), &i1);
        let r1 = pair.server.transmits().remove(0);
        Packet::parse(&r1.payload).unwrap().one::<Puzzle>().unwrap().k
    };
    assert_eq!(k(&mut pair), 2);
    pair.server.host.set_puzzle_difficulty(5).unwrap();
    assert_eq!(k(&mut pair), 5);
    pair.server.host.set_puzzle_difficulty(255).unwrap();
    assert_eq!(k(&mut pair), claviger_hip::puzzle::K_MAX);
    pair.server.host.set_puzzle_difficulty(3).unwrap();
    pair.pass(Duration::from_secs(2), |_, _| true);
    assert!(pair.is_established());
}

#[test]
fn a_hard_puzzle_is_solved_piece_by_piece() {
    let mut pair = plain_pair();
    pair.server.host.set_puzzle_difficulty(16).unwrap();
    pair.connect(None);
    pair.run();
    let mut steps = 0;
    while !pair.is_established() {
        assert!(pair.member.host.poll_timeout().unwrap() <= pair.now, "the search goes on at once");
        pair.member.host.handle_timeout(pair.now);
        pair.run();
        steps += 1;
        assert!(steps < 100, "2^16 hashes take some pieces of 2^14");
    }
}

/// RFC 7401 §6.8 step 12: the search ends with the puzzle's lifetime.
#[test]
fn a_puzzle_is_given_up_when_its_lifetime_is_over() {
    let mut pair = plain_pair();
    pair.server.host.set_puzzle_difficulty(24).unwrap();
    pair.connect(None);
    pair.run();
    pair.now = pair.now + Duration::from_secs(65);
    pair.member.host.handle_timeout(pair.now);
    let events = pair.member.take_events();
    let too_hard = FailReason::Limit(LimitError::Puzzle);
    assert!(matches!(events[..], [Event::Failed { reason, .. }] if reason == too_hard), "{events:?}");
}

#[test]
fn both_carriages_and_both_address_families_work() {
    for (member_address, server_address) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        for carriage in [Carriage::HipRaw, Carriage::HipUdp] {
            let port = if carriage == Carriage::HipRaw { 0 } else { 10500 };
            let mut member = member_config();
            member.local_addresses = vec!["198.51.100.9".parse().unwrap(), member_address.parse().unwrap()];
            let mut pair = Pair::new(member, server_config());
            pair.member.address = (member_address.parse::<std::net::IpAddr>().unwrap(), port).into();
            pair.server.address = (server_address.parse::<std::net::IpAddr>().unwrap(), port).into();
            if member_address.starts_with('1') && carriage == Carriage::HipRaw {
                // The first address of the family is the source, so it is the member's address here.
                pair.member.address = ("198.51.100.9".parse::<std::net::IpAddr>().unwrap(), port).into();
            }
            let (peer, address) = (pair.server.hit(), pair.server.address);
            pair.member.host.connect(pair.now, peer, address, carriage, Some(join(&["market"]))).unwrap();
            pair.run();
            assert!(pair.is_established() && pair.keys_agree(), "{:?}", pair.server.errors);
            let info = pair.server.host.association(&pair.member.hit()).unwrap();
            assert_eq!((info.carriage, info.address), (carriage, pair.member.address));
            for (_, octets) in &pair.log {
                assert_eq!(octets[4..6] == [0, 0], carriage == Carriage::HipUdp, "checksum");
            }
        }
    }
    let mut pair = Pair::default_pair();
    let elsewhere = "[2001:db8::1]:0".parse().unwrap();
    let peer = pair.server.hit();
    let result = pair.member.host.connect(pair.now, peer, elsewhere, Carriage::HipRaw, None);
    assert_eq!(result, Err(ApiMisuse::LocalAddress));
}

/// RFC 7402 §5.2: a generic host that wants ESP gets SPIs and a suite.
#[test]
fn esp_is_agreed_where_both_sides_have_it() {
    let esp = |mut config: HostConfig, suites: &[EspSuite]| {
        config.transport = TransportFormats::Esp(suites.to_vec());
        config
    };
    let both = [EspSuite::AES_256_CBC_HMAC_SHA_256, EspSuite::AES_128_CBC_HMAC_SHA_256];
    let mut pair = Pair::new(
        esp(member_config(), &both),
        esp(server_config(), &[EspSuite::NULL_HMAC_SHA_256, EspSuite::AES_128_CBC_HMAC_SHA_256]),
    );
    pair.establish(None);
    let at_member = pair.member.host.association(&pair.server.hit()).unwrap().esp.unwrap();
    let at_server = pair.server.host.association(&pair.member.hit()).unwrap().esp.unwrap();
    assert_eq!(at_member.suite, EspSuite::AES_128_CBC_HMAC_SHA_256);
    assert_eq!(
        (at_member.inbound_spi, at_member.outbound_spi),
        (at_server.outbound_spi, at_server.inbound_spi)
    );
    assert_eq!((at_member.suite, at_member.keymat_index), (at_server.suite, at_server.keymat_index));
    assert!(at_member.inbound_spi > 255 && at_member.outbound_spi > 255);

    // Who only registers names no transport, and is accepted by a server that offers ESP, and the other way round.
    for (member, server) in
        [(member_config(), esp(server_config(), &both)), (esp(member_config(), &both), server_config())]
    {
        let mut pair = Pair::new(member, server);
        pair.establish(Some(join(&["market"])));
        assert!(pair.keys_agree());
        assert_eq!(pair.member.host.association(&pair.server.hit()).unwrap().esp, None);
    }
}

#[test]
fn the_api_refuses_what_makes_no_sense() {
    let mut pair = Pair::default_pair();
    let (own, peer, address) = (pair.member.hit(), pair.server.hit(), pair.server.address);
    let now = pair.now;
    let host = &mut pair.member.host;
    // The opportunistic NULL HIT is never called (binding section 5).
    for hit in [Hit::NULL, own, Hit::new([1; 16])] {
        assert_eq!(host.connect(now, hit, address, Carriage::HipUdp, None), Err(ApiMisuse::PeerHit));
    }
    let mut foreign = join(&["market"]);
    foreign.channels[0].reg_type = RegType::GCKS_MIKEY;
    let mut answered = join(&["market"]);
    answered.channels[0].status = ChannelStatus::GROUP_FULL;
    let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for request in [foreign, answered, join(&["market", "market"]), join(&many)] {
        let result = host.connect(now, peer, address, Carriage::HipUdp, Some(request));
        assert_eq!(result, Err(ApiMisuse::Channels));
    }
    assert_eq!(host.request(now, peer, join(&["market"])), Err(ApiMisuse::NoAssociation));
    assert_eq!(host.revoke(now, peer, GDOI, vec![]), Err(ApiMisuse::NoAssociation));
    assert_eq!(host.close(now, peer), Err(ApiMisuse::NoAssociation));
    assert_eq!(host.poll_transmit(), None);

    pair.establish(None);
    let long: Vec<String> = (0..32).map(|number| format!("{number:0>80}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    assert_eq!(pair.member.host.request(now, peer, join(&long)), Err(ApiMisuse::TooLarge));
    let foreign =
        vec![claviger_hip::wire::McastChannel { reg_type: RegType::GCKS_MIKEY, ..group("a", HOUR) }];
    assert_eq!(pair.member.host.revoke(now, peer, GDOI, foreign), Err(ApiMisuse::Channels));
}

#[test]
fn unusable_configurations_are_refused() {
    let refused = |change: &dyn Fn(&mut HostConfig)| {
        let mut config = server_config();
        change(&mut config);
        let random = Box::new(claviger_crypto::SeededRandom::new(1));
        claviger_hip::Host::new(config, random, START).err() == Some(ApiMisuse::Config.into())
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|config| config.dh_groups.clear()));
    assert!(refused(&|config| config.dh_groups = vec![DhGroup::SECP160R1]));
    assert!(refused(&|config| config.ciphers.clear()));
    assert!(refused(&|config| config.ciphers = vec![CipherId(3)]));
    assert!(refused(&|config| config.hit_suites.clear()));
    assert!(refused(&|config| config.r1_lifetime = Duration::from_secs(3600)));
    assert!(refused(&|config| config.puzzle_lifetime = Duration::from_millis(10)));
    assert!(refused(&|config| config.retransmit.attempts = 0));
    assert!(refused(&|config| config.registration_lifetime_min = 100 * HOUR));
    assert!(refused(&|config| config.transport = TransportFormats::Esp(vec![])));
}

#[test]
fn many_members_register_and_the_timers_stay_in_order() {
    let mut server = side(server_config(), [192, 0, 2, 2], 10500, 9);
    let mut pairs = Vec::new();
    for number in 0..20u8 {
        let mut pair = Pair::default_pair();
        pair.member.address = ([198, 51, 100, number], 10500).into();
        std::mem::swap(&mut pair.server, &mut server);
        pair.establish(Some(join(&["market"])));
        std::mem::swap(&mut pair.server, &mut server);
        pairs.push(pair);
    }
    assert_eq!(server.host.associations().count(), 20);
    let due = server.host.poll_timeout().unwrap();
    server.host.handle_timeout(due);
    assert!(server.host.poll_timeout().unwrap() > due);
}

#[test]
fn a_full_server_says_that_it_is_busy() {
    let mut server = server_config();
    server.associations_max = 0;
    let mut pair = Pair::new(member_config(), server);
    pair.connect(None);
    pair.run();
    assert_eq!(pair.server.errors, [LimitError::Associations.into()]);
    let events = pair.member.take_events();
    let busy = claviger_hip::iana::NotifyType::RESPONDER_BUSY_PLEASE_RETRY;
    assert!(matches!(events[..], [Event::Notified { message, .. }] if message == busy), "{events:?}");
    assert_eq!(state_at_member(&pair), Some(AssociationState::I2Sent), "a NOTIFY changes nothing");
}

#[test]
fn a_registrar_that_called_announces_its_services() {
    let mut pair = Pair::default_pair();
    let (peer, address) = (pair.member.hit(), pair.member.address);
    pair.server.host.connect(pair.now, peer, address, Carriage::HipUdp, None).unwrap();
    pair.run();
    assert!(pair.is_established());
    // The member has seen no R1 of the server's: it learns by UPDATE { SEQ, REG_INFO } whom it may ask for what.
    assert_eq!(pair.sent(pair.server.hit(), PacketType::UPDATE).len(), 1);
    let foreign = RegistrationRequest { reg_type: RegType::RENDEZVOUS, lifetime: HOUR, channels: vec![] };
    let server = pair.server.hit();
    assert_eq!(pair.member.host.request(pair.now, server, foreign), Err(ApiMisuse::UnknownService));
    pair.member.host.request(pair.now, server, join(&["market"])).unwrap();
    pair.run();
    assert!(pair.keys_agree());
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let mut pair = Pair::default_pair();
    pair.decide = None;
    pair.connect(Some(join(&["one", "two"])));
    pair.run();
    let events = pair.server.take_events();
    let Event::RegistrationRequested { ticket, request, .. } = &events[0] else { panic!("{events:?}") };
    let good = grant(request);
    let bad: [fn(&mut RegistrationAnswer); 6] = [
        |answer| answer.reg_type = RegType::GCKS_MIKEY,
        |answer| answer.granted = None,
        |answer| answer.failure = Some(RegFailure::TYPE_UNAVAILABLE),
        |answer| answer.channels[0].group = "three".parse().unwrap(),
        |answer| drop(answer.channels.pop()),
        |answer| {
            answer.granted = None;
            answer.failure = Some(RegFailure(202));
        },
    ];
    for change in bad {
        let mut answer = good.clone();
        change(&mut answer);
        assert_eq!(pair.server.host.answer(pair.now, *ticket, answer), Err(ApiMisuse::AnswerMismatch));
    }
    pair.server.host.answer(pair.now, *ticket, good).unwrap();
    pair.run();
    assert!(pair.keys_agree());
}

#[test]
fn the_names_of_reasons_are_those_of_counters() {
    let reasons = PeerMisbehaved::ALL.iter().map(|error| error.reason());
    let reasons = reasons.chain(PeerIncompatible::ALL.iter().map(|error| error.reason()));
    let reasons = reasons.chain(LimitError::ALL.iter().map(|error| error.reason()));
    let mut seen = std::collections::BTreeSet::new();
    for reason in reasons {
        assert!(reason.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()), "{reason}");
        assert!(seen.insert(reason), "{reason} is said twice");
    }
}
