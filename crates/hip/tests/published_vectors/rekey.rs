//! The vectors of `docs/vectors/rekey.txt`: the keys of an association are renewed, with every key before and after.

use std::{path::Path, sync::Once, time::Duration};

use claviger_crypto::{cipher::CipherAlgorithm, hash::HashAlgorithm, kx::SharedSecret, provider};
use claviger_hip::{
    iana::{CipherId, PacketType, ParameterType},
    keys::{Hosts, Keymat, Prk},
    rules,
    wire::{Ack, DiffieHellman, HipCipher, Packet, Seq, Solution},
};
use claviger_hip_groups::McastChannel;
use claviger_identity::HitSuite;
use claviger_testkit::vector::{VectorWriter, Vectors};

use super::{
    Recording, SECRETS, check_direction, check_registration, derived, identity_of, no_certificates, permit,
    write_keys,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/rekey.txt");

/// The cipher of the recording.
const CIPHER: (CipherId, CipherAlgorithm) = (CipherId::AES_256_CBC, CipherAlgorithm::Aes256Cbc);

/// The sections of the keys before and after.
const BEFORE: &str = "before";
const AFTER: &str = "after";

const RENEWAL: &str = "renewal";

/// The packets: name, whether the member sent it, under which keys it stands.
const PACKETS: [(&str, bool, &str); 4] = [
    ("UPDATE", false, BEFORE),
    ("answer", true, BEFORE),
    ("confirmation", false, AFTER),
    ("acknowledgement", true, AFTER),
];

fn vectors() -> Vectors {
    static RECORDED: Once = Once::new();
    Vectors::published(Path::new(FILE), &RECORDED, record)
}

#[test]
fn a_renewal_is_what_its_keys_say() {
    let vectors = vectors();
    let [member, server] = ["member", "key server"].map(|who| identity_of(&vectors, who));
    let hosts = Hosts { local: member.hit(), peer: server.hit() };
    let rhash = HitSuite::of_hit(server.hit()).unwrap().rhash();
    assert_eq!(rhash, HashAlgorithm::Sha384);
    let prf = provider().prf(rhash).unwrap();

    let kij = SharedSecret::new(vectors.octets(RENEWAL, "Kij").to_vec());
    let of = |name| vectors.octets(BEFORE, name);
    let renewed = Prk::extract(provider(), rhash, of("I"), of("J"), &kij).unwrap();
    assert_eq!(renewed.expose(), vectors.octets(AFTER, "PRK"));
    assert_ne!(renewed.expose(), of("PRK"));
    let keymat = |section, prk: Prk| {
        check_registration(&vectors, section, &derived(&prk, hosts.local, hosts.peer, rhash, CIPHER.1));
        let keymat = Keymat::derive(provider(), rhash, CIPHER.0, prk, hosts).unwrap();
        check_direction(&vectors, section, "member", keymat.outgoing());
        check_direction(&vectors, section, "key server", keymat.incoming());
        keymat
    };
    let old = keymat(BEFORE, Prk::new(of("PRK")));
    let new = keymat(AFTER, renewed);

    let packets = PACKETS.map(|(name, ..)| Packet::parse(vectors.octets(RENEWAL, name)).unwrap());
    for (packet, (name, by_member, section)) in packets.iter().zip(PACKETS) {
        assert_eq!(packet.packet_type(), PacketType::UPDATE, "{name}");
        rules::check::<McastChannel>(packet).unwrap();
        let keymat = if section == BEFORE { &old } else { &new };
        let (keys, who) = if by_member { (keymat.outgoing(), &member) } else { (keymat.incoming(), &server) };
        packet.verify_mac(prf, &keys.integrity).unwrap();
        packet.verify_signature(permit(), provider(), who.host_id()).unwrap();
    }
    let [update, answer, confirmation, acknowledgement] = packets;
    let [theirs, own]: [DiffieHellman; 2] = [update.one().unwrap(), answer.one().unwrap()];
    assert_eq!(theirs.group, own.group);
    let [Seq(first), Seq(second)] = [update.one().unwrap(), confirmation.one().unwrap()];
    assert_eq!(answer.one::<Ack>().unwrap(), Ack(vec![first]));
    assert_eq!(acknowledgement.one::<Ack>().unwrap(), Ack(vec![second]));
    for packet in [confirmation, acknowledgement] {
        assert!(packet.parameters().raw(ParameterType::DIFFIE_HELLMAN).is_none());
    }
}

fn record() {
    let mut recording = Recording::join(no_certificates);
    let (member, server) = (recording.member.hit(), recording.server.hit());
    let pair = &mut recording.pair;
    let i2 = pair.log[2].1.clone();
    pair.log.clear();
    pair.now = pair.now + Duration::from_secs(2);
    pair.server.host.rekey(pair.now, member).unwrap();
    pair.run();
    assert_eq!(pair.log.len(), PACKETS.len());
    let secrets = SECRETS.lock().unwrap();
    // Both hosts tell what they agree on, in the base exchange and in the renewal.
    let [.., before, _, after, again] = &secrets[..] else { panic!("both hosts agree twice") };
    assert!(after == again && after != before);

    let i2 = Packet::parse(&i2).unwrap();
    let Solution { i, j, .. } = i2.one().unwrap();
    assert_eq!(i2.one::<HipCipher>().unwrap().chosen(), Some(CIPHER.0));
    let rhash = HitSuite::of_hit(server).unwrap().rhash();
    let mut w = VectorWriter::default();
    w.comment("Test vectors of the renewal of an association's keys. Explained in docs/vectors.md.");
    recording.write_identities(&mut w);
    for (section, kij) in [(BEFORE, before), (AFTER, after)] {
        if section == AFTER {
            w.section(RENEWAL);
            for ((name, ..), (_, octets)) in PACKETS.iter().zip(&recording.pair.log) {
                w.octets(name, octets);
            }
            w.octets("Kij", kij);
        }
        w.section(section);
        if section == BEFORE {
            w.octets("I", &i).octets("J", &j);
        }
        let prk = Prk::extract(provider(), rhash, &i, &j, &SharedSecret::new(kij.clone())).unwrap();
        write_keys(&mut w, prk, member, server, rhash, CIPHER.1);
    }
    w.write(Path::new(FILE));
}
