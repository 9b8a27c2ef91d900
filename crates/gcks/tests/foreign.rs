//! Datagrams for protocols that are not spoken here, at the ISAKMP port of a key server and of a member.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use claviger_group::{CookiePair, Role};
use claviger_isakmp::{
    Counter, Header, Unread,
    iana::{ExchangeType, PayloadType},
};
use claviger_sansio::{Datagram, Socket};
use claviger_testkit::network::{Network, group_id, policy};
use claviger_wire::Encode;

/// A message whose header is as it should be.
fn message(exchange: ExchangeType, encrypted: bool) -> Vec<u8> {
    let header = Header {
        cookies: CookiePair([7; 16]),
        next_payload: PayloadType::SA,
        exchange,
        encrypted,
        message_id: 0,
        length: 44,
    };
    [header.to_octets(), vec![0; 16]].concat()
}

fn foreign() -> Vec<(Vec<u8>, Unread)> {
    let mut ikev2 = message(ExchangeType(34), true);
    ikev2[17] = 0x20;
    let marked = [&[0; 4][..], &message(ExchangeType::MAIN_MODE, false)].concat();
    vec![
        (message(ExchangeType::MAIN_MODE, false), Unread::Phase1),
        (message(ExchangeType::AGGRESSIVE_MODE, false), Unread::Phase1),
        (message(ExchangeType::INFORMATIONAL, false), Unread::Phase1),
        (ikev2, Unread::Ikev2),
        (marked, Unread::Marked),
    ]
}

#[test]
fn what_nobody_here_speaks_is_dropped_before_any_machine_and_counted_by_itself() {
    let mut network = Network::new(1);
    let market = group_id("market");
    network.add_group(&market, policy(1));
    let member = network.joined(&market, Role::Both);
    let gdoi_before =
        (network.server.counters().gdoi.clone(), network.members[member].member.counters().gdoi.clone());
    let address = ([192, 0, 2, 9], 848).into();
    for (octets, unread) in foreign() {
        let datagram =
            Datagram { socket: Socket::Port848, source: address, destination: address, payload: &octets };
        let counter = Counter::from(unread);
        let now = network.now;

        let before = network.server.counters().isakmp[counter];
        let dropped = network.server.handle_datagram(now, datagram).unwrap_err();
        assert_eq!(dropped.reason(), unread.reason(), "{dropped}");
        assert_eq!(network.server.counters().isakmp[counter], before + 1);

        let member = &mut network.members[member].member;
        let before = member.counters().isakmp[counter];
        let dropped = member.handle_datagram(now, datagram).unwrap_err();
        assert_eq!(dropped.reason(), unread.reason(), "{dropped}");
        assert_eq!(member.counters().isakmp[counter], before + 1);
    }
    let gdoi =
        (network.server.counters().gdoi.clone(), network.members[member].member.counters().gdoi.clone());
    assert_eq!(gdoi, gdoi_before, "GDOI was not asked");
}

#[test]
fn what_is_no_message_at_all_stays_gdois_to_refuse() {
    let mut network = Network::new(1);
    let address = ([192, 0, 2, 9], 848).into();
    for octets in
        [b"junk".to_vec(), message(ExchangeType::GROUPKEY_PULL, false), message(ExchangeType::BASE, false)]
    {
        let datagram =
            Datagram { socket: Socket::Port848, source: address, destination: address, payload: &octets };
        let dropped = network.server.handle_datagram(network.now, datagram).unwrap_err();
        assert_eq!(dropped.reason(), "malformed");
    }
}
