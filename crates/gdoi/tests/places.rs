//! Rekeys that go to several places: which numbers are taken for lost, and what a key server must not say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use claviger_crypto::{provider, sign::SigningKey};
use claviger_gdoi::{
    Error, Extensions, KeyDownload, SaPayload,
    error::{PeerIncompatible, PeerMisbehaved},
    iana::kek::MANAGEMENT_LKH_32,
    push::{self, Push, RekeySa},
    wire::{Lkh32, SaKek},
};
use claviger_group::{CookiePair, PushAuthentication};
use support::{tree::Tree, *};

const SPI: CookiePair = CookiePair([0x77; 16]);

fn policy(spi: CookiePair) -> SaKek {
    SaKek { management: Some(MANAGEMENT_LKH_32), form: PushAuthentication::Batch, ..sa_kek(spi) }
}

/// A batch of a rekey that begins with the number `rekey_first`, if it says so.
fn batch(signer: &SigningKey, first: u32, count: u32, rekey_first: Option<u32>) -> Vec<Vec<u8>> {
    let mut tree = Tree::new(2, 2, 16, 0..4);
    let update = tree.change(&[], &[1]).updates(60_000).remove(0);
    let lkh_32 = Lkh32 { spi: SPI, path: None, update: Some(update), signing_key: None };
    let kd = KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() };
    let policy = SaKek { rekey_first, ..policy(SPI) };
    let sa = SaPayload { kek: Some(policy), gap: None, teks: vec![] };
    let kek = kek();
    let push = |sequence| Push { kek: &kek, sequence, deletes: &[], sa: Some(&sa), kd: Some(&kd) };
    let pushes: Vec<_> = (first..first + count).map(push).collect();
    push::seal_batch(provider(), &pushes, signer).unwrap()
}

fn follower(signer: &SigningKey, sequence: u32) -> RekeySa {
    let kind = signer.public().algorithm();
    let sa = RekeySa::new(provider(), kek(), signer.public().clone(), kind, sequence).unwrap();
    sa.with_form(PushAuthentication::Batch)
}

/// Takes messages in; returns the gap that each shows.
fn gaps(sa: &mut RekeySa, messages: &[Vec<u8>]) -> Vec<u32> {
    let gap = |message: &Vec<u8>| {
        let rekey = sa.open(message).unwrap();
        sa.commit(&rekey);
        rekey.gap()
    };
    messages.iter().map(gap).collect()
}

#[test]
fn what_went_to_other_places_is_not_taken_for_lost() {
    let signer = signing_key();
    // Numbers 4 to 6 go to all, 7 and 8 to one place, 9 to 11 to another.
    let [all, one, another] =
        [(4, 3), (7, 2), (9, 3)].map(|(first, count)| batch(&signer, first, count, Some(4)));
    for (order, what) in [
        ([&all, &another].as_slice(), "in turn"),
        (&[&another, &all], "out of turn"),
        (&[&another], "without what all get"),
        (&[&one, &another, &all], "everything"),
    ] {
        let mut sa = follower(&signer, 3);
        for messages in order {
            assert!(gaps(&mut sa, messages).iter().all(|gap| *gap == 0), "{what}");
            assert_eq!(sa.open(&messages[0]), Err(Error::Replayed), "{what}");
        }
    }
    // Two messages before the rekey were lost.
    assert_eq!(gaps(&mut follower(&signer, 1), &another), [2, 0, 0]);
    // Who is told nothing takes everything between for lost.
    assert_eq!(gaps(&mut follower(&signer, 3), &batch(&signer, 9, 3, None)), [5, 0, 0]);
}

#[test]
fn a_rekey_does_not_begin_behind_its_messages() {
    let signer = signing_key();
    for (first, begins) in [(4, 5), (4, u32::MAX), (1, 2)] {
        for message in batch(&signer, first, 3, Some(begins)) {
            let sa = follower(&signer, first - 1);
            assert_eq!(sa.open(&message), Err(PeerMisbehaved::RekeyFirst.into()), "{first} {begins}");
            assert_eq!(sa.sequence(), first - 1);
        }
    }
    assert!(follower(&signer, 3).open(&batch(&signer, 4, 3, Some(1))[0]).is_ok(), "it has heard of it");
}

#[test]
fn every_bit_of_the_first_number_is_signed() {
    let signer = signing_key();
    let message = batch(&signer, 9, 1, Some(4)).remove(0);
    let sa = follower(&signer, 3);
    assert!(sa.open(&message).is_ok());
    for at in 0..message.len() {
        let mut damaged = message.clone();
        damaged[at] ^= 0x10;
        assert!(sa.open(&damaged).is_err(), "octet {at}");
    }
}

#[test]
fn a_member_that_refuses_places_says_so_before_it_asks_for_keys() {
    let destination = ("239.192.0.9".parse().unwrap(), 848);
    let placed = SaKek { place: Some(destination), ..policy(KEK_SPI) };
    let offered = SaPayload { kek: Some(placed), ..sa() };
    for (extensions, refused) in [
        (Extensions { places: false, ..Extensions::ALL }, PeerIncompatible::PlaceDestination(129)),
        (Extensions::NONE, PeerIncompatible::KekManagement(128)),
    ] {
        ends_the_pull(extensions, &offered, refused);
    }
    // The same in a PUSH.
    let signer = signing_key();
    let sa = follower(&signer, 0).with_extensions(Extensions { places: false, ..Extensions::ALL });
    let refused = PeerIncompatible::RekeyFirst(130);
    let opened = sa.open(&batch(&signer, 1, 1, Some(1))[0]);
    assert_eq!(opened, Err(Error::PeerIncompatible(refused)));
    assert!(sa.open(&batch(&signer, 1, 1, None)[0]).is_ok());
}
