//! Loss, crossing calls, replacement, the end, and the rotation of R1.

use super::*;

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
    let again = pair.member.host.connect(pair.now, peer, pair.server.address, Socket::HipUdp, None);
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

/// RFC 7401 section 4.4.3: of two that call each other the one with the smaller HIT becomes Initiator.
#[test]
fn two_that_call_each_other_end_in_one_association() {
    for member_is_greater in [false, true] {
        let mut pair = Pair::ordered(member_is_greater);
        pair.connect(Some(join(&["market"])));
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Socket::HipUdp, None).unwrap();
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

/// RFC 8003 section 4.3: nothing is asked of a peer that has announced nothing.
#[test]
fn a_request_of_one_that_became_responder_waits_for_the_announcement() {
    loop {
        let mut pair = plain_pair();
        if pair.member.hit() < pair.server.hit() {
            continue;
        }
        pair.connect(Some(join(&["market"])));
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Socket::HipUdp, None).unwrap();
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

/// Both I1s were answered before either R1 arrived, so both I2s are under way (RFC 7401 section 6.9 step 5).
#[test]
fn i2s_that_cross_end_in_one_association() {
    for member_is_greater in [false, true] {
        let mut pair = Pair::ordered(member_is_greater);
        pair.connect(None);
        let from_member = pair.member.transmits();
        pair.deliver(pair.member.hit(), &from_member[0]);
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Socket::HipUdp, None).unwrap();
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
    pair.establish(Some(RegistrationRequest { reg_type: GDOI, lifetime: 12 * HOUR, items: vec![] }));
    pair.pass(Duration::from_secs(3600), |_, _| true);
    assert!(pair.keys_agree());
}

/// RFC 7401 section 4.1.4: R1s are made anew, and those before are accepted for as long again.
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
    let host =
        claviger_hip_groups::Host::new(config, Box::new(claviger_crypto::SeededRandom::new(3)), now).unwrap();
    pair.server.host = host;
    pair.member.host.close(now, pair.server.hit()).unwrap();
    pair.pass(Duration::from_secs(60), |_, _| false);
    assert!(counter(&mut pair) > before);
}

/// A pair whose server sets puzzles of a difficulty.
fn pair_with_puzzles(k: u8) -> Pair {
    let mut server = server_config();
    server.services.clear();
    server.puzzle_difficulty = k;
    Pair::new(member_config(), server)
}

#[test]
fn a_hard_puzzle_is_solved_piece_by_piece() {
    let mut pair = pair_with_puzzles(16);
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

/// RFC 7401 section 6.8 step 12: the search ends with the puzzle's lifetime.
#[test]
fn a_puzzle_is_given_up_when_its_lifetime_is_over() {
    let mut pair = pair_with_puzzles(24);
    pair.connect(None);
    pair.run();
    pair.now = pair.now + Duration::from_secs(65);
    pair.member.host.handle_timeout(pair.now);
    let events = pair.member.take_events();
    let too_hard = FailReason::Limit(LimitError::Puzzle);
    assert!(matches!(events[..], [Event::Failed { reason, .. }] if reason == too_hard), "{events:?}");
}
