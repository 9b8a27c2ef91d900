//! Sender ids: two senders never share an initialization vector, and one sender never uses one twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use claviger_crypto::{SeededRandom, provider};
use claviger_esp::{Counter, Error, Event, InboundSa, OutboundSa, Plane, PlaneConfig, SenderId};
use claviger_group::{EspTransform, Role, Tek};
use proptest::prelude::*;

use support::{NOW, address, plane, sid, tek};

/// What can happen to one of the members that share a TEK.
#[derive(Debug, Clone)]
enum Step {
    /// It sends this many packets.
    Send(u8),
    /// It registers again and gets this many fresh ids.
    Register(usize),
    /// It is given the ids that it had once more, as a careless key server might.
    RegisterWithTheSameIds,
    /// Its association ends and is installed again with the ids that it had.
    Reinstall,
    /// It leaves, forgets all keys, and comes back with the ids that it had.
    LeaveAndReturn,
    /// It has sent so much that few numbers are left under its active id.
    NearlyExhausted,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u8).prop_map(Step::Send),
        1 => (1..4usize).prop_map(Step::Register),
        1 => Just(Step::RegisterWithTheSameIds),
        1 => Just(Step::Reinstall),
        1 => Just(Step::LeaveAndReturn),
        1 => Just(Step::NearlyExhausted),
    ]
}

struct Member {
    plane: Plane,
    ids: Vec<SenderId>,
}

impl Member {
    fn take(&mut self, tek: &Tek, step: Step, bits: u8, next_id: &mut u32) -> Vec<Vec<u8>> {
        match step {
            Step::Send(count) => {
                return (0..count).filter_map(|_| self.plane.seal(NOW, 17, b"data").ok()).collect();
            }
            Step::Register(count) => {
                let ids = (*next_id..).map_while(|value| SenderId::new(bits, value)).take(count);
                self.ids = ids.collect();
                *next_id += u32::try_from(count).unwrap();
                self.plane.set_sender_ids(&self.ids).unwrap();
            }
            Step::RegisterWithTheSameIds => self.plane.set_sender_ids(&self.ids).unwrap(),
            Step::Reinstall => {
                self.plane.deactivate(NOW, tek.spi, NOW);
                self.plane.install(NOW, tek.clone(), NOW, &self.ids).unwrap();
            }
            Step::LeaveAndReturn => {
                self.plane.delete_all();
                self.plane.install(NOW, tek.clone(), NOW, &self.ids).unwrap();
            }
            Step::NearlyExhausted => self.plane.resume(tek.spi, u32::MAX - 2),
        }
        vec![]
    }
}

proptest! {
    #[test]
    fn no_initialization_vector_is_used_twice_under_a_key(
        bits in prop_oneof![Just(8u8), Just(12), Just(16)],
        steps in prop::collection::vec((0..3usize, step()), 1..60),
    ) {
        let tek = tek(0x1000, EspTransform::Aes128Gcm16);
        let mut next_id = 0;
        let mut members: Vec<Member> = (0..3).map(|_| {
            let config = PlaneConfig::new(Role::Both, bits);
            let mut plane = Plane::new(provider(), config, Box::new(SeededRandom::new(1)));
            let ids = vec![SenderId::new(bits, next_id).unwrap()];
            next_id += 1;
            plane.install(NOW, tek.clone(), NOW, &ids).unwrap();
            Member { plane, ids }
        }).collect();
        let mut receiver = InboundSa::new(provider(), &tek, bits).unwrap();
        let mut unknowing = InboundSa::new(provider(), &tek, 16).unwrap();
        let mut ivs = BTreeSet::new();
        for (member, step) in steps {
            for esp in members[member].take(&tek, step, bits, &mut next_id) {
                prop_assert!(ivs.insert(esp[8..16].to_vec()), "an initialization vector came back");
                // The few last numbers of an id that is nearly exhausted are a leap.
                let verdict = receiver.open(address(1), &esp).map(drop);
                prop_assert!(matches!(verdict, Ok(()) | Err(Error::Leap)), "{:?}", verdict);
                let unknowing = unknowing.open(address(1), &esp).map(drop);
                prop_assert_eq!(unknowing, verdict, "who knows no length says 16");
            }
        }
    }

    #[test]
    fn seals_and_opens_any_payload(
        transform in prop::sample::select(EspTransform::ALL.to_vec()),
        next_header in prop::sample::select((0..=255u8).filter(|&n| n != 59).collect::<Vec<_>>()),
        payload in prop::collection::vec(any::<u8>(), 0..2000),
        cut in any::<prop::sample::Index>(),
    ) {
        let tek = tek(0x1000, transform);
        let mut random = SeededRandom::new(1);
        let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(5))).unwrap();
        let mut inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        let (head, tail) = payload.split_at(cut.index(payload.len() + 1));
        let esp = outbound.seal_parts(&mut random, next_header, &[head, tail]).unwrap();
        let opened = inbound.open(address(1), &esp).unwrap();
        prop_assert_eq!(opened.next_header, next_header);
        prop_assert_eq!(opened.payload, payload);
    }
}

#[test]
fn an_exhausted_association_is_silent_and_never_wraps() {
    for transform in EspTransform::ALL {
        let tek = tek(0x1000, transform);
        let mut random = SeededRandom::new(1);
        let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(5))).unwrap();
        outbound.resume(u32::MAX - 1);
        assert_eq!(outbound.remaining(), 1);
        let last = outbound.seal(&mut random, 17, b"last").unwrap();
        assert_eq!(last[4..8], [0xff; 4]);
        for _ in 0..3 {
            assert_eq!(outbound.seal(&mut random, 17, b"more"), Err(Error::Exhausted));
        }
        assert_eq!((outbound.remaining(), outbound.sent()), (0, u32::MAX));
    }
}

#[test]
fn further_sender_ids_are_used_one_after_the_other() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let mut random = SeededRandom::new(1);
    let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(1))).unwrap();
    outbound.set_sender_ids(&[sid(2), sid(3)]).unwrap();
    assert_eq!(outbound.remaining(), 2 * u64::from(u32::MAX));
    outbound.resume(u32::MAX);
    let esp = outbound.seal(&mut random, 17, b"data").unwrap();
    assert_eq!(esp[4..16], [0, 0, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0], "number 1 and counter 0 under id 3");
    outbound.resume(u32::MAX);
    assert_eq!(outbound.seal(&mut random, 17, b"data"), Err(Error::Exhausted));
    outbound.set_sender_ids(&[sid(3), sid(2)]).unwrap();
    assert_eq!(outbound.seal(&mut random, 17, b"data"), Err(Error::Exhausted), "spent ids stay spent");
    outbound.set_sender_ids(&[sid(4)]).unwrap();
    assert_eq!(outbound.seal(&mut random, 17, b"data").unwrap()[8..10], [0, 4]);
}

#[test]
fn a_sender_is_told_in_time_to_register_again() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let config = PlaneConfig { exhausting_below: 10, ..PlaneConfig::new(Role::Both, 16) };
    let mut plane = Plane::new(provider(), config, Box::new(SeededRandom::new(1)));
    plane.install(NOW, tek.clone(), NOW, &[sid(1)]).unwrap();
    assert_eq!(plane.poll_event(), Some(Event::Activated(tek.spi)));
    plane.resume(tek.spi, u32::MAX - 11);
    plane.seal(NOW, 17, b"data").unwrap();
    assert_eq!(plane.poll_event(), None);
    plane.seal(NOW, 17, b"data").unwrap();
    assert_eq!(plane.poll_event(), Some(Event::Exhausting(tek.spi)));
    for _ in 0..9 {
        plane.seal(NOW, 17, b"data").unwrap();
    }
    assert_eq!(plane.seal(NOW, 17, b"data"), Err(Error::Exhausted));
    assert_eq!(plane.counts()[Counter::Exhausted], 1);
    assert_eq!(plane.poll_event(), None, "once is enough");
    plane.set_sender_ids(&[sid(2)]).unwrap();
    let esp = plane.seal(NOW, 17, b"data").unwrap();
    assert_eq!(esp[4..16], [0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_fresh_sender_id_starts_a_fresh_window() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let (mut sender, mut receiver) = support::pair(&tek);
    for value in 1..5 {
        sender.set_sender_ids(&[sid(value)]).unwrap();
        let esp = sender.seal(NOW, 17, b"data").unwrap();
        assert_eq!(esp[4..8], [0, 0, 0, 1]);
        assert!(receiver.open(NOW, address(1), &esp).is_ok());
    }
    assert_eq!(receiver.status()[0].senders, 4);
}

#[test]
fn without_counter_mode_numbers_never_start_anew() {
    let tek = tek(0x1000, EspTransform::Aes128CbcHmacSha256);
    let (mut sender, mut receiver) = support::pair(&tek);
    let mut send = |sender: &mut Plane| {
        let esp = sender.seal(NOW, 17, b"data").unwrap();
        assert!(receiver.open(NOW, address(1), &esp).is_ok());
        u32::from_be_bytes(esp[4..8].try_into().unwrap())
    };
    assert_eq!(send(&mut sender), 1);
    sender.set_sender_ids(&[sid(7)]).unwrap();
    assert_eq!(send(&mut sender), 2);
    sender.deactivate(NOW, tek.spi, NOW);
    sender.install(NOW, tek.clone(), NOW, &[]).unwrap();
    assert_eq!(send(&mut sender), 3);

    let kept = sender.status()[0].sent;
    let mut restarted = plane(Role::Sender);
    restarted.install(NOW, tek.clone(), NOW, &[]).unwrap();
    restarted.resume(tek.spi, kept);
    assert_eq!(send(&mut restarted), 4);
}

#[test]
fn ids_of_another_length_are_refused() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let short = SenderId::new(8, 1).unwrap();
    let mut outbound = OutboundSa::new(provider(), &tek, Some(short)).unwrap();
    assert_eq!(outbound.set_sender_ids(&[sid(0x100)]), Err(Error::SenderIdBits));
    assert_eq!(outbound.set_sender_ids(&[short, sid(0x100)]), Err(Error::SenderIdBits));
    let mut plane = plane(Role::Both);
    assert_eq!(plane.install(NOW, tek.clone(), NOW, &[short]), Err(Error::SenderIdBits));
    assert!(plane.status().is_empty());
    assert_eq!(plane.set_sender_ids(&[short]), Err(Error::SenderIdBits));
    assert!(matches!(OutboundSa::new(provider(), &tek, None), Err(Error::NoSenderId)));
    assert!(matches!(InboundSa::new(provider(), &tek, 10), Err(Error::SenderIdBits)));
}
