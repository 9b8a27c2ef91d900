//! The keys of an association are renewed by UPDATE with DIFFIE_HELLMAN.

use super::*;
use claviger_hip::iana::ParameterType;

/// Longer than the pause between two renewals.
const MOMENT: Duration = Duration::from_secs(2);

/// The keys of both sides, as the cookies of their registration.
fn cookies(pair: &Pair) -> [u8; 16] {
    assert!(pair.keys_agree());
    pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap().cookies.0
}

/// Whether either side holds two sets of keys.
fn between_keys(pair: &Pair) -> bool {
    let (member, server) = (pair.member.hit(), pair.server.hit());
    pair.member.host.other_registration(&server, GDOI).is_some()
        || pair.server.host.other_registration(&member, GDOI).is_some()
}

fn registered_pair(pair: Pair) -> Pair {
    let mut pair = pair;
    pair.establish(Some(join(&["one"])));
    pair.pass(MOMENT, |_, _| true);
    pair.member.take_events();
    pair.server.take_events();
    pair.log.clear();
    pair
}

/// Begins a renewal at one side.
fn rekey(pair: &mut Pair, by_server: bool) {
    let (member, server) = (pair.member.hit(), pair.server.hit());
    let (side, peer) = if by_server { (&mut pair.server, member) } else { (&mut pair.member, server) };
    side.host.rekey(pair.now, peer).unwrap();
}

/// Registers, withdraws and closes: the keys in force protect all of it.
fn assert_usable(pair: &mut Pair, what: &str) {
    pair.member.take_events();
    pair.server.take_events();
    pair.member.host.request(pair.now, pair.server.hit(), join(&["later"])).unwrap();
    pair.pass(MOMENT, |_, _| true);
    assert!(told(&mut pair.member, "registered"), "{what}");
    let (now, member) = (pair.now, pair.member.hit());
    pair.server.host.revoke(now, member, GDOI, vec![group("later", HOUR)]).unwrap();
    pair.pass(MOMENT, |_, _| true);
    assert!(told(&mut pair.member, "revoked"), "{what}");
    assert!(told(&mut pair.server, "revoke_acknowledged"), "{what}");
}

#[test]
fn either_side_renews_the_keys() {
    for by_server in [true, false] {
        let mut pair = registered_pair(Pair::default_pair());
        let before = cookies(&pair);
        // UPDATE { SEQ, DIFFIE_HELLMAN } -->  <-- UPDATE { ACK, DIFFIE_HELLMAN }  UPDATE { SEQ } -->  <-- UPDATE { ACK }
        rekey(&mut pair, by_server);
        pair.run();
        assert_eq!(pair.log.len(), 4);
        let stands = |position: usize, parameter| {
            let packet = Packet::parse(&pair.log[position].1).unwrap();
            packet.parameters().raw(parameter).is_some()
        };
        use ParameterType as P;
        let forms: Vec<_> =
            (0..4).map(|position| [P::SEQ, P::ACK, P::DIFFIE_HELLMAN].map(|p| stands(position, p))).collect();
        let expected = [[true, false, true], [false, true, true], [true, false, false], [false, true, false]];
        assert_eq!(forms, expected);
        assert_ne!(cookies(&pair), before);
        assert!(!between_keys(&pair));
        for side in [&mut pair.member, &mut pair.server] {
            let events: Vec<_> =
                names(&side.take_events()).into_iter().filter(|name| *name != "changed").collect();
            assert_eq!(events, ["rekeying", "rekeyed"]);
        }
        let keyed_at = |side: &Side, peer| side.host.association(&peer).unwrap().keyed_at;
        assert_eq!(keyed_at(&pair.member, pair.server.hit()), Some(pair.now));
        assert_eq!(keyed_at(&pair.server, pair.member.hit()), Some(pair.now));
        assert_usable(&mut pair, "renewed");
    }
}

#[test]
fn keys_are_renewed_within_the_time_of_policy_and_again() {
    let mut server = server_config();
    server.rekey_after = Some(HOUR);
    let mut pair = registered_pair(Pair::new(member_config(), server));
    pair.decide = Some(|request| RegistrationAnswer { granted: Some(24 * HOUR), ..grant(request) });
    for _ in 0..3 {
        let before = cookies(&pair);
        let request =
            RegistrationRequest { lifetime: 4 * HOUR, items: vec![group("one", 4 * HOUR)], ..join(&[]) };
        pair.member.host.request(pair.now, pair.server.hit(), request).unwrap();
        pair.run();
        let from = pair.server.host.association(&pair.member.hit()).unwrap().keyed_at.unwrap();
        pair.pass((from + HOUR * 7 / 8 - MOMENT).since(pair.now), |_, _| true);
        assert_eq!(cookies(&pair), before);
        pair.pass((from + HOUR).since(pair.now), |_, _| true);
        assert_ne!(cookies(&pair), before);
    }
}

#[test]
fn renewals_that_cross_come_to_one_set_of_keys() {
    for member_is_greater in [true, false] {
        let mut pair = registered_pair(Pair::ordered(member_is_greater));
        let before = cookies(&pair);
        rekey(&mut pair, true);
        rekey(&mut pair, false);
        pair.pass(MOMENT, |_, _| true);
        assert_ne!(cookies(&pair), before);
        assert!(!between_keys(&pair));
        // Of the seven packets two begin; the greater HIT leaves the other's unanswered.
        let values = |pair: &Pair, sender| {
            let holds = |octets: &Vec<u8>| {
                let packet = Packet::parse(octets).unwrap();
                packet.parameters().raw(ParameterType::DIFFIE_HELLMAN).is_some()
            };
            pair.sent(sender, PacketType::UPDATE).iter().filter(|octets| holds(octets)).count()
        };
        let (greater, lesser) = if member_is_greater {
            (pair.member.hit(), pair.server.hit())
        } else {
            (pair.server.hit(), pair.member.hit())
        };
        assert_eq!((values(&pair, greater), values(&pair, lesser)), (1, 2));
        assert_usable(&mut pair, "crossed");
    }
}

#[test]
fn every_packet_of_a_renewal_may_be_lost_once() {
    for by_server in [true, false] {
        for lost in 0..4 {
            let mut pair = registered_pair(Pair::default_pair());
            let before = cookies(&pair);
            rekey(&mut pair, by_server);
            let mut number = 0;
            pair.pass(Duration::from_secs(5), |_, _| {
                number += 1;
                number != lost + 1
            });
            assert_ne!(cookies(&pair), before, "{lost}");
            assert!(!between_keys(&pair), "{lost}");
            assert_usable(&mut pair, "lost once");
        }
    }
}

#[test]
fn every_packet_of_a_renewal_may_come_twice() {
    let mut pair = registered_pair(Pair::default_pair());
    let before = cookies(&pair);
    rekey(&mut pair, true);
    for _ in 0..4 {
        for transmit in pair.server.transmits() {
            pair.deliver(pair.server.hit(), &transmit);
            pair.deliver(pair.server.hit(), &transmit);
        }
        for transmit in pair.member.transmits() {
            pair.deliver(pair.member.hit(), &transmit);
            pair.deliver(pair.member.hit(), &transmit);
        }
    }
    assert_ne!(cookies(&pair), before);
    assert_usable(&mut pair, "twice");
}

/// What one side has asked before does not wait for the renewal, and what was outstanding is answered under the new keys,
/// whichever packets are lost.
#[test]
fn a_request_under_way_survives_a_renewal() {
    for by_server in [true, false] {
        for lost in 0..10 {
            for seed in 0..3 {
                let mut pair = registered_pair(Pair::default_pair());
                let (member, server, before) = (pair.member.hit(), pair.server.hit(), cookies(&pair));
                match seed {
                    0 => pair.member.host.request(pair.now, server, join(&["two"])).unwrap(),
                    1 => rekey(&mut pair, by_server),
                    _ => {
                        let withdrawn = vec![group("one", HOUR)];
                        pair.server.host.revoke(pair.now, member, GDOI, withdrawn).unwrap();
                    }
                }
                match seed {
                    1 => pair.member.host.request(pair.now, server, join(&["two"])).unwrap(),
                    _ => rekey(&mut pair, by_server),
                }
                let mut number = 0;
                pair.pass(Duration::from_secs(20), |_, _| {
                    number += 1;
                    number != lost + 1 && number != lost + 3
                });
                let what = format!("by server {by_server}, lost {lost}, {seed}");
                assert_ne!(cookies(&pair), before, "{what}");
                let events = names(&pair.member.take_events());
                assert!(events.contains(&if seed == 2 { "revoked" } else { "registered" }), "{what}");
                assert!(!told(&mut pair.server, "lost") && !events.contains(&"lost"), "{what}");
                assert_usable(&mut pair, &what);
            }
        }
    }
}

/// A host that knows no renewal acknowledges what it does not understand, or drops it.
#[test]
fn a_peer_that_refuses_or_ignores_a_renewal_keeps_its_association() {
    for ignores in [true, false] {
        let mut server = server_config();
        server.rekey_after = Some(HOUR / 2);
        let mut pair = Pair::new(member_config(), server);
        let session =
            support::forge::I2::prepare(&mut pair, identity(KeyAlgorithm::EcdsaP256)).establish(&mut pair);
        let hit = session.identity.hit();
        let before = pair.server.host.registration_sa(&hit, GDOI).unwrap().cookies;
        let mut asked = 0;
        let mut last = None;
        let mut end = pair.now + HOUR / 2;
        while let Some(next) = pair.server.host.poll_timeout().filter(|next| *next < end) {
            pair.now = next;
            pair.server.host.handle_timeout(pair.now);
            for transmit in pair.server.transmits() {
                let update = Packet::parse(&transmit.payload).unwrap();
                assert!(update.parameters().raw(ParameterType::DIFFIE_HELLMAN).is_some());
                asked += 1;
                // An eighth of the time of policy passes before it is asked again.
                end = pair.now + HOUR / 16;
                let claviger_hip::wire::Seq(id) = update.one().unwrap();
                last = Some(id);
                if !ignores {
                    let ack = session.packet(PacketType::UPDATE, |builder| {
                        builder.add(&claviger_hip::wire::Ack(vec![id]));
                    });
                    pair.server_hears(&ack).unwrap();
                }
            }
        }
        assert_eq!((asked, last), if ignores { (7, Some(0)) } else { (1, Some(0)) });
        assert_eq!(pair.server.host.registration_sa(&hit, GDOI).unwrap().cookies, before);
        let update = session.packet(PacketType::UPDATE, |builder| {
            builder.add(&claviger_hip::wire::Seq(0));
        });
        pair.server_hears(&update).unwrap();
        assert_eq!(pair.server.transmits().len(), 1, "it is acknowledged");
    }
}

/// Whoever took a host's memory or store before the renewal, and has the packets, can follow it no further.
#[test]
fn the_old_keys_open_nothing_after_a_renewal() {
    let config = server_config();
    let mut pair = registered_pair(Pair::new(member_config(), config.clone()));
    let member = pair.member.hit();
    let stolen = pair.server.host.snapshot(&member).unwrap();
    rekey(&mut pair, true);
    pair.run();
    pair.member.host.request(pair.now, pair.server.hit(), join(&["secret"])).unwrap();
    let request = pair.member.transmits().remove(0).payload;
    let restore = |snapshot: &[u8]| {
        let random = Box::new(claviger_crypto::SeededRandom::new(9));
        let mut host = claviger_hip_groups::Host::new(config.clone(), random, pair.now).unwrap();
        host.restore(pair.now, snapshot).unwrap();
        host
    };
    let hear = |mut host: claviger_hip_groups::Host, octets: &[u8]| {
        let datagram = claviger_sansio::Datagram {
            socket: Socket::HipUdp,
            source: pair.member.address,
            destination: pair.server.address,
            payload: octets,
        };
        host.handle_datagram(pair.now, datagram)
    };
    let mac = Err(claviger_hip::AuthError::Mac.into());
    assert_eq!(hear(restore(stolen.expose()), &request), mac);
    let now = pair.server.host.snapshot(&member).unwrap();
    assert_eq!(hear(restore(now.expose()), &request), Ok(()));
    // Nor is the old PRK, which stands last, anywhere in what is stored now.
    let old = &stolen.expose()[stolen.len() - 48..];
    assert!(!now.expose().windows(old.len()).any(|window| window == old));
    // And what was under the old keys is nothing to either side any more.
    let late = pair.log.iter().find(|(sender, _)| *sender == pair.server.hit()).unwrap().1.clone();
    assert_eq!(pair.member_hears(&late), mac);
}

#[test]
fn keys_beside_esp_are_not_renewed() {
    let esp = |mut config: HostConfig| {
        config.transport = TransportFormats::Esp(vec![EspSuite::AES_GCM_16]);
        config
    };
    let mut pair = Pair::new(esp(member_config()), esp(server_config()));
    pair.establish(None);
    let server = pair.server.hit();
    assert_eq!(pair.member.host.rekey(pair.now, server), Err(ApiMisuse::EspAgreed));
    let mut pair = registered_pair(Pair::default_pair());
    rekey(&mut pair, false);
    let server = pair.server.hit();
    assert_eq!(pair.member.host.rekey(pair.now, server), Err(ApiMisuse::ExchangeRunning));
}

/// What is done when nothing more is heard of the peer in the middle: before it is known which keys the peer has the
/// association goes on, and afterwards it is lost.
#[test]
fn a_renewal_that_is_never_confirmed_ends_the_association() {
    let mut pair = registered_pair(Pair::default_pair());
    let (member, server, before) = (pair.member.hit(), pair.server.hit(), cookies(&pair));
    rekey(&mut pair, true);
    pair.pass(Duration::from_secs(60), |sender, _| sender == server);
    assert!(!told(&mut pair.server, "lost"));
    let sa = pair.server.host.registration_sa(&member, GDOI).unwrap();
    assert_eq!(sa.cookies.0, before, "unanswered, the server goes on under the old keys");
    assert_usable(&mut pair, "unanswered");

    rekey(&mut pair, true);
    let mut answered = false;
    pair.pass(Duration::from_secs(60), |sender, _| {
        sender == server || !std::mem::replace(&mut answered, true)
    });
    assert!(told(&mut pair.server, "lost"));
}

/// A request that does not arrive before the keys are new is repeated under them: the peer knows no others any more.
#[test]
fn a_request_that_was_lost_until_the_renewal_is_through_is_repeated_under_the_new_keys() {
    let mut pair = registered_pair(Pair::default_pair());
    let (server, before) = (pair.server.hit(), cookies(&pair));
    pair.member.host.request(pair.now, server, join(&["two"])).unwrap();
    rekey(&mut pair, true);
    pair.run_with(|_, octets| {
        let packet = Packet::parse(octets).unwrap();
        packet.parameters().raw(ParameterType::REG_REQUEST).is_none()
    });
    assert_ne!(cookies(&pair), before);
    assert!(!told(&mut pair.member, "registered"));
    pair.pass(MOMENT, |_, _| true);
    assert!(told(&mut pair.member, "registered"));
    assert_usable(&mut pair, "repeated");
}
