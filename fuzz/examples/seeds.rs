//! Writes the seeds in `corpus/`: `cargo run --example seeds [FOLDER_OF_CAPTURES]`, in this folder.
//!
//! Of each format one sound example or a few, small: the fuzzer finds the rest. Packets of other implementations come
//! from captures, whose folder is an argument; without it their seeds stay as they are.

use std::{fs, path::Path};

use claviger_crypto::{
    SeededRandom, SystemRandom,
    hash_tree::{NODE_LEN, Node},
    kx::KxAlgorithm,
    provider,
    sign::KeyAlgorithm,
};
use claviger_fuzz::{group, hip, isakmp, owner, script::piece};
use claviger_gcks::{Gcks, GcksConfig};
use claviger_gdoi::{
    Exchange, Gap, InForce, KeyDownload, LeaseQuestion, LeaseVerdict, SaPayload,
    iana::kek::MANAGEMENT_LKH_32,
    wire::{
        Delete, Deletes, Identification, LeaseAnswer, LeaseRequest, Lkh32, Notification,
        SubjectPublicKeyInfo, batch_signature::BatchSignature,
    },
};
use claviger_group::{CookiePair, GroupPolicy, PushAuthentication, Role};
use claviger_hip::{
    iana::{CertType, DhGroup, EspSuite, LocatorType, PacketType, ParameterType, RegFailure},
    wire::{
        Ack, Cert, Cookie, DiffieHellman, EspInfo, EspTransform, Lifetime, Locator, LocatorSet, LocatorValue,
        Packet, R1Counter, RegFailed, RegInfo, RegRequest, RegResponse, Seq, TransportFormatList,
    },
};
use claviger_hip_groups::{
    McastChannel,
    iana::{ChannelStatus, MCAST_CHANNEL},
};
use claviger_identity::HostIdentity;
use claviger_isakmp::{
    Header,
    iana::{DOI_IPSEC, ExchangeType, IdentificationType, NotifyType, PayloadType},
    wire,
};
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, TreeConfig};
use claviger_pki::{GroupRight, GroupRights, Name, Roles};
use claviger_sansio::{
    Socket,
    durable::{Change, Receipt},
};
use claviger_testkit::pcap;
use claviger_wire::{Encode, Writer};

/// The parameters that `targets/hip_parameter.rs` checks, in its order.
const CHECKED: &[ParameterType] = &[
    ParameterType::ESP_INFO,
    ParameterType::R1_COUNTER,
    ParameterType::PUZZLE,
    ParameterType::SOLUTION,
    ParameterType::SEQ,
    ParameterType::ACK,
    ParameterType::DH_GROUP_LIST,
    ParameterType::DIFFIE_HELLMAN,
    ParameterType::HIP_CIPHER,
    ParameterType::ENCRYPTED,
    ParameterType::HOST_ID,
    ParameterType::HIT_SUITE_LIST,
    ParameterType::CERT,
    ParameterType::NOTIFICATION,
    ParameterType::ECHO_REQUEST_SIGNED,
    ParameterType::REG_INFO,
    ParameterType::REG_REQUEST,
    ParameterType::REG_RESPONSE,
    ParameterType::REG_FAILED,
    ParameterType::ECHO_RESPONSE_SIGNED,
    ParameterType::TRANSPORT_FORMAT_LIST,
    ParameterType::ESP_TRANSFORM,
    ParameterType::HIP_MAC,
    ParameterType::HIP_MAC_2,
    ParameterType::HIP_SIGNATURE_2,
    ParameterType::HIP_SIGNATURE,
    ParameterType::ECHO_REQUEST_UNSIGNED,
    ParameterType::ECHO_RESPONSE_UNSIGNED,
    MCAST_CHANNEL,
    ParameterType::LOCATOR_SET,
    ParameterType::COOKIE,
];

fn main() {
    if let Some(folder) = std::env::args().nth(1) {
        captured(Path::new(&folder));
    }
    hip_parameters();
    hip_endpoints();
    identities();
    token_uris();
    routes();
    gdoi_payloads();
    gdoi_endpoints();
    cores();
    data();
    keytree();
    delivery();
    api();
    capture();
    certificates();
}

fn seed(target: &str, name: &str, octets: &[u8]) {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join(name), octets).expect("the seed can be written");
}

fn parameter_seed(kind: ParameterType, name: &str, contents: &[u8]) {
    let choice = CHECKED.iter().position(|known| *known == kind).expect("the parameter is checked") as u8;
    seed("hip_parameter", name, &[&[choice], contents].concat());
}

fn captured(folder: &Path) {
    for (file, name) in [("hip2-ecdsa-p384.pcap", "ecdsa"), ("hip2-rsa-2048.pcap", "rsa")] {
        let mut packets = pcap::read(&folder.join(file)).expect("the capture is there");
        packets.retain(|packet| packet.protocol == 139);
        for (number, packet) in packets.iter().take(5).enumerate() {
            seed("hip_packet", &format!("{name}-{number}"), &packet.payload);
            let packet = Packet::parse(&packet.payload).expect("the capture is sound");
            for raw in packet.parameters().iter() {
                let kind = raw.parameter_type();
                parameter_seed(kind, &format!("{name}-{}", kind.0), raw.contents());
            }
        }
    }
}

fn channel() -> McastChannel {
    McastChannel {
        reg_type: hip::SERVICE,
        role: Role::Both,
        group: group::id(),
        channel: Some(group::tek().channel),
        lifetime: Lifetime(100),
        status: ChannelStatus::GRANTED,
    }
}

/// A place of each kind.
fn locators() -> LocatorSet {
    let address = [192, 0, 2, 2].into();
    let other = LocatorValue::Other { locator_type: LocatorType(2), octets: vec![7; 28] };
    let values = [LocatorValue::Address(address), LocatorValue::Esp { spi: 0x1000, address }, other];
    LocatorSet(values.map(Locator::only).into())
}

/// Parameters that no capture holds.
fn hip_parameters() {
    let lifetime = Lifetime(100);
    let types = vec![hip::SERVICE];
    let info = RegInfo { lifetime_min: Lifetime(80), lifetime_max: lifetime, types: types.clone() };
    for (kind, contents) in [
        (ParameterType::REG_INFO, info.to_octets()),
        (ParameterType::REG_REQUEST, RegRequest { lifetime, types: types.clone() }.to_octets()),
        (ParameterType::REG_RESPONSE, RegResponse { lifetime, types: types.clone() }.to_octets()),
        (
            ParameterType::REG_FAILED,
            RegFailed { failure: RegFailure::ADDITIONAL_CREDENTIALS, types }.to_octets(),
        ),
        (MCAST_CHANNEL, channel().to_octets()),
        (ParameterType::CERT, cert(1, 1).to_octets()),
        (ParameterType::LOCATOR_SET, locators().to_octets()),
        (ParameterType::R1_COUNTER, R1Counter::new(7).to_octets()),
        (ParameterType::COOKIE, Cookie::asking([7; 8]).to_octets()),
        (ParameterType::HOST_ID, hip::PEER.host_id().to_octets()),
        (ParameterType::NOTIFICATION, vec![0, 0, 0, 14]),
        (ParameterType::ENCRYPTED, vec![0; 36]),
    ] {
        parameter_seed(kind, &format!("own-{}", kind.0), &contents);
    }
}

type Written = (ParameterType, Vec<u8>);

fn made_up(parameters: &[Written]) -> Vec<u8> {
    parameters.iter().flat_map(|(kind, contents)| piece(hip::kind_of(*kind), contents)).collect()
}

/// ENCRYPTED around the channel.
fn encrypted() -> Written {
    (ParameterType::ENCRYPTED, hip::block(&[(MCAST_CHANNEL, channel().to_octets())]))
}

/// ENCRYPTED around certificates and the channel.
fn encrypted_with(certs: &[Cert]) -> Written {
    let certs = certs.iter().map(|cert| (ParameterType::CERT, cert.to_octets()));
    let inner: Vec<_> = certs.chain([(MCAST_CHANNEL, channel().to_octets())]).collect();
    (ParameterType::ENCRYPTED, hip::block(&inner))
}

fn cert(count: u8, id: u8) -> Cert {
    Cert { group: 1, count, id, cert_type: CertType::X509_V3, certificate: vec![0x30, 0] }
}

fn request() -> Written {
    let request = RegRequest { lifetime: Lifetime(100), types: vec![hip::SERVICE] };
    (ParameterType::REG_REQUEST, request.to_octets())
}

fn response() -> Written {
    let response = RegResponse { lifetime: Lifetime(100), types: vec![hip::SERVICE] };
    (ParameterType::REG_RESPONSE, response.to_octets())
}

/// The I1 of the host under test, and an R1 that answers it with a cookie.
fn cookies() -> (Vec<u8>, Vec<u8>) {
    let mut host = hip::host();
    let server = ([192, 0, 2, 2], 10500).into();
    host.connect(group::NOW, hip::peer_hit(), server, Socket::HipUdp, None).expect("nobody is called yet");
    let question = host.poll_transmit().expect("I1 is sent").payload;
    let asked: Cookie = Packet::parse(&question).and_then(|i1| Ok(i1.one()?)).expect("I1 asks for a cookie");
    let answer = hip::Parameters::default().with(&Cookie { cookie: [9; 20], ..asked });
    (question, hip::plain(PacketType::R1, &answer).expect("the R1 is short"))
}

fn hip_endpoints() {
    let esp = [
        (ParameterType::ESP_INFO, EspInfo { keymat_index: 0, old_spi: 0, new_spi: 0x1000 }.to_octets()),
        (
            ParameterType::TRANSPORT_FORMAT_LIST,
            TransportFormatList(vec![ParameterType::ESP_TRANSFORM]).to_octets(),
        ),
        (ParameterType::ESP_TRANSFORM, EspTransform(vec![EspSuite::AES_128_CBC_HMAC_SHA_256]).to_octets()),
    ];

    seed("hip_responder", "i2", &piece(1, &[]));
    seed("hip_responder", "i2-registers", &piece(1, &made_up(&[encrypted(), request()])));
    seed("hip_responder", "i2-with-esp", &piece(1, &made_up(&esp)));

    let chain = || encrypted_with(&[cert(2, 1), cert(2, 2)]);
    seed("hip_responder", "i2-with-certificates", &piece(1, &made_up(&[chain(), request()])));
    let half = encrypted_with(&[cert(2, 1)]);
    let url = Cert { group: 2, cert_type: CertType::X509_HASH_AND_URL, ..cert(1, 1) };
    let open = (ParameterType::CERT, url.to_octets());
    seed("hip_responder", "i2-with-a-url", &piece(1, &made_up(&[half, open, request()])));

    let r2 = made_up(&[chain(), response()]);
    seed("hip_initiator", "r1-r2-with-certificates", &[piece(1, &[]), piece(1, &r2)].concat());
    let r2 = made_up(&[encrypted(), response()]);
    seed("hip_initiator", "r1-r2", &[piece(1, &[]), piece(1, &[])].concat());
    seed("hip_initiator", "r1-r2-grants", &[piece(1, &[]), piece(1, &r2)].concat());
    let (question, answer) = cookies();
    seed("hip_packet", "cookie-i1", &question);
    seed("hip_packet", "cookie-r1", &answer);
    seed("hip_initiator", "cookie-r1-r2", &[piece(0, &answer), piece(1, &[]), piece(1, &r2)].concat());

    let number = |kind: ParameterType| match kind {
        ParameterType::SEQ => (kind, Seq(1).to_octets()),
        _ => (kind, Ack(vec![1]).to_octets()),
    };
    let update = made_up(&[number(ParameterType::SEQ), encrypted(), request()]);
    let revoked = made_up(&[number(ParameterType::SEQ), encrypted(), response()]);
    let acknowledges = made_up(&[number(ParameterType::ACK)]);
    let echo = made_up(&[(ParameterType::ECHO_REQUEST_SIGNED, vec![7; 8])]);
    seed("hip_associated", "update-registers", &piece(1, &update));
    let shown = made_up(&[number(ParameterType::SEQ), chain(), request()]);
    seed("hip_associated", "update-with-certificates", &piece(1, &shown));
    seed("hip_associated", "update-revokes", &[piece(1, &revoked), piece(1, &acknowledges)].concat());
    let away = LocatorSet(vec![Locator::only(LocatorValue::Address([192, 0, 2, 77].into()))]);
    let moves = made_up(&[(ParameterType::LOCATOR_SET, away.to_octets()), number(ParameterType::SEQ)]);
    seed("hip_associated", "update-moves", &[piece(0x11, &moves), piece(0x11, &acknowledges)].concat());
    let all = made_up(&[(ParameterType::LOCATOR_SET, locators().to_octets()), number(ParameterType::SEQ)]);
    seed("hip_associated", "update-with-locators", &piece(1, &all));
    let value = DiffieHellman { group: DhGroup::NIST_P256, public_value: public_value() };
    let renews = made_up(&[number(ParameterType::SEQ), (ParameterType::DIFFIE_HELLMAN, value.to_octets())]);
    seed("hip_associated", "update-renews", &piece(1, &renews));
    seed("hip_associated", "close", &piece(3, &echo));
    seed(
        "hip_associated",
        "notify",
        &piece(7, &made_up(&[(ParameterType::NOTIFICATION, vec![0, 0, 0, 14])])),
    );
}

/// A value that a peer may offer for new keys.
fn public_value() -> Vec<u8> {
    let group = provider().kx_group(KxAlgorithm::P256).expect("the provider has every group");
    group.generate(&mut SeededRandom::new(1)).expect("keys can be made").public().to_vec()
}

fn identities() {
    for (algorithm, name) in [
        (KeyAlgorithm::EcdsaP256, "ecdsa-p256"),
        (KeyAlgorithm::EcdsaP384, "ecdsa-p384"),
        (KeyAlgorithm::Ed25519, "ed25519"),
    ] {
        let path = Path::new("corpus/identity_pem").join(name);
        if !path.exists() {
            let identity =
                HostIdentity::generate(provider(), algorithm, &mut SystemRandom::new().expect("randomness"))
                    .expect("keys can be made");
            seed("identity_pem", name, identity.to_pem().expect("the key is in memory").expose());
        }
    }
}

fn token_uris() {
    for (name, uri) in [
        (
            "whole",
            "pkcs11:token=my%20hosts;manufacturer=A;serial=01;model=B;object=host-1;id=%01%FF;type=private\
             ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/claviger/pin",
        ),
        ("least", "pkcs11:?module-path=/x.so"),
        ("escaped-twice", "pkcs11:object=%c3%a9?module-path=/x%3f.so&pin-source=file:///a%2520b"),
        ("pin", "pkcs11:?module-path=/x.so&pin-value=4711"),
    ] {
        seed("token_uri", name, uri.as_bytes());
    }
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_octets()
}

fn sa(sa: &SaPayload) -> Vec<u8> {
    written(|w| sa.encode(Exchange::Push, w).expect("the policy is sound"))
}

fn kd() -> Vec<u8> {
    written(|w| group::kd().encode(w).expect("the keys are sound"))
}

fn gdoi_payloads() {
    let gap = Gap {
        activation_delay: Some(1),
        deactivation_delay: Some(5),
        sender_id_request: Some(2),
        lease_time: Some(600),
        lease_receiving: Some(1),
    };
    let deletes = Deletes(vec![Delete::Tek(group::tek().spi)]);
    let notification = Notification { notify: NotifyType::INVALID_ID_INFORMATION, message_id: Some(7) };
    let bodies = [
        ("gap", gap.to_octets()),
        ("delete", written(|w| deletes.encode(w).expect("they are alike"))),
        ("notification", notification.to_octets()),
        ("id", Identification(group::id()).to_octets()),
        ("nonce", vec![7; 16]),
        ("sequence-number", vec![0, 0, 0, 7]),
        ("public-key", SubjectPublicKeyInfo(group::SIGNER.public().clone()).to_octets()),
        ("attributes", vec![0x80, 1, 0, 1, 0, 2, 0, 4, 0, 1, 0x51, 0x80]),
    ];
    for (choice, (name, body)) in (0u8..).zip(&bodies) {
        seed("gdoi_payload", name, &[&[choice][..], body].concat());
    }
    seed("gdoi_sa", "kek-gap-tek", &sa(&group::sa()));
    let mut private = group::sa();
    let policy = private.kek.as_mut().expect("the policy has a KEK");
    (policy.management, policy.form) = (Some(MANAGEMENT_LKH_32), PushAuthentication::Batch);
    seed(
        "gdoi_sa",
        "extensions",
        &written(|w| private.encode(Exchange::Pull, w).expect("the policy is sound")),
    );
    let policy = private.kek.as_mut().expect("the policy has a KEK");
    (policy.place, policy.rekey_first) = (Some(([239, 192, 1, 1].into(), 848)), Some(7));
    for (name, exchange) in [("places-pull", Exchange::Pull), ("places-push", Exchange::Push)] {
        seed("gdoi_sa", name, &written(|w| private.encode(exchange, w).expect("the policy is sound")));
    }
    seed("gdoi_key_download", "download", &kd());
    let path = written(|w| group::path_32().encode(w).expect("the path is sound"));
    seed("gdoi_lkh_32", "path", &path);
    let updates = group::updates_32();
    let updates = updates.iter().map(|update| written(|w| update.encode(w).expect("the update is sound")));
    let updates: Vec<_> = updates.collect();
    seed("gdoi_lkh_32", "update", &updates[0]);
    seed("gdoi_lkh_32", "rekey", &[piece(0, &updates[1]), piece(0, &updates[0])].concat());
    let [update, _] = group::updates_32();
    let lkh_32 =
        Lkh32 { spi: group::KEK_SPI, path: Some(group::path_32()), update: Some(update), signing_key: None };
    let keys = KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() };
    seed("gdoi_key_download", "lkh-32", &written(|w| keys.encode(w).expect("the keys are sound")));
    let chain = isakmp::chain(&message_1());
    seed("gdoi_message", "chain", &[&[chain.first().0][..], chain.octets()].concat());
    let message = isakmp::Exchange::new(1).seal(ExchangeType::GROUPKEY_PULL, &chain);
    seed("gdoi_message", "sealed", &message);
}

fn routes() {
    let seed = |name, octets: &[u8]| seed("isakmp_route", name, octets);
    let message = |exchange, encrypted| {
        let (cookies, next_payload) = (CookiePair([7; 16]), PayloadType::SA);
        let header = Header { cookies, next_payload, exchange, encrypted, message_id: 0, length: 44 };
        [header.to_octets(), vec![0; 16]].concat()
    };
    for (name, exchange, encrypted) in [
        ("main_mode", ExchangeType::MAIN_MODE, false),
        ("aggressive_mode", ExchangeType::AGGRESSIVE_MODE, false),
        ("informational_plain", ExchangeType::INFORMATIONAL, false),
        ("informational", ExchangeType::INFORMATIONAL, true),
        ("pull", ExchangeType::GROUPKEY_PULL, true),
        ("push", ExchangeType::GROUPKEY_PUSH, true),
        ("control", ExchangeType::DELIVERY_CONTROL, false),
        ("report", ExchangeType::DELIVERY_REPORT, false),
        ("lease", ExchangeType::LEASE, false),
    ] {
        seed(name, &message(exchange, encrypted));
    }
    let mut ikev2 = message(ExchangeType(34), true);
    ikev2[17] = 0x20;
    seed("ikev2", &ikev2);
    let mut pull = message(ExchangeType::GROUPKEY_PULL, true);
    pull[..4].fill(0);
    seed("cookie_of_zeros", &pull);
    seed("marked", &[&[0; 4][..], &message(ExchangeType::MAIN_MODE, false)].concat());
    let delete = wire::Delete::new(DOI_IPSEC, 3, 4, &[1; 8]).expect("they are whole SPIs");
    seed("delete", &delete.to_octets());
    let notify = NotifyType::NO_PROPOSAL_CHOSEN;
    let notification =
        wire::Notification::new(DOI_IPSEC, 3, notify, &[1; 4]).expect("the SPI is short enough");
    seed("notification", &notification.to_octets());
    let (id_type, data) = (IdentificationType::IPV4_ADDR, &[192, 0, 2, 1]);
    seed("identification", &wire::Identification { id_type, protocol: 17, port: 500, data }.to_octets());
}

/// Ni, ID; HASH comes with the seal.
fn message_1() -> Vec<u8> {
    let id = Identification(group::id()).to_octets();
    [piece(PayloadType::NONCE.0, &[7; 16]), piece(PayloadType::ID.0, &id)].concat()
}

/// Nr, SA
fn message_2() -> Vec<u8> {
    let mut offered = group::sa();
    offered.kek.as_mut().expect("the policy has a KEK").management = None;
    [piece(PayloadType::NONCE.0, &[8; 16]), piece(PayloadType::SA.0, &sa(&offered))].concat()
}

/// GAP
fn message_3() -> Vec<u8> {
    let gap = Gap { sender_id_request: Some(2), ..Gap::default() };
    piece(PayloadType::GROUP_ASSOCIATED_POLICY.0, &gap.to_octets())
}

/// SEQ, KD
fn message_4() -> Vec<u8> {
    let sequence = piece(PayloadType::SEQUENCE_NUMBER.0, &[0, 0, 0, 0]);
    [sequence, piece(PayloadType::KEY_DOWNLOAD.0, &kd())].concat()
}

/// SEQ, D
fn push_of_delete() -> Vec<u8> {
    let deletes = Deletes(vec![Delete::Tek(group::tek().spi)]);
    let deletes = written(|w| deletes.encode(w).expect("they are alike"));
    [piece(PayloadType::SEQUENCE_NUMBER.0, &[0, 0, 0, 7]), piece(PayloadType::DELETE.0, &deletes)].concat()
}

/// The records of a group on whose list one host stands.
fn stored_group() -> Vec<u8> {
    let config = GcksConfig {
        hip: hip::config(),
        provider: provider(),
        gdoi_port: 848,
        push_source_v4: None,
        push_source_v6: None,
    };
    let mut gcks = Gcks::new(config, Box::new(SeededRandom::new(1)), group::NOW).expect("it is usable");
    let policy = GroupPolicy::new(group::tek().channel);
    gcks.add_group(group::NOW, group::id(), policy).expect("the policy is coherent");
    gcks.allow(group::NOW, &group::id(), &hip::peer_hit().into(), Role::Both).expect("the group exists");
    let staged = gcks.stage(group::NOW).expect("a group was added");
    let mut changes = Vec::new();
    let committed = staged.commit(|all| {
        changes.extend_from_slice(all);
        Ok::<_, std::convert::Infallible>(Receipt::attest(all))
    });
    let Ok(_durable) = committed;
    let records = changes.into_iter().map(|change| {
        let Change::Put { table, key, value } = change else { panic!("nothing was stored before") };
        let number = Gcks::TABLES.iter().position(|known| known.name() == table.name());
        let number = number.expect("it is one of the tables") as u8;
        [piece(number, &key.scope), piece(0, &key.item), piece(0, value.expose())].concat()
    });
    records.collect::<Vec<_>>().concat()
}

/// Key server and member as wholes: a registration, a pull, and what follows.
fn cores() {
    const SIGNED: u8 = 1;
    const CLOSE: u8 = 3;
    const PULL: u8 = 5;
    const PUSH: u8 = 7;
    let registers = piece(SIGNED, &made_up(&[encrypted(), request()]));
    let pulls = [piece(PULL, &message_1()), piece(PULL, &message_3())].concat();
    let closes = piece(CLOSE, &made_up(&[(ParameterType::ECHO_REQUEST_SIGNED, vec![7; 8])]));
    seed("gcks", "refused", &[&[0][..], &registers, &pulls].concat());
    seed("gcks", "joins", &[&[1][..], &registers, &pulls].concat());
    seed("gcks", "joins-and-leaves", &[&[1][..], &registers, &pulls, &closes].concat());
    seed("gcks_restore", "group-with-a-host", &stored_group());

    let registered = [piece(SIGNED, &[]), piece(SIGNED, &made_up(&[encrypted(), response()]))].concat();
    let pulled = [piece(PULL, &message_2()), piece(PULL, &message_4())].concat();
    let pushed = piece(PUSH, &push_of_delete());
    seed("member", "joins", &[&registered[..], &pulled].concat());
    seed("member", "joins-and-is-pushed", &[&registered[..], &pulled, &pushed].concat());
    seed("member", "joins-and-is-left", &[&registered[..], &pulled, &closes].concat());
}

fn gdoi_endpoints() {
    const SEALED: u8 = 2;
    const INFORMATIONAL: u8 = 1;
    seed("gdoi_server", "pull", &[piece(SEALED, &message_1()), piece(SEALED, &message_3())].concat());
    let notification = Notification { notify: NotifyType::NO_PROPOSAL_CHOSEN, message_id: Some(1) };
    let notification = piece(PayloadType::NOTIFICATION.0, &notification.to_octets());
    let declined = [piece(SEALED, &message_1()), piece(INFORMATIONAL, &notification)].concat();
    seed("gdoi_server", "declined", &declined);

    seed("gdoi_member", "pull", &[piece(SEALED, &message_2()), piece(SEALED, &message_4())].concat());
    seed("gdoi_member", "refused", &piece(INFORMATIONAL, &notification));

    seed("gdoi_push", "delete", &push_of_delete());
    seed("gdoi_batch", "delete", &push_of_delete());
    let node = Node([7; NODE_LEN]);
    let proof = BatchSignature { index: 1, count: 2, branch: vec![node], signature: &[8; 64] };
    seed("gdoi_batch", "proof", &written(|w| proof.encode(w)));
    let sequence = piece(PayloadType::SEQUENCE_NUMBER.0, &[0, 0, 0, 7]);
    let policy = SaPayload { kek: None, ..group::sa() };
    let tek = group::tek();
    let keys = KeyDownload { teks: vec![(tek.spi, tek.keys)], ..Default::default() };
    let keys = written(|w| keys.encode(w).expect("the keys are sound"));
    let policy = piece(PayloadType::SA.0, &sa(&policy));
    seed("gdoi_push", "tek", &[sequence, policy, piece(PayloadType::KEY_DOWNLOAD.0, &keys)].concat());
}

fn data() {
    use claviger_esp::packet::{IpHeader, PROTOCOL_UDP, udp};
    for (name, source, destination) in
        [("ipv4", "192.0.2.1:9", "239.192.0.1:5004"), ("ipv6", "[2001:db8::1]:9", "[ff15::1]:5004")]
    {
        let (source, destination): (std::net::SocketAddr, std::net::SocketAddr) =
            (source.parse().expect("an address"), destination.parse().expect("an address"));
        let header = udp::header(source, destination, b"media").expect("it is short");
        let datagram = [&header[..], b"media"].concat();
        let packet = IpHeader::new(source.ip(), destination.ip()).write(PROTOCOL_UDP, &datagram);
        let packet = packet.expect("it is short");
        seed("ip_packet", name, &packet);
        let padding = (2u8..).find(|padding| (packet.len() + usize::from(*padding) + 2).is_multiple_of(4));
        let padding: Vec<u8> = (1..=padding.expect("one of four fits")).collect();
        let next = if source.is_ipv4() { 4 } else { 41 };
        seed("esp_open", name, &[&packet[..], &padding, &[padding.len() as u8, next]].concat());
    }
}

fn keytree() {
    let random = &mut SeededRandom::new(1);
    let config = TreeConfig {
        degree: Degree::new(2).expect("2 is a degree"),
        key_length: KeyLength::Octets16,
        capacity: 16,
        joining: Joining::Advance,
    };
    let mut tree = KeyTree::new(config, random);
    tree.batch(5, &[], random).expect("there is room for five");
    let mut octets = tree.header().to_octets().to_vec();
    for (node, key) in tree.nodes() {
        octets.push(node.level());
        octets.extend_from_slice(&node.index().to_be_bytes());
        octets.extend_from_slice(&key.handle.as_u32().to_be_bytes());
    }
    seed("keytree_restore", "five-members", &octets);
}

fn delivery() {
    use claviger_delivery::{
        BatchId, Shape,
        code::BlockEncoder,
        wire::{Announcement, Directory, Entry, Heard, Repair, Report},
    };
    let batch = BatchId { spi: [0; 16], first_sequence: 0 };
    let datagrams: Vec<Vec<u8>> = (0..7).map(|index| vec![index + 1; 20]).collect();
    let shape = Shape::divide(7, 20, 7, 50).expect("the batch is small");
    let heard = vec![Heard { block: 0, missing: 2 }];
    let announcement =
        Announcement { batch, round: 1, last: false, shape, window_ms: 500, receivers: 100, heard };
    let mut script = Vec::new();
    for (index, datagram) in (0u16..6).zip(&datagrams) {
        let octets = [&index.to_be_bytes()[..], &7u16.to_be_bytes(), datagram].concat();
        script.extend(piece(1, &octets));
    }
    let labels = (0..7).map(|index| vec![index % 3]).collect();
    let directory = Directory { batch, round: 1, shape, first: 0, labels };
    script.extend(piece(0, &directory.to_octets()));
    script.extend(piece(0, &announcement.to_octets()));
    script.extend(piece(4, &[]));
    for (symbol_id, symbols) in BlockEncoder::new(&shape, 0, &datagrams).repair(0, 3) {
        let repair = Repair { batch, round: 2, shape, block: 0, symbol_id, symbols };
        script.extend(piece(0, &repair.to_octets()));
        seed("gdoi_control", "repair", &piece(PayloadType::DELIVERY.0, &repair.to_octets()));
    }
    let controls = [("announcement", announcement.to_octets()), ("directory", directory.to_octets())];
    for (name, octets) in controls {
        seed("gdoi_control", name, &piece(PayloadType::DELIVERY.0, &octets));
    }
    let node = Node([7; NODE_LEN]);
    let proof = BatchSignature { index: 1, count: 2, branch: vec![node], signature: &[8; 64] };
    seed("gdoi_control", "proof", &written(|w| proof.encode(w)));
    script.extend(piece(3, &[0, 6]));
    seed("delivery_receiver", "one-lost", &script);

    let report = |round, block| {
        let entries = vec![
            Entry { block, first: 0, last: 1, missing: 3 },
            Entry { block, first: 4, last: 4, missing: 3 },
        ];
        Report { batch, round, received: 10, entries }.to_octets()
    };
    let script = [piece(1, &report(1, 0)), piece(2, &report(1, 2)), piece(4, &[]), piece(4, &[])].concat();
    let script =
        [script, piece(1, &report(2, 0)), piece(4, &[]), piece(1, &report(2, 0)), piece(4, &[])].concat();
    seed("delivery_report", "two-rounds", &script);
    let in_force = InForce { rekey_sa: Some(group::KEK_SPI), sequence: 7, tek: Some(group::tek().spi) };
    let asked = [LeaseQuestion::Lease, LeaseQuestion::Keys].map(|question| (group::id(), question, in_force));
    let request = LeaseRequest { nonce: [9; 16], groups: asked.to_vec() };
    let verdicts = [LeaseVerdict::Granted, LeaseVerdict::Behind];
    let groups = verdicts.map(|verdict| (group::id(), verdict, in_force)).to_vec();
    let answer = LeaseAnswer { nonce: [9; 16], groups };
    let script = [piece(2, &request.to_octets()), piece(2, &answer.to_octets()), piece(1, &[])];
    seed("gdoi_lease", "request-and-answer", &script.concat());
    let payload = piece(PayloadType::DELIVERY.0, &report(1, 0));
    let script = [piece(2, &report(1, 0)), piece(1, &payload), piece(1, &[&payload[..], &payload].concat())];
    seed("gdoi_report", "three", &script.concat());
}

fn api() {
    use claviger_api::record::Record;
    let records = [Record::Data(b"media".to_vec().into()), Record::Missing(3)];
    let mut stream = vec![2];
    for record in &records {
        stream.extend_from_slice(&record.encode().expect("it is short"));
    }
    seed("api", "records", &stream);
    seed("api", "group-add", br##"{"name":"#1234","policy":{"degree":4,"transform":"aes128-gcm"}}"##);
    seed("api", "options", br#"{"address":"239.192.0.1","port":4500,"tek_lifetime_s":3600}"#);
    seed("api", "rekey", br#"{"key":"tek"}"#);
}

/// A capture of one UDP packet.
fn capture() {
    let frame: Vec<u8> = [
        &[0; 12][..],
        &[8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
        &[0x29, 0x04, 0x03, 0x50, 0, 10, 0, 0, b'h', b'i'],
    ]
    .concat();
    let length = (frame.len() as u32).to_le_bytes();
    let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    seed("pcap", "udp", &[&header[..], &[0; 8], &length, &length, &frame].concat());
}

fn certificates() {
    for (name, certificate) in [("root", owner::root()), ("ca", owner::ca()), ("host", owner::host())] {
        seed("pki_certificate", name, certificate.der());
    }
    seed("pki_crl", "list", &owner::list_der());
    seed("pki_pem", "list", claviger_pki::crl::to_pem(&owner::list_der()).as_bytes());
    seed("pki_pem", "chain", (owner::host().to_pem() + &owner::ca().to_pem()).as_bytes());
    let key = owner::host();
    let key =
        claviger_pki::public_key::to_pem(key.signing_key().expect("hosts sign")).expect("it has an encoding");
    seed("pki_pem", "key", key.as_bytes());
    for (name, text) in [
        ("text", "CN=host-1,O=Example"),
        ("escaped", "CN=\\#a\\,\\c3\\a9\\\\+UID=b\\ ,emailAddress=a@b.example,C=NL"),
        ("hexadecimal", "1.3.6.1.4.1.1466.0=#04024869"),
    ] {
        seed("pki_name", name, text.as_bytes());
        let der = Name::from_rfc4514(text).expect("the names are in order");
        seed("pki_name", &format!("{name}-der"), der.der());
    }
    // A zero stands in front of the attribute's last number, which DER does not allow.
    let odd = [0x30, 14, 0x31, 12, 0x30, 10, 6, 4, 0x55, 4, 0x80, 3, 0x0c, 2, b'a', b'b'];
    seed("pki_name", "identifier-with-zeros", &odd);
    let all = GroupRight { id_type: 1, group_id: vec![7; 255], roles: Roles::ALL };
    let one = GroupRights::new(vec![all]).expect("it is in order");
    for (name, rights) in [("two", owner::rights()), ("long", one)] {
        seed("pki_rights", name, &rights.to_der());
    }
}
