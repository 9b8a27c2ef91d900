//! What serves the delivery of a batch: controls under a rekey SA, reports under a registration; cut, flipped, forged,
//! repeated.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use claviger_crypto::{SystemRandom, provider, sign::KeyAlgorithm, sign::SigningKey};
use claviger_gdoi::{
    ApiMisuse, Error, ServerEvent,
    error::{AuthError, Limit, PeerMisbehaved},
    limits::REPORT_LEN_MAX,
    push::{RekeySa, seal_controls},
};
use claviger_group::{CookiePair, PushAuthentication};
use claviger_isakmp::{
    iana::ExchangeType,
    limits::DECRYPTIONS_BURST,
    wire::{Header, header},
};
use claviger_sansio::Time;
use support::*;

const NOW: Time = Time::from_secs(1_000);

fn signer() -> SigningKey {
    SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().unwrap()).unwrap()
}

fn rekey_sa(signer: &SigningKey) -> RekeySa {
    let kind = signer.public().algorithm();
    let sa = RekeySa::new(provider(), kek(), signer.public().clone(), kind, 0).unwrap();
    sa.with_form(PushAuthentication::Batch)
}

fn controls(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![number; 30 + usize::from(number)]).collect()
}

#[test]
fn controls_of_one_round_share_a_signature_and_come_in_any_order() {
    let signer = signer();
    for count in [1, 2, 5, 8] {
        let payloads = controls(count);
        let sealed = seal_controls(kek().spi, &payloads, &signer).unwrap();
        assert_eq!(sealed.len(), payloads.len());
        let mut sa = rekey_sa(&signer);
        for (message, payload) in sealed.iter().zip(&payloads).rev() {
            assert_eq!(header::peek(message), Some((ExchangeType::DELIVERY_CONTROL, kek().spi)));
            assert_eq!(message[19], 0, "not encrypted");
            assert_eq!(sa.open_control(NOW, message), Ok(&payload[..]));
        }
        assert!(sa.open(&sealed[0]).is_err(), "a control is no GROUPKEY-PUSH");
    }
}

#[test]
fn a_control_that_is_cut_flipped_or_lengthened_is_refused() {
    let signer = signer();
    let sealed = seal_controls(kek().spi, &controls(3), &signer).unwrap();
    let message = &sealed[1];
    for length in 0..message.len() {
        assert!(rekey_sa(&signer).open_control(NOW, &message[..length]).is_err(), "cut at {length}");
    }
    for bit in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(rekey_sa(&signer).open_control(NOW, &flipped).is_err(), "bit {bit} means something");
    }
    let mut longer = [&message[..], &[0]].concat();
    let length = longer.len() as u32;
    longer[24..Header::LEN].copy_from_slice(&length.to_be_bytes());
    assert!(rekey_sa(&signer).open_control(NOW, &longer).is_err());
}

#[test]
fn a_control_is_for_its_rekey_sa_its_server_and_its_form() {
    let (signer, other) = (signer(), signer());
    let [message] = &seal_controls(kek().spi, &controls(1), &signer).unwrap()[..] else { panic!("one") };
    let forged = Err(Error::Auth(AuthError::Signature));
    assert_eq!(rekey_sa(&other).open_control(NOW, message), forged);
    let elsewhere = seal_controls(CookiePair([9; 16]), &controls(1), &signer).unwrap();
    assert_eq!(rekey_sa(&signer).open_control(NOW, &elsewhere[0]), Err(Error::UnknownCookies));
    let mut moved = elsewhere[0].clone();
    moved[..16].copy_from_slice(&kek().spi.0);
    assert_eq!(rekey_sa(&signer).open_control(NOW, &moved), forged);
    let mut single = rekey_sa(&signer).with_form(PushAuthentication::Message);
    assert_eq!(single.open_control(NOW, message), Err(PeerMisbehaved::OutOfState.into()));
}

#[test]
fn forged_controls_cost_only_so_much_public_key_work_and_do_not_stop_a_known_signature() {
    let (signer, forger) = (signer(), signer());
    let genuine = seal_controls(kek().spi, &controls(2), &signer).unwrap();
    let forged = seal_controls(kek().spi, &controls(1), &forger).unwrap();
    let mut sa = rekey_sa(&signer);
    sa.open_control(NOW, &genuine[0]).unwrap();
    for _ in 0..DECRYPTIONS_BURST {
        assert_eq!(sa.open_control(NOW, &forged[0]), Err(Error::Auth(AuthError::Signature)));
    }
    assert_eq!(sa.open_control(NOW, &forged[0]), Err(Limit::Controls.into()));
    assert!(sa.open_control(NOW, &genuine[1]).is_ok());
    let later = NOW + Duration::from_secs(1);
    assert_eq!(sa.open_control(later, &forged[0]), Err(Error::Auth(AuthError::Signature)));
}

#[test]
fn controls_are_limited() {
    let signer = signer();
    assert_eq!(seal_controls(kek().spi, &[], &signer), Err(ApiMisuse::NotOneBatch.into()));
    let long = vec![vec![0; 65_507]];
    assert!(seal_controls(kek().spi, &long, &signer).is_err());
}

fn report(pair: &mut Pair, octets: &[u8]) -> Vec<u8> {
    pair.member.report(&COOKIES, server_address(), octets).unwrap();
    pair.member_sends()
}

#[test]
fn a_report_reaches_the_server_once() {
    let mut pair = Pair::new();
    let message = report(&mut pair, b"what is missed");
    assert_eq!(header::peek(&message).unwrap().0, ExchangeType::DELIVERY_REPORT);
    pair.server_gets(&message).unwrap();
    let ServerEvent::Reported { report, peer_address, .. } = pair.server_event() else { panic!("a report") };
    assert_eq!((&report[..], peer_address), (&b"what is missed"[..], member_address()));
    assert_eq!(pair.server_gets(&message), Err(Error::Replayed));
    assert!(pair.server.poll_transmit().is_none(), "nothing is answered");
}

#[test]
fn a_report_that_is_cut_or_flipped_is_refused_and_keeps_no_other_from_being_heard() {
    let message = report(&mut Pair::new(), b"report");
    for length in 0..message.len() {
        assert!(Pair::new().server_gets(&message[..length]).is_err(), "cut at {length}");
    }
    for bit in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Pair::new().server_gets(&flipped).is_err(), "bit {bit} means something");
    }
    let mut pair = Pair::new();
    let mut wrong = message.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for _ in 0..2 * DECRYPTIONS_BURST {
        assert_eq!(pair.server_gets(&wrong), Err(Error::Auth(AuthError::Hash)));
    }
    assert_eq!(pair.server.poll_event(), None);
    pair.server_gets(&message).unwrap();
    assert!(matches!(pair.server_event(), ServerEvent::Reported { .. }));
}

#[test]
fn reports_are_limited() {
    let mut pair = Pair::new();
    let long = vec![0; REPORT_LEN_MAX + 1];
    let refused = pair.member.report(&COOKIES, server_address(), &long);
    assert_eq!(refused, Err(ApiMisuse::MessageTooLong));
    let message = report(&mut pair, &long[1..]);
    pair.server_gets(&message).unwrap();
    let unknown = pair.member.report(&CookiePair([3; 16]), server_address(), b"");
    assert_eq!(unknown, Err(ApiMisuse::UnknownRegistration));
}
