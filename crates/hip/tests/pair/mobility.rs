//! Moves (RFC 8046): the mobile host says where it is, the peer makes sure, and follows.

use std::net::{IpAddr, SocketAddr};

use claviger_hip::wire::{
    Ack, EchoRequestSigned, EchoResponseSigned, EspInfo, Locator, LocatorSet, LocatorValue, Seq,
};

use super::*;

/// Where the hosts are, and how they speak.
#[derive(Debug, Clone, Copy)]
struct Place {
    socket: Socket,
    member: SocketAddr,
    server: SocketAddr,
    /// Where one of them goes.
    away: SocketAddr,
}

/// Both address families, both carriages.
fn places() -> [Place; 4] {
    let place = |socket, [member, server, away]: [&str; 3]| {
        let port = if socket == Socket::HipRaw { 0 } else { 10500 };
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), port);
        Place { socket, member: address(member), server: address(server), away: address(away) }
    };
    let (v4, v6) =
        (["192.0.2.1", "192.0.2.2", "198.51.100.7"], ["2001:db8::1", "2001:db8::2", "2001:db8:7::7"]);
    [
        place(Socket::HipUdp, v4),
        place(Socket::HipUdp, v6),
        place(Socket::HipRaw, v4),
        place(Socket::HipRaw, v6),
    ]
}

impl Place {
    fn call(self, mut member: HostConfig, mut server: HostConfig) -> Pair {
        member.local_addresses = vec![self.member.ip()];
        server.local_addresses = vec![self.server.ip()];
        let mut pair = Pair::new(member, server);
        pair.member.address = self.member;
        pair.server.address = self.server;
        let (peer, request) = (pair.server.hit(), Some(join(&["market"])));
        pair.member.host.connect(pair.now, peer, self.server, self.socket, request).unwrap();
        pair
    }

    fn establish(self) -> Pair {
        self.establish_with(member_config(), server_config())
    }

    fn establish_with(self, member: HostConfig, server: HostConfig) -> Pair {
        let mut pair = self.call(member, server);
        pair.run();
        assert!(pair.is_established(), "{:?} {:?}", pair.member.errors, pair.server.errors);
        // Whatever follows the base exchange is over.
        pair.pass(Duration::from_secs(60), |_, _| true);
        pair.member.take_events();
        pair.server.take_events();
        pair.log.clear();
        pair
    }
}

fn udp() -> Place {
    places()[0]
}

/// The member is at another address now, and says so.
fn move_member(pair: &mut Pair, to: SocketAddr) {
    let from = std::mem::replace(&mut pair.member.address, to);
    pair.member.host.readdress(pair.now, pair.server.hit(), from.ip(), to.ip()).unwrap();
}

fn move_server(pair: &mut Pair, to: SocketAddr) {
    let from = std::mem::replace(&mut pair.server.address, to);
    pair.server.host.readdress(pair.now, pair.member.hit(), from.ip(), to.ip()).unwrap();
}

fn moves(events: &[Event]) -> Vec<(SocketAddr, SocketAddr)> {
    let moved = |event: &Event| match event {
        Event::Moved { from, to, .. } => Some((*from, *to)),
        _ => None,
    };
    events.iter().filter_map(moved).collect()
}

fn member_at(pair: &Pair) -> SocketAddr {
    pair.server.host.association(&pair.member.hit()).unwrap().address
}

/// What the server has to say arrives at the member.
fn revoke_arrives(pair: &mut Pair) -> bool {
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("market", HOUR)]).unwrap();
    pair.run();
    told(&mut pair.member, "revoked")
}

#[test]
fn a_member_that_moves_keeps_its_association_and_is_followed() {
    for place in places() {
        let mut pair = place.establish();
        let before = pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap();
        // UPDATE { LOCATOR_SET, SEQ } -->  <-- UPDATE { SEQ, ACK, ECHO_REQUEST }  UPDATE { ACK, ECHO_RESPONSE } -->
        move_member(&mut pair, place.away);
        pair.run();
        let packets: Vec<_> = pair.log.iter().map(|(_, octets)| Packet::parse(octets).unwrap()).collect();
        let [announcement, verification, answer] = &packets[..] else { panic!("{place:?}: {packets:?}") };
        let value = LocatorValue::Address(place.away.ip());
        assert_eq!(announcement.one::<LocatorSet>(), Ok(LocatorSet(vec![Locator::only(value)])));
        let Seq(number) = announcement.one().unwrap();
        assert_eq!(verification.one::<Ack>(), Ok(Ack(vec![number])));
        let EchoRequestSigned(nonce) = verification.one().unwrap();
        assert_eq!(answer.one::<EchoResponseSigned>(), Ok(EchoResponseSigned(nonce)));
        assert_eq!(answer.one::<Ack>(), Ok(Ack(vec![verification.one::<Seq>().unwrap().0])));
        assert!(packets.iter().all(|packet| packet.find::<EspInfo>() == Ok(None)), "there is no SA to name");

        assert_eq!(moves(&pair.server.take_events()), [(place.member, place.away)], "{place:?}");
        assert_eq!(names(&pair.member.take_events()), ["changed", "move_acknowledged", "changed"]);
        assert_eq!(member_at(&pair), place.away);
        assert!(pair.keys_agree());
        let after = pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap();
        assert_eq!(after.cookies, before.cookies, "no new base exchange");
        assert!(revoke_arrives(&mut pair), "{place:?}");
        assert!(pair.member.errors.is_empty() && pair.server.errors.is_empty());
    }
}

#[test]
fn a_server_that_moves_is_followed_too() {
    for place in places() {
        let mut pair = place.establish();
        move_server(&mut pair, place.away);
        pair.run();
        assert_eq!(moves(&pair.member.take_events()), [(place.server, place.away)], "{place:?}");
        pair.member.host.request(pair.now, pair.server.hit(), join(&["more"])).unwrap();
        pair.run();
        assert!(told(&mut pair.member, "registered"), "{place:?}");
    }
}

/// RFC 8046 section 3.2.1: ESP_INFO names the SA that there is, and the locator its SPI.
#[test]
fn where_esp_was_agreed_on_the_move_names_its_sa() {
    let with_esp = |mut config: HostConfig| {
        config.transport = TransportFormats::Esp(vec![EspSuite::AES_128_CBC_HMAC_SHA_256]);
        config
    };
    for place in places() {
        let mut pair = place.establish_with(with_esp(member_config()), with_esp(server_config()));
        let member = pair.member.host.association(&pair.server.hit()).unwrap().esp.unwrap();
        let server = pair.server.host.association(&pair.member.hit()).unwrap().esp.unwrap();
        move_member(&mut pair, place.away);
        pair.run();
        let packets: Vec<_> = pair.log.iter().map(|(_, octets)| Packet::parse(octets).unwrap()).collect();
        for (packet, spi) in packets.iter().zip([member.inbound_spi, server.inbound_spi]) {
            let info: EspInfo = packet.one().unwrap();
            assert_eq!((info.old_spi, info.new_spi), (spi, spi));
        }
        let value = LocatorValue::Esp { spi: member.inbound_spi, address: place.away.ip() };
        assert_eq!(packets[0].one::<LocatorSet>(), Ok(LocatorSet(vec![Locator::only(value)])));
        assert_eq!(moves(&pair.server.take_events()), [(place.member, place.away)], "{place:?}");
    }
}

#[test]
fn every_packet_of_a_move_may_be_lost_once() {
    for place in places() {
        for lost in 0..5 {
            let mut pair = place.establish();
            move_member(&mut pair, place.away);
            let mut count = 0;
            pair.pass(Duration::from_secs(20), |_, _| {
                count += 1;
                count - 1 != lost
            });
            assert_eq!(moves(&pair.server.take_events()).len(), 1, "{place:?}, packet {lost} lost");
            assert!(told(&mut pair.member, "move_acknowledged"));
            assert!(revoke_arrives(&mut pair));
        }
    }
}

#[test]
fn a_quarter_of_all_packets_of_a_move_may_be_lost() {
    let mut state = 11u64;
    for number in 0..40 {
        let place = places()[number % 4];
        let mut pair = place.establish();
        move_member(&mut pair, place.away);
        pair.pass(Duration::from_secs(40), |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            !(state >> 33).is_multiple_of(4)
        });
        assert_eq!(moves(&pair.server.take_events()).len(), 1, "{place:?} {number}");
        assert_eq!(member_at(&pair), place.away);
    }
}

/// The member announces what it has, and is reached where its NAT put it, port and all.
#[test]
fn behind_a_nat_the_source_of_the_announcement_counts() {
    let mut pair = udp().establish();
    let nat: SocketAddr = "203.0.113.9:61000".parse().unwrap();
    let inside: IpAddr = "10.0.0.5".parse().unwrap();
    let from = std::mem::replace(&mut pair.member.address, nat);
    pair.member.host.readdress(pair.now, pair.server.hit(), from.ip(), inside).unwrap();
    pair.run();
    assert_eq!(moves(&pair.server.take_events()), [(from, nat)]);
    assert!(revoke_arrives(&mut pair));
}

/// Who hears nothing at its new address, or never was there, is still where it was.
#[test]
fn an_address_that_is_never_verified_changes_nothing() {
    for place in places() {
        let mut pair = place.establish();
        move_member(&mut pair, place.away);
        let (member, mut sent) = (pair.member.hit(), 0);
        pair.pass(Duration::from_secs(120), |sender, _| {
            sent += usize::from(sender != member);
            sender == member
        });
        // Seven announcements, each answered at once, and as many by the timer at most.
        assert!(
            (7..=14).contains(&sent),
            "{place:?}: {sent} packets to an address that may be somebody else's"
        );
        assert!(moves(&pair.server.take_events()).is_empty());
        assert_eq!(member_at(&pair), place.member);
        // The member finds out that nobody hears it, and calls anew.
        assert!(told(&mut pair.member, "lost"));
        assert!(state_at_member(&pair).is_none());
        // At the address that it had it is reached.
        pair.log.clear();
        pair.server.host.revoke(pair.now, member, GDOI, vec![group("market", HOUR)]).unwrap();
        assert_eq!(pair.server.transmits()[0].destination, place.member);
    }
}

#[test]
fn what_was_outstanding_at_the_member_goes_on_from_its_new_address() {
    for place in places() {
        let mut pair = place.establish();
        pair.member.host.request(pair.now, pair.server.hit(), join(&["more"])).unwrap();
        pair.run_with(|_, _| false);
        move_member(&mut pair, place.away);
        pair.run();
        let events = pair.member.take_events();
        let told = names(&events);
        let place_of = |name| told.iter().position(|told| *told == name).unwrap();
        assert!(place_of("registered") < place_of("move_acknowledged"), "{place:?}: {told:?}");
        assert_eq!(moves(&pair.server.take_events()).len(), 1, "{place:?}");
    }
}

/// What the server sent to the old address comes to the new one, also if the member had it already.
#[test]
fn what_was_outstanding_at_the_server_follows_the_member() {
    for place in places() {
        for heard_before in [false, true] {
            for whole_type in [false, true] {
                let mut pair = place.establish();
                let channels = if whole_type { vec![] } else { vec![group("market", HOUR)] };
                pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, channels).unwrap();
                let server = pair.server.hit();
                pair.run_with(|sender, _| heard_before && sender == server);
                move_member(&mut pair, place.away);
                pair.run();
                let context = format!("{place:?} {heard_before} {whole_type}");
                assert!(told(&mut pair.server, "revoke_acknowledged"), "{context}");
                assert!(told(&mut pair.member, "revoked"), "{context}");
                assert_eq!(member_at(&pair), place.away, "{context}");
                pair.log.clear();
                pair.pass(Duration::from_secs(40), |_, _| true);
                assert!(pair.log.is_empty(), "{context}: all is acknowledged");
            }
        }
    }
}

#[test]
fn who_moves_on_before_it_was_verified_is_followed_to_where_it_went() {
    for place in places() {
        let mut pair = place.establish();
        let between = SocketAddr::new(
            if place.away.is_ipv4() { [198, 51, 100, 99].into() } else { "2001:db8:7::99".parse().unwrap() },
            place.away.port(),
        );
        move_member(&mut pair, between);
        let announcement = pair.member.transmits().remove(0);
        pair.deliver(pair.member.hit(), &announcement);
        move_member(&mut pair, place.away);
        pair.run();
        assert_eq!(moves(&pair.server.take_events()), [(place.member, place.away)], "{place:?}");
        // And back to where it was, before anybody was sure.
        move_member(&mut pair, between);
        let announcement = pair.member.transmits().remove(0);
        pair.deliver(pair.member.hit(), &announcement);
        move_member(&mut pair, place.away);
        pair.pass(Duration::from_secs(40), |_, _| true);
        assert_eq!(moves(&pair.server.take_events()), [], "{place:?}");
        assert_eq!(member_at(&pair), place.away);
        assert!(revoke_arrives(&mut pair));
    }
}

#[test]
fn both_may_move_one_after_the_other_and_again() {
    for place in places() {
        let mut pair = place.establish();
        for (member, server) in
            [(place.away, place.member), (place.server, place.away), (place.member, place.server)]
        {
            move_member(&mut pair, member);
            pair.run();
            move_server(&mut pair, server);
            pair.run();
            assert_eq!(member_at(&pair), member, "{place:?}");
            let info = pair.member.host.association(&pair.server.hit()).unwrap();
            assert_eq!(info.address, server, "{place:?}");
        }
        assert!(pair.keys_agree() && revoke_arrives(&mut pair));
    }
}

#[test]
fn a_base_exchange_goes_on_from_the_new_address() {
    for place in places() {
        for packets in 0..4 {
            let mut pair = place.call(member_config(), server_config());
            let mut count = 0;
            pair.run_with(|_, _| {
                count += 1;
                count <= packets
            });
            move_member(&mut pair, place.away);
            pair.pass(Duration::from_secs(60), |_, _| true);
            assert!(pair.is_established() && pair.keys_agree(), "{place:?} after {packets} packets");
            assert_eq!(member_at(&pair), place.away, "{place:?} after {packets} packets");
        }
    }
}

#[test]
fn only_unicast_addresses_of_the_peer_s_family_are_announced() {
    for place in places() {
        let mut pair = place.establish();
        let (server, now, from) = (pair.server.hit(), pair.now, place.member.ip());
        let other = if from.is_ipv4() { "2001:db8::9" } else { "192.0.2.9" };
        for to in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", other] {
            let refused = pair.member.host.readdress(now, server, from, to.parse().unwrap());
            assert_eq!(refused, Err(ApiMisuse::LocalAddress), "{place:?} to {to}");
        }
        assert!(pair.member.transmits().is_empty());
        let nobody = pair.member.host.readdress(now, Hit::NULL, from, place.away.ip());
        assert_eq!(nobody, Err(ApiMisuse::NoAssociation));
        // The address is the host's nevertheless: calls on IP protocol 139 leave from it.
        pair.member.address = place.away;
        pair.member.host.close(now, server).unwrap();
        pair.member.transmits();
        let again = pair.member.host.connect(now, server, place.server, Socket::HipRaw, None);
        assert_eq!(again, Ok(()));
        let source = pair.member.transmits()[0].source.unwrap();
        assert_eq!(source.ip(), place.away.ip());
    }
}
