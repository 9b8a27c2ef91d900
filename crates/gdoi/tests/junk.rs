//! Junk, replays and repetitions under a member's cookies, which stand in the clear in each of its messages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;

use claviger_gdoi::{
    Error, NotifyType, ServerEvent,
    limits::{EXCHANGE_LIFETIME, EXCHANGES_MAX, MEMBER_MESSAGE_LEN_MAX},
};
use claviger_isakmp::{limits::DECRYPTIONS_BURST, wire::Header};
use claviger_wire::DecodeError;
use support::*;

/// Cookies stand in the clear in every message: who sees them can send any amount of junk under them.
#[test]
fn a_flood_under_known_cookies_keeps_nobody_from_its_pull() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let mut forged = message_1.clone();
    let mut flood = |pair: &mut Pair| {
        for count in 0..20 * DECRYPTIONS_BURST {
            forged[20..24].copy_from_slice(&(count + 1).to_be_bytes());
            let reason = pair.server_gets(&forged).unwrap_err().reason();
            assert!(["bad_hash", "malformed"].contains(&reason), "{reason}");
        }
        assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None));
    };
    flood(&mut pair);
    let message_2 = pair.message_2(&message_1);
    flood(&mut pair);
    let message_3 = pair.message_3(&message_2);
    let mut other = message_3.clone();
    *other.last_mut().unwrap() ^= 1;
    for _ in 0..20 * DECRYPTIONS_BURST {
        assert!(pair.server_gets(&other).is_err(), "under the message id of the exchange");
    }
    let message_4 = pair.message_4(&message_3);
    pair.finish(&message_4);
}

#[test]
fn a_message_that_no_member_sends_is_too_long_to_be_decrypted() {
    let mut pair = Pair::new();
    let mut long = pair.message_1();
    long.resize(Header::LEN + MEMBER_MESSAGE_LEN_MAX, 7);
    let length = (long.len() as u32).to_be_bytes();
    long[24..28].copy_from_slice(&length);
    let refused = pair.server_gets(&long).unwrap_err();
    assert_eq!(refused, DecodeError::Length { field: "message" }.into());
}

/// A stored answer is longer than what draws it, and a source address is whatever its sender writes there.
#[test]
fn a_repeated_message_draws_its_stored_answer_only_towards_the_address_that_sent_it_first() {
    let mut pair = Pair::new();
    let elsewhere: SocketAddr = "203.0.113.77:848".parse().unwrap();
    let from_elsewhere = |pair: &mut Pair, message: &[u8]| {
        let refused = pair.server.handle_datagram(pair.now, datagram(message, elsewhere, server_address()));
        assert_eq!(refused, Err(Error::RepeatedElsewhere));
        assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None));
    };
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    from_elsewhere(&mut pair, &message_1);
    pair.server_gets(&message_1).unwrap();
    assert_eq!(pair.server_sends(), message_2);
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    from_elsewhere(&mut pair, &message_3);
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_sends(), message_4);
    // Ports do not count, since NATs change them.
    let other_port = SocketAddr::new(member_address().ip(), 4_848);
    pair.server.handle_datagram(pair.now, datagram(&message_3, other_port, server_address())).unwrap();
    assert_eq!(pair.server.poll_transmit().unwrap().destination, other_port);
    // A refusal is stored too.
    let message_1 = pair.message_1();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    pair.server.refuse(pair.now, pull, NotifyType::INVALID_ID_INFORMATION).unwrap();
    pair.server_sends();
    from_elsewhere(&mut pair, &message_1);
}

/// After a loss of its memory a key server takes recorded first messages for new ones.
#[test]
fn first_messages_that_nobody_confirms_take_no_place_from_one_that_is() {
    let mut pair = Pair::new();
    let mut recorded = Vec::new();
    for _ in 0..2 {
        let messages: Vec<_> = (0..EXCHANGES_MAX).map(|_| pair.message_1()).collect();
        recorded.extend(messages);
        pair.wait(pair.now + EXCHANGE_LIFETIME);
        while pair.member.poll_event().is_some() {}
    }
    let message_1 = pair.message_1();
    let mut displaced = 0;
    for message in &recorded {
        pair.server_gets(message).unwrap();
        while let Some(event) = pair.server.poll_event() {
            displaced += usize::from(matches!(event, ServerEvent::PullDisplaced { .. }));
        }
    }
    assert_eq!(displaced, recorded.len() - EXCHANGES_MAX);
    // HDR*, HASH(1), Ni, ID, at last the member's own.
    pair.server_gets(&message_1).unwrap();
    assert!(matches!(pair.server.poll_event(), Some(ServerEvent::PullDisplaced { .. })));
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    pair.server.offer(pair.now, pull, &sa_in_pull()).unwrap();
    let message_2 = pair.server_sends();
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    pair.finish(&message_4);
    assert_eq!(pair.server_gets(&recorded[0]), Err(Error::Replayed), "who gave way comes no second time");
}
