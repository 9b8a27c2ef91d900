//! The vectors of `docs/vectors/gdoi.txt`: a GROUPKEY-PULL, two GROUPKEY-PUSHes and a lease with every key. The registration
//! is that of `docs/vectors/hip.txt`.
//!
//! `CLAVIGER_RECORD_VECTORS=1` makes them anew. All octets but the ECDSA key and signatures come from seeds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{path::Path, sync::Once, time::Duration};

use claviger_crypto::{
    Random, SecretBytes, SeededRandom, SystemRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    Delete, Gap, InForce, KeyDownload, LeaseQuestion, LeaseVerdict, Member, MemberConfig, MemberEvent, SaKek,
    SaPayload, SaTek, Server, ServerEvent,
    lkh::{self, KeyArray, Link},
    push::{self, KekMaterial, Push, RekeySa},
    wire::{LkhDownload, SenderIds},
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, GroupId, MemberId, RegistrationSa, Spi, Tek,
    tek::TekKeys,
};
use claviger_identity::Hit;
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    wire::{Header, payload::Chain},
};
use claviger_sansio::Time;
use claviger_testkit::vector::{VectorWriter, Vectors};
use support::{datagram, member_address, server_address};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/gdoi.txt");
const HIP_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/hip.txt");

const PULL: &str = "GROUPKEY-PULL";
const PUSH_KEK: &str = "GROUPKEY-PUSH with a new KEK";
const PUSH_TEK: &str = "GROUPKEY-PUSH with a new TEK";
const LEASE: &str = "lease";
const LEASE_MESSAGES: [&str; 4] = ["request", "answer", "question", "answer to the question"];
const NONCES: [&str; 2] = ["nonce", "nonce of the question"];
const GROUP: &str = "group";
const NOW: Time = Time::from_secs(1_800_000_000);
/// The name of the group, as ID_KEY_ID.
const NAME: &str = "market";

fn vectors() -> Vectors {
    static RECORDED: Once = Once::new();
    Vectors::published(Path::new(FILE), &RECORDED, record)
}

#[test]
fn both_ends_of_a_pull_send_what_is_published() {
    let vectors = vectors();
    let signer = signing_key(&vectors);
    let messages = run_pull(&Scenario::new(), &signer);
    for (number, message) in (1..).zip(&messages) {
        assert_eq!(message, vectors.octets(PULL, &format!("message {number}")), "message {number}");
    }
}

#[test]
fn pull_messages_decrypt_and_their_hashes_verify() {
    let vectors = vectors();
    let sa = registration();
    let keys = ExchangeKeys::new(provider(), &sa).unwrap();
    let cipher = provider().cipher(sa.cipher).unwrap().key(&sa.skeyid_e.expose()[..32]).unwrap();
    let mut iv = vectors.array(PULL, "first IV");
    let mut nonces: Vec<&[u8]> = Vec::new();
    for number in 1..=4 {
        let message = vectors.octets(PULL, &format!("message {number}"));
        let (header, ciphertext) = Header::split(message).unwrap();
        assert_eq!((header.exchange, header.cookies), (ExchangeType::GROUPKEY_PULL, sa.cookies));
        assert_eq!(header.message_id, vectors.number(PULL, "M-ID"));
        let mut plaintext = ciphertext.to_vec();
        cipher.decrypt(&iv, &mut plaintext).unwrap();
        assert_eq!(plaintext, vectors.octets(PULL, &format!("message {number}: plaintext")));
        let chain = Chain::parse(header.next_payload, &plaintext).unwrap();
        let [hash, rest @ ..] = &chain.payloads[..] else { panic!("HASH comes first") };
        let behind = &plaintext[4 + hash.body.len()..chain.length];
        assert_eq!(hash.body, &keys.hash(header.message_id, &nonces, behind)[..]);
        if rest.first().is_some_and(|payload| payload.kind == PayloadType::NONCE) {
            nonces.push(vectors.octets(PULL, if number == 1 { "Ni" } else { "Nr" }));
            assert_eq!(rest[0].body, nonces[number - 1]);
        }
        iv = *message.last_chunk().unwrap();
    }
}

#[test]
fn the_pushes_bring_the_new_kek_and_under_it_the_new_tek() {
    let vectors = vectors();
    let public = signing_key(&vectors).public().clone();
    let open = |section: &str, spi: &str, prefix: &str| {
        let kek = KekMaterial::new(
            CookiePair(vectors.array(GROUP, spi)),
            CipherAlgorithm::Aes128Cbc,
            vectors.array(GROUP, &format!("{prefix} IV")),
            vectors.octets(GROUP, prefix),
        );
        let datagram = vectors.octets(section, "datagram");
        assert_eq!(plaintext(&kek, datagram), vectors.octets(section, "plaintext"));
        let sa = RekeySa::new(provider(), kek, public.clone(), KeyAlgorithm::EcdsaP256, 0).unwrap();
        sa.open(datagram).unwrap()
    };

    let rekey = open(PUSH_KEK, "KEK SPI", "KEK");
    let updates = &rekey.kd().unwrap().lkh.as_ref().unwrap().updates;
    let path = Scenario::new().path;
    let held = KeyArray::new(&lkh::download_array(&path), CipherAlgorithm::Aes128Cbc).unwrap();
    let staged = held.apply(updates, provider(), CipherAlgorithm::Aes128Cbc).unwrap();
    let (iv, key) = staged.root();
    assert_eq!(
        (key.expose(), &iv[..]),
        (vectors.octets(GROUP, "new KEK"), vectors.octets(GROUP, "new KEK IV"))
    );
    assert_eq!(rekey.sa().unwrap().kek.as_ref().unwrap().spi.0, vectors.array(GROUP, "new KEK SPI"));

    let rekey = open(PUSH_TEK, "new KEK SPI", "new KEK");
    let (spi, keys) = &rekey.kd().unwrap().teks[0];
    assert_eq!(spi.as_u32(), vectors.number(GROUP, "new TEK SPI"));
    assert_eq!(keys.encryption.expose(), vectors.octets(GROUP, "new TEK"));
    assert_eq!(rekey.deletes(), [Delete::Tek(Spi::new(vectors.number(GROUP, "TEK SPI")).unwrap())]);
}

#[test]
fn a_request_for_leases_and_its_answer_are_what_is_published_and_their_hashes_verify() {
    let vectors = vectors();
    let messages = run_lease(&Scenario::new());
    let sa = registration();
    let keys = ExchangeKeys::new(provider(), &sa).unwrap();
    let prf = provider().prf(sa.hash).unwrap();
    let skeyid_l = prf.prf(sa.skeyid_d.expose(), &[b"lease"]);
    assert_eq!(&skeyid_l[..], vectors.octets(LEASE, "SKEYID_l"));
    for (number, (name, message)) in LEASE_MESSAGES.iter().zip(&messages).enumerate() {
        assert_eq!(message, vectors.octets(LEASE, name));
        let (header, behind) = Header::split_plain(message, ExchangeType::LEASE).unwrap();
        assert_eq!((header.cookies, header.message_id), (sa.cookies, 0));
        let chain = Chain::parse(header.next_payload, behind).unwrap();
        let [hash, lease] = &chain.payloads[..] else { panic!("two payloads") };
        let signed = [&message[..Header::LEN], &behind[4 + hash.body.len()..]];
        assert_eq!(hash.body, &prf.prf(&skeyid_l, &signed)[..]);
        assert_eq!(hash.body, &keys.lease_hash(signed[0], signed[1])[..]);
        assert_eq!(&lease.body[4..20], vectors.octets(LEASE, NONCES[number / 2]));
    }
}

/// What a registration by HIP left, as the other file says.
fn registration() -> RegistrationSa {
    let hip = Vectors::read(Path::new(HIP_FILE));
    let secret = |name| SecretBytes::copy_of(hip.octets("base exchange", name));
    let cookies = [hip.octets("base exchange", "CKY-I"), hip.octets("base exchange", "CKY-R")].concat();
    RegistrationSa {
        peer: MemberId::Hit(Hit::NULL),
        cookies: CookiePair(cookies.try_into().unwrap()),
        skeyid_d: secret("SKEYID_d"),
        skeyid_a: secret("SKEYID_a"),
        skeyid_e: secret("SKEYID_e"),
        phase1_iv: hip.array("base exchange", "P1-IV"),
        hash: HashAlgorithm::Sha384,
        cipher: CipherAlgorithm::Aes256Cbc,
    }
}

fn signing_key(vectors: &Vectors) -> SigningKey {
    let pkcs8 = SecretBytes::copy_of(vectors.octets(GROUP, "signing key"));
    SigningKey::from_pkcs8(provider(), KeyAlgorithm::EcdsaP256, pkcs8).unwrap()
}

/// Decrypts a GROUPKEY-PUSH with the cipher alone.
fn plaintext(kek: &KekMaterial, datagram: &[u8]) -> Vec<u8> {
    let mut octets = datagram[Header::LEN..].to_vec();
    let cipher = provider().cipher(kek.cipher).unwrap().key(kek.key.expose()).unwrap();
    cipher.decrypt(&kek.iv, &mut octets).unwrap();
    octets
}

/// A group with four members at leaves 4 to 7 of a binary tree; ours is at leaf 4, and 7 is evicted.
struct Scenario {
    kek_spi: CookiePair,
    new_kek_spi: CookiePair,
    tek: Tek,
    new_tek: Tek,
    /// The keys of leaf 4, node 2 and the root.
    path: [Link; 3],
    leaf_6: Link,
    new_node_3: Link,
    new_root: Link,
}

impl Scenario {
    fn new() -> Self {
        let random = &mut SeededRandom::new(2026);
        let mut link = |id, handle| {
            let mut octets = [0; 32];
            random.fill(&mut octets);
            Link::new(id, handle, *octets.first_chunk().unwrap(), &octets[16..])
        };
        let path = [link(4, 1), link(2, 1), link(1, 1)];
        let (leaf_6, new_node_3, new_root) = (link(6, 1), link(3, 2), link(1, 2));
        Self {
            kek_spi: CookiePair([0x6b; 16]),
            new_kek_spi: CookiePair([0x6c; 16]),
            tek: tek(0x0000_1000, random),
            new_tek: tek(0x0000_1001, random),
            path,
            leaf_6,
            new_node_3,
            new_root,
        }
    }

    fn kek(&self) -> KekMaterial {
        let root = &self.path[2];
        KekMaterial::new(self.kek_spi, CipherAlgorithm::Aes128Cbc, root.iv, root.key.expose())
    }

    fn new_kek(&self) -> KekMaterial {
        let root = &self.new_root;
        KekMaterial::new(self.new_kek_spi, CipherAlgorithm::Aes128Cbc, root.iv, root.key.expose())
    }

    fn offer(&self) -> SaPayload {
        let gap = Gap { lease_time: Some(600), ..gap(0) };
        SaPayload { kek: Some(sa_kek(self.kek_spi)), gap: Some(gap), teks: vec![SaTek::from(&self.tek)] }
    }

    fn download(&self, signer: &SigningKey) -> KeyDownload {
        KeyDownload {
            teks: vec![(self.tek.spi, self.tek.keys.clone())],
            kek: None,
            lkh_32: None,
            lkh: Some(LkhDownload {
                spi: self.kek_spi,
                download: Some(lkh::download_array(&self.path)),
                updates: vec![],
                signing_key: Some(signer.public().clone()),
            }),
            sender_ids: Some(SenderIds { bits: 16, values: vec![7] }),
        }
    }

    /// Leaf 7 departs: node 3 and the root are replaced, under leaf 6 and node 2.
    fn push_kek(&self, signer: &SigningKey) -> Vec<u8> {
        let chain = [self.new_node_3.clone(), self.new_root.clone()];
        let updates = vec![
            lkh::update_array(&self.path[1], &chain[1..], CipherAlgorithm::Aes128Cbc).unwrap(),
            lkh::update_array(&self.leaf_6, &chain, CipherAlgorithm::Aes128Cbc).unwrap(),
        ];
        let kek = Some(SaKek { management: Some(1), ..sa_kek(self.new_kek_spi) });
        let sa = SaPayload { kek, gap: None, teks: vec![] };
        let lkh = LkhDownload { spi: self.new_kek_spi, download: None, updates, signing_key: None };
        let kd = KeyDownload { lkh: Some(lkh), ..KeyDownload::default() };
        let push = Push { kek: &self.kek(), sequence: 1, deletes: &[], sa: Some(&sa), kd: Some(&kd) };
        push::seal(provider(), &push, signer).unwrap()
    }

    fn push_tek(&self, signer: &SigningKey) -> Vec<u8> {
        let sa = SaPayload { kek: None, gap: Some(gap(1)), teks: vec![SaTek::from(&self.new_tek)] };
        let teks = vec![(self.new_tek.spi, self.new_tek.keys.clone())];
        let kd = KeyDownload { teks, ..KeyDownload::default() };
        let deletes = [Delete::Tek(self.tek.spi)];
        let push =
            Push { kek: &self.new_kek(), sequence: 1, deletes: &deletes, sa: Some(&sa), kd: Some(&kd) };
        push::seal(provider(), &push, signer).unwrap()
    }
}

fn tek(spi: u32, random: &mut SeededRandom) -> Tek {
    let transform = EspTransform::Aes128Gcm16;
    Tek {
        spi: Spi::new(spi).unwrap(),
        transform,
        keys: TekKeys::generate(transform, random),
        channel: Channel::new("239.192.0.1".parse().unwrap(), None).unwrap(),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4501,
        application_port: 0,
        lifetime: Duration::from_secs(3600),
    }
}

fn sa_kek(spi: CookiePair) -> SaKek {
    SaKek {
        source: Some("192.0.2.2".parse().unwrap()),
        destination: ("239.192.0.1".parse().unwrap(), 848),
        spi,
        management: None,
        cipher: CipherAlgorithm::Aes128Cbc,
        lifetime: Duration::from_secs(86_400),
        signature: KeyAlgorithm::EcdsaP256,
        form: claviger_group::PushAuthentication::Message,
        place: None,
        rekey_first: None,
    }
}

fn gap(activation: u16) -> Gap {
    Gap { activation_delay: Some(activation), deactivation_delay: Some(5), ..Gap::default() }
}

/// Runs a PULL between the two endpoints and returns its messages.
fn run_pull(scenario: &Scenario, signer: &SigningKey) -> [Vec<u8>; 4] {
    let random = |seed| Box::new(SeededRandom::new(seed));
    let mut member = Member::new(MemberConfig::new(provider()), random(1));
    let mut server = Server::new(provider(), random(2));
    let sa = registration();
    let cookies = sa.cookies;
    member.add_registration(NOW, sa).unwrap();
    server.add_registration(NOW, registration()).unwrap();
    let group: GroupId = NAME.parse().unwrap();

    // HDR*, HASH(1), Ni, ID -->
    let id = member.pull(NOW, &cookies, server_address(), group, Some(1)).unwrap();
    let message_1 = member.poll_transmit().unwrap().payload;
    server.handle_datagram(NOW, datagram(&message_1, member_address(), server_address())).unwrap();
    let Some(ServerEvent::PullRequested { pull, .. }) = server.poll_event() else { panic!("a request") };
    // <-- HDR*, HASH(2), Nr, SA
    server.offer(NOW, pull, &scenario.offer()).unwrap();
    let message_2 = server.poll_transmit().unwrap().payload;
    member.handle_datagram(NOW, datagram(&message_2, server_address(), member_address())).unwrap();
    assert!(matches!(member.poll_event(), Some(MemberEvent::Offered { .. })));
    // HDR*, HASH(3), GAP -->
    member.accept(NOW, id).unwrap();
    let message_3 = member.poll_transmit().unwrap().payload;
    server.handle_datagram(NOW, datagram(&message_3, member_address(), server_address())).unwrap();
    let Some(ServerEvent::PullConfirmed { pull, .. }) = server.poll_event() else { panic!("a proof") };
    // <-- HDR*, HASH(4), SEQ, KD
    server.download(NOW, pull, Some(0), &scenario.download(signer)).unwrap();
    let message_4 = server.poll_transmit().unwrap().payload;
    member.handle_datagram(NOW, datagram(&message_4, server_address(), member_address())).unwrap();
    assert!(matches!(member.poll_event(), Some(MemberEvent::Pulled { sequence: Some(0), .. })));
    [message_1, message_2, message_3, message_4]
}

/// Runs a request for a lease between the two endpoints, of a member that protects under the TEK of the PULL; a newer one
/// is in force at the key server. Then, of the same member when it has that, a question about its keys. Returns the messages.
fn run_lease(scenario: &Scenario) -> [Vec<u8>; 4] {
    let random = |seed| Box::new(SeededRandom::new(seed));
    let mut member = Member::new(MemberConfig::new(provider()), random(3));
    let mut server = Server::new(provider(), random(4));
    let (sa, cookies) = (registration(), registration().cookies);
    member.add_registration(NOW, sa).unwrap();
    server.add_registration(NOW, registration()).unwrap();
    let group: GroupId = NAME.parse().unwrap();
    let held = InForce { rekey_sa: Some(scenario.kek_spi), sequence: 0, tek: Some(scenario.tek.spi) };
    let in_force =
        InForce { rekey_sa: Some(scenario.new_kek_spi), sequence: 1, tek: Some(scenario.new_tek.spi) };
    let mut run = |question, held, verdict| {
        // HDR, HASH, LEASE -->
        let asked = vec![(group.clone(), question, held)];
        member.request_leases(NOW, &cookies, server_address(), asked).unwrap();
        let request = member.poll_transmit().unwrap().payload;
        server.handle_datagram(NOW, datagram(&request, member_address(), server_address())).unwrap();
        let Some(ServerEvent::LeasesRequested { ticket, .. }) = server.poll_event() else {
            panic!("a request")
        };
        // <-- HDR, HASH, LEASE
        server.answer_leases(ticket, vec![(group.clone(), verdict, in_force)]).unwrap();
        let answer = server.poll_transmit().unwrap().payload;
        member.handle_datagram(NOW, datagram(&answer, server_address(), member_address())).unwrap();
        assert!(matches!(member.poll_event(), Some(MemberEvent::LeasesAnswered { .. })));
        [request, answer]
    };
    let [request, answer] = run(LeaseQuestion::Lease, held, LeaseVerdict::Behind);
    let [question, word] = run(LeaseQuestion::Keys, in_force, LeaseVerdict::Granted);
    [request, answer, question, word]
}

fn record() {
    let scenario = Scenario::new();
    let signer =
        SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().unwrap()).unwrap();
    let mut w = VectorWriter::default();
    w.comment(
        "Test vectors of GDOI. Explained in docs/vectors.md. The registration is [base exchange] of hip.txt.",
    );

    w.section(GROUP).octets("name", NAME.as_bytes()).octets("signing key", signer.pkcs8().expose());
    w.octets("KEK SPI", &scenario.kek_spi.0).octets("new KEK SPI", &scenario.new_kek_spi.0);
    let keys = [
        ("leaf 4", &scenario.path[0]),
        ("node 2", &scenario.path[1]),
        ("KEK", &scenario.path[2]),
        ("leaf 6", &scenario.leaf_6),
        ("new node 3", &scenario.new_node_3),
        ("new KEK", &scenario.new_root),
    ];
    for (name, link) in keys {
        w.octets(name, link.key.expose()).octets(&format!("{name} IV"), &link.iv);
        w.octets(&format!("{name} handle"), &link.handle.to_be_bytes());
    }
    for (name, tek) in [("TEK", &scenario.tek), ("new TEK", &scenario.new_tek)] {
        w.octets(&format!("{name} SPI"), &tek.spi.as_u32().to_be_bytes());
        w.octets(name, tek.keys.encryption.expose());
    }

    w.section(PULL);
    let messages = run_pull(&scenario, &signer);
    let sa = registration();
    let keys = ExchangeKeys::new(provider(), &sa).unwrap();
    let cipher = provider().cipher(sa.cipher).unwrap().key(&sa.skeyid_e.expose()[..32]).unwrap();
    let message_id = Header::split(&messages[0]).unwrap().0.message_id;
    let mut iv = keys.first_iv(message_id);
    w.octets("M-ID", &message_id.to_be_bytes()).octets("first IV", &iv);
    for (number, message) in (1..).zip(&messages) {
        let (header, ciphertext) = Header::split(message).unwrap();
        let mut plaintext = ciphertext.to_vec();
        cipher.decrypt(&iv, &mut plaintext).unwrap();
        let chain = Chain::parse(header.next_payload, &plaintext).unwrap();
        if let Some(nonce) = chain.payloads.iter().find(|payload| payload.kind == PayloadType::NONCE) {
            w.octets(if number == 1 { "Ni" } else { "Nr" }, nonce.body);
        }
        w.octets(&format!("message {number}"), message);
        w.octets(&format!("message {number}: plaintext"), &plaintext);
        iv = *message.last_chunk().unwrap();
    }

    for (section, kek, datagram) in [
        (PUSH_KEK, scenario.kek(), scenario.push_kek(&signer)),
        (PUSH_TEK, scenario.new_kek(), scenario.push_tek(&signer)),
    ] {
        w.section(section).octets("datagram", &datagram).octets("plaintext", &plaintext(&kek, &datagram));
        let (header, _) = Header::split(&datagram).unwrap();
        let plaintext = plaintext(&kek, &datagram);
        let chain = Chain::parse(header.next_payload, &plaintext).unwrap();
        let signature = chain.payloads.last().unwrap();
        let unpadded = (Header::LEN + chain.length) as u32;
        let head = &datagram[..Header::LEN - 4];
        let signed = [b"rekey", head, &unpadded.to_be_bytes(), &plaintext[..signature.start]].concat();
        w.octets("what is signed", &signed).octets("signature", signature.body);
    }

    let sa = registration();
    let skeyid_l = provider().prf(sa.hash).unwrap().prf(sa.skeyid_d.expose(), &[b"lease"]);
    let messages = run_lease(&scenario);
    w.section(LEASE).octets("SKEYID_l", &skeyid_l);
    for (number, (name, message)) in LEASE_MESSAGES.iter().zip(&messages).enumerate() {
        let (header, behind) = Header::split_plain(message, ExchangeType::LEASE).unwrap();
        let chain = Chain::parse(header.next_payload, behind).unwrap();
        if number % 2 == 0 {
            w.octets(NONCES[number / 2], &chain.payloads[1].body[4..20]);
        }
        w.octets(name, message);
    }
    w.write(Path::new(FILE));
}
