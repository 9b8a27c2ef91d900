//! Attacks, each by its name, and for each rule one that breaks it.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod calls;
mod certificates;
mod identity;
mod load;
mod mobility;
mod rekeying;
mod replay_and_flood;
mod signatures;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use claviger_crypto::{provider, sign::KeyAlgorithm};
use claviger_hip::{
    AssociationState, AuthError, Error, FailReason, HostConfig, LimitError, PeerIncompatible, PeerMisbehaved,
    TransportFormats,
    iana::{CipherId, DhGroup, EspSuite, NotifyType, PacketType, ParameterType, RegFailure, RegType},
    puzzle,
    verification::{Budget, Class, Limits, Permit},
    wire::{
        Ack, DhGroupList, EchoRequestSigned, EchoRequestUnsigned, EchoResponseSigned, Lifetime, Notification,
        Packet, PacketBuilder, ParameterBlock, RegFailed, RegInfo, RegRequest, RegResponse, Seq,
    },
};
use claviger_hip_groups::{
    Event,
    iana::{GCKS_GSAKMP, GCKS_MIKEY},
};
use claviger_identity::{Hit, HostIdentity};
use claviger_sansio::Socket;
use claviger_wire::DecodeError;

use support::{
    counting::{Work, counting_provider, take_work},
    forge::{I2, R1, Session, hear, i1},
    *,
};

fn attacker() -> Arc<HostIdentity> {
    identity(KeyAlgorithm::EcdsaP256)
}

/// A pair whose server sets puzzles of a difficulty.
fn pair_with_puzzles(k: u8) -> Pair {
    let mut server = server_config();
    server.puzzle_difficulty = k;
    Pair::new(member_config(), server)
}

/// Leave to verify one signature.
fn permit() -> Permit {
    Budget::new(Class::Notify).permit(&Limits::UNLIMITED, START).unwrap()
}

/// Establishes an association with a forged member that asked for one group.
fn forged() -> (Pair, Session) {
    let mut pair = Pair::default_pair();
    let session = I2::prepare(&mut pair, attacker()).establish(&mut pair);
    pair.server.take_events();
    (pair, session)
}

fn i2_with(config: impl FnOnce(&mut HostConfig), change: impl FnOnce(&mut I2)) -> Error {
    let mut server = server_config();
    config(&mut server);
    let mut pair = Pair::new(member_config(), server);
    let mut i2 = I2::prepare(&mut pair, attacker());
    change(&mut i2);
    let error = pair.server_hears(&i2.build()).unwrap_err();
    assert_eq!(pair.server.host.associations().count(), 0);
    assert!(pair.server.take_events().is_empty());
    error
}

fn forged_update(fill: impl FnOnce(&Session, &mut PacketBuilder)) -> Error {
    let (mut pair, session) = forged();
    let before = fingerprint(&pair.server, &session.identity.hit());
    let update = session.packet(PacketType::UPDATE, |builder| fill(&session, builder));
    let error = pair.server_hears(&update).unwrap_err();
    assert_eq!(fingerprint(&pair.server, &session.identity.hit()), before);
    assert!(pair.server.take_events().is_empty());
    error
}

fn reg_request(reg_type: RegType) -> RegRequest {
    RegRequest { lifetime: Lifetime::at_most(HOUR), types: vec![reg_type] }
}

fn ack_of_nothing() -> Error {
    forged_update(|_, builder| {
        builder.add(&Ack(vec![7]));
    })
}

fn answer_to_nothing() -> Error {
    forged_update(|_, builder| {
        builder.add(&Seq(0)).add(&RegResponse { lifetime: Lifetime::at_most(HOUR), types: vec![GDOI] });
    })
}

fn channel_without_request() -> Error {
    forged_update(|session, builder| {
        builder.add(&Seq(0)).add(&session.encrypt(&[group("two", HOUR)]));
    })
}

fn checksum_on_udp() -> Error {
    let mut pair = Pair::default_pair();
    let mut octets = i1(pair.member.hit(), pair.server.hit(), &[DhGroup::NIST_P256]);
    octets[4] = 1;
    pair.server_hears(&octets).unwrap_err()
}

fn null_cipher_chosen() -> Error {
    i2_with(|_| {}, |i2| i2.ciphers = vec![CipherId::NULL_ENCRYPT])
}

fn close_ack_of_another_close() -> Error {
    let (mut pair, session) = forged();
    pair.server.host.close(pair.now, session.identity.hit()).unwrap();
    let ack = session.packet(PacketType::CLOSE_ACK, |builder| {
        builder.add(&EchoResponseSigned(vec![0; 16]));
    });
    let error = pair.server_hears(&ack).unwrap_err();
    let info = pair.server.host.association(&session.identity.hit()).unwrap();
    assert_eq!(info.state, AssociationState::Closing);
    error
}

fn close_ack_of_nothing() -> Error {
    let (mut pair, session) = forged();
    let ack = session.packet(PacketType::CLOSE_ACK, |builder| {
        builder.add(&EchoResponseSigned(vec![0; 16]));
    });
    pair.server_hears(&ack).unwrap_err()
}

/// Somebody on the path takes the strong groups out of I1 (RFC 7401 section 4.1.7).
fn downgrade_of_the_group_list() -> Error {
    let both = |mut config: HostConfig| {
        config.dh_groups = vec![DhGroup::NIST_P384, DhGroup::NIST_P256];
        config
    };
    let mut pair = Pair::new(both(member_config()), both(server_config()));
    pair.connect(None);
    pair.member.transmits();
    pair.server_hears(&i1(pair.member.hit(), pair.server.hit(), &[DhGroup::NIST_P256])).unwrap();
    let r1 = pair.server.transmits().remove(0).payload;
    let error = pair.member_hears(&r1).unwrap_err();
    // Nothing is said to the Responder, and the next I1, unaltered, succeeds with the best group.
    assert!(pair.member.transmits().is_empty());
    pair.pass(Duration::from_secs(2), |_, _| true);
    let info = pair.member.host.association(&pair.server.hit()).unwrap();
    assert_eq!(info.dh_group, Some(DhGroup::NIST_P384));
    error
}

fn group_that_r1_did_not_carry() -> Error {
    i2_with(|_| {}, |i2| i2.group = DhGroup::NIST_P521)
}

fn esp_suite_that_was_not_offered() -> Error {
    i2_with(
        |config| config.transport = TransportFormats::Esp(vec![EspSuite::AES_GCM_16]),
        |i2| {
            i2.formats = vec![ParameterType::ESP_TRANSFORM];
            i2.suites = vec![EspSuite::NULL_HMAC_SHA_256];
        },
    )
}

/// The attacker calls itself by the HIT of somebody who is authorised.
fn stolen_hit_in_i2() -> Error {
    let mut pair = Pair::default_pair();
    let victim = attacker();
    let mut i2 = I2::prepare(&mut pair, victim);
    let thief = attacker();
    i2.host_id = thief.host_id().clone();
    i2.identity = thief;
    let error = pair.server_hears(&i2.build()).unwrap_err();
    assert_eq!(pair.server.host.associations().count(), 0);
    error
}

/// The attacker answers in the name of the server.
fn stolen_hit_in_r1() -> Error {
    let mut pair = Pair::default_pair();
    pair.connect(None);
    pair.member.transmits();
    let mut r1 = R1::prepare(attacker());
    r1.sender = pair.server.hit();
    let error = pair.member_hears(&r1.build(pair.member.hit())).unwrap_err();
    assert!(pair.member.transmits().is_empty(), "no I2 is sent");
    error
}

fn packet_for_somebody_else() -> Error {
    let mut pair = Pair::default_pair();
    let octets = i1(pair.member.hit(), attacker().hit(), &[DhGroup::NIST_P256]);
    pair.server_hears(&octets).unwrap_err()
}

/// What a host has sent comes back to it.
fn reflection() -> Error {
    let mut pair = Pair::default_pair();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0).payload;
    pair.member_hears(&i1).unwrap_err()
}

fn report_that_nobody_awaits() -> Error {
    let (mut pair, session) = forged();
    let mut builder = PacketBuilder::new(PacketType::NOTIFY, session.identity.hit(), session.peer);
    builder.add(&Notification::new(NotifyType::HIP_MAC_FAILED)).sign(&session.identity).unwrap();
    pair.server_hears(&builder.finish().unwrap()).unwrap_err()
}

fn point_that_is_not_on_the_curve() -> Error {
    i2_with(|_| {}, |i2| i2.public_value = Some(vec![2; 64]))
}

fn puzzle_solved_too_late() -> Error {
    let mut pair = Pair::default_pair();
    let i2 = I2::prepare(&mut pair, attacker());
    pair.now = pair.now + Duration::from_secs(66);
    pair.server_hears(&i2.build()).unwrap_err()
}

/// Who lowers #K, or makes up #I, solves a puzzle that was never set.
fn puzzle_made_easier() -> Error {
    let mut pair = pair_with_puzzles(12);
    let mut i2 = I2::prepare(&mut pair, attacker());
    i2.solution.k = 0;
    pair.server_hears(&i2.build()).unwrap_err()
}

fn puzzle_of_a_generation_that_is_gone() -> Error {
    let mut pair = Pair::default_pair();
    let i2 = I2::prepare(&mut pair, attacker());
    pair.now = pair.now + Duration::from_secs(1000);
    pair.server_hears(&i2.build()).unwrap_err()
}

fn puzzle_not_solved() -> Error {
    let mut pair = pair_with_puzzles(8);
    let mut i2 = I2::prepare(&mut pair, attacker());
    let rhash = provider().hash(claviger_crypto::hash::HashAlgorithm::Sha384).unwrap();
    while puzzle::verify(rhash, &i2.solution, i2.sender, i2.receiver) {
        i2.solution.j[0] = i2.solution.j[0].wrapping_add(1);
    }
    pair.server_hears(&i2.build()).unwrap_err()
}

fn r1_that_nobody_asked_for() -> Error {
    let mut pair = Pair::default_pair();
    let r1 = R1::prepare(attacker()).build(pair.member.hit());
    pair.member_hears(&r1).unwrap_err()
}

fn r2_that_nobody_asked_for() -> Error {
    let mut pair = Pair::default_pair();
    pair.establish(None);
    let r2 = pair.sent(pair.server.hit(), PacketType::R2).remove(0);
    pair.member_hears(&r2).unwrap_err()
}

fn request_inside_an_answer() -> Error {
    forged_update(|_, builder| {
        builder
            .add(&Seq(0))
            .add(&reg_request(GDOI))
            .add(&RegFailed { failure: RegFailure::TYPE_UNAVAILABLE, types: vec![GDOI] });
    })
}

fn second_request_before_the_answer() -> Error {
    let (mut pair, session) = forged();
    for seq in [0, 1] {
        let update = session.packet(PacketType::UPDATE, |builder| {
            builder.add(&Seq(seq)).add(&reg_request(GDOI));
        });
        match (seq, pair.server_hears(&update)) {
            (0, result) => assert_eq!(result, Ok(())),
            (_, result) => {
                assert_eq!(names(&pair.server.take_events()), ["requested"], "one request is outstanding");
                return result.unwrap_err();
            }
        }
    }
    unreachable!("the loop returns")
}

fn transport_that_was_not_offered() -> Error {
    i2_with(
        |_| {},
        |i2| {
            i2.formats = vec![ParameterType::ESP_TRANSFORM];
            i2.suites = vec![EspSuite::AES_GCM_16];
        },
    )
}

fn update_without_association() -> Error {
    let (_, session) = forged();
    let mut pair = Pair::default_pair();
    let update = Session { peer: pair.server.hit(), ..session }.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0));
    });
    pair.server_hears(&update).unwrap_err()
}

fn update_far_ahead() -> Error {
    forged_update(|_, builder| {
        builder.add(&Seq(1000));
    })
}

fn update_of_old() -> Error {
    let (mut pair, session) = forged();
    let update = |seq| {
        session.packet(PacketType::UPDATE, |builder| {
            builder.add(&Seq(seq));
        })
    };
    for seq in 0..3 {
        pair.server_hears(&update(seq)).unwrap();
    }
    pair.server_hears(&update(0)).unwrap_err()
}

/// Breaks a rule, and returns what the host says to that.
type Attack = fn() -> Error;

/// Each rule, and an attack that breaks it.
const ATTACKS: &[(PeerMisbehaved, Attack)] = &[
    (PeerMisbehaved::AckUnasked, ack_of_nothing),
    (PeerMisbehaved::AnswerUnasked, answer_to_nothing),
    (PeerMisbehaved::ItemTypeForeign, channel_without_request),
    (PeerMisbehaved::Checksum, checksum_on_udp),
    (PeerMisbehaved::CipherNotOffered, null_cipher_chosen),
    (PeerMisbehaved::CloseAckForeign, close_ack_of_another_close),
    (PeerMisbehaved::CloseAckUnasked, close_ack_of_nothing),
    (PeerMisbehaved::DhDowngrade, downgrade_of_the_group_list),
    (PeerMisbehaved::DhGroupNotOffered, group_that_r1_did_not_carry),
    (PeerMisbehaved::EchoElsewhere, mobility::echo_from_elsewhere),
    (PeerMisbehaved::EchoForeign, mobility::echo_of_something_else),
    (PeerMisbehaved::EspSuiteNotOffered, esp_suite_that_was_not_offered),
    (PeerMisbehaved::HitMismatch, stolen_hit_in_i2),
    (PeerMisbehaved::HitMismatch, stolen_hit_in_r1),
    (PeerMisbehaved::LocatorIllegal, mobility::multicast_locator),
    (PeerMisbehaved::NotForUs, packet_for_somebody_else),
    (PeerMisbehaved::NotifyUnasked, report_that_nobody_awaits),
    (PeerMisbehaved::OwnHit, reflection),
    (PeerMisbehaved::PublicValue, point_that_is_not_on_the_curve),
    (PeerMisbehaved::PuzzleExpired, puzzle_solved_too_late),
    (PeerMisbehaved::PuzzleForeign, puzzle_made_easier),
    (PeerMisbehaved::PuzzleStale, puzzle_of_a_generation_that_is_gone),
    (PeerMisbehaved::PuzzleUnsolved, puzzle_not_solved),
    (PeerMisbehaved::R1Unasked, r1_that_nobody_asked_for),
    (PeerMisbehaved::R2Unasked, r2_that_nobody_asked_for),
    (PeerMisbehaved::RequestInAnswer, request_inside_an_answer),
    (PeerMisbehaved::RequestOutstanding, second_request_before_the_answer),
    (PeerMisbehaved::SpiForeign, mobility::locator_of_another_sa),
    (PeerMisbehaved::TransportNotOffered, transport_that_was_not_offered),
    (PeerMisbehaved::Unassociated, update_without_association),
    (PeerMisbehaved::UpdateAhead, update_far_ahead),
    (PeerMisbehaved::UpdateOld, update_of_old),
];

#[test]
fn every_broken_rule_is_named() {
    for (rule, attack) in ATTACKS {
        assert_eq!(attack(), Error::PeerMisbehaved(*rule));
    }
    let broken: BTreeSet<_> = ATTACKS.iter().map(|(rule, _)| *rule).collect();
    let rules: BTreeSet<_> = PeerMisbehaved::ALL.iter().copied().collect();
    assert_eq!(broken, rules, "every rule is broken somewhere");
}
