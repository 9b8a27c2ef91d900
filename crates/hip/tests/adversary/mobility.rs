//! Moves that are not made, or should not be.

use std::net::SocketAddr;

use claviger_hip::{
    iana::{LocatorType, TrafficType},
    wire::{EspInfo, Locator, LocatorSet, LocatorValue, checksum},
};
use claviger_sansio::Datagram;
use claviger_wire::Encode;

use super::*;

/// Where the attacker, who is a member in good standing, really is.
const OWN: ([u8; 4], u16) = ([192, 0, 2, 1], 10500);

/// Where somebody is who has nothing to do with it.
const VICTIM: ([u8; 4], u16) = ([203, 0, 113, 80], 10500);

/// Where the attacker can be as well.
const ELSEWHERE: ([u8; 4], u16) = ([198, 51, 100, 7], 10500);

fn locator(address: [u8; 4]) -> Locator {
    Locator::only(LocatorValue::Address(address.into()))
}

fn announcement(session: &Session, seq: u32, locators: Vec<Locator>) -> Vec<u8> {
    session.packet(PacketType::UPDATE, |builder| {
        builder.add(&LocatorSet(locators)).add(&Seq(seq));
    })
}

/// Hands the server a packet on IP protocol 139.
fn hear_raw(pair: &mut Pair, source: [u8; 4], octets: &[u8]) -> Result<(), Error> {
    let (source, destination): (SocketAddr, SocketAddr) =
        ((source, 0).into(), (pair.server.address.ip(), 0).into());
    let mut octets = octets.to_vec();
    checksum::write(&mut octets, source.ip(), destination.ip());
    let datagram = Datagram { socket: Socket::HipRaw, source, destination, payload: &octets };
    pair.server.host.handle_datagram(pair.now, datagram)
}

/// Answers the verification that the server sent last.
fn answer(session: &Session, verification: &[u8], nonce: Option<Vec<u8>>) -> Vec<u8> {
    let packet = Packet::parse(verification).unwrap();
    let Seq(id) = packet.one().unwrap();
    let EchoRequestSigned(sent) = packet.one().unwrap();
    session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Ack(vec![id])).add(&EchoResponseSigned(nonce.unwrap_or(sent)));
    })
}

fn address(pair: &Pair, session: &Session) -> SocketAddr {
    pair.server.host.association(&session.identity.hit()).unwrap().address
}

/// Everything that the server sends within a minute, with where it goes.
fn minute(pair: &mut Pair) -> Vec<SocketAddr> {
    let mut sent: Vec<_> = pair.server.transmits().iter().map(|transmit| transmit.destination).collect();
    for _ in 0..600 {
        pair.now = pair.now + Duration::from_millis(100);
        pair.server.host.handle_timeout(pair.now);
        sent.extend(pair.server.transmits().iter().map(|transmit| transmit.destination));
    }
    sent
}

/// Somebody who has the nonce answers in the name of the address to be verified, and cannot be there.
pub(super) fn echo_from_elsewhere() -> Error {
    let (mut pair, session) = forged();
    let now = pair.now;
    let announced = announcement(&session, 0, vec![locator(ELSEWHERE.0)]);
    hear(&mut pair.server, now, ELSEWHERE, &announced).unwrap();
    let verification = pair.server.transmits().remove(0);
    assert_eq!(verification.destination, ELSEWHERE.into());
    let answer = answer(&session, &verification.payload, None);
    let error = hear(&mut pair.server, now, VICTIM, &answer).unwrap_err();
    assert_eq!(address(&pair, &session), OWN.into());
    // From there it is taken.
    hear(&mut pair.server, now, ELSEWHERE, &answer).unwrap();
    assert_eq!(address(&pair, &session), ELSEWHERE.into());
    error
}

/// Who is not at the address does not know what was sent there.
pub(super) fn echo_of_something_else() -> Error {
    let (mut pair, session) = forged();
    let now = pair.now;
    hear(&mut pair.server, now, VICTIM, &announcement(&session, 0, vec![locator(VICTIM.0)])).unwrap();
    let verification = pair.server.transmits().remove(0).payload;
    let Seq(id) = Packet::parse(&verification).unwrap().one().unwrap();
    let silent = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Ack(vec![id]));
    });
    let guessed = answer(&session, &verification, Some(vec![0; 16]));
    let empty = answer(&session, &verification, Some(vec![]));
    let errors: Vec<_> = [silent, guessed, empty]
        .map(|octets| hear(&mut pair.server, now, VICTIM, &octets).unwrap_err())
        .into();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert!(pair.server.take_events().iter().all(|event| !matches!(event, Event::Moved { .. })));
    assert_eq!(address(&pair, &session), OWN.into());
    errors[0]
}

pub(super) fn multicast_locator() -> Error {
    let announce = |locator: Locator| {
        forged_update(move |_, builder| {
            builder.add(&LocatorSet(vec![self::locator(OWN.0), locator])).add(&Seq(0));
        })
    };
    for illegal in ["0.0.0.0", "255.255.255.255", "127.0.0.1", "::", "::1", "ff02::1", "ff3e::7"] {
        let error = announce(Locator::only(LocatorValue::Address(illegal.parse().unwrap())));
        assert_eq!(error, PeerMisbehaved::LocatorIllegal.into(), "{illegal}");
    }
    announce(locator([239, 192, 0, 1]))
}

pub(super) fn locator_of_another_sa() -> Error {
    let error = forged_update(|_, builder| {
        let info = EspInfo { keymat_index: 0, old_spi: 4096, new_spi: 4096 };
        builder.add(&info).add(&LocatorSet(vec![locator(OWN.0)])).add(&Seq(0));
    });
    assert_eq!(error, PeerMisbehaved::SpiForeign.into());
    forged_update(|_, builder| {
        let value = LocatorValue::Esp { spi: 4096, address: ELSEWHERE.0.into() };
        builder.add(&LocatorSet(vec![Locator::only(value)])).add(&Seq(0));
    })
}

#[test]
fn a_move_that_rekeys_esp_is_refused() {
    let error = forged_update(|_, builder| {
        let info = EspInfo { keymat_index: 160, old_spi: 0, new_spi: 4097 };
        builder.add(&info).add(&LocatorSet(vec![locator(OWN.0)])).add(&Seq(0));
    });
    assert_eq!(error, PeerIncompatible::Rekeying.into());
}

#[test]
fn an_announcement_that_wants_no_acknowledgement_or_shows_another_key_is_refused() {
    let error = forged_update(|_, builder| {
        builder.add(&LocatorSet(vec![locator(OWN.0)])).add(&Ack(vec![0]));
    });
    assert_eq!(error, DecodeError::Missing { what: "SEQ" }.into());
    let other = attacker();
    let error = forged_update(|_, builder| {
        builder.add(&LocatorSet(vec![locator(OWN.0)])).add(&Seq(0)).add(other.host_id());
    });
    assert_eq!(error, PeerMisbehaved::HitMismatch.into());
}

/// RFC 8046 section 6.2.1: a member in good standing names a third party as its address.
#[test]
fn a_victim_gets_seven_packets_and_never_the_association() {
    let (mut pair, session) = forged();
    let announced = announcement(&session, 0, vec![locator(VICTIM.0)]);
    hear_raw(&mut pair, OWN.0, &announced).unwrap();
    let sent = minute(&mut pair);
    let victim: SocketAddr = (VICTIM.0, 0).into();
    assert_eq!(sent, vec![victim; 7], "one packet, and RFC 7401's retransmissions of it");
    assert_eq!(address(&pair, &session), OWN.into());
    assert!(!told(&mut pair.server, "moved"));
    // The association goes on where it was.
    pair.server.host.revoke(pair.now, session.identity.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
    assert_eq!(pair.server.transmits()[0].destination, OWN.into());
}

/// On UDP nothing is sent to a locator that is not where the packet came from: it has no port.
#[test]
fn on_udp_a_victim_that_is_only_named_gets_nothing() {
    let (mut pair, session) = forged();
    let now = pair.now;
    hear(&mut pair.server, now, ELSEWHERE, &announcement(&session, 0, vec![locator(VICTIM.0)])).unwrap();
    let sent = minute(&mut pair);
    assert!(!sent.is_empty() && sent.iter().all(|to| *to == ELSEWHERE.into()), "{sent:?}");
}

#[test]
fn a_flood_of_announcements_does_not_become_a_flood_of_verifications() {
    for raw in [false, true] {
        let (mut pair, session) = forged();
        let (now, mut sent) = (pair.now, 0);
        // As many signatures of one host are verified at once.
        for seq in 0..64 {
            let announced = announcement(&session, seq, vec![locator(VICTIM.0)]);
            for _ in 0..3 {
                match raw {
                    true => hear_raw(&mut pair, OWN.0, &announced).unwrap(),
                    false => hear(&mut pair.server, now, VICTIM, &announced).unwrap(),
                }
            }
            sent += pair.server.transmits().len();
        }
        assert_eq!(sent, 16, "within one second");
        assert_eq!(address(&pair, &session), OWN.into());
    }
}

/// Recorded announcements, sent again from wherever.
#[test]
fn a_replayed_announcement_moves_nobody() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    let (server, home) = (pair.server.hit(), pair.member.address);
    let mut moves = Vec::new();
    for away in [ELSEWHERE, ([198, 51, 100, 8], 10500)] {
        let from = std::mem::replace(&mut pair.member.address, away.into());
        pair.member.host.readdress(pair.now, server, from.ip(), pair.member.address.ip()).unwrap();
        pair.log.clear();
        pair.run();
        moves.push(pair.log.clone());
    }
    pair.server.take_events();
    pair.server.errors.clear();
    let before = fingerprint(&pair.server, &pair.member.hit());
    for (number, packets) in moves.iter().enumerate() {
        for (sender, octets) in packets {
            if *sender == server {
                continue;
            }
            for from in [(VICTIM.0, 4500), ELSEWHERE, OWN] {
                let now = pair.now;
                let _ = hear(&mut pair.server, now, from, octets);
                assert_eq!(fingerprint(&pair.server, &pair.member.hit()), before, "move {number}");
                let names = names(&pair.server.take_events());
                assert!(!names.contains(&"moved"), "move {number}");
            }
        }
    }
    assert_ne!(pair.member.address, home);
    // The answer to the one processed last is repeated, to anybody who has it, but not without end.
    pair.server.transmits();
    let last = &moves[1][0].1;
    for _ in 0..100 {
        let now = pair.now;
        hear(&mut pair.server, now, VICTIM, last).unwrap();
    }
    assert!(pair.server.transmits().len() <= 16);
}

/// An announcement that somebody on the path brings faster, from his own address, does not win.
#[test]
fn who_is_faster_than_the_mobile_host_does_not_take_its_place() {
    let (mut pair, session) = forged();
    let now = pair.now;
    let announced = announcement(&session, 0, vec![locator(ELSEWHERE.0)]);
    hear(&mut pair.server, now, VICTIM, &announced).unwrap();
    let stolen = pair.server.transmits().remove(0);
    assert_eq!(stolen.destination, VICTIM.into());
    hear(&mut pair.server, now, ELSEWHERE, &announced).unwrap();
    let genuine = pair.server.transmits().remove(0);
    assert_eq!(genuine.destination, ELSEWHERE.into(), "what the host itself names is preferred");
    // What was sent to one address proves nothing of the other.
    for (source, verification) in [(VICTIM, &stolen), (ELSEWHERE, &stolen), (VICTIM, &genuine)] {
        let answer = answer(&session, &verification.payload, None);
        assert!(hear(&mut pair.server, now, source, &answer).is_err());
        assert_eq!(address(&pair, &session), OWN.into());
    }
    let answer = answer(&session, &genuine.payload, None);
    hear(&mut pair.server, now, ELSEWHERE, &answer).unwrap();
    assert_eq!(address(&pair, &session), ELSEWHERE.into());
}

#[test]
fn of_several_locators_the_preferred_one_for_signalling_is_verified() {
    let other = |traffic_type, preferred, address: &str| Locator {
        traffic_type,
        preferred,
        lifetime: 600,
        value: LocatorValue::Address(address.parse().unwrap()),
    };
    let (mut pair, session) = forged();
    let set = [
        other(TrafficType::DATA, true, "203.0.113.1"),
        other(TrafficType::SIGNALLING, false, "203.0.113.2"),
        other(TrafficType::BOTH, true, "2001:db8::3"),
        other(TrafficType::BOTH, true, "203.0.113.4"),
        other(TrafficType::SIGNALLING, true, "203.0.113.5"),
        other(TrafficType::SIGNALLING, true, "203.0.113.6"),
    ];
    for (seq, (drop, chosen)) in [(6, "5"), (4, "4"), (3, "2"), (1, "")].into_iter().enumerate() {
        let kept = set[..drop].to_vec();
        hear_raw(&mut pair, OWN.0, &announcement(&session, seq as u32, kept)).unwrap();
        let sent = pair.server.transmits().remove(0);
        match chosen {
            "" => {
                // An acknowledgement, to where the announcement came from, and nothing else.
                assert_eq!(sent.destination, (OWN.0, 0).into());
                assert_eq!(Packet::parse(&sent.payload).unwrap().find::<EchoRequestSigned>(), Ok(None));
            }
            chosen => assert_eq!(sent.destination.to_string(), format!("203.0.113.{chosen}:0")),
        }
    }
    // No locator at all deprecates every address, and there is no alternative to the one in use.
    hear_raw(&mut pair, OWN.0, &announcement(&session, 4, vec![])).unwrap();
    assert_eq!(address(&pair, &session), OWN.into());
}

/// RFC 8046 section 5.3: LOCATOR_TYPE_UNSUPPORTED, with the locators; what else is there counts.
#[test]
fn locators_of_unknown_types_are_reported_and_the_others_used() {
    let (mut pair, session) = forged();
    let now = pair.now;
    let strange = Locator::only(LocatorValue::Other { locator_type: LocatorType(2), octets: vec![7; 28] });
    let announced = announcement(&session, 0, vec![strange.clone(), locator(ELSEWHERE.0)]);
    hear(&mut pair.server, now, ELSEWHERE, &announced).unwrap();
    let [notify, verification] = &pair.server.transmits()[..] else { panic!("two packets") };
    let notification: Notification = Packet::parse(&notify.payload).unwrap().one().unwrap();
    assert_eq!(notification.notify_type, NotifyType::LOCATOR_TYPE_UNSUPPORTED);
    assert_eq!(notification.data, LocatorSet(vec![strange]).to_octets());
    assert_eq!(verification.payload[2], PacketType::UPDATE.0);
}

/// RFC 8046 section 5.1: ACTIVE, DEPRECATED by its lifetime, and never ACTIVE again without a proof.
#[test]
fn an_address_is_deprecated_when_its_lifetime_ends_and_verified_again() {
    let (mut pair, session) = forged();
    let deprecated =
        |pair: &Pair| pair.server.host.association(&session.identity.hit()).unwrap().is_deprecated;
    let bounded = vec![Locator { lifetime: 600, ..locator(ELSEWHERE.0) }];
    let now = pair.now;
    hear(&mut pair.server, now, ELSEWHERE, &announcement(&session, 0, bounded.clone())).unwrap();
    let verification = pair.server.transmits().remove(0).payload;
    hear(&mut pair.server, now, ELSEWHERE, &answer(&session, &verification, None)).unwrap();
    assert_eq!(address(&pair, &session), ELSEWHERE.into());

    pair.pass(Duration::from_secs(500), |_, _| true);
    let now = pair.now;
    hear(&mut pair.server, now, ELSEWHERE, &announcement(&session, 1, bounded.clone())).unwrap();
    let renewal = pair.server.transmits().remove(0).payload;
    assert_eq!(Packet::parse(&renewal).unwrap().find::<EchoRequestSigned>(), Ok(None), "it is known there");
    pair.pass(Duration::from_secs(599), |_, _| true);
    assert!(!deprecated(&pair));
    pair.server.take_events();
    pair.pass(Duration::from_secs(2), |_, _| true);
    assert!(deprecated(&pair) && told(&mut pair.server, "changed"));
    assert_eq!(address(&pair, &session), ELSEWHERE.into(), "there is no other");

    let now = pair.now;
    hear(&mut pair.server, now, ELSEWHERE, &announcement(&session, 2, bounded)).unwrap();
    let verification = pair.server.transmits().remove(0).payload;
    assert!(deprecated(&pair));
    hear(&mut pair.server, now, ELSEWHERE, &answer(&session, &verification, None)).unwrap();
    assert!(!deprecated(&pair) && !told(&mut pair.server, "moved"), "it is where it was");
}

/// A verification does not outlive the locator.
#[test]
fn a_locator_of_one_second_is_verified_within_it_or_not_at_all() {
    let (mut pair, session) = forged();
    let now = pair.now;
    let short = vec![Locator { lifetime: 1, ..locator(ELSEWHERE.0) }];
    hear(&mut pair.server, now, ELSEWHERE, &announcement(&session, 0, short)).unwrap();
    let verification = pair.server.transmits().remove(0).payload;
    pair.now = pair.now + Duration::from_secs(1);
    assert!(pair.server.host.poll_timeout().is_some_and(|due| due <= pair.now));
    pair.server.host.handle_timeout(pair.now);
    let now = pair.now;
    let late = hear(&mut pair.server, now, ELSEWHERE, &answer(&session, &verification, None));
    assert_eq!(late, Err(PeerMisbehaved::AckUnasked.into()));
    assert_eq!(address(&pair, &session), OWN.into());
}

/// RFC 8046 section 3.2: the announcement travels with a registration.
#[test]
fn a_move_may_come_with_a_request() {
    let (mut pair, session) = forged();
    let now = pair.now;
    let both = session.packet(PacketType::UPDATE, |builder| {
        builder
            .add(&LocatorSet(vec![locator(ELSEWHERE.0)]))
            .add(&Seq(0))
            .add(&session.encrypt(&[group("two", HOUR)]))
            .add(&reg_request(GDOI));
    });
    hear(&mut pair.server, now, ELSEWHERE, &both).unwrap();
    pair.decide_requests();
    let verification = pair.server.transmits().remove(0).payload;
    hear(&mut pair.server, now, ELSEWHERE, &answer(&session, &verification, None)).unwrap();
    assert_eq!(address(&pair, &session), ELSEWHERE.into());
    let granted = pair.server.transmits().remove(0);
    assert_eq!(granted.destination, ELSEWHERE.into());
    assert!(Packet::parse(&granted.payload).unwrap().find::<RegResponse>().unwrap().is_some());
}
