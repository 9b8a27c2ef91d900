//! Attacks on the renewal of an association's keys.

use claviger_crypto::{
    SeededRandom,
    kx::{KxPrivate, SharedSecret},
};
use claviger_hip::{
    keys::{Keymat, Prk},
    wire::{DiffieHellman, Solution},
};

use super::*;
use crate::support::forge::Session;

/// Longer than the pause between two renewals.
const MOMENT: Duration = Duration::from_secs(2);

fn key_pair(seed: u64) -> Box<dyn KxPrivate> {
    let kx = provider().kx_group(DhGroup::NIST_P256.kx().unwrap()).unwrap();
    kx.generate(&mut SeededRandom::new(seed)).unwrap()
}

fn value(private: &dyn KxPrivate) -> DiffieHellman {
    DiffieHellman { group: DhGroup::NIST_P256, public_value: private.public().to_vec() }
}

/// Establishes an association with a forged member, whose I2 is kept, and lets a moment pass.
fn renewable() -> (Pair, Session, Solution) {
    let mut pair = Pair::default_pair();
    let i2 = I2::prepare(&mut pair, attacker());
    let solution = i2.solution.clone();
    let session = i2.establish(&mut pair);
    pair.now = pair.now + MOMENT;
    pair.server.take_events();
    pair.server.transmits();
    (pair, session, solution)
}

fn offer(session: &Session, id: u32, value: &DiffieHellman) -> Vec<u8> {
    session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(id)).add(value);
    })
}

/// Takes what the server has answered, and speaks on under the new keys.
fn renewed(pair: &mut Pair, session: Session, solution: &Solution, private: &dyn KxPrivate) -> Session {
    let answer = pair.server.transmits().pop().unwrap().payload;
    let theirs: DiffieHellman = Packet::parse(&answer).unwrap().one().unwrap();
    let kij: SharedSecret = private.agree(&theirs.public_value).unwrap();
    let (rhash, hosts) = (session.keymat.rhash(), session.keymat.hosts());
    let prk = Prk::extract(provider(), rhash, &solution.i, &solution.j, &kij).unwrap();
    let keymat = Keymat::derive(provider(), rhash, session.keymat.cipher(), prk, hosts).unwrap();
    Session { keymat, ..session }
}

/// The form that the binding states is all that it takes: this member is no code of the product's.
#[test]
fn a_foreign_member_renews_the_keys_by_what_the_binding_says() {
    let (mut pair, session, solution) = renewable();
    let hit = session.identity.hit();
    let before = pair.server.host.registration_sa(&hit, GDOI).unwrap().cookies;
    let private = key_pair(1);
    pair.server_hears(&offer(&session, 0, &value(&*private))).unwrap();
    assert_eq!(pair.server.host.registration_sa(&hit, GDOI).unwrap().cookies, before);
    let next = pair.server.host.other_registration_sa(&hit, GDOI).unwrap().cookies;
    let session = renewed(&mut pair, session, &solution, &*private);
    let confirmation = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(1));
    });
    pair.server_hears(&confirmation).unwrap();
    assert_eq!(pair.server.host.registration_sa(&hit, GDOI).unwrap().cookies, next);
    assert!(pair.server.host.other_registration_sa(&hit, GDOI).is_none());
}

#[test]
fn whoever_has_the_old_keys_and_not_the_identity_renews_nothing() {
    let (mut pair, session, _) = renewable();
    let hit = session.identity.hit();
    let before = fingerprint(&pair.server, &hit);
    // The MAC is right, the signature is a thief's.
    let mut builder = PacketBuilder::new(PacketType::UPDATE, hit, session.peer);
    let prf = provider().prf(session.keymat.rhash()).unwrap();
    builder.add(&Seq(0)).add(&value(&*key_pair(1)));
    builder.mac(prf, &session.keymat.outgoing().integrity).sign(&attacker()).unwrap();
    let result = pair.server_hears(&builder.finish().unwrap());
    assert_eq!(result, Err(AuthError::Signature.into()));
    assert_eq!(fingerprint(&pair.server, &hit), before);
    assert!(pair.server.host.other_registration_sa(&hit, GDOI).is_none());
}

#[test]
fn a_renewal_in_another_group_or_with_no_member_of_it_changes_nothing() {
    let (mut pair, session, _) = renewable();
    let hit = session.identity.hit();
    let before = fingerprint(&pair.server, &hit);
    let genuine = value(&*key_pair(1));
    for (changed, error) in [
        (DiffieHellman { group: DhGroup::NIST_P384, ..genuine.clone() }, PeerMisbehaved::DhGroupNotOffered),
        (DiffieHellman { public_value: vec![2; 64], ..genuine }, PeerMisbehaved::PublicValue),
    ] {
        assert_eq!(pair.server_hears(&offer(&session, 0, &changed)), Err(error.into()));
        assert_eq!(fingerprint(&pair.server, &hit), before);
        assert!(pair.server.take_events().is_empty());
    }
}

#[test]
fn a_peer_that_renews_without_end_is_answered_once_a_second() {
    let (mut pair, session, _) = renewable();
    let mut answered = 0;
    for number in 0..40 {
        match pair.server_hears(&offer(&session, answered, &value(&*key_pair(u64::from(answered))))) {
            Ok(()) => answered += 1,
            Err(error) => assert_eq!(error, LimitError::Rekeys.into(), "{number}"),
        }
        pair.now = pair.now + Duration::from_millis(100);
    }
    assert_eq!(answered, 4);
}

/// A renewal that was recorded, or is reflected, begins nothing: neither between the keys nor afterwards.
#[test]
fn a_renewal_that_is_replayed_begins_nothing() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.now = pair.now + MOMENT;
    pair.log.clear();
    pair.server.host.rekey(pair.now, pair.member.hit()).unwrap();
    pair.run();
    let keys = |pair: &Pair| {
        let (member, server) = (pair.member.hit(), pair.server.hit());
        let of = |side: &Side, peer| {
            let other = side.host.other_registration_sa(&peer, GDOI);
            assert!(other.is_none());
            side.host.registration_sa(&peer, GDOI).unwrap().cookies
        };
        [of(&pair.member, server), of(&pair.server, member)]
    };
    let before = keys(&pair);
    pair.now = pair.now + MOMENT;
    for (_, octets) in pair.log.clone() {
        let _ = pair.member_hears(&octets);
        let _ = pair.server_hears(&octets);
    }
    pair.run();
    assert_eq!(keys(&pair), before);
}

/// Beside a request, ESP or a move DIFFIE_HELLMAN has no effect: what stands beside it has.
#[test]
fn a_value_beside_a_request_has_no_effect() {
    let (mut pair, session, _) = renewable();
    let hit = session.identity.hit();
    let update = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0)).add(&value(&*key_pair(1))).add(&session.encrypt(&[group("two", HOUR)]));
        builder.add(&reg_request(GDOI));
    });
    pair.server_hears(&update).unwrap();
    pair.decide_requests();
    let answer = pair.server.transmits().pop().unwrap().payload;
    let answer = Packet::parse(&answer).unwrap();
    assert!(answer.parameters().raw(ParameterType::DIFFIE_HELLMAN).is_none());
    assert!(answer.parameters().raw(ParameterType::REG_RESPONSE).is_some());
    assert!(pair.server.host.other_registration_sa(&hit, GDOI).is_none());
}
