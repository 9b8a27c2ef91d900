//! Member and key server in memory: every exchange, drawn as it is on the wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use claviger_crypto::{
    SystemRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    ApiMisuse, Delete, Error, KeyDownload, MemberConfig, MemberEvent, NotifyType, PullFailure, SaPayload,
    SaTek, ServerEvent,
    error::{Limit, PeerMisbehaved},
    limits::{EXCHANGE_LIFETIME, EXCHANGES_MAX, RESENDS_MAX},
    lkh::{self, KeyArray, Link},
    push::{self, Push, RekeySa},
    wire::{AddressPreservation, KekDownload, LkhDownload},
};
use claviger_group::{CookiePair, Encapsulation};
use claviger_isakmp::limits::MESSAGE_IDS_MAX;
use support::*;

#[test]
fn a_pull_brings_policy_and_keys() {
    for (hash, cipher) in [
        (HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc),
        (HashAlgorithm::Sha384, CipherAlgorithm::Aes256Cbc),
        (HashAlgorithm::Sha512, CipherAlgorithm::Aes256Cbc),
        (HashAlgorithm::CShake128, CipherAlgorithm::Aes128Cbc),
    ] {
        let mut pair = Pair::with(hash, cipher);
        let id = pair.pull();
        // HDR*, HASH(1), Ni, ID -->
        let message_1 = pair.member_sends();
        pair.server_gets(&message_1).unwrap();
        let ServerEvent::PullRequested { pull, cookies, group: asked, .. } = pair.server_event() else {
            panic!("a request")
        };
        assert_eq!((cookies, asked), (COOKIES, group()));
        // <-- HDR*, HASH(2), Nr, SA
        pair.server.offer(pair.now, pull, &sa()).unwrap();
        let message_2 = pair.server_sends();
        pair.member_gets(&message_2).unwrap();
        assert_eq!(pair.member_event(), MemberEvent::Offered { pull: id, group: group(), sa: sa_in_pull() });
        // HDR*, HASH(3), GAP -->
        pair.member.accept(pair.now, id).unwrap();
        let message_3 = pair.member_sends();
        pair.server_gets(&message_3).unwrap();
        let ServerEvent::PullConfirmed { pull: confirmed, group: asked, sender_ids, .. } =
            pair.server_event()
        else {
            panic!("a confirmation")
        };
        assert_eq!((confirmed, asked, sender_ids), (pull, group(), Some(2)));
        // <-- HDR*, HASH(4), SEQ, KD
        let kd = kd(&pair.signer);
        pair.server.download(pair.now, pull, Some(0), &kd).unwrap();
        let message_4 = pair.server_sends();
        pair.finish(&message_4);
        assert_eq!(pair.member.poll_timeout(), None, "nothing is left to do");
    }
}

#[test]
fn what_is_lost_is_sent_again_with_the_same_octets() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    // HDR*, HASH(1), Ni, ID --> lost
    let resent = pair.wait(pair.now + Duration::from_millis(500));
    assert_eq!(resent, std::slice::from_ref(&message_1));
    // HDR*, HASH(1), Ni, ID --> <-- HDR*, HASH(2), Nr, SA lost
    let message_2 = pair.message_2(&message_1);
    pair.server_gets(&message_1).unwrap();
    assert_eq!(pair.server_sends(), message_2);
    assert_eq!(pair.server.poll_event(), None);
    // HDR*, HASH(3), GAP --> <-- HDR*, HASH(4), SEQ, KD lost
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    let resent = pair.wait(pair.now + Duration::from_millis(600));
    assert_eq!(resent, [message_3.clone(), message_1]);
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_sends(), message_4);
    assert_eq!(pair.server.poll_event(), None, "nothing is drawn twice");
    pair.finish(&message_4);
}

#[test]
fn an_answer_goes_to_where_the_question_came_from() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    let moved = "10.9.9.9:4848".parse().unwrap();
    pair.server.handle_datagram(pair.now, datagram(&message_3, moved, server_address())).unwrap();
    let ServerEvent::PullConfirmed { pull, .. } = pair.server_event() else { panic!("a confirmation") };
    let kd = kd(&pair.signer);
    pair.server.download(pair.now, pull, Some(0), &kd).unwrap();
    assert_eq!(pair.server.poll_transmit().unwrap().destination, moved);
}

#[test]
fn an_unanswered_pull_fails_in_time() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let resent = pair.wait(pair.now + EXCHANGE_LIFETIME);
    assert_eq!(resent, vec![message_1; 6]);
    assert!(matches!(pair.member_event(), MemberEvent::PullFailed { reason: PullFailure::Timeout, .. }));
}

#[test]
fn an_offer_that_nobody_accepts_ends_in_time_on_both_sides() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    pair.member_gets(&message_2).unwrap();
    assert!(matches!(pair.member_event(), MemberEvent::Offered { .. }));
    assert!(pair.wait(pair.now + EXCHANGE_LIFETIME).is_empty());
    assert!(matches!(pair.member_event(), MemberEvent::PullFailed { reason: PullFailure::Timeout, .. }));
    assert_eq!(pair.server.poll_timeout(), None);
    assert_eq!(pair.server_gets(&message_1), Err(Error::Replayed), "its message id is spent");
}

#[test]
fn a_refusal_names_the_pull_that_it_ends() {
    let mut pair = Pair::new();
    let (refused, other) = (pair.pull(), pair.pull());
    let message_1 = pair.member.poll_transmit().unwrap().payload;
    let _other = pair.member_sends();
    // HDR*, HASH(1), Ni, ID -->
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    // <-- HDR*, HASH(1), N(INVALID-ID-INFORMATION)
    pair.server.refuse(pair.now, pull, NotifyType::INVALID_ID_INFORMATION).unwrap();
    let informational = pair.server_sends();
    // lost, asked again, told again
    pair.server_gets(&message_1).unwrap();
    assert_eq!(pair.server_sends(), informational);
    pair.member_gets(&informational).unwrap();
    let reason = PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION);
    assert_eq!(pair.member_event(), MemberEvent::PullFailed { pull: refused, group: group(), reason });
    assert_eq!(pair.member_gets(&informational), Err(Error::Replayed));
    assert!(matches!(pair.member.accept(pair.now, other), Err(ApiMisuse::WrongState)));
}

#[test]
fn a_server_can_still_refuse_after_message_3() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    pair.server_gets(&message_3).unwrap();
    let ServerEvent::PullConfirmed { pull, .. } = pair.server_event() else { panic!("a confirmation") };
    pair.server.refuse(pair.now, pull, NotifyType::INVALID_ID_INFORMATION).unwrap();
    let informational = pair.server_sends();
    pair.server_gets(&message_3).unwrap();
    assert_eq!(pair.server_sends(), informational);
    pair.member_gets(&informational).unwrap();
    assert!(matches!(pair.member_event(), MemberEvent::PullFailed { reason: PullFailure::Refused(_), .. }));
}

#[test]
fn a_member_can_decline_a_policy() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    pair.member_gets(&message_2).unwrap();
    let MemberEvent::Offered { pull, .. } = pair.member_event() else { panic!("an offer") };
    // HDR*, HASH(1), N(NO-PROPOSAL-CHOSEN) -->
    pair.member.decline(pair.now, pull).unwrap();
    let informational = pair.member_sends();
    pair.server_gets(&informational).unwrap();
    assert!(matches!(
        pair.server_event(),
        ServerEvent::PullDeclined { notify: NotifyType::NO_PROPOSAL_CHOSEN, .. }
    ));
    assert_eq!(pair.member.accept(pair.now, pull), Err(ApiMisuse::UnknownPull));
}

#[test]
fn a_policy_that_is_not_implemented_ends_the_pull_at_once() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    let mut policy = sa();
    policy.teks[0].encapsulation = Encapsulation::Tunnel;
    policy.teks[0].preservation = AddressPreservation::DestinationOnly;
    pair.server.offer(pair.now, pull, &policy).unwrap();
    let message_2 = pair.server_sends();
    assert_eq!(pair.member_gets(&message_2).unwrap_err().reason(), "unsupported");
    assert!(matches!(pair.member_event(), MemberEvent::PullFailed { reason: PullFailure::Policy(_), .. }));
    // HDR*, HASH(1), N(ATTRIBUTES-NOT-SUPPORTED) -->
    let informational = pair.member_sends();
    pair.server_gets(&informational).unwrap();
    assert!(matches!(pair.server_event(), ServerEvent::PullDeclined { .. }));
}

#[test]
fn a_group_without_rekey_sa_has_no_sequence_number() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    let policy = SaPayload { kek: None, ..sa() };
    pair.server.offer(pair.now, pull, &policy).unwrap();
    let message_2 = pair.server_sends();
    let message_3 = pair.message_3(&message_2);
    pair.server_gets(&message_3).unwrap();
    assert!(matches!(pair.server_event(), ServerEvent::PullConfirmed { .. }));
    let keys = KeyDownload { lkh: None, ..kd(&pair.signer) };
    let wrong = pair.server.download(pair.now, pull, Some(0), &keys);
    assert_eq!(wrong, Err(ApiMisuse::DownloadMismatch));
    pair.server.download(pair.now, pull, None, &keys).unwrap();
    let message_4 = pair.server_sends();
    pair.member_gets(&message_4).unwrap();
    assert!(matches!(pair.member_event(), MemberEvent::Pulled { sequence: None, .. }));
}

#[test]
fn verbs_out_of_turn_are_refused() {
    let mut pair = Pair::new();
    let id = pair.pull();
    let unknown = CookiePair([0xee; 16]);
    assert_eq!(
        pair.member.pull(pair.now, &unknown, server_address(), group(), None),
        Err(ApiMisuse::UnknownRegistration)
    );
    assert_eq!(pair.member.accept(pair.now, id), Err(ApiMisuse::WrongState));
    let message_1 = pair.member_sends();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    let keys = kd(&pair.signer);
    assert_eq!(pair.server.download(pair.now, pull, Some(0), &keys), Err(ApiMisuse::WrongState));
    pair.server.offer(pair.now, pull, &sa()).unwrap();
    assert_eq!(pair.server.offer(pair.now, pull, &sa()), Err(ApiMisuse::WrongState));
    let refused = pair.server.refuse(pair.now, pull, NotifyType::INVALID_ID_INFORMATION);
    assert_eq!(refused, Err(ApiMisuse::WrongState));
    let used = registration(COOKIES, HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    assert_eq!(pair.server.add_registration(pair.now, used.clone()), Err(ApiMisuse::Cookies));
    assert_eq!(pair.member.add_registration(pair.now, used), Err(ApiMisuse::Cookies));
    let zero = registration(CookiePair([0; 16]), HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    assert_eq!(pair.server.add_registration(pair.now, zero), Err(ApiMisuse::Cookies));
}

#[test]
fn a_removed_registration_ends_its_pulls_at_once_or_later() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    let later = pair.now + Duration::from_secs(5);
    pair.member.remove_after(&COOKIES, later);
    pair.server.remove_after(&COOKIES, later);
    pair.server.offer(pair.now, pull, &sa()).unwrap();
    pair.wait(later);
    assert!(matches!(
        pair.member_event(),
        MemberEvent::PullFailed { reason: PullFailure::RegistrationRemoved, .. }
    ));
    assert_eq!(pair.server_gets(&message_1), Err(Error::UnknownCookies));
    assert_eq!(pair.server.refuse(pair.now, pull, NotifyType(1)), Err(ApiMisuse::UnknownPull));
}

#[test]
fn exchanges_under_one_cookie_pair_are_limited() {
    let mut pair = Pair::new();
    for _ in 0..EXCHANGES_MAX {
        let message_1 = pair.message_1();
        let message_2 = pair.message_2(&message_1);
        let message_3 = pair.message_3(&message_2);
        pair.server_gets(&message_3).unwrap();
        assert!(matches!(pair.server_event(), ServerEvent::PullConfirmed { .. }));
    }
    let one_more = pair.member.pull(pair.now, &COOKIES, server_address(), group(), None);
    assert_eq!(one_more, Err(ApiMisuse::TooManyExchanges));
    let mut other = Pair::new();
    other.member = claviger_gdoi::Member::new(
        MemberConfig::new(provider()),
        Box::new(claviger_crypto::SeededRandom::new(77)),
    );
    let same = registration(COOKIES, HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    other.member.add_registration(other.now, same).unwrap();
    let message_1 = other.message_1();
    assert_eq!(pair.server_gets(&message_1), Err(Limit::Exchanges.into()));
}

#[test]
fn message_ids_of_a_registration_run_out() {
    let mut pair = Pair::new();
    for _ in 0..MESSAGE_IDS_MAX / EXCHANGES_MAX {
        for _ in 0..EXCHANGES_MAX {
            pair.pull();
        }
        pair.wait(pair.now + EXCHANGE_LIFETIME);
    }
    let one_more = pair.member.pull(pair.now, &COOKIES, server_address(), group(), None);
    assert_eq!(one_more, Err(ApiMisuse::TooManyExchanges));
}

#[test]
fn a_stored_answer_is_repeated_a_limited_number_of_times() {
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    pair.message_2(&message_1);
    for _ in 0..RESENDS_MAX {
        pair.server_gets(&message_1).unwrap();
        pair.server_sends();
    }
    assert_eq!(pair.server_gets(&message_1), Err(Limit::Resends.into()));
    assert_eq!(pair.server.poll_transmit(), None);
}

fn rekey_sa(signer: &SigningKey, sequence: u32) -> RekeySa {
    let kind = signer.public().algorithm();
    RekeySa::new(provider(), kek(), signer.public().clone(), kind, sequence).unwrap()
}

#[test]
fn a_push_replaces_the_kek_through_the_tree() {
    let signer = signing_key();
    let mut member = rekey_sa(&signer, 0);
    let held = KeyArray::new(&lkh::download_array(&path()), CipherAlgorithm::Aes128Cbc).unwrap();
    // leaf 5 departs: nodes 2 and 1 get new keys
    let new = [2, 1].map(|id| Link::new(id, 2, [0x20 | id as u8; 16], &[0x30 | id as u8; 16]));
    let update = lkh::update_array(&path()[0], &new, CipherAlgorithm::Aes128Cbc).unwrap();
    let spi = CookiePair([0x77; 16]);
    let policy = SaPayload { kek: Some(sa_kek(spi)), gap: None, teks: vec![] };
    let lkh = LkhDownload { spi, download: None, updates: vec![update], signing_key: None };
    let keys = KeyDownload { lkh: Some(lkh), ..KeyDownload::default() };
    // <-- HDR*, SEQ(1), SA(SAK), KD(LKH), SIG
    let sealed = push::seal(
        provider(),
        &Push { kek: &kek(), sequence: 1, deletes: &[], sa: Some(&policy), kd: Some(&keys) },
        &signer,
    )
    .unwrap();
    assert_eq!(push::cookies(&sealed), Some(KEK_SPI));
    let rekey = member.open(&sealed).unwrap();
    assert_eq!((rekey.sequence(), rekey.gap(), rekey.deletes()), (1, 0, &[][..]));
    assert_eq!((rekey.sa(), rekey.kd()), (Some(&policy), Some(&keys)));
    let updates = &rekey.kd().unwrap().lkh.as_ref().unwrap().updates;
    let staged = held.apply(updates, provider(), CipherAlgorithm::Aes128Cbc).unwrap();
    member.commit(&rekey);
    assert_eq!(member.open(&sealed), Err(Error::Replayed));

    // <-- HDR*, SEQ(1), D, SA(SAT), KD(TEK), SIG        under the new KEK
    let next =
        RekeySa::new(provider(), staged.kek(spi), signer.public().clone(), signer.public().algorithm(), 0)
            .unwrap();
    let tek = tek(0x2000);
    let policy = SaPayload { kek: None, gap: None, teks: vec![SaTek::from(&tek)] };
    let keys = KeyDownload { teks: vec![(tek.spi, tek.keys.clone())], ..KeyDownload::default() };
    let deletes = [Delete::Tek(support::tek(0x1000).spi)];
    let new_kek = push::KekMaterial::new(spi, CipherAlgorithm::Aes128Cbc, new[1].iv, new[1].key.expose());
    let sealed = push::seal(
        provider(),
        &Push { kek: &new_kek, sequence: 1, deletes: &deletes, sa: Some(&policy), kd: Some(&keys) },
        &signer,
    )
    .unwrap();
    assert_eq!(member.open(&sealed), Err(Error::UnknownCookies));
    let rekey = next.open(&sealed).unwrap();
    assert_eq!(rekey.deletes(), deletes);
    let (policy, keys) = (&rekey.sa().unwrap().teks[0], &rekey.kd().unwrap().teks[0].1);
    assert_eq!(policy.to_tek(keys), Ok(tek));
}

#[test]
fn a_push_can_delete_everything_and_says_what_was_missed() {
    for kind in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa] {
        let signer = SigningKey::generate(provider(), kind, &mut SystemRandom::new().unwrap()).unwrap();
        let mut member = rekey_sa(&signer, 3);
        let deletes = [Delete::AllTeks, Delete::AllKeks];
        // <-- HDR*, SEQ(7), D, D, SIG
        let push = Push { kek: &kek(), sequence: 7, deletes: &deletes, sa: None, kd: None };
        let sealed = push::seal(provider(), &push, &signer).unwrap();
        let rekey = member.open(&sealed).unwrap();
        assert_eq!((rekey.gap(), rekey.deletes()), (3, &deletes[..]), "4, 5 and 6 were lost");
        member.commit(&rekey);
        assert_eq!(member.sequence(), 7);
        member.raise_sequence(5);
        assert_eq!(member.sequence(), 7, "a stale number from a pull is ignored");
    }
}

#[test]
fn a_push_with_a_single_kek() {
    let signer = signing_key();
    let spi = CookiePair([0x78; 16]);
    let mut policy = SaPayload { kek: Some(sa_kek(spi)), gap: None, teks: vec![] };
    policy.kek.as_mut().unwrap().management = None;
    let single = KekDownload {
        spi,
        iv: [1; 16],
        key: claviger_crypto::SecretBytes::new(vec![2; 16]),
        signing_key: Some(signer.public().clone()),
    };
    let keys = KeyDownload { kek: Some(single), ..KeyDownload::default() };
    let push = Push { kek: &kek(), sequence: 1, deletes: &[], sa: Some(&policy), kd: Some(&keys) };
    let sealed = push::seal(provider(), &push, &signer).unwrap();
    assert_eq!(rekey_sa(&signer, 0).open(&sealed).unwrap().kd(), Some(&keys));
}

#[test]
fn keys_for_one_member_are_never_pushed() {
    let signer = signing_key();
    let (policy, keys) = (sa(), kd(&signer));
    let push = Push { kek: &kek(), sequence: 1, deletes: &[], sa: Some(&policy), kd: Some(&keys) };
    assert_eq!(push::seal(provider(), &push, &signer), Err(ApiMisuse::DownloadMismatch.into()));
    let half = Push { kd: None, ..push };
    assert_eq!(push::seal(provider(), &half, &signer), Err(ApiMisuse::DownloadMismatch.into()));
}

#[test]
fn a_rekey_sa_wants_the_kind_of_key_that_its_policy_asserts() {
    let signer =
        SigningKey::generate(provider(), KeyAlgorithm::Ed25519, &mut SystemRandom::new().unwrap()).unwrap();
    let made = RekeySa::new(provider(), kek(), signer.public().clone(), KeyAlgorithm::EcdsaP256, 0).err();
    assert_eq!(made, Some(PeerMisbehaved::SigningKeyKind.into()));
}
