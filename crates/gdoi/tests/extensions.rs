//! The private extensions through every exchange: offered, taken up, and refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use claviger_crypto::{cipher::CipherAlgorithm, provider, sign::SigningKey};
use claviger_gdoi::{
    ApiMisuse, Error, Exchange, Extensions, KeyDownload, MemberEvent, NotifyType, PullFailure, SaPayload,
    SaTek, ServerEvent,
    error::{PeerIncompatible, PeerMisbehaved},
    iana::kek::MANAGEMENT_LKH_32,
    lkh_32::kek_material,
    policy,
    push::{self, KekMaterial, Push, RekeySa},
    wire::{Lkh32, SaKek, lkh_32::Update},
};
use claviger_group::{CookiePair, PushAuthentication};
use claviger_keypath::{Gathering, KeyPath};
use claviger_wire::Decode;
use support::{
    tree::{Rekey, Tree},
    *,
};

const CIPHER: CipherAlgorithm = CipherAlgorithm::Aes128Cbc;

/// The UDP payload that every IPv6 path carries.
const UDP_LEN: usize = 1232;

fn tree() -> Tree {
    Tree::new(4, 3, 16, (0..64).filter(|leaf| leaf % 7 != 5))
}

fn policy_32(spi: CookiePair) -> SaKek {
    SaKek { management: Some(MANAGEMENT_LKH_32), form: PushAuthentication::Batch, ..sa_kek(spi) }
}

fn sa_32() -> SaPayload {
    SaPayload { kek: Some(policy_32(KEK_SPI)), ..sa() }
}

fn kd_32(tree: &Tree, leaf: u32, signer: &SigningKey) -> KeyDownload {
    let signing_key = Some(signer.public().clone());
    let lkh_32 = Lkh32 { spi: KEK_SPI, path: Some(tree.path(leaf)), update: None, signing_key };
    KeyDownload { lkh: None, lkh_32: Some(lkh_32), ..kd(signer) }
}

/// A member that pulled: its path and its rekey SA.
struct Follower {
    path: KeyPath,
    sa: RekeySa,
    gathering: Option<Gathering>,
}

impl Follower {
    /// Pulls, every message in memory.
    fn pull(tree: &Tree, leaf: u32, pair: &mut Pair) -> Self {
        pair.pull();
        // HDR*, HASH(1), Ni, ID -->
        let message_1 = pair.member_sends();
        pair.server_gets(&message_1).unwrap();
        let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
        // <-- HDR*, HASH(2), Nr, SA
        pair.server.offer(pair.now, pull, &sa_32()).unwrap();
        let message_2 = pair.server_sends();
        pair.member_gets(&message_2).unwrap();
        let MemberEvent::Offered { pull: id, sa, .. } = pair.member_event() else { panic!("an offer") };
        assert_eq!(sa, sa_32(), "the extensions are announced");
        // HDR*, HASH(3), GAP -->
        pair.member.accept(pair.now, id).unwrap();
        let message_3 = pair.member_sends();
        pair.server_gets(&message_3).unwrap();
        pair.server_event();
        // <-- HDR*, HASH(4), SEQ, KD
        let kd = kd_32(tree, leaf, &pair.signer);
        pair.server.download(pair.now, pull, Some(0), &kd).unwrap();
        let message_4 = pair.server_sends();
        pair.member_gets(&message_4).unwrap();
        let MemberEvent::Pulled { sa, sequence: Some(sequence), kd, .. } = pair.member_event() else {
            panic!("the keys")
        };
        let (policy, lkh) = (sa.kek.unwrap(), kd.lkh_32.unwrap());
        let path = lkh.path.unwrap().to_path(policy.cipher).unwrap();
        let material = kek_material(policy.spi, path.root().key()).unwrap();
        let sa =
            RekeySa::new(provider(), material, lkh.signing_key.unwrap(), policy.signature, sequence).unwrap();
        Self { path, sa: sa.with_form(policy.form), gathering: None }
    }

    /// Reads a message; says whether it led to a new KEK.
    fn get(&mut self, message: &[u8]) -> Result<bool, Error> {
        let rekey = self.sa.open(message)?;
        self.sa.commit(&rekey);
        let Some(policy) = rekey.sa().and_then(|sa| sa.kek.clone()) else { return Ok(false) };
        let update = rekey.kd().unwrap().lkh_32.as_ref().unwrap().update.as_ref().unwrap();
        let staged = match &mut self.gathering {
            Some(gathering) => gathering.take(update.head(), update.entries())?,
            None => {
                let (gathering, staged) =
                    self.path.gather(update.head(), update.entries(), policy.cipher.into())?;
                self.gathering = Some(gathering);
                staged
            }
        };
        let Some(staged) = staged else { return Ok(false) };
        let key = self.sa.signing_key().clone();
        let sa = RekeySa::new(
            provider(),
            kek_material(policy.spi, staged.path().root().key())?,
            key,
            policy.signature,
            0,
        )?;
        self.sa = sa.with_form(policy.form);
        self.path.commit(staged);
        self.gathering = None;
        Ok(true)
    }
}

/// The key server's end: it pushes a rekey of the tree as one batch, and then a TEK under the new KEK.
struct KeyServer {
    kek: KekMaterial,
    sequence: u32,
    spi: u8,
}

impl KeyServer {
    fn new(tree: &Tree) -> Self {
        Self { kek: kek_material(KEK_SPI, tree.kek().expose()).unwrap(), sequence: 0, spi: 0x70 }
    }

    /// Under the old KEK: as many messages as the rekey needs.
    fn push_kek(&mut self, rekey: &Rekey, tree: &Tree, signer: &SigningKey) -> Vec<Vec<u8>> {
        self.spi += 1;
        let spi = CookiePair([self.spi; 16]);
        let sa = SaPayload { kek: Some(policy_32(spi)), gap: None, teks: vec![] };
        let room =
            push::room(UDP_LEN, &sa, PushAuthentication::Batch, signer.public(), 1024).unwrap().unwrap();
        let updates = rekey.updates(room - Lkh32::OVERHEAD);
        let kds: Vec<_> = updates.into_iter().map(|update| kd_of(spi, update)).collect();
        let pushes: Vec<_> = (self.sequence + 1..)
            .zip(&kds)
            .map(|(sequence, kd)| Push {
                kek: &self.kek,
                sequence,
                deletes: &[],
                sa: Some(&sa),
                kd: Some(kd),
            })
            .collect();
        let sealed = push::seal_batch(provider(), &pushes, signer).unwrap();
        assert!(sealed.iter().all(|message| message.len() <= UDP_LEN));
        self.kek = kek_material(spi, tree.kek().expose()).unwrap();
        self.sequence = 0;
        sealed
    }

    fn push_tek(&mut self, signer: &SigningKey) -> Vec<u8> {
        self.sequence += 1;
        let tek = tek(0x2000 + u32::from(self.spi));
        let sa = SaPayload { kek: None, gap: None, teks: vec![SaTek::from(&tek)] };
        let kd = KeyDownload { teks: vec![(tek.spi, tek.keys)], ..KeyDownload::default() };
        let push =
            Push { kek: &self.kek, sequence: self.sequence, deletes: &[], sa: Some(&sa), kd: Some(&kd) };
        push::seal_batch(provider(), &[push], signer).unwrap().remove(0)
    }
}

fn kd_of(spi: CookiePair, update: Update) -> KeyDownload {
    let lkh_32 = Lkh32 { spi, path: None, update: Some(update), signing_key: None };
    KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() }
}

#[test]
fn a_tree_with_32_bit_ids_from_pull_to_push() {
    let mut pair = Pair::new();
    let mut tree = tree();
    let mut server = KeyServer::new(&tree);
    let mut members: Vec<Follower> =
        [0, 20, 63].into_iter().map(|leaf| Follower::pull(&tree, leaf, &mut pair)).collect();
    let mut gone = Follower::pull(&tree, 21, &mut pair);
    let signer = &pair.signer;

    // Leaves 21, 30 to 34 go: several messages, and nobody needs all of them.
    // <-- HDR*, SEQ(n), SA(SAK), KD(LKH-32), SIG
    let rekey = tree.change(&[], &[21, 30, 31, 32, 34]);
    let messages = server.push_kek(&rekey, &tree, signer);
    // <-- HDR*, SEQ(1), SA(SAT), KD(TEK), SIG        under the new KEK
    let tek = server.push_tek(signer);
    for member in &mut members {
        let reached = messages.iter().rev().filter(|message| member.get(message) == Ok(true)).count();
        assert_eq!(reached, 1);
        assert_eq!(member.get(&tek), Ok(false), "readable, and no new KEK");
        assert_eq!(member.get(&tek), Err(Error::Replayed));
    }
    for message in &messages {
        assert_eq!(gone.get(message), Ok(false));
    }
    assert_eq!(gone.get(&tek), Err(Error::UnknownCookies));

    // Leaf 5 comes: one message without any key, and everybody advances the root.
    let rekey = tree.change(&[5], &[]);
    let messages = server.push_kek(&rekey, &tree, signer);
    assert_eq!(messages.len(), 1);
    let tek = server.push_tek(signer);
    for member in &mut members {
        assert_eq!(member.get(&messages[0]), Ok(true));
        assert_eq!(member.get(&tek), Ok(false));
    }
    assert_ne!(gone.get(&messages[0]), Ok(true));

    // One comes and one goes.
    let rekey = tree.change(&[12], &[1]);
    let messages = server.push_kek(&rekey, &tree, signer);
    let tek = server.push_tek(signer);
    for member in &mut members {
        assert_eq!(messages.iter().filter(|message| member.get(message) == Ok(true)).count(), 1);
        assert_eq!(member.get(&tek), Ok(false));
    }
}

#[test]
fn a_member_that_refuses_an_extension_ends_the_pull_before_it_asks_for_keys() {
    let lkh_32 =
        SaPayload { kek: Some(SaKek { form: PushAuthentication::Message, ..policy_32(KEK_SPI) }), ..sa() };
    let batches =
        SaPayload { kek: Some(SaKek { form: PushAuthentication::Batch, ..sa_kek(KEK_SPI) }), ..sa() };
    for (offered, extensions, refused) in [
        (&lkh_32, Extensions { lkh_32: false, ..Extensions::ALL }, PeerIncompatible::KekManagement(128)),
        (
            &batches,
            Extensions { batch_signatures: false, ..Extensions::ALL },
            PeerIncompatible::Signature(132),
        ),
        (&lkh_32, Extensions::NONE, PeerIncompatible::KekManagement(128)),
    ] {
        ends_the_pull(extensions, offered, refused);
    }
    // What needs no extension is accepted by who refuses all.
    let mut pair = Pair::with_extensions(Extensions::NONE);
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    let message_4 = pair.message_4(&message_3);
    pair.finish(&message_4);
}

/// A member that knows nothing of the extensions meets attributes and algorithms that it does not understand. This one
/// stands for it: the private values next to ours mean as little here as ours mean there.
#[test]
fn a_member_that_never_heard_of_an_extension_ends_the_pull_too() {
    use claviger_isakmp::iana::{ExchangeType, PayloadType};
    use support::rogue::{Rogue, last_block, message_id, octets};
    let body = octets(|w| sa_32().encode(Exchange::Pull, w));
    let at = |pattern: &[u8]| body.windows(pattern.len()).position(|octets| octets == pattern).unwrap();
    for (known, unknown, refused) in [
        (&[0x80, 128, 0, 128][..], &[0x80, 131, 0, 128][..], PeerIncompatible::KekAttribute(131)),
        (&[0x80, 128, 0, 128], &[0x80, 128, 0, 129], PeerIncompatible::KekManagement(129)),
        (&[0x80, 6, 0, 132], &[0x80, 6, 0, 130], PeerIncompatible::Signature(130)),
    ] {
        let mut body = body.clone();
        let start = at(known);
        body[start..start + 4].copy_from_slice(unknown);
        let mut pair = Pair::new();
        let rogue = Rogue::new();
        let message_1 = pair.message_1();
        let id = message_id(&message_1);
        let payloads = rogue.open(&message_1, rogue.first_iv(id));
        let nonce_i = &payloads.iter().find(|(kind, _)| *kind == PayloadType::NONCE).unwrap().1;
        let offer = [(PayloadType::NONCE, vec![7; 8]), (PayloadType::SA, body)];
        let message_2 =
            rogue.seal(ExchangeType::GROUPKEY_PULL, id, last_block(&message_1), &[nonce_i], &offer);
        assert_eq!(pair.member_gets(&message_2), Err(Error::PeerIncompatible(refused)));
        let MemberEvent::PullFailed { reason, .. } = pair.member_event() else { panic!("a failure") };
        assert_eq!(reason, PullFailure::Policy(refused));
        let informational = pair.member_sends();
        pair.server_gets(&message_1).unwrap();
        pair.server_event();
        pair.server_gets(&informational).unwrap();
        assert!(matches!(
            pair.server_event(),
            ServerEvent::PullDeclined { notify: NotifyType::ATTRIBUTES_NOT_SUPPORTED, .. }
        ));
    }
}

#[test]
fn a_push_that_leads_to_a_refused_extension_is_refused() {
    let signer = signing_key();
    let mut tree = tree();
    let rekey = tree.change(&[], &[9]);
    let spi = CookiePair([0x77; 16]);
    let (kek, kind) = (kek(), signer.public().algorithm());
    let member = || RekeySa::new(provider(), kek.clone(), signer.public().clone(), kind, 0).unwrap();
    let sealed = |policy: SaKek, kd: &KeyDownload| {
        let sa = SaPayload { kek: Some(policy), gap: None, teks: vec![] };
        let push = Push { kek: &kek, sequence: 1, deletes: &[], sa: Some(&sa), kd: Some(kd) };
        push::seal(provider(), &push, &signer).unwrap()
    };
    let kd = kd_of(spi, rekey.updates(60_000).remove(0));
    let lkh_32 = sealed(SaKek { form: PushAuthentication::Message, ..policy_32(spi) }, &kd);
    assert!(member().open(&lkh_32).is_ok());
    let refused = |extensions, message: &[u8]| member().with_extensions(extensions).open(message).err();
    let named = |refused| Some(Error::PeerIncompatible(refused));
    assert_eq!(refused(Extensions::NONE, &lkh_32), named(PeerIncompatible::KekManagement(128)));
    let batches = sealed(policy_32(spi), &kd);
    let no_batches = Extensions { batch_signatures: false, ..Extensions::ALL };
    assert_eq!(refused(no_batches, &batches), named(PeerIncompatible::Signature(132)));
    assert_eq!(refused(no_batches, &lkh_32), None);
}

#[test]
fn keys_are_of_the_kind_that_is_announced() {
    let signer = signing_key();
    let tree = tree();
    let fits = |exchange, sa: &SaPayload, kd: &KeyDownload| policy::check_keys(exchange, sa, kd);
    let standard = |kek: SaKek| SaPayload { kek: Some(SaKek { management: None, ..kek }), ..sa() };
    let good = kd_32(&tree, 3, &signer);
    assert_eq!(fits(Exchange::Pull, &sa_32(), &good), Ok(()));
    let rule = |result: Result<(), Error>| match result {
        Err(Error::PeerMisbehaved(rule)) => rule,
        other => panic!("{other:?}"),
    };
    let breaks = |exchange, sa: &SaPayload, kd: &KeyDownload| rule(fits(exchange, sa, kd));
    use PeerMisbehaved as Rule;
    assert_eq!(breaks(Exchange::Pull, &standard(policy_32(KEK_SPI)), &good), Rule::ManagementMismatch);
    assert_eq!(breaks(Exchange::Pull, &sa_32(), &kd(&signer)), Rule::ManagementMismatch);
    assert_eq!(breaks(Exchange::Push, &sa_32(), &good), Rule::DownloadArrayInPush);
    let with = |change: &dyn Fn(&mut Lkh32)| {
        let mut kd = good.clone();
        change(kd.lkh_32.as_mut().unwrap());
        kd
    };
    let update = || Update::new(tree.head()).unwrap();
    let both = with(&|lkh| lkh.update = Some(update()));
    assert_eq!(breaks(Exchange::Pull, &sa_32(), &both), Rule::UpdateArrayInPull);
    let no_path = with(&|lkh| lkh.path = None);
    assert_eq!(breaks(Exchange::Pull, &sa_32(), &no_path), Rule::KeyMissing);
    let other_sa = with(&|lkh| lkh.spi = CookiePair([1; 16]));
    assert_eq!(breaks(Exchange::Pull, &sa_32(), &other_sa), Rule::KeyWithoutPolicy);
    let beside = KeyDownload { lkh: kd(&signer).lkh, ..good.clone() };
    assert_eq!(breaks(Exchange::Pull, &sa_32(), &beside), Rule::KeyWithoutPolicy);
    let mut long = sa_32();
    long.kek.as_mut().unwrap().cipher = CipherAlgorithm::Aes256Cbc;
    assert_eq!(breaks(Exchange::Pull, &long, &good), Rule::KeyLength);
    let pushed =
        KeyDownload { sender_ids: None, ..with(&|lkh| (lkh.path, lkh.update) = (None, Some(update()))) };
    assert_eq!(fits(Exchange::Push, &sa_32(), &pushed), Ok(()));
    assert_eq!(breaks(Exchange::Push, &long, &pushed), Rule::KeyLength);
    // A key server that would send them is told so.
    let mut pair = Pair::new();
    let message_1 = pair.message_1();
    let message_2 = pair.message_2(&message_1);
    let message_3 = pair.message_3(&message_2);
    pair.server_gets(&message_3).unwrap();
    let ServerEvent::PullConfirmed { pull, .. } = pair.server_event() else { panic!("a confirmation") };
    assert_eq!(pair.server.download(pair.now, pull, Some(0), &good), Err(ApiMisuse::DownloadMismatch));
    assert_eq!(CIPHER.key_len(), 16);
}

/// The path of a newcomer and the update of the others, octet by octet.
#[test]
fn every_message_of_the_extension_cut_and_every_octet_flipped_is_refused_or_harmless() {
    let signer = signing_key();
    let mut tree = tree();
    let mut member_path = tree.path(0).to_path(CIPHER).unwrap();
    let rekey = tree.change(&[5], &[1, 34]);
    let update = rekey.updates(60_000).remove(0);
    let spi = CookiePair([0x77; 16]);
    let kd = support::rogue::octets(|w| kd_of(spi, update.clone()).encode(w));
    for length in 0..kd.len() {
        assert_eq!(
            KeyDownload::from_octets(&kd[..length]).unwrap_err().reason(),
            "malformed",
            "cut at {length}"
        );
    }
    let gather =
        |path: &KeyPath, update: &Update| path.gather(update.head(), update.entries(), CIPHER.into());
    // Only the key server can sign; were an octet changed all the same, no wrong root would be taken for the right one.
    let genuine = gather(&member_path, &update).unwrap().1.unwrap();
    for at in 0..kd.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut forged = kd.clone();
            forged[at] ^= mask;
            let Ok(read) = KeyDownload::from_octets(&forged) else { continue };
            let Some(update) = read.lkh_32.and_then(|lkh| lkh.update) else { continue };
            let Ok((gathering, Some(staged))) = gather(&member_path, &update) else { continue };
            if *gathering.head() == *rekey.updates(60_000)[0].head() {
                assert_eq!(staged.path().keys().last(), genuine.path().keys().last(), "octet {at}");
            }
        }
    }
    member_path.commit(genuine);
    let path = support::rogue::octets(|w| kd_32(&tree, 5, &signer).encode(w));
    for length in 0..path.len() {
        assert_eq!(
            KeyDownload::from_octets(&path[..length]).unwrap_err().reason(),
            "malformed",
            "cut at {length}"
        );
    }
}
