//! Attacks, each named for what it tries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use claviger_crypto::{
    SeededRandom, SystemRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    Delete, Error, Exchange, Gap, KeyDownload, Member, MemberConfig, MemberEvent, NotifyType, PullFailure,
    SaPayload, SaTek, ServerEvent,
    error::{AuthError, PeerMisbehaved},
    limits::EXCHANGE_LIFETIME,
    push::{self, KekMaterial, Push, RekeySa},
    wire::{Deletes, KekDownload, LkhUpdateArray, Notification, SenderIds},
};
use claviger_group::{CookiePair, Spi};
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    limits::DECRYPTIONS_BURST,
    wire::Header,
};
use claviger_wire::Encode;
use support::{
    rogue::{Body, Rogue, chain, cookies, last_block, message_id, octets},
    *,
};

/// A pull that was brought up to one of its messages, which is on the wire.
struct Stage {
    pair: Pair,
    message: Vec<u8>,
    to_server: bool,
}

fn stage(number: usize) -> Stage {
    let mut pair = Pair::new();
    let mut message = pair.message_1();
    let mut to_server = true;
    for step in 1..number {
        message = match step {
            1 => pair.message_2(&message),
            2 => pair.message_3(&message),
            _ => pair.message_4(&message),
        };
        to_server = !to_server;
    }
    Stage { pair, message, to_server }
}

impl Stage {
    fn deliver(&mut self, octets: &[u8]) -> Result<(), Error> {
        if self.to_server { self.pair.server_gets(octets) } else { self.pair.member_gets(octets) }
    }

    fn assert_nothing_happened(&mut self, what: &str) {
        assert_eq!(self.pair.member.poll_event(), None, "{what}");
        assert_eq!(self.pair.server.poll_event(), None, "{what}");
        assert_eq!(self.pair.member.poll_transmit(), None, "{what}");
        assert_eq!(self.pair.server.poll_transmit(), None, "{what}");
    }

    /// Goes on with the genuine message, to the keys.
    fn finish(mut self, number: usize) {
        let mut message = self.message;
        for step in number..=4 {
            message = match step {
                1 => self.pair.message_2(&message),
                2 => self.pair.message_3(&message),
                3 => self.pair.message_4(&message),
                _ => return self.pair.finish(&message),
            };
        }
    }
}

#[test]
fn every_pull_message_cut_at_every_length_changes_nothing() {
    for number in 1..=4 {
        let mut stage = stage(number);
        for length in 0..stage.message.len() {
            let cut = stage.message[..length].to_vec();
            let reason = stage.deliver(&cut).unwrap_err().reason();
            assert_eq!(reason, "malformed", "message {number} cut at {length}");
            // With the length made right, what is left is decrypted, and fails.
            if length >= Header::LEN {
                let mut cut = cut;
                cut[24..28].copy_from_slice(&(length as u32).to_be_bytes());
                assert!(stage.deliver(&cut).is_err(), "message {number} cut at {length}");
            }
            stage.assert_nothing_happened("cut");
        }
        stage.finish(number);
    }
}

/// What meets a message of a GROUPKEY-PULL with one octet of its header changed. No octet of it goes unchecked:
/// what the HASH does not cover, the form or the table of exchanges does.
const HEADER_CHECKS: [(std::ops::Range<usize>, &str, &[&str]); 7] = [
    (0..16, "cookies", &["unknown_cookies"]),
    (16..17, "next payload", &["malformed"]),
    (17..18, "version", &["malformed"]),
    (18..19, "exchange type", &["malformed"]),
    (19..20, "flags", &["malformed"]),
    (20..24, "message id", &["unknown_exchange", "malformed", "bad_hash"]),
    (24..28, "length", &["malformed"]),
];

#[test]
fn every_octet_of_every_pull_message_flipped_changes_nothing() {
    for number in 1..=4 {
        let length = stage(number).message.len();
        for at in 0..length {
            for mask in [0x01, 0x80, 0xff] {
                let mut stage = stage(number);
                let mut forged = stage.message.clone();
                forged[at] ^= mask;
                let reason = stage.deliver(&forged).unwrap_err().reason();
                let (field, expected) = HEADER_CHECKS
                    .iter()
                    .find(|(octets, ..)| octets.contains(&at))
                    .map_or(("ciphertext", &["malformed", "bad_hash"][..]), |(_, field, reasons)| {
                        (*field, reasons)
                    });
                assert!(expected.contains(&reason), "message {number}, octet {at} ({field}): {reason}");
                stage.assert_nothing_happened(field);
                if mask == 0x01 {
                    stage.finish(number);
                }
            }
        }
    }
}

#[test]
fn a_replayed_pull_gets_stored_answers_and_then_silence() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    pair.finish(&message_4);
    // While the exchange is kept: nothing is drawn anew.
    assert_eq!(pair.server_gets(&message_1), Err(Error::Replayed));
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_sends(), message_4);
    assert_eq!(pair.server.poll_event(), None);
    for message in [&message_2, &message_4] {
        assert_eq!(pair.member_gets(message), Err(Error::UnknownExchange));
    }
    // Afterwards: the message id is spent.
    pair.wait(pair.now + EXCHANGE_LIFETIME);
    for message in [&message_1, &message_3] {
        assert_eq!(pair.server_gets(message), Err(Error::Replayed));
    }
    assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None));
}

#[test]
fn a_repeated_message_2_neither_offers_again_nor_counts_as_failure() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    pair.member_gets(&message_2).unwrap();
    let MemberEvent::Offered { pull, .. } = pair.member_event() else { panic!("an offer") };
    assert_eq!(pair.member_gets(&message_2), Err(Error::Replayed));
    pair.member.accept(pair.now, pull).unwrap();
    let message_3 = pair.member_sends();
    for _ in 0..2 * DECRYPTIONS_BURST {
        assert_eq!(pair.member_gets(&message_2), Err(Error::Replayed));
    }
    let message_4 = pair.message_4(&message_3);
    pair.finish(&message_4);
}

#[test]
fn reflected_messages_are_recognised() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    assert!(pair.member_gets(&message_1).is_err());
    let message_2 = pair.message_2(&message_1);
    assert!(pair.server_gets(&message_2).is_err());
    let message_3 = pair.message_3(&message_2);
    assert!(pair.member_gets(&message_3).is_err());
    let message_4 = pair.message_4(&message_3);
    assert!(pair.server_gets(&message_4).is_err());
    assert_eq!((pair.server.poll_event(), pair.member.poll_event()), (None, None));
    pair.finish(&message_4);

    // A refusal that comes back to its server, and a member's notification that comes back to it.
    let message_1 = pair.message_1();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    pair.server.refuse(pair.now, pull, NotifyType::INVALID_ID_INFORMATION).unwrap();
    let refusal = pair.server_sends();
    assert_eq!(pair.server_gets(&refusal), Err(Error::Replayed));
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    pair.member_gets(&message_2).unwrap();
    let MemberEvent::Offered { pull, .. } = pair.member_event() else { panic!("an offer") };
    pair.member.decline(pair.now, pull).unwrap();
    let notification = pair.member_sends();
    assert_eq!(pair.member_gets(&notification), Err(Error::Replayed));
}

#[test]
fn messages_of_one_exchange_do_not_fit_another() {
    let mut pair = Pair::new();
    let (first, second) = (pair.message_1(), pair.message_1());
    let (first_2, second_2) = (pair.message_2(&first), pair.message_2(&second));
    let relabelled = |message: &[u8], other: &[u8]| {
        let mut forged = message.to_vec();
        forged[20..24].copy_from_slice(&other[20..24]);
        forged
    };
    let forged = relabelled(&first_2, &second_2);
    assert!(pair.member_gets(&forged).is_err());
    assert_eq!(pair.member.poll_event(), None);
    let first_3 = pair.message_3(&first_2);
    let second_3 = pair.message_3(&second_2);
    let forged = relabelled(&first_3, &second_3);
    assert!(pair.server_gets(&forged).is_err());
    assert_eq!(pair.server.poll_event(), None);
    let first_4 = pair.message_4(&first_3);
    let forged = relabelled(&first_4, &second_3);
    assert!(pair.member_gets(&forged).is_err());
    assert_eq!(pair.member.poll_event(), None);
    let second_4 = pair.message_4(&second_3);
    pair.finish(&first_4);
    pair.finish(&second_4);
}

/// Message 3 recorded in an earlier exchange does not carry the nonce of this one.
#[test]
fn a_recorded_acknowledgement_does_not_confirm_a_new_exchange() {
    let mut stage = stage(2);
    let rogue = Rogue::new();
    let id = message_id(&stage.message);
    let stale = [0x11; 32];
    let forged =
        rogue.seal(ExchangeType::GROUPKEY_PULL, id, last_block(&stage.message), &[&stale, &stale], &[]);
    assert_eq!(stage.pair.server_gets(&forged), Err(Error::Auth(AuthError::Hash)));
    assert_eq!(stage.pair.server.poll_event(), None);
    stage.finish(2);
}

#[test]
fn unknown_cookies_cost_a_look_up() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    pair.server.remove_registration(&COOKIES);
    assert_eq!(pair.server_gets(&message_1), Err(Error::UnknownCookies));
    let sa = registration(CookiePair([0xd1; 16]), HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    pair.server.add_registration(pair.now, sa).unwrap();
    assert_eq!(pair.server_gets(&message_1), Err(Error::UnknownCookies));
    let mut relabelled = message_1;
    relabelled[..16].copy_from_slice(&[0xd1; 16]);
    assert!(matches!(pair.server_gets(&relabelled).unwrap_err().reason(), "bad_hash" | "malformed"));
}

#[test]
fn a_member_without_rights_is_refused_only_after_its_hash_verified() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let mut forged = message_1.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(pair.server_gets(&forged).is_err());
    assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None), "silence");
    pair.server_gets(&message_1).unwrap();
    assert!(matches!(pair.server_event(), ServerEvent::PullRequested { .. }));
}

/// The nonces of both sides, as one who holds the keys reads them.
fn nonce(rogue: &Rogue, message: &[u8], iv: [u8; 16]) -> Vec<u8> {
    let payloads = rogue.open(message, iv);
    payloads.into_iter().find(|(kind, _)| *kind == PayloadType::NONCE).unwrap().1
}

fn sa_octets(sa: &SaPayload) -> Body {
    (PayloadType::SA, octets(|w| sa.encode(Exchange::Push, w)))
}

fn kd_octets(kd: &KeyDownload) -> Body {
    (PayloadType::KEY_DOWNLOAD, octets(|w| kd.encode(w)))
}

/// A key server that a member trusts sends a message 2 of these payloads; what the member reports.
fn rogue_message_2(payloads: &[Body]) -> (&'static str, Option<PullFailure>) {
    let rogue = Rogue::new();
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let id = message_id(&message_1);
    let nonce_i = nonce(&rogue, &message_1, rogue.first_iv(id));
    let forged = rogue.seal(ExchangeType::GROUPKEY_PULL, id, last_block(&message_1), &[&nonce_i], payloads);
    outcome(&mut pair, &forged)
}

/// A key server that a member trusts offers `sa` and sends a message 4 of these payloads.
fn rogue_message_4(sa: &SaPayload, payloads: &[Body]) -> (&'static str, Option<PullFailure>) {
    let rogue = Rogue::new();
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let id = message_id(&message_1);
    let nonce_i = nonce(&rogue, &message_1, rogue.first_iv(id));
    let nonce_r = vec![0x5a; 8];
    let offer = [(PayloadType::NONCE, nonce_r.clone()), sa_octets(sa)];
    let pull = ExchangeType::GROUPKEY_PULL;
    let message_2 = rogue.seal(pull, id, last_block(&message_1), &[&nonce_i], &offer);
    let message_3 = pair.message_3(&message_2);
    let forged = rogue.seal(pull, id, last_block(&message_3), &[&nonce_i, &nonce_r], payloads);
    outcome(&mut pair, &forged)
}

fn outcome(pair: &mut Pair, forged: &[u8]) -> (&'static str, Option<PullFailure>) {
    let reason = pair.member_gets(forged).err().map_or("accepted", |error| error.reason());
    let failure = pair.member.poll_event().and_then(|event| match event {
        MemberEvent::PullFailed { reason, .. } => Some(reason),
        _ => None,
    });
    (reason, failure)
}

#[test]
fn a_hostile_server_cannot_offer_what_breaks_a_rule() {
    let good = || (PayloadType::NONCE, vec![7; 8]);
    assert_eq!(rogue_message_2(&[good(), sa_octets(&sa())]), ("accepted", None));
    let with_gap = |gap| sa_octets(&SaPayload { gap: Some(gap), ..sa() });
    let broken: [(&[Body], &str); 6] = [
        (&[(PayloadType::NONCE, vec![7; 7]), sa_octets(&sa())], "malformed"),
        (&[(PayloadType::NONCE, vec![7; 129]), sa_octets(&sa())], "malformed"),
        (&[sa_octets(&sa()), good()], "malformed"),
        (&[good(), sa_octets(&sa()), sa_octets(&sa())], "malformed"),
        (&[good(), (PayloadType::SA, vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])], "unsupported"),
        (&[good(), (PayloadType(99), vec![])], "malformed"),
    ];
    for (payloads, expected) in broken {
        let (reason, failure) = rogue_message_2(payloads);
        assert_eq!(reason, expected, "{payloads:?}");
        assert!(failure.is_some(), "an authentic message that breaks a rule ends the pull");
    }
    // KEK_MANAGEMENT_ALGORITHM must be ignored in a pull, whatever it says.
    let mut managed = sa();
    managed.kek.as_mut().unwrap().management = Some(200);
    assert_eq!(rogue_message_2(&[good(), sa_octets(&managed)]), ("accepted", None));
    // A request for sender ids is the member's to make; it is found when the keys arrive.
    let asking = with_gap(Gap { sender_id_request: Some(1), ..Gap::default() });
    assert_eq!(rogue_message_2(&[good(), asking]), ("accepted", None));
}

#[test]
fn a_hostile_server_cannot_download_what_does_not_fit() {
    let signer = signing_key();
    let seq = || (PayloadType::SEQUENCE_NUMBER, vec![0, 0, 0, 0]);
    let good = || kd(&signer);
    assert_eq!(rogue_message_4(&sa(), &[seq(), kd_octets(&good())]).0, "accepted");
    type Breaking = fn(&mut KeyDownload);
    let broken: [(Breaking, PeerMisbehaved); 8] = [
        (|kd| kd.lkh = None, PeerMisbehaved::KeyMissing),
        (|kd| kd.lkh.as_mut().unwrap().spi = CookiePair([1; 16]), PeerMisbehaved::KeyWithoutPolicy),
        (|kd| kd.teks[0].0 = Spi::new(0x9999).unwrap(), PeerMisbehaved::KeyMissing),
        (|kd| kd.teks[0].1.encryption = vec![0; 16].into(), PeerMisbehaved::KeyLength),
        (
            |kd| kd.lkh.as_mut().unwrap().download.as_mut().unwrap().keys[0].key_type = 2,
            PeerMisbehaved::LkhKeyType,
        ),
        (
            |kd| {
                let key = kd.lkh.as_ref().unwrap().download.as_ref().unwrap().keys[0].clone();
                let update = LkhUpdateArray { id: 1, handle: 1, keys: vec![key] };
                kd.lkh.as_mut().unwrap().updates.push(update);
            },
            PeerMisbehaved::UpdateArrayInPull,
        ),
        (
            |kd| {
                let other = SigningKey::generate(
                    provider(),
                    KeyAlgorithm::Ed25519,
                    &mut SystemRandom::new().unwrap(),
                )
                .unwrap();
                kd.lkh.as_mut().unwrap().signing_key = Some(other.public().clone());
            },
            PeerMisbehaved::SigningKeyKind,
        ),
        (
            |kd| {
                let keys = kd.teks[0].1.clone();
                kd.teks.push((Spi::new(0x9999).unwrap(), keys));
            },
            PeerMisbehaved::KeyWithoutPolicy,
        ),
    ];
    for (breaking, rule) in broken {
        let mut kd = good();
        breaking(&mut kd);
        let (_, failure) = rogue_message_4(&sa(), &[seq(), kd_octets(&kd)]);
        assert_eq!(failure, Some(PullFailure::Peer(rule.into())));
    }
    let missing = rogue_message_4(&sa(), &[kd_octets(&good())]).1;
    assert_eq!(missing, Some(PullFailure::Peer(PeerMisbehaved::SequenceMissing.into())));
    let without_kek = SaPayload { kek: None, ..sa() };
    let keys = KeyDownload { lkh: None, ..good() };
    let superfluous = rogue_message_4(&without_kek, &[seq(), kd_octets(&keys)]).1;
    assert_eq!(superfluous, Some(PullFailure::Peer(PeerMisbehaved::SequenceWithoutKek.into())));
    let gap = Gap { sender_id_request: Some(1), ..Gap::default() };
    let asking = rogue_message_4(&SaPayload { gap: Some(gap), ..sa() }, &[seq(), kd_octets(&good())]).1;
    assert_eq!(asking, Some(PullFailure::Peer(PeerMisbehaved::SenderIdRequestByServer.into())));
    let huge = [seq(), (PayloadType::KEY_DOWNLOAD, vec![0xff; 60_000])];
    assert_eq!(rogue_message_4(&sa(), &huge).0, "malformed");
}

#[test]
fn a_hostile_member_gets_nothing_for_a_broken_request() {
    let rogue = Rogue::new();
    let nonce = || (PayloadType::NONCE, vec![3; 16]);
    let id = || (PayloadType::ID, vec![11, 0, 0, 0, 0, 0, 4, 0xd2]);
    let requests: [&[Body]; 6] = [
        &[nonce()],
        &[id(), nonce()],
        &[(PayloadType::NONCE, vec![3; 4]), id()],
        &[nonce(), (PayloadType::ID, vec![11, 17, 0, 0, 1])],
        &[nonce(), (PayloadType::ID, vec![11, 0, 0, 0])],
        &[nonce(), id(), (PayloadType::GROUP_ASSOCIATED_POLICY, vec![])],
    ];
    let mut pair = Pair::new();
    for (number, request) in requests.iter().enumerate() {
        let message_id = number as u32 + 1;
        let iv = rogue.first_iv(message_id);
        let forged = rogue.seal(ExchangeType::GROUPKEY_PULL, message_id, iv, &[], request);
        assert_eq!(pair.server_gets(&forged).unwrap_err().reason(), "malformed", "{request:?}");
        assert_eq!(pair.server_gets(&forged), Err(Error::Replayed), "its message id is spent");
        assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None));
    }
    let zero = rogue.seal(ExchangeType::GROUPKEY_PULL, 0, rogue.first_iv(0), &[], &[nonce(), id()]);
    assert_eq!(pair.server_gets(&zero).unwrap_err().reason(), "malformed");
    let good = rogue.seal(ExchangeType::GROUPKEY_PULL, 99, rogue.first_iv(99), &[], &[nonce(), id()]);
    pair.server_gets(&good).unwrap();
    assert!(matches!(pair.server_event(), ServerEvent::PullRequested { .. }));
}

#[test]
fn a_member_that_breaks_a_rule_in_message_3_ends_its_exchange() {
    let rogue = Rogue::new();
    for payloads in [
        vec![(PayloadType::GROUP_ASSOCIATED_POLICY, vec![0x80, 9, 0, 1])],
        vec![(PayloadType::NONCE, vec![0; 8])],
    ] {
        let mut pair = Pair::new();
        let message_1 = pair.message_1();
        let id = message_id(&message_1);
        let message_2 = pair.message_2(&message_1);
        let nonce_i = nonce(&rogue, &message_1, rogue.first_iv(id));
        let nonce_r = nonce(&rogue, &message_2, last_block(&message_1));
        let iv = last_block(&message_2);
        let forged = rogue.seal(ExchangeType::GROUPKEY_PULL, id, iv, &[&nonce_i, &nonce_r], &payloads);
        assert!(pair.server_gets(&forged).is_err());
        assert_eq!((pair.server.poll_event(), pair.server.poll_transmit()), (None, None));
        let message_3 = pair.message_3(&message_2);
        assert_eq!(pair.server_gets(&message_3), Err(PeerMisbehaved::OutOfState.into()));
    }
}

#[test]
fn a_notification_needs_its_hash_and_concerns_one_exchange() {
    let rogue = Rogue::new();
    let mut pair = Pair::new();
    let (first, second) = (pair.message_1(), pair.message_1());
    let notification = |about| {
        let notify = NotifyType::INVALID_ID_INFORMATION;
        octets(|w| {
            Notification { notify, message_id: about }.encode(w);
            Ok(())
        })
    };
    let seal = |id: u32, body: Vec<u8>| {
        let payloads = [(PayloadType::NOTIFICATION, body)];
        rogue.seal(ExchangeType::INFORMATIONAL, id, rogue.first_iv(id), &[], &payloads)
    };
    let mut forged = seal(1, notification(Some(message_id(&first))));
    *forged.last_mut().unwrap() ^= 1;
    assert!(pair.member_gets(&forged).is_err());
    assert_eq!(pair.member_gets(&seal(2, notification(None))), Err(Error::UnknownExchange), "which of two?");
    assert_eq!(pair.member_gets(&seal(3, notification(Some(7)))), Err(Error::UnknownExchange));
    // A Delete is none of the payloads that an Informational may have here.
    let delete = rogue.seal(
        ExchangeType::INFORMATIONAL,
        4,
        rogue.first_iv(4),
        &[],
        &[(PayloadType::DELETE, octets(|w| Deletes(vec![Delete::AllTeks]).encode(w)))],
    );
    assert_eq!(pair.member_gets(&delete).unwrap_err().reason(), "malformed");
    assert_eq!(pair.member.poll_event(), None);
    pair.member_gets(&seal(5, notification(Some(message_id(&second))))).unwrap();
    assert!(matches!(
        pair.member_event(),
        MemberEvent::PullFailed { reason: PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION), .. }
    ));
    // A status is no refusal.
    let status = octets(|w| {
        Notification { notify: NotifyType(24_576), message_id: None }.encode(w);
        Ok(())
    });
    pair.member_gets(&seal(6, status)).unwrap();
    assert_eq!(pair.member.poll_event(), None);
    let message_2 = pair.message_2(&first);
    pair.message_3(&message_2);
}

#[test]
fn another_members_registration_cannot_end_a_pull() {
    let mut pair = Pair::new();
    let other = CookiePair([0xe7; 16]);
    let sa = registration(other, HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    pair.server.add_registration(pair.now, sa.clone()).unwrap();
    let message_1 = pair.message_1();
    pair.message_2(&message_1);
    let mut second = Member::new(MemberConfig::new(provider()), Box::new(SeededRandom::new(9)));
    second.add_registration(pair.now, sa).unwrap();
    second.pull(pair.now, &other, server_address(), group(), None).unwrap();
    let mut stolen = second.poll_transmit().unwrap().payload;
    assert_eq!(cookies(&stolen), other);
    stolen[20..24].copy_from_slice(&message_1[20..24]);
    assert!(pair.server_gets(&stolen).is_err());
    assert_eq!(pair.server.poll_event(), None);
}

// GROUPKEY-PUSH

fn rekey_sa(signer: &SigningKey, sequence: u32) -> RekeySa {
    RekeySa::new(provider(), kek(), signer.public().clone(), KeyAlgorithm::EcdsaP256, sequence).unwrap()
}

fn push_of_tek(signer: &SigningKey, sequence: u32) -> Vec<u8> {
    let tek = tek(0x2000);
    let sa = SaPayload { kek: None, gap: None, teks: vec![SaTek::from(&tek)] };
    let kd = KeyDownload { teks: vec![(tek.spi, tek.keys)], ..KeyDownload::default() };
    let deletes = [Delete::Tek(Spi::new(0x1000).unwrap())];
    let kek = kek();
    let push = Push { kek: &kek, sequence, deletes: &deletes, sa: Some(&sa), kd: Some(&kd) };
    push::seal(provider(), &push, signer).unwrap()
}

#[test]
fn every_push_cut_at_every_length_and_every_octet_flipped_changes_nothing() {
    let signer = signing_key();
    let mut member = rekey_sa(&signer, 0);
    let genuine = push_of_tek(&signer, 1);
    for length in 0..genuine.len() {
        let mut cut = genuine[..length].to_vec();
        assert_eq!(member.open(&cut).unwrap_err().reason(), "malformed", "cut at {length}");
        if length >= Header::LEN {
            cut[24..28].copy_from_slice(&(length as u32).to_be_bytes());
            assert!(member.open(&cut).is_err(), "cut at {length}");
        }
    }
    for at in 0..genuine.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut forged = genuine.clone();
            forged[at] ^= mask;
            let reason = member.open(&forged).unwrap_err().reason();
            let expected: &[&str] = match at {
                0..16 => &["unknown_cookies"],
                16..28 => &["malformed"],
                _ => &["malformed", "bad_signature", "replayed"],
            };
            assert!(expected.contains(&reason), "octet {at}: {reason}");
        }
    }
    assert_eq!(member.sequence(), 0);
    let rekey = member.open(&genuine).unwrap();
    member.commit(&rekey);
    assert_eq!(member.sequence(), 1);
}

#[test]
fn replayed_reordered_and_rolled_back_pushes_are_refused() {
    let signer = signing_key();
    let mut member = rekey_sa(&signer, 0);
    let pushes: Vec<_> = (0..=4).map(|sequence| push_of_tek(&signer, sequence)).collect();
    assert_eq!(member.open(&pushes[0]), Err(Error::Replayed), "numbers begin at 1");
    let third = member.open(&pushes[3]).unwrap();
    assert_eq!(third.gap(), 2);
    let second = member.open(&pushes[2]).unwrap();
    member.commit(&third);
    for old in &pushes[..=3] {
        assert_eq!(member.open(old), Err(Error::Replayed));
    }
    member.commit(&second);
    assert_eq!(member.sequence(), 3, "a message that was overtaken rolls nothing back");
    assert_eq!(member.open(&pushes[4]).unwrap().gap(), 0);
}

/// Every member holds the KEK and could encrypt; only the key server can sign.
#[test]
fn a_member_cannot_speak_for_the_key_server() {
    let (signer, own_key) = (signing_key(), signing_key());
    let member = rekey_sa(&signer, 0);
    assert_eq!(member.open(&push_of_tek(&own_key, 1)), Err(Error::Auth(AuthError::Signature)));
    let other_kind =
        SigningKey::generate(provider(), KeyAlgorithm::Ed25519, &mut SystemRandom::new().unwrap()).unwrap();
    assert_eq!(member.open(&push_of_tek(&other_kind, 1)), Err(Error::Auth(AuthError::Signature)));
}

#[test]
fn a_push_under_a_kek_that_is_not_ours_is_no_push() {
    let signer = signing_key();
    let member = rekey_sa(&signer, 0);
    let guessed = KekMaterial { key: vec![0; 16].into(), ..kek() };
    let deletes = [Delete::AllTeks];
    let push = Push { kek: &guessed, sequence: 1, deletes: &deletes, sa: None, kd: None };
    let sealed = push::seal(provider(), &push, &signer).unwrap();
    assert_eq!(member.open(&sealed).unwrap_err().reason(), "malformed");
    let foreign = KekMaterial { spi: CookiePair([1; 16]), ..kek() };
    let push = Push { kek: &foreign, ..push };
    let sealed = push::seal(provider(), &push, &signer).unwrap();
    assert_eq!(member.open(&sealed), Err(Error::UnknownCookies));
}

/// Signs and encrypts any payloads as the key server would.
fn rogue_push(signer: &SigningKey, payloads: &[Body], prefix: &[u8]) -> Vec<u8> {
    use claviger_crypto::sign::SignatureAlgorithm;
    let kek = kek();
    let mut all = payloads.to_vec();
    all.push((PayloadType::SIG, vec![0; 64]));
    let unsigned = chain(&all);
    let unpadded = Header::LEN + unsigned.octets().len();
    let mut header = Header {
        cookies: kek.spi,
        next_payload: unsigned.first(),
        exchange: ExchangeType::GROUPKEY_PUSH,
        encrypted: true,
        message_id: 0,
        length: unpadded as u32,
    };
    let before_sig = &unsigned.octets()[..unsigned.octets().len() - 68];
    let signed = [prefix, &header.to_octets(), before_sig].concat();
    let tag = signer.sign(SignatureAlgorithm::EcdsaP256Sha256, &signed).unwrap();
    all.last_mut().unwrap().1 = tag;
    let signed = chain(&all);
    header.length = (Header::LEN + signed.octets().len().next_multiple_of(16)) as u32;
    let mut octets = [&header.to_octets()[..], signed.octets()].concat();
    octets.resize(header.length as usize, 0);
    let key = provider().cipher(kek.cipher).unwrap().key(kek.key.expose()).unwrap();
    key.encrypt(&kek.iv, &mut octets[Header::LEN..]).unwrap();
    octets
}

#[test]
fn a_signature_for_another_purpose_is_not_one_for_a_push() {
    let signer = signing_key();
    let member = rekey_sa(&signer, 0);
    let payloads = [(PayloadType::SEQUENCE_NUMBER, vec![0, 0, 0, 1])];
    assert!(member.open(&rogue_push(&signer, &payloads, b"rekey")).is_ok());
    let other = member.open(&rogue_push(&signer, &payloads, b"hello"));
    assert_eq!(other, Err(Error::Auth(AuthError::Signature)));
}

#[test]
fn a_hostile_server_cannot_push_what_breaks_a_rule() {
    let signer = signing_key();
    let member = rekey_sa(&signer, 0);
    let seq = || (PayloadType::SEQUENCE_NUMBER, vec![0, 0, 0, 1]);
    let tek = tek(0x2000);
    let teks = SaPayload { kek: None, gap: None, teks: vec![SaTek::from(&tek)] };
    let keys = KeyDownload { teks: vec![(tek.spi, tek.keys.clone())], ..KeyDownload::default() };
    let reason = |payloads: &[Body]| {
        member.open(&rogue_push(&signer, payloads, b"rekey")).err().map_or("accepted", |error| error.reason())
    };
    assert_eq!(reason(&[seq(), sa_octets(&teks), kd_octets(&keys)]), "accepted");
    let sender_ids = Some(SenderIds { bits: 8, values: vec![1] });
    let with_ids = KeyDownload { sender_ids, ..keys.clone() };
    assert_eq!(reason(&[seq(), sa_octets(&teks), kd_octets(&with_ids)]), "sender_ids_in_push");
    assert_eq!(reason(&[seq(), sa_octets(&sa()), kd_octets(&kd(&signer))]), "download_array_in_push");
    let mut private = sa();
    private.kek.as_mut().unwrap().management = Some(200);
    assert_eq!(reason(&[seq(), sa_octets(&private), kd_octets(&kd(&signer))]), "unsupported");
    let single = KekDownload { spi: KEK_SPI, iv: [0; 16], key: vec![0; 32].into(), signing_key: None };
    let wrong = KeyDownload { kek: Some(single), ..KeyDownload::default() };
    let kek_only = SaPayload { teks: vec![], ..sa() };
    assert_eq!(reason(&[seq(), sa_octets(&kek_only), kd_octets(&wrong)]), "key_length");
    assert_eq!(reason(&[seq(), sa_octets(&teks), kd_octets(&KeyDownload::default())]), "key_missing");
    assert_eq!(reason(&[seq(), sa_octets(&teks)]), "malformed");
    assert_eq!(reason(&[seq(), kd_octets(&keys)]), "malformed");
    assert_eq!(reason(&[seq(), kd_octets(&keys), sa_octets(&teks)]), "malformed");
    assert_eq!(reason(&[sa_octets(&teks), kd_octets(&keys)]), "malformed");
    assert_eq!(reason(&[seq(), seq()]), "malformed");
    assert_eq!(
        reason(&[seq(), (PayloadType::DELETE, vec![0, 0, 0, 2, 2, 4, 0, 1, 0, 0, 1, 0])]),
        "unsupported"
    );
    let mut tunnel = teks.clone();
    tunnel.teks[0].direction = claviger_gdoi::wire::SaDirection::SenderOnly;
    assert_eq!(reason(&[seq(), sa_octets(&tunnel), kd_octets(&keys)]), "unsupported");
}
