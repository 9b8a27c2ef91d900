//! Packets that come again, or whose numbers leap: nothing is delivered twice, and one packet silences nobody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeSet, net::IpAddr};

use claviger_crypto::{SeededRandom, provider};
use claviger_esp::{
    Counter, Error, InboundSa, OutboundSa,
    inbound::{LEAP_PROOF, REACH, SENDERS_MAX},
    packet::{IpHeader, Mode, PROTOCOL_UDP, PacketError, udp, unwrap_bare},
};
use claviger_group::{Encapsulation, EspTransform, Tek};
use proptest::prelude::*;

use support::{NOW, address, pair, sid, tek};

const GROUP: [u8; 4] = [239, 192, 0, 1];

/// Seals a packet with this number, as the sender with this id or anybody who has the key can.
fn numbered(tek: &Tek, sender: u32, number: u32) -> Vec<u8> {
    let mut outbound = OutboundSa::new(provider(), tek, Some(sid(sender))).unwrap();
    outbound.resume(number - 1);
    outbound.seal(&mut SeededRandom::new(number.into()), 17, b"data").unwrap()
}

/// Opens and tells only whether and why not.
fn verdict(inbound: &mut InboundSa, source: IpAddr, esp: &[u8]) -> Result<(), Error> {
    inbound.open(source, esp).map(drop)
}

/// An address that nobody has.
fn made_up(number: u32) -> IpAddr {
    (0x0a00_0000 + number).to_be_bytes().into()
}

#[test]
fn one_packet_of_an_insider_silences_no_other_sender() {
    for transform in EspTransform::ALL {
        for heard_before in [0, 1, 5_000] {
            let tek = tek(0x1000, transform);
            let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
            for number in 1..=heard_before {
                assert_eq!(verdict(&mut inbound, address(1), &numbered(&tek, 5, number)), Ok(()));
            }
            let forged = numbered(&tek, 5, u32::MAX);
            for number in heard_before + 1..heard_before + 20 {
                assert_eq!(verdict(&mut inbound, address(1), &forged), Err(Error::Leap));
                assert_eq!(verdict(&mut inbound, address(1), &numbered(&tek, 5, number)), Ok(()));
            }
        }
    }
}

#[test]
fn a_receiver_that_was_cut_off_goes_on_with_the_third_packet() {
    for transform in EspTransform::ALL {
        let tek = tek(0x1000, transform);
        let (mut sender, mut receiver) = pair(&tek);
        let mut send = || sender.seal(NOW, 17, b"data").unwrap();
        assert!(receiver.open(NOW, address(1), &send()).is_ok());
        for _ in 0..REACH {
            send();
        }
        let first = send();
        assert_eq!(receiver.open(NOW, address(1), &first), Err(Error::Leap));
        for _ in 2..LEAP_PROOF {
            assert_eq!(receiver.open(NOW, address(1), &send()), Err(Error::Leap));
        }
        for _ in 0..100 {
            assert!(receiver.open(NOW, address(1), &send()).is_ok());
        }
        assert_eq!(receiver.counts()[Counter::Leap], u64::from(LEAP_PROOF) - 1);
        assert!(receiver.open(NOW, address(1), &first).is_ok(), "it is late, and was not delivered");
        assert_eq!(receiver.open(NOW, address(1), &first), Err(Error::Replayed));
    }
}

#[test]
fn one_packet_replayed_from_made_up_addresses_keeps_no_sender_out() {
    let tek = tek(0x1000, EspTransform::Aes128CbcHmacSha256);
    let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
    for number in [1, 2] {
        assert_eq!(verdict(&mut inbound, address(1), &numbered(&tek, 1, number)), Ok(()));
    }
    let captured = numbered(&tek, 1, 1);
    for source in 0..2 * SENDERS_MAX as u32 {
        assert_eq!(verdict(&mut inbound, made_up(source), &captured), Ok(()), "the group is replayable");
    }
    assert_eq!(inbound.senders(), SENDERS_MAX);
    assert_eq!(verdict(&mut inbound, address(1), &captured), Err(Error::Replayed), "it is still known");
    assert_eq!(verdict(&mut inbound, address(1), &numbered(&tek, 1, 3)), Ok(()));
    for number in 1..10 {
        assert_eq!(verdict(&mut inbound, address(2), &numbered(&tek, 2, number)), Ok(()), "a new sender");
    }
}

/// The octets that a sender at `source` puts into ESP.
fn inside(mode: Mode, source: IpAddr) -> (u8, Vec<u8>) {
    let header = udp::header((source, 9).into(), (GROUP, 9).into(), b"data").unwrap();
    let datagram = [&header[..], b"data"].concat();
    match mode {
        Mode::Transport => (PROTOCOL_UDP, datagram),
        Mode::Tunnel => (4, IpHeader::new(source, GROUP.into()).write(PROTOCOL_UDP, &datagram).unwrap()),
    }
}

#[test]
fn a_packet_that_comes_from_another_address_than_it_was_sent_from_is_not_heard() {
    for (encapsulation, refusal) in [
        (Encapsulation::UdpTransport, PacketError::Checksum),
        (Encapsulation::UdpTunnel, PacketError::AddressMismatch),
    ] {
        let tek = Tek { encapsulation, ..tek(0x1000, EspTransform::Aes128CbcHmacSha256) };
        let (mut sender, mut receiver) = pair(&tek);
        let mode = Mode::from(encapsulation);
        let mut open = |source: IpAddr, esp: &[u8]| {
            let fits = |opened| unwrap_bare(&IpHeader::new(source, GROUP.into()), mode, &opened);
            receiver.open_checked(NOW, source, esp, fits).map(|checked| checked.map(drop))
        };
        let (next_header, octets) = inside(mode, address(1));
        let captured = sender.seal(NOW, next_header, &octets).unwrap();
        for source in 0..SENDERS_MAX as u32 {
            assert_eq!(open(made_up(source), &captured), Ok(Err(refusal)));
        }
        assert_eq!(open(address(1), &captured), Ok(Ok(())), "its number is not spent");
        assert_eq!(open(address(1), &captured), Err(Error::Replayed));
        assert_eq!(open(made_up(0), &captured), Ok(Err(refusal)));
        assert_eq!(receiver.status()[0].senders, 1);
        assert_eq!((receiver.counts()[Counter::Opened], receiver.status()[0].opened), (1, 1));
    }
}

/// Numbers in clusters that lie far apart.
fn numbers() -> impl Strategy<Value = Vec<u32>> {
    let number = (prop::sample::select(vec![0, 900, 2_000, 1 << 20, u32::MAX - 1_000]), 1..8u32);
    prop::collection::vec(number.prop_map(|(cluster, offset)| cluster + offset), 1..120)
}

proptest! {
    #[test]
    fn whatever_comes_in_whatever_order_nothing_is_delivered_twice(
        transform in prop::sample::select(EspTransform::ALL.to_vec()),
        numbers in numbers(),
    ) {
        let tek = tek(0x1000, transform);
        let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        let mut delivered = BTreeSet::new();
        for number in numbers {
            if inbound.open(address(1), &numbered(&tek, 1, number)).is_ok() {
                prop_assert!(delivered.insert(number), "{} came twice", number);
            }
        }
        prop_assert_eq!(inbound.opened(), delivered.len() as u64);
    }
}
