//! A key server that was started again in the middle of a GROUPKEY-PULL, and those who would have a member think so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use claviger_crypto::{
    SeededRandom, cipher::CipherAlgorithm, hash::HashAlgorithm, provider, sign::SigningKey,
};
use claviger_gdoi::{
    Error, Exchange, KeyDownload, MemberEvent, NotifyType, PullFailure, SaPayload, SaTek, Server,
    ServerEvent,
    error::Limit,
    limits::{EXCHANGE_LIFETIME, OFFERS_MAX},
    wire::SenderIds,
};
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    limits::DECRYPTIONS_BURST,
};
use claviger_sansio::Time;
use support::{
    rogue::{Rogue, last_block, message_id, octets},
    *,
};

/// When the default policy repeats message 3 for the first time.
const FIRST_REPETITION: Duration = Duration::from_millis(500);

/// A server that was started again: it knows the registration, and no exchange.
fn started_again(seed: u64) -> Server {
    let mut server = Server::new(provider(), Box::new(SeededRandom::new(seed)));
    let registration = registration(COOKIES, HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    server.add_registration(Time::EPOCH, registration).unwrap();
    server
}

/// What the server offers after its restart: another TEK.
fn later_sa() -> SaPayload {
    SaPayload { teks: vec![SaTek::from(&tek(0x2000))], ..sa() }
}

fn later_kd(signer: &SigningKey) -> KeyDownload {
    let tek = tek(0x2000);
    let sender_ids = Some(SenderIds { bits: 16, values: vec![8] });
    KeyDownload { teks: vec![(tek.spi, tek.keys)], sender_ids, ..kd(signer) }
}

/// Lets time pass until the member repeats message 3: it repeats message 1 behind it.
fn repeated(pair: &mut Pair) -> [Vec<u8>; 2] {
    pair.wait(pair.now + FIRST_REPETITION).try_into().expect("messages 3 and 1")
}

/// Has the server answer message 1 with what it offers now.
fn later_message_2(pair: &mut Pair, message_1: &[u8]) -> Vec<u8> {
    pair.server_gets(message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    pair.server.offer(pair.now, pull, &later_sa()).unwrap();
    pair.server_sends()
}

/// Goes on from a message 3 that was made for the later offer, to the keys.
fn finish_later(pair: &mut Pair, message_3: &[u8]) {
    pair.server_gets(message_3).unwrap();
    let ServerEvent::PullConfirmed { pull, .. } = pair.server_event() else { panic!("a confirmation") };
    let kd = later_kd(&pair.signer);
    pair.server.download(pair.now, pull, Some(3), &kd).unwrap();
    let message_4 = pair.server_sends();
    pair.member_gets(&message_4).unwrap();
    let MemberEvent::Pulled { sa, sequence, kd: downloaded, .. } = pair.member_event() else {
        panic!("keys")
    };
    assert_eq!((sa.teks, sequence, downloaded), (later_sa().teks, Some(3), kd), "all of it is the newer");
    assert_eq!(pair.member.poll_timeout(), None, "nothing is left to do");
}

/// A pull whose server was killed with message 3 on the wire, and has answered message 1 again.
struct Revived {
    pair: Pair,
    message_1: Vec<u8>,
    message_2: Vec<u8>,
    message_3: Vec<u8>,
    later_message_2: Vec<u8>,
}

fn revived() -> Revived {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    pair.server = started_again(3);
    let [_, message_1] = repeated(&mut pair);
    let later_message_2 = later_message_2(&mut pair, &message_1);
    Revived { pair, message_1, message_2, message_3, later_message_2 }
}

//   HDR*, HASH(1), Ni, ID   -->
//                           <--   HDR*, HASH(2), Nr, SA
//   HDR*, HASH(3), GAP      -->   killed, and started again
//   HDR*, HASH(3), GAP      -->   verifies under no exchange
//   HDR*, HASH(1), Ni, ID   -->
//                           <--   HDR*, HASH(2), Nr', SA'
//   HDR*, HASH(3), GAP      -->
//                           <--   HDR*, HASH(4), SEQ, KD'
#[test]
fn a_server_that_lost_the_exchange_is_asked_anew_and_answers_under_another_nonce() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    pair.server = started_again(3);
    let repeated = repeated(&mut pair);
    assert_eq!(repeated, [message_3.clone(), message_1.clone()], "the same octets");
    let reason = pair.server_gets(&message_3).unwrap_err().reason();
    assert!(["bad_hash", "malformed"].contains(&reason), "{reason}");
    assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None), "silence");
    let answer = later_message_2(&mut pair, &message_1);
    assert_ne!(answer, message_2);
    let later_message_3 = pair.message_3(&answer);
    assert_ne!(later_message_3, message_3);
    finish_later(&mut pair, &later_message_3);
}

#[test]
fn the_message_3_of_a_later_offer_is_repeated_as_patiently_as_the_first() {
    let Revived { mut pair, message_3, later_message_2, .. } = revived();
    let later_message_3 = pair.message_3(&later_message_2);
    let [again, message_1] = repeated(&mut pair);
    assert_eq!(again, later_message_3);
    assert_eq!(message_id(&message_1), message_id(&message_3));
    // The exchange as a whole lives no longer for it.
    pair.wait(pair.now + EXCHANGE_LIFETIME);
    assert!(matches!(pair.member_event(), MemberEvent::PullFailed { reason: PullFailure::Timeout, .. }));
}

//   3, 1   -->   the exchange is known: 3 is answered, 1 is old
#[test]
fn a_server_that_knows_the_exchange_answers_message_3_alone() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let lost = pair.message_3(&message_2);
    let [message_3, again] = repeated(&mut pair);
    assert_eq!((&message_3, &again), (&lost, &message_1));
    // The keys are being made: nothing is answered yet.
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_gets(&message_1), Err(Error::Replayed));
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server.poll_transmit(), None);
    let ServerEvent::PullConfirmed { pull, .. } = pair.server_event() else { panic!("a confirmation") };
    let kd = kd(&pair.signer);
    pair.server.download(pair.now, pull, Some(0), &kd).unwrap();
    let message_4 = pair.server_sends();
    // They are made, and message 4 was lost.
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_sends(), message_4);
    assert_eq!(pair.server_gets(&message_1), Err(Error::Replayed));
    assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None));
    pair.finish(&message_4);
}

#[test]
fn a_refusal_of_message_3_is_repeated_once_for_both() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    pair.server_gets(&message_3).unwrap();
    let ServerEvent::PullConfirmed { pull, .. } = pair.server_event() else { panic!("a confirmation") };
    pair.server.refuse(pair.now, pull, NotifyType::INVALID_SPI).unwrap();
    let refusal = pair.server_sends();
    let [message_3, message_1] = repeated(&mut pair);
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_gets(&message_1), Err(Error::Replayed));
    assert_eq!(pair.server_sends(), refusal);
}

//   3          -->   slow, not dead
//   3, 1       -->
//              <--   4
#[test]
fn a_message_4_that_comes_late_ends_the_pull_all_the_same() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    pair.wait(pair.now + 20 * FIRST_REPETITION);
    pair.finish(&message_4);
    // It was killed behind it: what it answers to message 1 then is for nobody, and binds nobody.
    pair.server = started_again(3);
    let answer = later_message_2(&mut pair, &message_1);
    assert_eq!(pair.member_gets(&answer), Err(Error::UnknownExchange));
    assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None));
}

//              <--   4     made before the restart, overtaken by 2'
#[test]
fn a_message_4_of_a_superseded_offer_brings_nothing() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    pair.server = started_again(3);
    let answer = later_message_2(&mut pair, &message_1);
    let later_message_3 = pair.message_3(&answer);
    let reason = pair.member_gets(&message_4).unwrap_err().reason();
    assert!(["bad_hash", "malformed"].contains(&reason), "{reason}");
    assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None));
    finish_later(&mut pair, &later_message_3);
}

#[test]
fn a_replayed_offer_does_not_take_the_exchange_back() {
    let Revived { mut pair, message_2, message_3, later_message_2, .. } = revived();
    let later_message_3 = pair.message_3(&later_message_2);
    for _ in 0..2 * DECRYPTIONS_BURST {
        assert_eq!(pair.member_gets(&message_2), Err(Error::Replayed), "the first offer");
        assert_eq!(pair.member_gets(&later_message_2), Err(Error::Replayed), "the one in force");
    }
    assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None));
    let reason = pair.server_gets(&message_3).unwrap_err().reason();
    assert!(["bad_hash", "malformed"].contains(&reason), "{reason}");
    finish_later(&mut pair, &later_message_3);
}

#[test]
fn a_forged_offer_does_not_end_the_wait_for_message_4() {
    let Revived { mut pair, message_1, later_message_2, .. } = revived();
    for at in 0..later_message_2.len() {
        let mut forged = later_message_2.clone();
        forged[at] ^= 1;
        assert!(pair.member_gets(&forged).is_err(), "octet {at}");
        assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None), "octet {at}");
        pair.now = pair.now + FIRST_REPETITION / 4;
    }
    // One that holds the registration's keys, and knows another nonce than the one that was sent.
    let payloads = [(PayloadType::NONCE, vec![9; 32]), (PayloadType::SA, sa_octets(&later_sa()))];
    let rogue = Rogue::new();
    let number = message_id(&later_message_2);
    let forged =
        rogue.seal(ExchangeType::GROUPKEY_PULL, number, last_block(&message_1), &[&[7; 32]], &payloads);
    assert!(pair.member_gets(&forged).is_err());
    assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None));
    let later_message_3 = pair.message_3(&later_message_2);
    finish_later(&mut pair, &later_message_3);
}

fn sa_octets(sa: &SaPayload) -> Vec<u8> {
    octets(|w| sa.encode(Exchange::Pull, w))
}

#[test]
fn an_offer_of_another_exchange_does_not_fit() {
    let mut pair = Pair::new();
    let (first, second) = (pair.message_1(), pair.message_1());
    let (first_2, second_2) = (pair.message_2(&first), pair.message_2(&second));
    let first_3 = pair.message_3(&first_2);
    let mut forged = second_2.clone();
    forged[20..24].copy_from_slice(&first_2[20..24]);
    assert!(pair.member_gets(&forged).is_err());
    assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None));
    let message_4 = pair.message_4(&first_3);
    pair.finish(&message_4);
}

#[test]
fn an_exchange_takes_a_few_offers_and_no_more() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    pair.message_3(&message_2);
    let mut newest = Vec::new();
    for count in 1..OFFERS_MAX {
        pair.server = started_again(2 + count as u64);
        let answer = later_message_2(&mut pair, &message_1);
        newest = pair.message_3(&answer);
    }
    let asked_last = std::mem::replace(&mut pair.server, started_again(100));
    let answer = later_message_2(&mut pair, &message_1);
    assert_eq!(pair.member_gets(&answer), Err(Limit::Offers.into()));
    assert_eq!((pair.member.poll_event(), pair.member.poll_transmit()), (None, None));
    pair.server = asked_last;
    finish_later(&mut pair, &newest);
}

#[test]
fn a_later_offer_can_be_declined() {
    let Revived { mut pair, later_message_2, .. } = revived();
    pair.member_gets(&later_message_2).unwrap();
    let MemberEvent::Offered { pull, sa, .. } = pair.member_event() else { panic!("an offer") };
    assert_eq!(sa.teks, later_sa().teks);
    assert_eq!(pair.member_gets(&later_message_2), Err(Error::Replayed));
    pair.member.decline(pair.now, pull).unwrap();
    let informational = pair.member_sends();
    pair.server_gets(&informational).unwrap();
    assert!(matches!(pair.server_event(), ServerEvent::PullDeclined { .. }));
}
