//! Stolen identities, weak associations and forged content.

use super::*;

#[test]
fn a_thief_of_a_host_id_cannot_sign_for_it() {
    let mut pair = Pair::default_pair();
    let victim = attacker();
    let mut i2 = I2::prepare(&mut pair, victim);
    i2.identity = attacker();
    assert_eq!(pair.server_hears(&i2.build()), Err(AuthError::Signature.into()));
    assert_eq!(pair.server.host.associations().count(), 0);
    let notify = pair.server.transmits().remove(0).payload;
    let notification: Notification = Packet::parse(&notify).unwrap().one().unwrap();
    assert_eq!(notification.notify_type, NotifyType::AUTHENTICATION_FAILED);
}

/// A signature alone is no proof of the shared key, in whatever packet it stands.
#[test]
fn a_right_signature_beside_a_wrong_mac_is_refused() {
    let wrong: Error = AuthError::Mac.into();
    let (mut pair, session) = forged();
    let (_, elsewhere) = forged();
    let session = Session { keymat: elsewhere.keymat, ..session };
    let update = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0));
    });
    let close = session.packet(PacketType::CLOSE, |builder| {
        builder.add(&EchoRequestSigned(vec![1; 16]));
    });
    assert_eq!(pair.server_hears(&update), Err(wrong));
    assert_eq!(pair.server_hears(&close), Err(wrong));
    pair.server.host.close(pair.now, session.identity.hit()).unwrap();
    let ours = pair.server.transmits().pop().unwrap().payload;
    let EchoRequestSigned(echo) = Packet::parse(&ours).unwrap().one().unwrap();
    let ack = session.packet(PacketType::CLOSE_ACK, |builder| {
        builder.add(&EchoResponseSigned(echo));
    });
    assert_eq!(pair.server_hears(&ack), Err(wrong));

    let mut pair = Pair::default_pair();
    let mut i2 = I2::prepare(&mut pair, attacker());
    i2.mac_keymat = Some(session.keymat.clone());
    assert_eq!(pair.server_hears(&i2.build()), Err(wrong));

    let mut pair = Pair::default_pair();
    pair.connect(None);
    pair.run_with(|_, octets| octets[2] != PacketType::I2.0);
    let identity = pair.server_identity.clone();
    let prf = provider().prf(session.keymat.rhash()).unwrap();
    let mut builder = PacketBuilder::new(PacketType::R2, pair.server.hit(), pair.member.hit());
    builder.mac_2(prf, &session.keymat.outgoing().integrity, identity.host_id()).sign(&identity).unwrap();
    assert_eq!(pair.member_hears(&builder.finish().unwrap()), Err(wrong));
    assert!(!pair.is_established());
}

#[test]
fn errors_behind_a_solved_puzzle_are_reported_by_their_names() {
    let report = |change: &dyn Fn(&mut I2)| {
        let mut pair = Pair::default_pair();
        let mut i2 = I2::prepare(&mut pair, attacker());
        change(&mut i2);
        pair.server_hears(&i2.build()).unwrap_err();
        let notify = pair.server.transmits().pop()?.payload;
        let packet = Packet::parse(&notify).unwrap();
        packet.verify_signature(permit(), provider(), &server_host_id(&pair)).unwrap();
        Some(packet.one::<Notification>().unwrap().notify_type)
    };
    let two = vec![CipherId::AES_256_CBC, CipherId::AES_128_CBC];
    assert_eq!(report(&|i2| i2.ciphers = two.clone()), Some(NotifyType::INVALID_HIP_CIPHER_CHOSEN));
    assert_eq!(report(&|i2| i2.group = DhGroup::NIST_P521), Some(NotifyType::INVALID_DH_CHOSEN));
    assert_eq!(report(&|i2| i2.host_id = attacker().host_id().clone()), Some(NotifyType::INVALID_HIT));
    // RFC 7401 section 5.3.2: a bad public value is aborted silently.
    assert_eq!(report(&|i2| i2.public_value = Some(vec![0; 64])), None);
}

fn server_host_id(pair: &Pair) -> claviger_identity::HostId {
    pair.server_identity.host_id().clone()
}

#[test]
fn groups_in_the_open_or_too_many_or_contradictory_are_refused() {
    let refused = |change: fn(&mut I2)| i2_with(|_| {}, change);
    assert_eq!(
        refused(|i2| i2.open_channels = true),
        Error::Decode(DecodeError::Unexpected { what: "MCAST_CHANNEL" })
    );
    assert_eq!(
        refused(|i2| i2.channels = (0..33).map(|number| group(&number.to_string(), HOUR)).collect()),
        Error::Decode(DecodeError::TooMany { what: "MCAST_CHANNEL", limit: 32 })
    );
    assert_eq!(
        refused(|i2| i2.channels = vec![group("one", HOUR), group("one", HOUR)]),
        Error::Decode(DecodeError::Unexpected { what: "MCAST_CHANNEL" })
    );
    assert_eq!(refused(|i2| i2.channels[0].reg_type = GCKS_MIKEY), PeerMisbehaved::ItemTypeForeign.into());
    assert_eq!(
        refused(|i2| i2.requests = vec![reg_request(GDOI), reg_request(GDOI)]),
        Error::Decode(DecodeError::Unexpected { what: "repeated Reg Type" })
    );
}

/// RFC 7401 section 5.3.3: the Initiator's HOST_ID may be open.
#[test]
fn an_open_host_id_of_a_generic_host_is_accepted() {
    let mut pair = Pair::default_pair();
    let mut i2 = I2::prepare(&mut pair, attacker());
    i2.open_host_id = true;
    i2.channels.clear();
    i2.requests.clear();
    i2.establish(&mut pair);
    assert_eq!(names(&pair.server.take_events()), ["established"]);
}

#[test]
fn a_server_grants_nothing_on_a_weak_association() {
    let mut config = server_config();
    config.ciphers = vec![CipherId::AES_256_CBC, CipherId::NULL_ENCRYPT];
    let mut pair = Pair::new(member_config(), config);
    let mut i2 = I2::prepare(&mut pair, attacker());
    i2.ciphers = vec![CipherId::NULL_ENCRYPT];
    let member = i2.sender;
    let session = i2.establish(&mut pair);
    let r2 = Packet::parse(&session.r2).unwrap();
    assert_eq!(r2.find::<RegResponse>(), Ok(None));
    assert_eq!(r2.one::<RegFailed>().unwrap().failure, RegFailure::TYPE_UNAVAILABLE);
    assert_eq!(names(&pair.server.take_events()), ["established"], "the program is not even asked");
    assert!(pair.server.host.registration_sa(&member, GDOI).is_none());
}

#[test]
fn several_services_in_one_request_are_answered_together() {
    let mut config = server_config();
    config.services = vec![GDOI, GCKS_MIKEY];
    let mut pair = Pair::new(member_config(), config);
    let mut i2 = I2::prepare(&mut pair, attacker());
    i2.requests[0].types = vec![GDOI, GCKS_GSAKMP, GCKS_MIKEY];
    let session = i2.establish(&mut pair);
    let r2 = Packet::parse(&session.r2).unwrap();
    assert_eq!(r2.one::<RegResponse>().unwrap().types, [GDOI, GCKS_MIKEY]);
    assert_eq!(r2.one::<RegFailed>().unwrap().types, [GCKS_GSAKMP]);
    let events = pair.server.take_events();
    assert_eq!(names(&events), ["requested", "requested", "established", "changed"]);
}

#[test]
fn a_repeated_update_gets_the_stored_answer() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.run();
    pair.server.take_events();
    let request = pair.sent(pair.member.hit(), PacketType::UPDATE).remove(0);
    let answer = pair.sent(pair.server.hit(), PacketType::UPDATE).remove(0);
    let before = fingerprint(&pair.server, &pair.member.hit());
    for _ in 0..3 {
        pair.server_hears(&request).unwrap();
        assert_eq!(pair.server.transmits().remove(0).payload, answer);
    }
    assert!(pair.server.take_events().is_empty());
    // The server's answer again: the member repeats its acknowledgement.
    let acknowledgement = pair.sent(pair.member.hit(), PacketType::UPDATE).remove(1);
    pair.member.take_events();
    pair.member_hears(&answer).unwrap();
    assert_eq!(pair.member.transmits().remove(0).payload, acknowledgement);
    assert!(pair.member.take_events().is_empty());
    let after = fingerprint(&pair.server, &pair.member.hit());
    assert_eq!((after.0, after.2), (before.0, before.2));
}

#[test]
fn a_replayed_close_gets_its_close_ack_and_one_of_an_earlier_association_nothing() {
    let mut pair = Pair::default_pair();
    pair.establish(None);
    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
    pair.run();
    let close = pair.sent(pair.member.hit(), PacketType::CLOSE).remove(0);
    let ack = pair.sent(pair.server.hit(), PacketType::CLOSE_ACK).remove(0);
    pair.server.take_events();
    pair.server_hears(&close).unwrap();
    assert_eq!(pair.server.transmits().remove(0).payload, ack);
    assert!(pair.server.take_events().is_empty());
    // A new association does not fall to the old CLOSE.
    pair.establish(Some(join(&["one"])));
    pair.server.take_events();
    assert_eq!(pair.server_hears(&close), Err(AuthError::Mac.into()));
    assert!(pair.server.take_events().is_empty());
    assert!(pair.keys_agree());
}

#[test]
fn an_old_r1_does_not_disturb_a_running_exchange() {
    let mut pair = Pair::default_pair();
    pair.connect(None);
    pair.run_with(|_, octets| octets[2] != PacketType::I2.0);
    let r1 = pair.sent(pair.server.hit(), PacketType::R1).remove(0);
    assert_eq!(pair.member_hears(&r1), Err(PeerMisbehaved::R1Unasked.into()));
    assert!(pair.member.transmits().is_empty());
    pair.pass(Duration::from_secs(5), |_, _| true);
    assert!(pair.is_established());
}

/// A later generation is tried at once, but not for ever.
#[test]
fn newer_r1s_restart_an_exchange_a_bounded_number_of_times() {
    let server = attacker();
    let mut pair = Pair::default_pair();
    let address = pair.server.address;
    pair.member.host.connect(pair.now, server.hit(), address, Socket::HipUdp, None).unwrap();
    pair.member.transmits();
    let mut r1 = R1::prepare(server);
    let mut restarts = 0;
    loop {
        r1.counter += 1;
        match pair.member_hears(&r1.build(pair.member.hit())) {
            Ok(()) => restarts += 1,
            Err(error) => {
                assert_eq!(error, LimitError::BaseExchangeRestarts.into());
                break;
            }
        }
        assert!(restarts < 20);
    }
    assert_eq!(restarts, 9, "the first R1 and eight restarts");
}

#[test]
fn a_signed_r1_with_a_bad_public_value_or_puzzle_ends_the_exchange_or_is_dropped() {
    let server = attacker();
    let call = |change: &dyn Fn(&mut R1)| {
        let mut pair = Pair::default_pair();
        let address = pair.server.address;
        pair.member.host.connect(pair.now, server.hit(), address, Socket::HipUdp, None).unwrap();
        pair.member.transmits();
        let mut r1 = R1::prepare(server.clone());
        change(&mut r1);
        let result = pair.member_hears(&r1.build(pair.member.hit()));
        assert!(
            pair.member.transmits().iter().all(|sent| sent.payload[2] != PacketType::I2.0) || result.is_ok()
        );
        (result, pair.member.take_events())
    };
    let (result, events) = call(&|r1| r1.value.public_value = vec![3; 64]);
    assert_eq!(result, Ok(()));
    let bad_value = FailReason::Misbehaved(PeerMisbehaved::PublicValue);
    assert!(matches!(events[..], [Event::Failed { reason, .. }] if reason == bad_value), "{events:?}");
    let (result, events) = call(&|r1| r1.i_len = 20);
    assert_eq!(result, Err(Error::Decode(DecodeError::Length { field: "#I" })));
    assert!(events.is_empty());
    let (result, _) = call(&|r1| r1.k = 25);
    assert_eq!(result, Err(LimitError::Puzzle.into()));
    let (result, _) = call(&|r1| r1.ciphers = vec![CipherId::NULL_ENCRYPT]);
    assert_eq!(result, Err(PeerIncompatible::Cipher.into()));
    let (result, _) = call(&|r1| r1.groups = vec![DhGroup::SECP160R1]);
    assert_eq!(result, Err(PeerIncompatible::DhGroup.into()));
    let (result, _) = call(&|_| {});
    assert_eq!(result, Ok(()));
}

/// Anybody can replay an R1 of the time when the server had no service: a better one within the next timeout counts.
#[test]
fn a_replayed_r1_without_the_service_does_not_end_the_exchange_at_once() {
    let server = attacker();
    let mut pair = Pair::default_pair();
    let address = pair.server.address;
    let request = Some(join(&["one"]));
    pair.member.host.connect(pair.now, server.hit(), address, Socket::HipUdp, request).unwrap();
    pair.member.transmits();
    let mut r1 = R1::prepare(server);
    let result = pair.member_hears(&r1.build(pair.member.hit()));
    assert_eq!(result, Err(PeerIncompatible::Service.into()));
    assert!(pair.member.take_events().is_empty());
    let (min, max) = (Lifetime(1), Lifetime::MAX);
    r1.services = Some(RegInfo { lifetime_min: min, lifetime_max: max, types: vec![GDOI] });
    pair.member_hears(&r1.build(pair.member.hit())).unwrap();
    assert_eq!(pair.member.transmits().remove(0).payload[2], PacketType::I2.0);
}

#[test]
fn a_forged_notify_is_refused_and_a_genuine_one_changes_nothing() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.member.transmits();
    pair.member.take_events();
    let notify = |identity: &HostIdentity| {
        let mut builder = PacketBuilder::new(PacketType::NOTIFY, pair.server.hit(), pair.member.hit());
        builder.add(&Notification::new(NotifyType::BLOCKED_BY_POLICY)).sign(identity).unwrap();
        builder.finish().unwrap()
    };
    let (forged, genuine) = (notify(&attacker()), notify(&pair.server_identity));
    let before = fingerprint(&pair.member, &pair.server.hit());
    assert_eq!(pair.member_hears(&forged), Err(AuthError::Signature.into()));
    assert!(pair.member.take_events().is_empty());
    assert_eq!(pair.member_hears(&genuine), Ok(()));
    assert_eq!(names(&pair.member.take_events()), ["notified"]);
    assert_eq!(fingerprint(&pair.member, &pair.server.hit()), before);
}

#[test]
fn middleboxes_may_append_echo_requests() {
    let mut pair = Pair::default_pair();
    pair.connect(None);
    pair.run_with(|_, octets| octets[2] != PacketType::R1.0);
    let mut r1 = pair.sent(pair.server.hit(), PacketType::R1).remove(0);
    let mut block = ParameterBlock::new();
    block.add(&EchoRequestUnsigned(b"seen".to_vec()));
    r1.extend_from_slice(block.octets().unwrap());
    r1[1] = (r1.len() / 8 - 1) as u8;
    pair.member_hears(&r1).unwrap();
    pair.run();
    assert!(pair.is_established());
    let i2 = pair.sent(pair.member.hit(), PacketType::I2).remove(0);
    let echo: claviger_hip::wire::EchoResponseUnsigned = Packet::parse(&i2).unwrap().one().unwrap();
    assert_eq!(echo.0, b"seen");
}

#[test]
fn echo_requests_under_signature_are_answered() {
    let (mut pair, session) = forged();
    let update = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0)).add(&EchoRequestSigned(b"are you there".to_vec()));
    });
    pair.server_hears(&update).unwrap();
    let answer = pair.server.transmits().remove(0).payload;
    let packet = Packet::parse(&answer).unwrap();
    assert_eq!(packet.one::<EchoResponseSigned>().unwrap().0, b"are you there");
    assert_eq!(packet.one::<Ack>().unwrap().0, [0]);
}

#[test]
fn a_registrar_cannot_grant_or_withdraw_what_was_not_asked_of_it() {
    // The forged peer plays the registrar of a host that has asked for one group by UPDATE.
    let mut pair = Pair::default_pair();
    let mut i2 = I2::prepare(&mut pair, attacker());
    i2.requests.clear();
    i2.channels.clear();
    let session = i2.establish(&mut pair);
    let peer = session.identity.hit();
    pair.server.host.request(pair.now, peer, join(&["one"])).unwrap();
    let request = pair.server.transmits().remove(0).payload;
    let id = Packet::parse(&request).unwrap().one::<Seq>().unwrap().0;
    pair.server.take_events();
    let before = fingerprint(&pair.server, &peer);
    let granted = || RegResponse { lifetime: Lifetime::at_most(HOUR), types: vec![GDOI] };
    let wrong: [&dyn Fn(&mut PacketBuilder); 4] = [
        &|builder| {
            builder.add(&session.encrypt(&[group("two", HOUR)])).add(&granted());
        },
        &|builder| {
            builder.add(&RegResponse { types: vec![GCKS_MIKEY], ..granted() });
        },
        &|builder| {
            builder.add(&RegFailed { failure: RegFailure(0), types: vec![GCKS_MIKEY] });
        },
        &|builder| {
            builder.add(&granted()).add(&RegFailed { failure: RegFailure(0), types: vec![GDOI] });
        },
    ];
    for (number, fill) in wrong.into_iter().enumerate() {
        let answer = session.packet(PacketType::UPDATE, |builder| {
            builder.add(&Seq(0)).add(&Ack(vec![id]));
            fill(builder);
        });
        assert!(pair.server_hears(&answer).is_err(), "answer {number}");
        assert_eq!(fingerprint(&pair.server, &peer), before, "answer {number}");
        assert!(pair.server.take_events().is_empty());
    }
    let answer = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0)).add(&Ack(vec![id]));
        builder.add(&session.encrypt(&[group("one", HOUR)])).add(&granted());
    });
    pair.server_hears(&answer).unwrap();
    assert!(told(&mut pair.server, "registered"));
    assert!(pair.server.host.registration_sa(&peer, GDOI).is_some());
}

#[test]
fn a_peer_that_only_acknowledges_a_request_has_granted_nothing() {
    let mut pair = Pair::default_pair();
    let session = I2::prepare(&mut pair, attacker()).establish(&mut pair);
    let peer = session.identity.hit();
    pair.server.take_events();
    pair.server.host.request(pair.now, peer, join(&["one"])).unwrap();
    pair.server.transmits();
    let ack = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Ack(vec![0]));
    });
    pair.server_hears(&ack).unwrap();
    let events = pair.server.take_events();
    let Some(Event::Registered { answer, .. }) =
        events.iter().find(|e| matches!(e, Event::Registered { .. }))
    else {
        panic!("{events:?}")
    };
    assert_eq!((answer.granted, answer.failure), (None, None));
}
