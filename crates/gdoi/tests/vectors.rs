//! A real exchange of another implementation: GROUPKEY-PULL and four GROUPKEY-PUSHes, with their keys.
//!
//! Where that implementation departs from RFC 6407, [`Dialect`] names the departure. The Quick-Mode-like PULL there
//! ran under IKEv1 (PSK, AES-128, SHA2-256), whose last Phase 1 block is the end of its sixth message.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use claviger_crypto::{
    SecretBytes, cipher::CipherAlgorithm, hash::HashAlgorithm, provider, sign::KeyAlgorithm,
};
use claviger_gdoi::{
    Delete, Dialect, Error, Exchange, KeyDownload, SaPayload, policy,
    push::{self, KekMaterial, RekeySa},
    rules,
    wire::{
        AddressPreservation, Deletes, Identification, Nonce, SaDirection, SequenceNumber,
        SubjectPublicKeyInfo,
    },
};
use claviger_group::{CookiePair, EspTransform, MemberId, RegistrationSa};
use claviger_identity::Hit;
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    rules::check,
    wire::{
        Header,
        attribute::{Attribute, Value, basic, variable},
        header,
        payload::{Chain, ChainWriter, RawPayload},
    },
};
use claviger_testkit::pcap;
use claviger_wire::{Decode, Encode, Reader, Writer};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures");

const SKEYID_D: &str = "e8786e25ebd7a736dfe871455306cfeb7870ff2e8b619360dc32bc9aa30eae10";
const SKEYID_A: &str = "6916fae07654877ee91f6c1b888de5de1a3e94c58144f0b08200802acbcd331e";
const SKEYID_E: &str = "e47d513813a9f4787be9a4c4c85179a92b4dfcfa54d9f02dead9a81ff8fcf246";
const KEK_1_SPI: &str = "d0184beea217c6dad8dd1697f7425870";
const KEK_1_KEY: &str = "7ab732e1bb4cfb2582151e68c678e7f1";
const KEK_1_IV: &str = "377cae952654b8f995ddf3d0e47b70ad";
const KEK_2_KEY: &str = "aefa2df5337130e36e4c7458f7925a5d";

/// What that implementation does otherwise: SA TEK addresses are little-endian, its AES-CBC has a Key Length of zero
/// and gets an integrity key only, and the key packet of a new KEK names the old SPI.
const PECULIAR: Dialect =
    Dialect { tek_addresses_reversed: true, key_length_zero: true, keys_do_not_fit_policy: true };

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn array(text: &str) -> [u8; 16] {
    unhex(text).try_into().unwrap()
}

/// The UDP payloads of the capture; `None` where the captures are not at hand.
fn capture() -> Option<Vec<Vec<u8>>> {
    let folder = Path::new(FOLDER);
    if !folder.is_dir() {
        println!("not run: no captures at {FOLDER}");
        return None;
    }
    let packets = pcap::read(&folder.join("gdoi-pull-push.pcap")).unwrap();
    Some(packets.iter().map(|packet| packet.udp().unwrap().2.to_vec()).collect())
}

fn registration(messages: &[Vec<u8>]) -> RegistrationSa {
    let (_, cookies) = header::peek(&messages[6]).unwrap();
    RegistrationSa {
        peer: MemberId::Hit(Hit::NULL),
        cookies,
        skeyid_d: SecretBytes::new(unhex(SKEYID_D)),
        skeyid_a: SecretBytes::new(unhex(SKEYID_A)),
        skeyid_e: SecretBytes::new(unhex(SKEYID_E)),
        phase1_iv: *messages[5].last_chunk().unwrap(),
        hash: HashAlgorithm::Sha256,
        cipher: CipherAlgorithm::Aes128Cbc,
    }
}

/// Decrypts with the key that is given, not with the code under test.
fn decrypt(key: &[u8], iv: [u8; 16], ciphertext: &[u8]) -> Vec<u8> {
    let mut octets = ciphertext.to_vec();
    let cipher = provider().cipher(CipherAlgorithm::Aes128Cbc).unwrap().key(key).unwrap();
    cipher.decrypt(&iv, &mut octets).unwrap();
    octets
}

/// The four messages of the PULL in the clear, each with its header.
fn pull(messages: &[Vec<u8>], keys: &ExchangeKeys) -> Vec<(Header, Vec<u8>)> {
    let mut iv = keys.first_iv(Header::split(&messages[6]).unwrap().0.message_id);
    let mut clear = Vec::new();
    for message in &messages[6..10] {
        let (header, ciphertext) = Header::split(message).unwrap();
        assert_eq!((header.exchange, header.cookies), (ExchangeType::GROUPKEY_PULL, keys.cookies()));
        clear.push((header, decrypt(&unhex(SKEYID_E)[..16], iv, ciphertext)));
        iv = *message.last_chunk().unwrap();
    }
    clear
}

fn body<'a>(chain: &Chain<'a>, kind: PayloadType) -> &'a [u8] {
    chain.payloads.iter().find(|payload| payload.kind == kind).unwrap().body
}

#[test]
fn the_hash_of_every_pull_message_verifies() {
    let Some(messages) = capture() else { return };
    let keys = ExchangeKeys::new(provider(), &registration(&messages)).unwrap();
    let clear = pull(&messages, &keys);
    let tables = [rules::PULL_1, rules::PULL_2, rules::PULL_3, rules::PULL_4];
    let mut nonces: Vec<Vec<u8>> = Vec::new();
    for ((header, plaintext), table) in clear.iter().zip(tables) {
        let chain = Chain::parse(header.next_payload, plaintext).unwrap();
        check(table, &chain.payloads).unwrap();
        let known: Vec<&[u8]> = nonces.iter().map(Vec::as_slice).collect();
        let behind = &plaintext[4 + keys.hash_len()..chain.length];
        assert_eq!(
            &keys.hash(header.message_id, &known, behind)[..],
            body(&chain, PayloadType::HASH),
            "HASH({})",
            nonces.len() + 1
        );
        if let Some(payload) = chain.payloads.iter().find(|payload| payload.kind == PayloadType::NONCE) {
            nonces.push(Nonce::from_octets(payload.body).unwrap().0);
        }
    }
    assert_eq!(nonces.len(), 2);
}

#[test]
fn the_pull_reads_as_its_server_meant_it() {
    let Some(messages) = capture() else { return };
    let keys = ExchangeKeys::new(provider(), &registration(&messages)).unwrap();
    let clear = pull(&messages, &keys);
    let chains: Vec<_> =
        clear.iter().map(|(header, octets)| Chain::parse(header.next_payload, octets).unwrap()).collect();

    let Identification(group) = Identification::from_octets(body(&chains[0], PayloadType::ID)).unwrap();
    assert_eq!(group.octets(), 1234u32.to_le_bytes(), "its key ids are little-endian");

    let octets = body(&chains[1], PayloadType::SA);
    assert_eq!(
        SaPayload::from_octets_in(octets, Exchange::Pull, Dialect::RFC).unwrap_err().reason(),
        "malformed",
        "1.1.1.239 is not a group"
    );
    let sa = SaPayload::from_octets_in(octets, Exchange::Pull, PECULIAR).unwrap();
    let kek = sa.kek.as_ref().unwrap();
    assert_eq!(kek.spi, CookiePair(array(KEK_1_SPI)));
    assert_eq!(kek.source, Some("10.77.0.1".parse().unwrap()));
    assert_eq!(kek.destination, ("239.10.1.1".parse().unwrap(), 848));
    assert_eq!((kek.cipher, kek.signature), (CipherAlgorithm::Aes128Cbc, KeyAlgorithm::Rsa));
    assert_eq!(kek.lifetime.as_secs(), 25);
    let gap = sa.gap.unwrap();
    assert_eq!((gap.activation_delay, gap.deactivation_delay), (Some(5), Some(10)));
    let [tek] = &sa.teks[..] else { panic!("one TEK") };
    assert_eq!(tek.transform, EspTransform::Aes128CbcHmacSha256);
    assert_eq!(tek.channel.to_string(), "10.77.0.2@239.1.1.1");
    assert_eq!((tek.lifetime.as_secs(), tek.direction), (60, SaDirection::ReceiverOnly));
    assert_eq!(tek.preservation, AddressPreservation::DestinationOnly);
    assert_eq!(sa.supported().unwrap_err().reason(), "unsupported");

    let sequence = SequenceNumber::from_octets(body(&chains[3], PayloadType::SEQUENCE_NUMBER));
    assert_eq!(sequence, Ok(SequenceNumber(0)));
    let kd = KeyDownload::from_octets(body(&chains[3], PayloadType::KEY_DOWNLOAD)).unwrap();
    let downloaded = kd.kek.as_ref().unwrap();
    assert_eq!((downloaded.spi, downloaded.iv), (kek.spi, array(KEK_1_IV)));
    assert_eq!(downloaded.key.expose(), unhex(KEK_1_KEY));
    assert_eq!(downloaded.signing_key.as_ref().unwrap().algorithm(), KeyAlgorithm::Rsa);
    assert_eq!(kd.teks[0].0, tek.spi);
    assert_eq!(kd.teks[0].1.integrity.len(), 32);
    assert!(kd.teks[0].1.encryption.is_empty(), "it sends no TEK_ALGORITHM_KEY");
    assert!(matches!(
        policy::check_keys(Exchange::Pull, &sa, &kd),
        Err(Error::PeerMisbehaved(claviger_gdoi::error::PeerMisbehaved::KeyLength))
    ));
}

#[test]
fn the_pushes_open_in_their_order() {
    let Some(messages) = capture() else { return };
    let keys = ExchangeKeys::new(provider(), &registration(&messages)).unwrap();
    let clear = pull(&messages, &keys);
    let chain = Chain::parse(clear[3].0.next_payload, &clear[3].1).unwrap();
    let kd = KeyDownload::from_octets(body(&chain, PayloadType::KEY_DOWNLOAD)).unwrap();
    let signer = kd.signing_key().unwrap().clone();
    let rekey_sa = |spi, iv, key: &[u8], sequence| {
        let kek = KekMaterial::new(spi, CipherAlgorithm::Aes128Cbc, iv, key);
        RekeySa::new(provider(), kek, signer.clone(), KeyAlgorithm::Rsa, sequence)
            .unwrap()
            .with_dialect(PECULIAR)
    };
    let first_spi = CookiePair(array(KEK_1_SPI));
    let mut first = rekey_sa(first_spi, array(KEK_1_IV), &unhex(KEK_1_KEY), 0);

    // <-- HDR*, SEQ(1), SA(SAK, GAP, SAT, SAT), KD, SIG
    assert_eq!(push::cookies(&messages[10]), Some(first_spi));
    let rekey = first.open(&messages[10]).unwrap();
    assert_eq!((rekey.sequence(), rekey.gap()), (1, 0));
    assert_eq!(rekey.sa().unwrap().teks.len(), 2);
    assert_eq!(rekey.kd().unwrap().teks.len(), 2);
    assert_eq!(first.open(&messages[11]).unwrap().gap(), 1, "before the first is committed");
    first.commit(&rekey);
    assert_eq!(first.open(&messages[10]), Err(Error::Replayed));

    // <-- HDR*, SEQ(2), SA(SAK, GAP), KD, SIG
    let rekey = first.open(&messages[11]).unwrap();
    assert_eq!((rekey.sequence(), rekey.gap()), (2, 0));
    let next = rekey.kd().unwrap().kek.clone().unwrap();
    assert_eq!(next.key.expose(), unhex(KEK_2_KEY));
    assert_eq!(next.spi, first_spi, "its key packet keeps the old SPI");
    let next_spi = rekey.sa().unwrap().kek.as_ref().unwrap().spi;
    assert_ne!(next_spi, first_spi);

    // <-- HDR*, SEQ(3), SA(SAK, GAP, SAT), KD, SIG        its numbers go on under the new KEK
    assert_eq!(first.open(&messages[12]), Err(Error::UnknownCookies));
    let mut second = rekey_sa(next_spi, next.iv, next.key.expose(), 2);
    let rekey = second.open(&messages[12]).unwrap();
    assert_eq!((rekey.sequence(), rekey.gap()), (3, 0));
    second.commit(&rekey);

    // <-- HDR*, SEQ(4), D(3 TEKs), SIG
    let rekey = second.open(&messages[13]).unwrap();
    assert!(rekey.sa().is_none() && rekey.kd().is_none());
    let deleted: Vec<_> = rekey
        .deletes()
        .iter()
        .map(|delete| match delete {
            Delete::Tek(spi) => spi.as_u32(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(deleted, [0x76b6_d30c, 0x19e6_06b0, 0xa1ec_b984]);
}

#[test]
fn one_octet_of_a_push_changed_and_its_signature_fails() {
    let Some(messages) = capture() else { return };
    let keys = ExchangeKeys::new(provider(), &registration(&messages)).unwrap();
    let clear = pull(&messages, &keys);
    let chain = Chain::parse(clear[3].0.next_payload, &clear[3].1).unwrap();
    let kd = KeyDownload::from_octets(body(&chain, PayloadType::KEY_DOWNLOAD)).unwrap();
    let kek = KekMaterial::new(
        CookiePair(array(KEK_1_SPI)),
        CipherAlgorithm::Aes128Cbc,
        array(KEK_1_IV),
        &unhex(KEK_1_KEY),
    );
    let signer = kd.signing_key().unwrap().clone();
    let sa = RekeySa::new(provider(), kek, signer, KeyAlgorithm::Rsa, 0).unwrap().with_dialect(PECULIAR);
    for at in 0..messages[10].len() {
        let mut forged = messages[10].clone();
        forged[at] ^= 0x10;
        assert!(sa.open(&forged).is_err(), "octet {at}");
    }
}

/// Everything whose encoding RFC 6407 fixes comes out as it went in.
#[test]
fn every_message_survives_re_encoding_octet_by_octet() {
    let Some(messages) = capture() else { return };
    let keys = ExchangeKeys::new(provider(), &registration(&messages)).unwrap();
    let mut clear = pull(&messages, &keys);
    let second_iv = {
        let (header, octets) = open(&messages[11], array(KEK_1_IV), KEK_1_KEY);
        let chain = Chain::parse(header.next_payload, &octets).unwrap();
        KeyDownload::from_octets(body(&chain, PayloadType::KEY_DOWNLOAD)).unwrap().kek.unwrap().iv
    };
    clear.push(open(&messages[10], array(KEK_1_IV), KEK_1_KEY));
    clear.push(open(&messages[11], array(KEK_1_IV), KEK_1_KEY));
    clear.push(open(&messages[12], second_iv, KEK_2_KEY));
    clear.push(open(&messages[13], second_iv, KEK_2_KEY));
    for ((header, octets), message) in clear.iter().zip(&messages[6..]) {
        assert_eq!(header.to_octets(), message[..Header::LEN]);
        let chain = Chain::parse(header.next_payload, octets).unwrap();
        let mut again = ChainWriter::new();
        for payload in &chain.payloads {
            let mut body = Writer::new();
            re_encode(payload, &mut body);
            again.body(payload.kind, body.octets()).unwrap();
        }
        assert_eq!(again.first(), header.next_payload);
        assert_eq!(again.octets(), &octets[..chain.length]);
    }
}

fn open(message: &[u8], iv: [u8; 16], key: &str) -> (Header, Vec<u8>) {
    let (header, ciphertext) = Header::split(message).unwrap();
    (header, decrypt(&unhex(key), iv, ciphertext))
}

fn re_encode(payload: &RawPayload<'_>, w: &mut Writer) {
    let octets = payload.body;
    match payload.kind {
        PayloadType::ID => Identification::from_octets(octets).unwrap().encode(w),
        PayloadType::NONCE => Nonce::from_octets(octets).unwrap().encode(w),
        PayloadType::SEQUENCE_NUMBER => SequenceNumber::from_octets(octets).unwrap().encode(w),
        PayloadType::DELETE => Deletes::from_octets(octets).unwrap().encode(w).unwrap(),
        PayloadType::KEY_DOWNLOAD => KeyDownload::from_octets(octets).unwrap().encode(w).unwrap(),
        PayloadType::SA => re_encode_sa(octets, w),
        _ => w.slice(octets),
    }
}

/// Its SA attributes use the short form for lifetimes, and name what we leave implicit: compare them one by one.
fn re_encode_sa(octets: &[u8], w: &mut Writer) {
    SaPayload::from_octets_in(octets, Exchange::Pull, PECULIAR).unwrap();
    w.slice(&octets[..12]);
    let mut again = ChainWriter::new();
    let chain = Chain::parse(PayloadType(octets[9]), &octets[12..]).unwrap();
    for payload in &chain.payloads {
        // What precedes the attributes: protocol, two identities with addresses of four octets, and the SPI.
        let fixed = match payload.kind {
            PayloadType::SA_KEK => 1 + 2 * (4 + 4) + 16 + 4,
            PayloadType::SA_TEK => 1 + 1 + 2 * (4 + 4) + 1 + 4,
            _ => 0,
        };
        let mut body = Writer::new();
        body.slice(&payload.body[..fixed]);
        let mut r = Reader::new(&payload.body[fixed..]);
        while let Some(attribute) = Attribute::next(&mut r).unwrap() {
            match attribute.value {
                Value::Basic(value) => basic(&mut body, attribute.class, value),
                Value::Variable(value) => {
                    variable(&mut body, attribute.class, |w| w.slice(value)).unwrap();
                }
            }
        }
        again.body(payload.kind, body.octets()).unwrap();
    }
    w.slice(again.octets());
}

#[test]
fn its_public_key_is_the_encoding_that_we_use() {
    let Some(messages) = capture() else { return };
    let keys = ExchangeKeys::new(provider(), &registration(&messages)).unwrap();
    let clear = pull(&messages, &keys);
    let chain = Chain::parse(clear[3].0.next_payload, &clear[3].1).unwrap();
    let octets = body(&chain, PayloadType::KEY_DOWNLOAD);
    let key = KeyDownload::from_octets(octets).unwrap().signing_key().unwrap().clone();
    let encoded = SubjectPublicKeyInfo(key).to_octets();
    assert!(octets.windows(encoded.len()).any(|window| window == encoded));
}
