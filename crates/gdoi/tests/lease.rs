//! Requests for leases and their answers, between a member and a key server in memory, and under attack.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use claviger_crypto::{cipher::CipherAlgorithm, hash::HashAlgorithm};
use claviger_gdoi::{
    ApiMisuse, Error, Extensions, InForce, LeaseId, LeaseQuestion, LeaseVerdict, MemberEvent, ServerEvent,
    error::{AuthError, PeerIncompatible},
    limits::{LEASE_GROUPS_MAX, LEASE_REQUESTS_MAX, LEASE_RETRANSMIT},
};
use claviger_group::{CookiePair, GroupId, Spi};
use support::*;

fn held() -> InForce {
    InForce { rekey_sa: Some(KEK_SPI), sequence: 7, tek: Spi::new(0x1000) }
}

/// Has the member ask, and returns the request and what the key server makes of it.
fn ask(pair: &mut Pair) -> (LeaseId, Vec<u8>) {
    let groups = vec![(group(), LeaseQuestion::Lease, held())];
    let id = pair.member.request_leases(pair.now, &COOKIES, server_address(), groups).unwrap();
    (id, pair.member_sends())
}

/// Has the key server grant what a request asks for, and returns its answer.
fn grant(pair: &mut Pair, request: &[u8]) -> Vec<u8> {
    pair.server_gets(request).unwrap();
    let ServerEvent::LeasesRequested { ticket, groups, .. } = pair.server_event() else {
        panic!("a request")
    };
    let granted = groups.into_iter().map(|(group, _, held)| (group, LeaseVerdict::Granted, held));
    pair.server.answer_leases(ticket, granted.collect()).unwrap();
    pair.server_sends()
}

#[test]
fn a_request_is_answered_with_what_is_in_force_in_as_many_octets() {
    let mut pair = Pair::new();
    let (id, request) = ask(&mut pair);
    pair.server_gets(&request).unwrap();
    let ServerEvent::LeasesRequested { ticket, groups, .. } = pair.server_event() else {
        panic!("a request")
    };
    assert_eq!(groups, [(group(), LeaseQuestion::Lease, held())]);
    let newer = InForce { sequence: 8, tek: Spi::new(0x2000), ..held() };
    pair.server.answer_leases(ticket, vec![(group(), LeaseVerdict::Granted, newer)]).unwrap();
    let answer = pair.server_sends();
    assert_eq!(answer.len(), request.len());
    pair.member_gets(&answer).unwrap();
    let groups = vec![(group(), LeaseVerdict::Granted, newer)];
    assert_eq!(pair.member_event(), MemberEvent::LeasesAnswered { request: id, groups });
    assert_eq!(pair.member_gets(&answer), Err(Error::UnknownExchange), "an answer counts once");
}

#[test]
fn a_repetition_repeats_the_nonce_and_another_request_has_its_own() {
    let mut pair = Pair::new();
    let (first, request) = ask(&mut pair);
    let mut repeated = 0;
    let unanswered = loop {
        pair.now = pair.member.poll_timeout().unwrap();
        pair.member.handle_timeout(pair.now);
        if let Some(again) = pair.member.poll_transmit() {
            assert_eq!(again.payload, request);
            repeated += 1;
        }
        if let Some(event) = pair.member.poll_event() {
            break event;
        }
    };
    assert_eq!(unanswered, MemberEvent::LeasesUnanswered { request: first });
    assert_eq!(repeated, LEASE_RETRANSMIT.attempts - 1);
    let late = grant(&mut pair, &request);
    let (second, other) = ask(&mut pair);
    assert_ne!((first, &request), (second, &other));
    pair.member_gets(&late).unwrap();
    let MemberEvent::LeasesAnswered { request, .. } = pair.member_event() else { panic!("an answer") };
    assert_eq!(request, first, "it is told which request was answered late");
    let answer = grant(&mut pair, &other);
    pair.member_gets(&answer).unwrap();
    let MemberEvent::LeasesAnswered { request, .. } = pair.member_event() else { panic!("an answer") };
    assert_eq!(request, second);
}

#[test]
fn an_answer_ends_the_requests_before_it_and_few_are_remembered() {
    let mut pair = Pair::new();
    let asked: Vec<(LeaseId, Vec<u8>)> = (0..=LEASE_REQUESTS_MAX).map(|_| ask(&mut pair)).collect();
    let answers: Vec<Vec<u8>> = asked.iter().map(|(_, request)| grant(&mut pair, request)).collect();
    assert_eq!(pair.member_gets(&answers[0]), Err(Error::UnknownExchange), "it was forgotten");
    pair.member_gets(&answers[2]).unwrap();
    pair.member_event();
    assert_eq!(pair.member_gets(&answers[1]), Err(Error::UnknownExchange), "a later one was answered");
    pair.member_gets(&answers[3]).unwrap();
}

#[test]
fn no_octet_of_a_request_or_an_answer_can_be_changed_and_neither_is_taken_for_the_other() {
    let mut pair = Pair::new();
    let (_, request) = ask(&mut pair);
    let answer = grant(&mut pair, &request);
    for at in 0..request.len() {
        for bit in [0x01, 0x80] {
            let flip = |octets: &[u8]| {
                let mut octets = octets.to_vec();
                octets[at] ^= bit;
                octets
            };
            assert!(pair.server_gets(&flip(&request)).is_err(), "octet {at} of the request");
            assert!(pair.member_gets(&flip(&answer)).is_err(), "octet {at} of the answer");
        }
    }
    for length in 0..request.len() {
        assert!(pair.server_gets(&request[..length]).is_err(), "cut at {length}");
        assert!(pair.member_gets(&answer[..length]).is_err(), "cut at {length}");
    }
    assert!(pair.server_gets(&answer).is_err());
    assert!(pair.member_gets(&request).is_err());
    pair.member_gets(&answer).unwrap();
}

/// Sixty-four wrong HASHes keep PULLs out for a while; nothing keeps leases out.
#[test]
fn junk_under_a_members_cookies_ends_no_lease() {
    let mut pair = Pair::new();
    let (_, mut junk) = ask(&mut pair);
    *junk.last_mut().unwrap() ^= 1;
    for _ in 0..1_000 {
        assert_eq!(pair.server_gets(&junk), Err(Error::Auth(AuthError::Hash)));
        assert_eq!(pair.member_gets(&junk), Err(Error::Auth(AuthError::Hash)));
    }
    let (_, request) = ask(&mut pair);
    let answer = grant(&mut pair, &request);
    pair.member_gets(&answer).unwrap();
}

/// A day of requests each second would use up the message ids of a registration ten times.
#[test]
fn requests_use_up_nothing() {
    let mut pair = Pair::new();
    for _ in 0..10_000 {
        let (_, request) = ask(&mut pair);
        let answer = grant(&mut pair, &request);
        pair.member_gets(&answer).unwrap();
        pair.member_event();
        pair.now = pair.now + Duration::from_secs(1);
    }
    pair.pull();
}

#[test]
fn many_groups_share_a_message_and_too_many_are_refused() {
    let mut pair = Pair::new();
    let asked = |name: String| (name.parse::<GroupId>().unwrap(), LeaseQuestion::Keys, held());
    let named = |count: usize| -> Vec<_> { (0..count).map(|number| asked(format!("#{number}"))).collect() };
    let mut ask = |groups| pair.member.request_leases(pair.now, &COOKIES, server_address(), groups);
    assert_eq!(ask(named(0)), Err(ApiMisuse::MessageTooLong));
    assert_eq!(ask(named(LEASE_GROUPS_MAX + 1)), Err(ApiMisuse::MessageTooLong));
    let long = vec![asked("a long name".repeat(23)); 5];
    assert_eq!(ask(long), Err(ApiMisuse::MessageTooLong));
    ask(named(LEASE_GROUPS_MAX)).unwrap();
    let request = pair.member_sends();
    let answer = grant(&mut pair, &request);
    pair.member_gets(&answer).unwrap();
    let MemberEvent::LeasesAnswered { groups, .. } = pair.member_event() else { panic!("an answer") };
    assert_eq!(groups.len(), LEASE_GROUPS_MAX);
}

#[test]
fn a_request_ends_with_its_registration() {
    let mut pair = Pair::new();
    let (id, request) = ask(&mut pair);
    pair.server_gets(&request).unwrap();
    let ServerEvent::LeasesRequested { ticket, .. } = pair.server_event() else { panic!("a request") };
    pair.server.remove_registration(&COOKIES);
    assert_eq!(pair.server.answer_leases(ticket, Vec::new()), Err(ApiMisuse::UnknownRegistration));
    pair.member.remove_registration(&COOKIES);
    assert_eq!(pair.member_event(), MemberEvent::LeasesUnanswered { request: id });
    assert_eq!(pair.server_gets(&request), Err(Error::UnknownCookies));
}

#[test]
fn other_registrations_have_other_keys() {
    let mut pair = Pair::new();
    let (_, request) = ask(&mut pair);
    let other = registration(CookiePair([0xc2; 16]), HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
    pair.server.add_registration(pair.now, other).unwrap();
    let mut stolen = request;
    stolen[..16].fill(0xc2);
    assert_eq!(pair.server_gets(&stolen), Err(Error::Auth(AuthError::Hash)));
}

#[test]
fn a_member_that_knows_no_leases_ends_the_pull_before_it_asks_for_keys() {
    let mut policy = sa_in_pull();
    policy.gap.as_mut().unwrap().lease_time = Some(600);
    let without = Extensions { leases: false, ..Extensions::ALL };
    ends_the_pull(without, &policy, PeerIncompatible::LeaseTime(600));
}
