//! Packets that were cut, flipped, replayed, or sent to be remembered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{IpAddr, SocketAddr};

use claviger_crypto::{SeededRandom, provider};
use claviger_esp::{
    Counter, Error, InboundSa, OutboundSa, Plane, SenderKey,
    packet::{IpHeader, IpPacket, Mode, PROTOCOL_UDP, UdpDatagram, udp, unwrap, wrap},
};
use claviger_group::{Channel, EspTransform, Tek};
use claviger_sansio::ReplayWindow;

use support::{NOW, address, pair, sid, tek};

/// The ends of a group in each family: a source and the group, with ports.
fn endpoints() -> [(SocketAddr, SocketAddr); 2] {
    [("192.0.2.1:40000", "239.192.0.1:5004"), ("[2001:db8::1]:40000", "[ff15::1]:5004")]
        .map(|(source, group)| (source.parse().unwrap(), group.parse().unwrap()))
}

/// What a TUN member puts on the wire when an application sends `data`.
fn transmit(sender: &mut Plane, mode: Mode, ends: (SocketAddr, SocketAddr), data: &[u8]) -> Vec<u8> {
    let datagram = [&udp::header(ends.0, ends.1, data).unwrap()[..], data].concat();
    let octets = IpHeader::new(ends.0.ip(), ends.1.ip()).write(PROTOCOL_UDP, &datagram).unwrap();
    let original = IpPacket::parse(&octets).unwrap();
    let (next_header, inside) = mode.inside(&octets, &original).unwrap();
    let esp = sender.seal(NOW, next_header, inside).unwrap();
    wrap(&original, mode, &esp).unwrap()
}

/// What the application of a receiving TUN member is given, addresses included.
fn receive(receiver: &mut Plane, mode: Mode, octets: &[u8]) -> Option<(IpAddr, IpAddr, Vec<u8>)> {
    let outer = IpPacket::parse(octets).ok()?;
    let fits = |opened| unwrap(&outer, mode, &opened);
    let restored = receiver.open_checked(NOW, outer.header.source, outer.esp().ok()?, fits).ok()?.ok()?;
    let inner = IpPacket::parse(&restored).ok()?;
    let (source, destination) = (inner.header.source, inner.header.destination);
    let datagram = UdpDatagram::parse(source, destination, inner.payload).ok()?;
    Some((source, destination, datagram.data.to_vec()))
}

/// What covers an octet of an IP packet that carries ESP, other than the integrity check.
#[derive(Debug, PartialEq)]
enum Cover {
    /// ESP's integrity check, or a checksum or length in front of it: no receiver state moves.
    Checked,
    /// IPv6 addresses (RFC 8200 section 3): ESP opens the packet, and what is inside tells: in transport mode UDP's
    /// checksum, in tunnel mode the comparison of addresses (RFC 5374 section 5.2). No receiver state moves either.
    FoundInside,
    /// IPv6 traffic class, flow label and hop limit, which routers may change: the application gets its data.
    Mutable,
}

fn cover(octet: usize, bit: u8, is_ipv6: bool) -> Cover {
    match octet {
        0 if is_ipv6 && bit < 4 => Cover::Mutable,
        1..=3 | 7 if is_ipv6 => Cover::Mutable,
        8..=39 if is_ipv6 => Cover::FoundInside,
        _ => Cover::Checked,
    }
}

#[test]
fn no_flipped_bit_of_an_esp_packet_opens_and_the_genuine_packet_still_does() {
    for transform in EspTransform::ALL {
        for payload in [&b""[..], b"some media", &[7; 100]] {
            let (mut sender, mut receiver) = pair(&tek(0x1000, transform));
            let genuine = sender.seal(NOW, 17, payload).unwrap();
            for octet in 0..genuine.len() {
                for bit in 0..8 {
                    let mut forged = genuine.clone();
                    forged[octet] ^= 1 << bit;
                    let error = receiver.open(NOW, address(1), &forged).unwrap_err();
                    let expected = match (octet, bit) {
                        (0..4, _) => "unknown_spi",
                        (7, 0) => "replayed", // number 1 becomes 0, which nobody uses
                        _ => "authentication",
                    };
                    assert_eq!(error.reason(), expected, "{transform}, octet {octet}, bit {bit}");
                }
            }
            assert_eq!(receiver.open(NOW, address(1), &genuine).unwrap().payload, payload);
            assert_eq!(receiver.counts().dropped(), genuine.len() as u64 * 8);
        }
    }
}

#[test]
fn no_cut_or_lengthened_esp_packet_opens_and_the_genuine_packet_still_does() {
    for transform in EspTransform::ALL {
        let (mut sender, mut receiver) = pair(&tek(0x1000, transform));
        let genuine = sender.seal(NOW, 17, b"some media").unwrap();
        for length in 0..genuine.len() {
            assert!(receiver.open(NOW, address(1), &genuine[..length]).is_err(), "{transform}, {length}");
        }
        for more in 1..40 {
            let longer = [&genuine[..], &vec![0; more]].concat();
            assert!(receiver.open(NOW, address(1), &longer).is_err(), "{transform}, {more} more");
        }
        assert_eq!(receiver.open(NOW, address(1), &genuine).unwrap().payload, b"some media");
    }
}

#[test]
fn no_flipped_bit_of_an_ip_packet_harms_what_the_application_gets() {
    for transform in EspTransform::ALL {
        for (mode, ends) in
            [Mode::Transport, Mode::Tunnel].into_iter().flat_map(|m| endpoints().map(|e| (m, e)))
        {
            let (mut sender, mut receiver) = pair(&tek(0x1000, transform));
            let genuine = transmit(&mut sender, mode, ends, b"media");
            let received = Some((ends.0.ip(), ends.1.ip(), b"media".to_vec()));
            for (octet, bit) in (0..genuine.len()).flat_map(|octet| (0..8).map(move |bit| (octet, bit))) {
                let mut forged = genuine.clone();
                forged[octet] ^= 1 << bit;
                let place = format!("{transform}, {mode:?}, octet {octet}, bit {bit}");
                match cover(octet, bit, ends.0.is_ipv6()) {
                    Cover::Checked | Cover::FoundInside => {
                        assert_eq!(receive(&mut receiver, mode, &forged), None, "{place}");
                    }
                    Cover::Mutable => {
                        let mut receiver = pair(&tek(0x1000, transform)).1;
                        let got = receive(&mut receiver, mode, &forged);
                        assert_eq!(got, received, "{place}");
                    }
                }
            }
            for length in 0..genuine.len() {
                assert_eq!(
                    receive(&mut receiver, mode, &genuine[..length]),
                    None,
                    "{transform}, cut {length}"
                );
            }
            assert_eq!(receive(&mut receiver, mode, &genuine), received);
            assert_eq!(receive(&mut receiver, mode, &genuine), None, "a replay");
        }
    }
}

/// Opens and tells only whether and why not.
fn verdict(inbound: &mut InboundSa, source: IpAddr, esp: &[u8]) -> Result<(), Error> {
    inbound.open(source, esp).map(drop)
}

#[test]
fn replays_and_old_packets_are_dropped_and_reordered_ones_are_not() {
    for transform in EspTransform::ALL {
        let tek = tek(0x1000, transform);
        let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(1))).unwrap();
        let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        let mut random = SeededRandom::new(1);
        let sent: Vec<_> =
            (0..=ReplayWindow::SIZE).map(|_| outbound.seal(&mut random, 17, b"data").unwrap()).collect();
        let (late, rest) = sent.split_first().unwrap();
        let (next, after) = rest.split_first().unwrap();
        for esp in [next].into_iter().chain(after.iter().rev()) {
            assert_eq!(verdict(&mut inbound, address(1), esp), Ok(()));
        }
        for esp in rest {
            assert_eq!(verdict(&mut inbound, address(1), esp), Err(Error::Replayed));
        }
        assert_eq!(verdict(&mut inbound, address(1), late), Err(Error::Replayed), "too old to know");
    }
}

#[test]
fn each_sender_has_its_own_window() {
    for transform in EspTransform::ALL {
        let tek = tek(0x1000, transform);
        let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        let mut random = SeededRandom::new(1);
        for sender in [1, 2, 3] {
            let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(sender))).unwrap();
            for _ in 0..2 {
                let esp = outbound.seal(&mut random, 17, b"data").unwrap();
                let source = address(sender as u8);
                let opened = inbound.open(source, &esp).unwrap();
                let key = match transform.is_counter_mode() {
                    true => SenderKey::Id(sid(sender)),
                    false => SenderKey::Address(source),
                };
                assert_eq!(opened.sender, key);
                assert_eq!(verdict(&mut inbound, source, &esp), Err(Error::Replayed));
                if transform.is_counter_mode() {
                    // The id is authenticated: another source address does not open another window.
                    assert_eq!(verdict(&mut inbound, address(99), &esp), Err(Error::Replayed));
                }
            }
        }
        assert_eq!(inbound.senders(), 3);
    }
}

#[test]
fn a_forged_packet_opens_no_window() {
    for transform in EspTransform::ALL {
        let tek = tek(0x1000, transform);
        let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(1))).unwrap();
        let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        let mut forged = outbound.seal(&mut SeededRandom::new(1), 17, b"data").unwrap();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert_eq!(verdict(&mut inbound, address(1), &forged), Err(Error::Authentication));
        assert_eq!((inbound.senders(), inbound.opened()), (0, 0));
    }
}

#[test]
fn a_source_specific_channel_hears_its_source_only() {
    for transform in EspTransform::ALL {
        let channel = Channel::new("232.1.1.1".parse().unwrap(), Some(address(1))).unwrap();
        let tek = Tek { channel, ..tek(0x1000, transform) };
        let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(1))).unwrap();
        let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        let esp = outbound.seal(&mut SeededRandom::new(1), 17, b"data").unwrap();
        assert_eq!(verdict(&mut inbound, address(2), &esp), Err(Error::WrongSource));
        let mapped = IpAddr::V6("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(verdict(&mut inbound, mapped, &esp), Ok(()), "as a dual-stack socket says it");
    }
}

#[test]
fn sequence_number_zero_is_nobodys() {
    // An authentic packet with number 0 is not to be had from OutboundSa, so the parts are put together here.
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let (key, salt) = tek.keys.encryption.expose().split_at(16);
    let key = provider().aead(claviger_crypto::aead::AeadAlgorithm::Aes128Gcm).unwrap().key(key).unwrap();
    let mut body = vec![1, 2, 2, 17];
    let header = [0, 0, 0x10, 0, 0, 0, 0, 0];
    let nonce: [u8; 12] = [salt, &[0; 8]].concat().try_into().unwrap();
    let tag = key.seal(&nonce, &header, &mut body).unwrap();
    let esp = [&header[..], &[0; 8], &body, &tag].concat();
    let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
    assert_eq!(verdict(&mut inbound, address(1), &esp), Err(Error::Replayed));
}

#[test]
fn dummies_are_dropped_quietly_and_once() {
    for transform in EspTransform::ALL {
        let (mut sender, mut receiver) = pair(&tek(0x1000, transform));
        let dummy = sender.seal(NOW, 59, &[0; 64]).unwrap();
        assert_eq!(receiver.open(NOW, address(1), &dummy), Err(Error::Dummy));
        assert_eq!((receiver.counts()[Counter::Dummies], receiver.counts().dropped()), (1, 0));
        assert_eq!(receiver.open(NOW, address(1), &dummy), Err(Error::Replayed));
    }
}
