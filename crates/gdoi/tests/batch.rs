//! Messages that share one signature: taken in any order, and attacks on what binds them together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use claviger_crypto::{
    SystemRandom,
    hash_tree::{HashTree, Node, branch_len},
    provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};
use claviger_gdoi::{
    ApiMisuse, Delete, Error, KeyDownload, SaPayload, SaTek,
    error::AuthError,
    limits::BATCHES_REMEMBERED_MAX,
    push::{self, BatchPlace, Push, RekeySa},
    wire::batch_signature::BatchSignature,
};
use claviger_group::{CookiePair, PushAuthentication};
use claviger_isakmp::{
    iana::PayloadType,
    wire::{
        Header,
        payload::{Chain, ChainWriter},
    },
};
use claviger_wire::{Decode, DecodeError, Encode, Writer};
use support::*;

const FORGED: Error = Error::Auth(AuthError::Signature);

fn member(signer: &SigningKey, sequence: u32) -> RekeySa {
    let kind = signer.public().algorithm();
    let sa = RekeySa::new(provider(), kek(), signer.public().clone(), kind, sequence).unwrap();
    sa.with_form(PushAuthentication::Batch)
}

/// `count` messages from a number on, each with a TEK of its own.
fn batch(signer: &SigningKey, first: u32, count: u32) -> Vec<Vec<u8>> {
    let (kek, tek) = (kek(), tek(0x2000));
    let contents: Vec<_> = (0..count)
        .map(|index| {
            let tek = support::tek(0x2000 + index);
            let sa = SaPayload { kek: None, gap: None, teks: vec![SaTek::from(&tek)] };
            let kd = KeyDownload { teks: vec![(tek.spi, tek.keys)], ..KeyDownload::default() };
            (sa, kd)
        })
        .collect();
    let deletes = [Delete::Tek(tek.spi)];
    let pushes: Vec<_> = (0..)
        .zip(&contents)
        .map(|(index, (sa, kd))| Push {
            kek: &kek,
            sequence: first + index,
            deletes: &deletes,
            sa: Some(sa),
            kd: Some(kd),
        })
        .collect();
    push::seal_batch(provider(), &pushes, signer).unwrap()
}

/// A message as every member can take it apart, for all of them hold the KEK.
struct Opened {
    /// Payloads before SIG, with their kinds.
    payloads: Vec<(PayloadType, Vec<u8>)>,
    sig: Vec<u8>,
}

fn open(datagram: &[u8]) -> Opened {
    let (header, ciphertext) = Header::split(datagram).unwrap();
    let mut plaintext = ciphertext.to_vec();
    cipher().decrypt(&kek().iv, &mut plaintext).unwrap();
    let chain = Chain::parse(header.next_payload, &plaintext).unwrap();
    let mut payloads: Vec<_> = chain.payloads.iter().map(|p| (p.kind, p.body.to_vec())).collect();
    let (_, sig) = payloads.pop().unwrap();
    Opened { payloads, sig }
}

fn cipher() -> Box<dyn claviger_crypto::cipher::CipherKey> {
    provider().cipher(kek().cipher).unwrap().key(kek().key.expose()).unwrap()
}

impl Opened {
    fn chain(&self) -> ChainWriter {
        let mut all = self.payloads.clone();
        all.push((PayloadType::SIG, self.sig.clone()));
        rogue::chain(&all)
    }

    /// The header as it is signed.
    fn header(&self) -> Header {
        let chain = self.chain();
        Header {
            cookies: kek().spi,
            next_payload: chain.first(),
            exchange: claviger_isakmp::iana::ExchangeType::GROUPKEY_PUSH,
            encrypted: true,
            message_id: 0,
            length: (Header::LEN + chain.octets().len()) as u32,
        }
    }

    fn leaf(&self, prefix: &[u8]) -> Node {
        let octets = self.chain();
        let before_sig = octets.octets().len() - 4 - self.sig.len();
        Node::leaf(&[prefix, &self.header().to_octets(), &octets.octets()[..before_sig]])
    }

    fn seal(&self) -> Vec<u8> {
        let mut octets = self.chain().into_octets();
        octets.resize(octets.len().next_multiple_of(16), 0);
        cipher().encrypt(&kek().iv, &mut octets).unwrap();
        let header = Header { length: (Header::LEN + octets.len()) as u32, ..self.header() };
        [header.to_octets(), octets].concat()
    }

    fn with_sig(&self, sig: &[u8]) -> Vec<u8> {
        Self { payloads: self.payloads.clone(), sig: sig.to_vec() }.seal()
    }

    fn parts(&self) -> BatchSignature<'_> {
        BatchSignature::from_octets(&self.sig).unwrap()
    }

    fn with_parts(&self, parts: &BatchSignature<'_>) -> Vec<u8> {
        let mut w = Writer::new();
        parts.encode(&mut w);
        self.with_sig(w.octets())
    }
}

#[test]
fn every_message_proves_itself_in_any_order_and_once() {
    for kind in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa] {
        let signer = SigningKey::generate(provider(), kind, &mut SystemRandom::new().unwrap()).unwrap();
        for count in [1u32, 2, 3, 5, 8, 13] {
            let messages = batch(&signer, 4, count);
            // Alone, at members that see no other.
            for (index, message) in (0u16..).zip(&messages) {
                let rekey = member(&signer, 3).open(message).unwrap();
                let place = BatchPlace { first: 4, index, count: count as u16 };
                assert_eq!((rekey.batch(), rekey.gap()), (Some(place), 0), "{kind:?} {index} of {count}");
                assert_eq!((rekey.sequence(), place.last()), (4 + u32::from(index), 3 + count));
            }
            // All of them, the last first.
            let mut member = member(&signer, 1);
            for (nth, message) in messages.iter().rev().enumerate() {
                let rekey = member.open(message).unwrap();
                assert_eq!(
                    rekey.gap(),
                    if nth == 0 { 2 } else { 0 },
                    "2 and 3 are missing, nothing of the batch"
                );
                member.commit(&rekey);
                assert_eq!(member.sequence(), 3 + count);
            }
            for message in &messages {
                assert_eq!(member.open(message), Err(Error::Replayed));
            }
        }
    }
}

#[test]
fn batches_come_mixed_and_after_a_pull_not_at_all() {
    let signer = signing_key();
    let mut member = member(&signer, 0);
    let (first, second) = (batch(&signer, 1, 6), batch(&signer, 7, 6));
    for (message, gap) in [(&second[2], 6), (&first[5], 0), (&second[0], 0), (&first[1], 0)] {
        let rekey = member.open(message).unwrap();
        assert_eq!(rekey.gap(), gap);
        member.commit(&rekey);
        assert_eq!(member.open(message), Err(Error::Replayed));
    }
    assert_eq!(member.sequence(), 12);
    member.raise_sequence(7);
    assert_eq!(member.open(&first[0]), Err(Error::Replayed), "a pull brought what it would bring");
    assert!(member.open(&second[1]).is_ok());
}

#[test]
fn batches_that_are_forgotten_prove_themselves_again() {
    let signer = signing_key();
    let mut member = member(&signer, 0);
    let batches: Vec<_> =
        (0..BATCHES_REMEMBERED_MAX as u32 + 4).map(|n| batch(&signer, 1 + 2 * n, 2)).collect();
    for place in [0, 1] {
        for messages in &batches {
            let rekey = member.open(&messages[place]).unwrap();
            member.commit(&rekey);
        }
    }
    assert!(batches.iter().flatten().all(|message| member.open(message) == Err(Error::Replayed)));
}

#[test]
fn the_forms_do_not_pass_for_each_other() {
    let signer =
        SigningKey::generate(provider(), KeyAlgorithm::Ed25519, &mut SystemRandom::new().unwrap()).unwrap();
    let kek = kek();
    let deletes = [Delete::AllTeks];
    let push = Push { kek: &kek, sequence: 1, deletes: &deletes, sa: None, kd: None };
    let own = push::seal(provider(), &push, &signer).unwrap();
    let shared = push::seal_batch(provider(), &[push], &signer).unwrap().remove(0);
    let batch_member = member(&signer, 0);
    let each_member = member(&signer, 0).with_form(PushAuthentication::Message);
    assert!(each_member.open(&own).is_ok() && batch_member.open(&shared).is_ok());
    assert_eq!(each_member.open(&shared), Err(FORGED));
    assert!(matches!(batch_member.open(&own), Err(FORGED | Error::Decode(_))));
}

#[test]
fn a_batch_is_of_one_rekey_sa_and_consecutive() {
    let signer = signing_key();
    let kek = kek();
    let other = push::KekMaterial { spi: CookiePair([9; 16]), ..kek.clone() };
    let push = |kek, sequence| Push { kek, sequence, deletes: &[Delete::AllTeks], sa: None, kd: None };
    let refused = |pushes: &[Push<'_>]| push::seal_batch(provider(), pushes, &signer).err();
    let wrong = Some(ApiMisuse::NotOneBatch.into());
    assert_eq!(refused(&[]), wrong);
    assert_eq!(refused(&[push(&kek, 0)]), wrong);
    assert_eq!(refused(&[push(&kek, 1), push(&kek, 3)]), wrong);
    assert_eq!(refused(&[push(&kek, 2), push(&kek, 1)]), wrong);
    assert_eq!(refused(&[push(&kek, 1), push(&other, 2)]), wrong);
    assert_eq!(refused(&[push(&kek, u32::MAX), push(&kek, 0)]), wrong);
    assert_eq!(refused(&vec![push(&kek, 1); 65_536]), wrong);
    assert_eq!(refused(&[push(&kek, u32::MAX)]), None);
}

#[test]
fn every_cut_and_every_flipped_octet_changes_nothing() {
    let signer = signing_key();
    let genuine = batch(&signer, 1, 5);
    // Once at a member that knows the batch already, once at one that does not.
    for knows in [false, true] {
        let mut member = member(&signer, 0);
        if knows {
            let rekey = member.open(&genuine[0]).unwrap();
            member.commit(&rekey);
        }
        for length in 0..genuine[3].len() {
            let mut cut = genuine[3][..length].to_vec();
            assert_eq!(member.open(&cut).unwrap_err().reason(), "malformed", "cut at {length}");
            if length >= Header::LEN {
                cut[24..28].copy_from_slice(&(length as u32).to_be_bytes());
                assert!(member.open(&cut).is_err(), "cut at {length}");
            }
        }
        for at in 0..genuine[3].len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut forged = genuine[3].clone();
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
        assert!(member.open(&genuine[3]).is_ok());
    }
}

/// A member holds the KEK and changes what is inside; the SIG payload bit by bit, sealed again.
#[test]
fn every_bit_of_the_proof_counts() {
    let signer = signing_key();
    let genuine = batch(&signer, 1, 5);
    let opened = open(&genuine[2]);
    assert_eq!(opened.seal(), genuine[2], "the attacker's tools are sound");
    for knows in [false, true] {
        let mut member = member(&signer, 0);
        if knows {
            let rekey = member.open(&genuine[4]).unwrap();
            member.commit(&rekey);
        }
        for bit in 0..8 * opened.sig.len() {
            let mut sig = opened.sig.clone();
            sig[bit / 8] ^= 1 << (bit % 8);
            let error = member.open(&opened.with_sig(&sig)).unwrap_err();
            let misread = bit < 32 && matches!(error, Error::Decode(_));
            assert!(error == FORGED || misread, "bit {bit}: {error:?}");
        }
        // Cuts, and more than there is.
        for length in 0..opened.sig.len() {
            let error = member.open(&opened.with_sig(&opened.sig[..length])).unwrap_err();
            assert!(error == FORGED || error.reason() == "malformed", "cut at {length}: {error:?}");
        }
        let longer = [&opened.sig[..], &[0]].concat();
        assert_eq!(member.open(&opened.with_sig(&longer)), Err(FORGED));
    }
}

#[test]
fn branches_swapped_within_a_batch_and_between_batches_are_refused() {
    let signer = signing_key();
    let (ours, others) = (batch(&signer, 1, 8), batch(&signer, 9, 8));
    let mut member = member(&signer, 0);
    for knows in [false, true] {
        if knows {
            for message in [&ours[7], &others[7]] {
                let rekey = member.open(message).unwrap();
                member.commit(&rekey);
            }
        }
        for index in 0..7 {
            let opened = open(&ours[index]);
            for other in (0..7).filter(|other| *other != index) {
                let foreign = open(&ours[other]);
                let error = member.open(&opened.with_sig(&foreign.sig)).unwrap_err();
                let early = matches!(error, Error::Decode(DecodeError::Value { field: "batch index", .. }));
                assert!(error == FORGED || (early && other > index), "{other} for {index}: {error:?}");
                let mixed = BatchSignature { branch: foreign.parts().branch, ..opened.parts() };
                assert_eq!(member.open(&opened.with_parts(&mixed)), Err(FORGED));
            }
            let foreign = open(&others[index]);
            assert_eq!(member.open(&opened.with_sig(&foreign.sig)), Err(FORGED), "the other batch's proof");
            let mixed = BatchSignature { signature: foreign.parts().signature, ..opened.parts() };
            assert_eq!(member.open(&opened.with_parts(&mixed)), Err(FORGED), "the other batch's signature");
            let mut reversed = opened.parts();
            reversed.branch.reverse();
            assert_eq!(member.open(&opened.with_parts(&reversed)), Err(FORGED));
        }
    }
}

#[test]
fn lies_about_index_and_count_are_refused_whatever_branch_goes_with_them() {
    let signer = signing_key();
    for size in [2u16, 3, 5, 6, 8] {
        let genuine = batch(&signer, 20, size.into());
        let member = member(&signer, 19);
        for at in 0..size {
            let opened = open(&genuine[usize::from(at)]);
            let parts = opened.parts();
            // Cut or lengthened to what index and count ask for, so that the form is right.
            let nodes: Vec<Node> = parts.branch.iter().copied().cycle().take(4).collect();
            for count in 0..=9u16 {
                for index in 0..=9u16 {
                    if (index, count) == (at, size) {
                        continue;
                    }
                    let Some(length) = branch_len(index.into(), count.into()) else {
                        let lie = BatchSignature { index, count, ..parts.clone() };
                        let error = member.open(&opened.with_parts(&lie)).unwrap_err();
                        let value = index.into();
                        assert_eq!(error, DecodeError::Value { field: "batch index", value }.into());
                        continue;
                    };
                    let branch = nodes[..length.min(nodes.len())].to_vec();
                    let lie = BatchSignature { index, count, branch, ..parts.clone() };
                    // A branch of another length is another message: its header says how long it is.
                    assert_eq!(member.open(&opened.with_parts(&lie)), Err(FORGED), "{index} of {count}");
                }
            }
        }
    }
}

#[test]
fn numbers_begin_with_one_and_end_where_32_bits_do() {
    let signer = signing_key();
    let member = member(&signer, 0);
    let opened = open(&batch(&signer, 1, 3)[0]);
    let early = BatchSignature { index: 1, ..opened.parts() };
    let misplaced = |value| Err(DecodeError::Value { field: "batch index", value }.into());
    assert_eq!(member.open(&opened.with_parts(&early)), misplaced(1), "the batch would begin with 0");
    let last = open(&batch(&signer, u32::MAX, 1)[0]);
    let node = Node([0; 32]);
    let late = BatchSignature { count: 2, branch: vec![node], ..last.parts() };
    assert_eq!(member.open(&last.with_parts(&late)), misplaced(0), "it would go beyond the last number");
    assert!(member.open(&last.seal()).is_ok());
}

/// Signs any statement over any leaves, as the key server would if it were careless.
fn signed(signer: &SigningKey, messages: &mut [Opened], prefix: &[u8], statement: impl Fn(Node) -> Vec<u8>) {
    let tree =
        HashTree::new(messages.iter().map(|message| message.leaf(prefix)).collect::<Vec<_>>()).unwrap();
    let signature = signer.sign(SignatureAlgorithm::EcdsaP256Sha256, &statement(tree.root())).unwrap();
    for (index, message) in messages.iter_mut().enumerate() {
        let branch = tree.branch(index).copied().collect();
        let mut w = Writer::new();
        BatchSignature { branch, signature: &signature, ..message.parts() }.encode(&mut w);
        message.sig = w.into_octets();
    }
}

#[test]
fn what_is_signed_is_exactly_the_documented_statement() {
    let signer = signing_key();
    let member = member(&signer, 0);
    let accepts = |leaf_prefix: &[u8], statement: &dyn Fn(Node) -> Vec<u8>| {
        let mut messages: Vec<_> = batch(&signer, 7, 3).iter().map(|message| open(message)).collect();
        signed(&signer, &mut messages, leaf_prefix, statement);
        member.open(&messages[1].seal()).err()
    };
    let octets = |prefix: &[u8], spi: CookiePair, first: u32, count: u16, root: Node| {
        [prefix, &spi.0, &first.to_be_bytes(), &count.to_be_bytes(), &root.0].concat()
    };
    assert_eq!(accepts(b"rekey", &|root| octets(b"batch", KEK_SPI, 7, 3, root)), None);
    assert_eq!(accepts(b"Rekey", &|root| octets(b"batch", KEK_SPI, 7, 3, root)), Some(FORGED));
    assert_eq!(accepts(b"rekey", &|root| octets(b"rekey", KEK_SPI, 7, 3, root)), Some(FORGED));
    let other_sa = CookiePair([1; 16]);
    assert_eq!(accepts(b"rekey", &|root| octets(b"batch", other_sa, 7, 3, root)), Some(FORGED));
    assert_eq!(accepts(b"rekey", &|root| octets(b"batch", KEK_SPI, 8, 3, root)), Some(FORGED));
    assert_eq!(accepts(b"rekey", &|root| octets(b"batch", KEK_SPI, 7, 4, root)), Some(FORGED));
    assert_eq!(accepts(b"rekey", &|root| root.0.to_vec()), Some(FORGED));
}

/// Who could make a message whose content is two nodes would have a leaf that is a node, were it not for the prefixes.
#[test]
fn an_inner_node_is_no_message() {
    let signer = signing_key();
    let genuine = batch(&signer, 1, 4);
    let member = member(&signer, 0);
    // A message placed where the tree of four has an inner node: one level up, with the branch of that node.
    let opened = open(&genuine[0]);
    let parts = opened.parts();
    let shorter = BatchSignature { count: 2, branch: vec![parts.branch[1]], ..parts.clone() };
    assert_eq!(member.open(&opened.with_parts(&shorter)), Err(FORGED));
    let leaves: Vec<_> = genuine.iter().map(|message| open(message).leaf(b"rekey")).collect();
    let tree = HashTree::new(leaves.clone()).unwrap();
    let content = [leaves[0].0, leaves[1].0].concat();
    assert_ne!(Node::leaf(&[&content]), *tree.branch(2).nth(1).unwrap());
}

#[test]
fn a_member_cannot_speak_for_the_key_server() {
    let (signer, own_key) = (signing_key(), signing_key());
    let mut member = member(&signer, 0);
    for message in batch(&own_key, 1, 4) {
        assert_eq!(member.open(&message), Err(FORGED));
    }
    let rekey = member.open(&batch(&signer, 1, 4)[0]).unwrap();
    member.commit(&rekey);
    for message in &batch(&own_key, 1, 4)[1..] {
        assert_eq!(member.open(message), Err(FORGED), "a batch that is known vouches for itself alone");
    }
}

#[test]
fn what_fits_is_what_was_promised() {
    for kind in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa] {
        let signer = SigningKey::generate(provider(), kind, &mut SystemRandom::new().unwrap()).unwrap();
        let kek = kek();
        let tek = tek(0x2000);
        let sa = SaPayload { kek: None, gap: None, teks: vec![SaTek::from(&tek)] };
        let kd = KeyDownload { teks: vec![(tek.spi, tek.keys)], ..KeyDownload::default() };
        let kd_len = rogue::octets(|w| kd.encode(w)).len();
        for (form, count) in
            [(PushAuthentication::Message, 1), (PushAuthentication::Batch, 1), (PushAuthentication::Batch, 6)]
        {
            let pushes: Vec<_> = (1..=count)
                .map(|sequence| Push { kek: &kek, sequence, deletes: &[], sa: Some(&sa), kd: Some(&kd) })
                .collect();
            let longest = match form {
                PushAuthentication::Message => push::seal(provider(), &pushes[0], &signer).unwrap().len(),
                PushAuthentication::Batch => {
                    let sealed = push::seal_batch(provider(), &pushes, &signer).unwrap();
                    sealed.iter().map(Vec::len).max().unwrap()
                }
            };
            let room = |udp_len| push::room(udp_len, &sa, form, signer.public(), count as usize).unwrap();
            let left = room(longest).unwrap() - kd_len;
            assert!(left < 16, "{kind:?} {form:?} {count}: {left} octets of padding");
            assert!(room(longest - 1).is_none_or(|room| room < kd_len), "one octet less is too little");
            assert_eq!(room(100), None);
        }
    }
}
