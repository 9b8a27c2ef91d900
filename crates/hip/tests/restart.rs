//! Hosts that are killed and go on with what they have stored.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::time::Duration;

use claviger_hip::{Certificates, HostConfig, iana::PacketType};
use claviger_hip_groups::{Event, RegistrationRequest};
use claviger_identity::Hit;
use claviger_sansio::Time;

use support::*;

/// Kills a side and starts it again on its snapshot, with new randomness.
fn restart(side: &mut Side, config: &HostConfig, peer: &Hit, now: Time, seed: u64) {
    let snapshot = side.host.snapshot(peer);
    let random = Box::new(claviger_crypto::SeededRandom::new(seed));
    side.host = claviger_hip_groups::Host::new(config.clone(), random, now).expect("configuration is usable");
    if let Some(snapshot) = snapshot {
        assert_eq!(side.host.restore(now, snapshot.expose()), Ok(*peer));
    }
}

#[test]
fn an_association_survives_the_restart_of_both_sides() {
    let (member_config, server_config) = (member_config(), server_config());
    let mut pair = Pair::new(member_config.clone(), server_config.clone());
    pair.establish(Some(join(&["one"])));
    let (member, server) = (pair.member.hit(), pair.server.hit());
    let cookies = pair.member.host.registration_sa(&server, GDOI).unwrap().cookies;
    restart(&mut pair.server, &server_config, &member, pair.now, 10);
    restart(&mut pair.member, &member_config, &server, pair.now, 11);
    assert!(pair.keys_agree());
    assert_eq!(pair.member.host.registration_sa(&server, GDOI).unwrap().cookies, cookies);
    pair.member.take_events();
    pair.member.host.request(pair.now, server, join(&["two"])).unwrap();
    pair.run();
    assert!(names(&pair.member.take_events()).contains(&"registered"));
    pair.server.host.revoke(pair.now, member, GDOI, vec![group("two", HOUR)]).unwrap();
    pair.run();
    assert!(names(&pair.member.take_events()).contains(&"revoked"));
    pair.member.host.close(pair.now, server).unwrap();
    pair.run();
    assert!(names(&pair.member.take_events()).contains(&"closed"));
}

/// The server is killed after each packet that it takes or sends, its snapshot stored at the last Event::Changed.
#[test]
fn a_server_killed_at_any_packet_goes_on() {
    for kill_at in 0..24 {
        let config = server_config();
        let mut pair = Pair::new(member_config(), config.clone());
        let member = pair.member.hit();
        let server = pair.server.hit();
        let mut packets = 0;
        let mut kill = |pair: &mut Pair| {
            for _ in 0..6 {
                pair.decide_requests();
                for transmit in pair.member.transmits() {
                    pair.deliver(member, &transmit);
                    packets += 1;
                    if packets == kill_at {
                        restart(&mut pair.server, &config, &member, pair.now, 100 + kill_at);
                    }
                }
                pair.decide_requests();
                for transmit in pair.server.transmits() {
                    packets += 1;
                    if packets == kill_at {
                        // Killed after the write and before the send.
                        restart(&mut pair.server, &config, &member, pair.now, 200 + kill_at);
                    } else {
                        pair.deliver(server, &transmit);
                    }
                }
                pair.now = pair.now + Duration::from_millis(600);
                pair.member.host.handle_timeout(pair.now);
                pair.server.host.handle_timeout(pair.now);
            }
        };
        pair.connect(Some(join(&["one"])));
        for _ in 0..4 {
            kill(&mut pair);
        }
        assert!(pair.is_established() && pair.keys_agree(), "killed at {kill_at}");
        pair.member.take_events();
        pair.member.host.request(pair.now, server, join(&["two"])).unwrap();
        kill(&mut pair);
        kill(&mut pair);
        assert!(names(&pair.member.take_events()).contains(&"registered"), "killed at {kill_at}");
        pair.server.host.revoke(pair.now, member, GDOI, vec![group("one", HOUR)]).unwrap();
        kill(&mut pair);
        kill(&mut pair);
        assert!(names(&pair.member.take_events()).contains(&"revoked"), "killed at {kill_at}");
        pair.member.host.close(pair.now, server).unwrap();
        kill(&mut pair);
        kill(&mut pair);
        assert!(names(&pair.member.take_events()).contains(&"closed"), "killed at {kill_at}");
    }
}

#[test]
fn a_snapshot_is_refused_by_others_and_when_it_is_cut() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
    let member = pair.member.hit();
    let snapshot = pair.server.host.snapshot(&member).unwrap();
    assert!(pair.member.host.restore(START, snapshot.expose()).is_err(), "another identity");
    for length in 0..snapshot.len() {
        assert!(pair.server.host.restore(START, &snapshot.expose()[..length]).is_err(), "cut at {length}");
    }
    let mut later = snapshot.expose().to_vec();
    later[0] = 5;
    assert!(pair.server.host.restore(START, &later).is_err(), "another version");
    assert!(pair.server.host.snapshot(&Hit::NULL).is_none());
}

/// What was sent is sent again, whatever certificates the host shows now; and a peer that is anonymous stays so.
#[test]
fn a_request_with_certificates_and_an_anonymous_peer_survive_restarts() {
    let (mut member_config, server_config) = (member_config(), server_config());
    member_config.anonymous = true;
    member_config.certificates = vec![chain(1, 2, 300)];
    let mut pair = Pair::new(member_config.clone(), server_config.clone());
    pair.establish(Some(join(&["one"])));
    let (member, server) = (pair.member.hit(), pair.server.hit());
    pair.member.host.request(pair.now, server, join(&["two"])).unwrap();
    let request = pair.member.transmits().remove(0).payload;
    member_config.certificates = vec![];
    restart(&mut pair.member, &member_config, &server, pair.now, 12);
    restart(&mut pair.server, &server_config, &member, pair.now, 13);
    pair.take_all_events();
    pair.pass(Duration::from_secs(10), |_, _| true);
    assert_eq!(pair.sent(member, PacketType::UPDATE)[0], request);
    let events = pair.server.take_events();
    let shown = events.iter().find_map(|event| match event {
        Event::RegistrationRequested { certificates, anonymous, .. } => Some((certificates, anonymous)),
        _ => None,
    });
    assert_eq!(shown, Some((&Certificates::Chains(vec![chain(1, 2, 300)]), &true)));
    assert!(pair.server.host.association(&member).unwrap().anonymous);
    assert!(!pair.member.host.association(&server).unwrap().anonymous);
}

/// The server, or the member, is killed after each packet of a move.
#[test]
fn a_move_survives_a_kill_at_any_packet() {
    for server_dies in [true, false] {
        for kill_at in 0..8 {
            let (member_config, server_config) = (member_config(), server_config());
            let mut pair = Pair::new(member_config.clone(), server_config.clone());
            pair.establish(Some(join(&["one"])));
            let (member, server) = (pair.member.hit(), pair.server.hit());
            let away = ([198, 51, 100, 7], 10500).into();
            let from = std::mem::replace(&mut pair.member.address, away);
            pair.member.host.readdress(pair.now, server, from.ip(), away.ip()).unwrap();
            let mut packets = 0;
            for _ in 0..20 {
                for transmit in pair.member.transmits() {
                    pair.deliver(member, &transmit);
                    packets += 1;
                    match (packets == kill_at, server_dies) {
                        (true, true) => restart(&mut pair.server, &server_config, &member, pair.now, 300),
                        (true, false) => restart(&mut pair.member, &member_config, &server, pair.now, 301),
                        _ => {}
                    }
                }
                for transmit in pair.server.transmits() {
                    packets += 1;
                    match (packets == kill_at, server_dies) {
                        (true, true) => restart(&mut pair.server, &server_config, &member, pair.now, 302),
                        _ => pair.deliver(server, &transmit),
                    }
                }
                pair.now = pair.now + Duration::from_millis(600);
                pair.member.host.handle_timeout(pair.now);
                pair.server.host.handle_timeout(pair.now);
            }
            let info = pair.server.host.association(&member).unwrap();
            assert_eq!(info.address, away, "killed at {kill_at}, server {server_dies}");
        }
    }
}

/// What earlier versions of the format held is taken up: the first ends before the peer's locator, the second before the age
/// of the keys, the third before whether the peer is anonymous.
#[test]
fn a_snapshot_of_an_earlier_version_is_read() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    let member = pair.member.hit();
    let snapshot = pair.server.host.snapshot(&member).unwrap().expose().to_vec();
    let cookies = pair.server.host.registration_sa(&member, GDOI).unwrap().cookies;
    // PRK, of SHA-384, stands last; before it "no end of the lifetime" and "not deprecated", the age of the keys, and that
    // they are not being renewed; and that the peer is not anonymous.
    let prk = snapshot.len() - 48;
    let third = prk - 1;
    let second = third - 9;
    let first = second - 2;
    assert_eq!(snapshot[first..second], [0, 0]);
    assert_eq!(snapshot[third - 1..prk], [0, 0]);
    for (version, end) in [(1, first), (2, second), (3, third)] {
        let mut earlier = [&snapshot[..end], &snapshot[prk..]].concat();
        earlier[0] = version;
        assert_eq!(pair.server.host.restore(pair.now, &earlier), Ok(member));
        assert_eq!(pair.server.host.registration_sa(&member, GDOI).unwrap().cookies, cookies);
        assert_eq!(pair.server.host.snapshot(&member).unwrap().expose(), snapshot);
    }
}

/// Something that one of two sides begins.
type Step = fn(&mut Pair);

/// A program that stores whenever it is told to has, after each event, what is needed to go on.
#[test]
fn every_change_of_what_is_stored_is_told() {
    let mut pair = Pair::default_pair();
    let member = pair.member.hit();
    let mut stored: Option<Vec<u8>> = None;
    let mut check = |pair: &mut Pair, what: &str| {
        if names(&pair.server.take_events()).contains(&"changed") {
            stored = pair.server.host.snapshot(&member).map(|snapshot| snapshot.expose().to_vec());
        }
        let now = pair.server.host.snapshot(&member).map(|snapshot| snapshot.expose().to_vec());
        assert!(stored == now, "{what}");
    };
    let steps: [(&str, Step); 7] = [
        ("connect", |pair| pair.connect(Some(join(&["one"])))),
        ("request", |pair| pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap()),
        ("revoke", |pair| {
            pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
        }),
        ("renew", |pair| {
            pair.now = pair.now + Duration::from_secs(2);
            pair.server.host.rekey(pair.now, pair.member.hit()).unwrap();
        }),
        ("move", |pair| {
            let from = std::mem::replace(&mut pair.member.address, ([198, 51, 100, 7], 10500).into());
            let to = pair.member.address.ip();
            pair.member.host.readdress(pair.now, pair.server.hit(), from.ip(), to).unwrap();
        }),
        ("leave", |pair| {
            let leave = RegistrationRequest { reg_type: GDOI, lifetime: Duration::ZERO, items: vec![] };
            pair.member.host.request(pair.now, pair.server.hit(), leave).unwrap();
        }),
        ("close", |pair| pair.member.host.close(pair.now, pair.server.hit()).unwrap()),
    ];
    for (name, step) in steps {
        step(&mut pair);
        check(&mut pair, name);
        for round in 0..8 {
            pair.decide_requests();
            pair.server.events.extend(std::iter::from_fn(|| pair.server.host.poll_event()));
            check(&mut pair, &format!("{name} round {round}"));
            for transmit in pair.member.transmits() {
                pair.deliver(member, &transmit);
                pair.decide_requests();
                check(&mut pair, &format!("{name} round {round}, member's packet"));
            }
            for transmit in pair.server.transmits() {
                pair.deliver(pair.server.hit(), &transmit);
            }
        }
    }
    pair.pass(Duration::from_secs(600), |_, _| true);
    check(&mut pair, "in the end");
}

#[test]
fn an_association_that_is_moved_back_lasts_as_long_as_before() {
    const AHEAD: Duration = Duration::from_secs(48 * 3600);
    let config = server_config();
    let mut pair = Pair::new(member_config(), config.clone());
    pair.now = pair.now + AHEAD;
    pair.establish(Some(join(&["one"])));
    let member = pair.member.hit();
    let before = pair.server.host.association(&member).unwrap();
    let snapshot = pair.server.host.snapshot(&member).unwrap();
    assert_eq!(claviger_hip_groups::Host::snapshot_owner(snapshot.expose()), Ok(pair.server.hit()));
    let ends = |host: &mut claviger_hip_groups::Host, from: Time| {
        let mut minutes = 0;
        while host.association(&member).is_some_and(|association| !association.granted.is_empty()) {
            minutes += 1;
            host.handle_timeout(from + Duration::from_secs(60 * minutes));
        }
        minutes
    };
    let lasts = ends(&mut pair.server.host, pair.now);
    assert!(lasts > 1, "{lasts}");

    let now = pair.now - AHEAD;
    let random = Box::new(claviger_crypto::SeededRandom::new(9));
    let mut host = claviger_hip_groups::Host::new(config, random, now).unwrap();
    host.restore(now, snapshot.expose()).unwrap();
    host.move_back(AHEAD);
    let after = host.association(&member).unwrap();
    assert_eq!(after.established_at, before.established_at.map(|at| at - AHEAD));
    assert_eq!(ends(&mut host, now), lasts);
}

/// Either side is killed after each packet of a renewal of keys. What had begun is begun again.
#[test]
fn a_renewal_survives_a_kill_at_any_packet() {
    for server_begins in [true, false] {
        for server_dies in [true, false] {
            for kill_at in 0..8 {
                let (mut member_config, mut server_config) = (member_config(), server_config());
                let begins = if server_begins { &mut server_config } else { &mut member_config };
                begins.rekey_after = Some(HostConfig::REKEY_AFTER_MIN);
                let mut pair = Pair::new(member_config.clone(), server_config.clone());
                pair.establish(Some(join(&["one"])));
                let (member, server) = (pair.member.hit(), pair.server.hit());
                let before = pair.server.host.registration_sa(&member, GDOI).unwrap().cookies;
                pair.now = pair.now + HostConfig::REKEY_AFTER_MIN;
                let mut packets = 0;
                for _ in 0..20 {
                    pair.member.host.handle_timeout(pair.now);
                    pair.server.host.handle_timeout(pair.now);
                    for transmit in pair.member.transmits() {
                        packets += 1;
                        match (packets == kill_at, server_dies) {
                            (true, false) => restart(&mut pair.member, &member_config, &server, pair.now, 1),
                            _ => pair.deliver(member, &transmit),
                        }
                        if packets == kill_at && server_dies {
                            restart(&mut pair.server, &server_config, &member, pair.now, 2);
                        }
                    }
                    for transmit in pair.server.transmits() {
                        packets += 1;
                        match (packets == kill_at, server_dies) {
                            (true, true) => restart(&mut pair.server, &server_config, &member, pair.now, 3),
                            _ => pair.deliver(server, &transmit),
                        }
                        if packets == kill_at && !server_dies {
                            restart(&mut pair.member, &member_config, &server, pair.now, 4);
                        }
                    }
                    pair.now = pair.now + Duration::from_millis(600);
                }
                let what = format!("server begins {server_begins}, dies {server_dies}, at {kill_at}");
                assert!(pair.keys_agree(), "{what}");
                assert_ne!(
                    pair.server.host.registration_sa(&member, GDOI).unwrap().cookies,
                    before,
                    "{what}"
                );
                assert!(pair.member.host.other_registration(&server, GDOI).is_none(), "{what}");
                assert!(pair.server.host.other_registration(&member, GDOI).is_none(), "{what}");
                pair.member.take_events();
                pair.member.host.request(pair.now, server, join(&["two"])).unwrap();
                pair.run();
                assert!(names(&pair.member.take_events()).contains(&"registered"), "{what}");
            }
        }
    }
}
