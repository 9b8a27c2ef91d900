//! The vectors of `docs/vectors/hip.txt`: keys of a registration, and a base exchange, registrations, an eviction
//! and a CLOSE with every key; those of `rekey.txt` and `cert.txt` are in `rekey.rs` and `cert.rs`.
//!
//! `CLAVIGER_RECORD_VECTORS=1` makes them anew. Curves and ECDSA draw from the library's own generator, so a new
//! recording differs from the last; what is published is verified as it stands.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cert;
mod rekey;
#[path = "../support/mod.rs"]
mod support;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, Once},
};

use claviger_crypto::{
    CryptoError, CryptoProvider, Random,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    kx::{KxAlgorithm, KxGroup, KxPrivate, SharedSecret},
    provider,
    sign::KeyAlgorithm,
};
use claviger_group::RegistrationSa;
use claviger_hip::{
    CertificateChain,
    iana::{CipherId, PacketType, ParameterType},
    keys::{DirectionKeys, Hosts, Keymat, Prk},
    puzzle,
    registration::Side,
    rules,
    verification::{Budget, Class, Limits, Permit},
    wire::{DiffieHellman, Encrypted, HipCipher, Packet, Parameters, Puzzle, Solution},
};
use claviger_hip_groups::{
    GroupHost, McastChannel, RegistrationRequest, iana::GCKS_GDOI, keys::registration_keys,
};
use claviger_identity::{Hit, HitSuite, HostId, HostIdentity, pem};
use claviger_sansio::Time;
use claviger_testkit::vector::{VectorWriter, Vectors};
use support::{GDOI, HOUR, Pair, config, group, identity, join};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/hip.txt");

/// Leave to verify one signature.
fn permit() -> Permit {
    Budget::new(Class::R1).permit(&Limits::UNLIMITED, Time::EPOCH).unwrap()
}

/// Names a set of algorithms, as the sections of derived keys do.
const SUITES: [(&str, HashAlgorithm, CipherAlgorithm); 3] = [
    ("keys: SHA-256, AES-128-CBC", HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc),
    ("keys: SHA-384, AES-256-CBC", HashAlgorithm::Sha384, CipherAlgorithm::Aes256Cbc),
    ("keys: cSHAKE128, AES-128-CBC", HashAlgorithm::CShake128, CipherAlgorithm::Aes128Cbc),
];

const EXCHANGE: &str = "base exchange";

/// The packets of the recording: section, name, type, whether the member sent it.
const PACKETS: [(&str, &str, PacketType, bool); 11] = [
    (EXCHANGE, "I1", PacketType::I1, true),
    (EXCHANGE, "R1", PacketType::R1, false),
    (EXCHANGE, "I2", PacketType::I2, true),
    (EXCHANGE, "R2", PacketType::R2, false),
    ("registration by UPDATE", "request", PacketType::UPDATE, true),
    ("registration by UPDATE", "answer", PacketType::UPDATE, false),
    ("registration by UPDATE", "acknowledgement", PacketType::UPDATE, true),
    ("eviction", "UPDATE", PacketType::UPDATE, false),
    ("eviction", "acknowledgement", PacketType::UPDATE, true),
    ("leaving", "CLOSE", PacketType::CLOSE, true),
    ("leaving", "CLOSE_ACK", PacketType::CLOSE_ACK, false),
];

fn vectors() -> Vectors {
    static RECORDED: Once = Once::new();
    Vectors::published(Path::new(FILE), &RECORDED, record)
}

#[test]
fn the_keys_of_a_registration_are_those_that_are_published() {
    let vectors = vectors();
    for (section, rhash, cipher) in SUITES {
        let of = |name| vectors.octets(section, name);
        let (member, server) = (
            Hit::new(vectors.array(section, "member's HIT")),
            Hit::new(vectors.array(section, "key server's HIT")),
        );
        let prk = Prk::extract(provider(), rhash, of("I"), of("J"), &SharedSecret::new(of("Kij").to_vec()))
            .unwrap();
        assert_eq!(prk.expose(), of("PRK"), "{section}");
        check_registration(&vectors, section, &derived(&prk, member, server, rhash, cipher));
        let keymat =
            Keymat::derive(provider(), rhash, cipher_id(cipher), prk, Hosts { local: member, peer: server })
                .unwrap();
        check_direction(&vectors, section, "member", keymat.outgoing());
        check_direction(&vectors, section, "key server", keymat.incoming());
    }
}

#[test]
fn the_base_exchange_is_what_its_keys_say() {
    let vectors = vectors();
    let [i1, r1, i2, r2] = ["I1", "R1", "I2", "R2"].map(|name| vectors.octets(EXCHANGE, name));
    let [i1, r1, i2, r2] = [i1, r1, i2, r2].map(|octets| Packet::parse(octets).unwrap());
    let (member, server) = (i1.sender(), r1.sender());
    assert_eq!(member, identity_of(&vectors, "member").hit());
    assert_eq!(server, identity_of(&vectors, "key server").hit());

    let host_id: HostId = r1.one().unwrap();
    assert_eq!(host_id.hit(provider()), Ok(server));
    r1.verify_signature_2(permit(), provider(), &host_id).unwrap();

    let rhash = HitSuite::of_hit(server).unwrap().rhash();
    let puzzle: Puzzle = r1.one().unwrap();
    let solution: Solution = i2.one().unwrap();
    assert_eq!((&solution.i, solution.k), (&puzzle.i, puzzle.k));
    assert!(puzzle::verify(provider().hash(rhash).unwrap(), &solution, member, server));
    let [own, theirs]: [DiffieHellman; 2] = [i2.one().unwrap(), r1.one().unwrap()];
    assert_eq!(own.group, theirs.group);

    let keymat = keymat(&vectors);
    check_direction(&vectors, EXCHANGE, "member", keymat.outgoing());
    check_direction(&vectors, EXCHANGE, "key server", keymat.incoming());
    let prf = provider().prf(rhash).unwrap();
    i2.verify_mac(prf, &keymat.outgoing().integrity).unwrap();
    let inner = opened(&i2, &keymat, keymat.outgoing());
    assert_eq!(inner, vectors.octets(EXCHANGE, "I2: inside ENCRYPTED"));
    let inner = Parameters::parse(&inner).unwrap();
    let member_host_id: HostId = inner.one().unwrap();
    assert_eq!(member_host_id.hit(provider()), Ok(member));
    assert_eq!(inner.all::<McastChannel>().unwrap().len(), 1);
    i2.verify_signature(permit(), provider(), &member_host_id).unwrap();

    let host_id_parameter = r1.parameters().raw(ParameterType::HOST_ID).unwrap().octets();
    r2.verify_mac_2(prf, &keymat.incoming().integrity, host_id_parameter).unwrap();
    r2.verify_signature(permit(), provider(), &host_id).unwrap();
    assert_eq!(opened(&r2, &keymat, keymat.incoming()), vectors.octets(EXCHANGE, "R2: inside ENCRYPTED"));

    let cipher = keymat.cipher().algorithm().unwrap();
    check_registration(&vectors, EXCHANGE, &derived(keymat.prk(), member, server, rhash, cipher));
}

#[test]
fn every_later_packet_is_proven_by_mac_and_signature() {
    let vectors = vectors();
    let keymat = keymat(&vectors);
    let prf = provider().prf(keymat.rhash()).unwrap();
    for (section, name, packet_type, by_member) in PACKETS.into_iter().skip(4) {
        let packet = Packet::parse(vectors.octets(section, name)).unwrap();
        assert_eq!(packet.packet_type(), packet_type, "{section}: {name}");
        rules::check::<McastChannel>(&packet).unwrap();
        let (keys, who) =
            if by_member { (keymat.outgoing(), "member") } else { (keymat.incoming(), "key server") };
        packet.verify_mac(prf, &keys.integrity).unwrap();
        packet.verify_signature(permit(), provider(), identity_of(&vectors, who).host_id()).unwrap();
        if packet.parameters().raw(ParameterType::ENCRYPTED).is_some() {
            let inner = format!("{name}: inside ENCRYPTED");
            assert_eq!(opened(&packet, &keymat, keys), vectors.octets(section, &inner), "{section}");
        }
    }
}

fn identity_of(vectors: &Vectors, who: &str) -> HostIdentity {
    let pkcs8 = vectors.octets("identities", &format!("{who}'s private key")).to_vec();
    let text = pem::encode(&claviger_crypto::SecretBytes::new(pkcs8));
    HostIdentity::from_pem(provider(), text.expose()).unwrap()
}

fn keymat(vectors: &Vectors) -> Keymat {
    let i2 = Packet::parse(vectors.octets(EXCHANGE, "I2")).unwrap();
    let rhash = HitSuite::of_hit(i2.receiver()).unwrap().rhash();
    let solution: Solution = i2.one().unwrap();
    let shared = SharedSecret::new(vectors.octets(EXCHANGE, "Kij").to_vec());
    let prk = Prk::extract(provider(), rhash, &solution.i, &solution.j, &shared).unwrap();
    assert_eq!(prk.expose(), vectors.octets(EXCHANGE, "PRK"));
    let cipher = i2.one::<HipCipher>().unwrap().chosen().unwrap();
    Keymat::derive(provider(), rhash, cipher, prk, Hosts { local: i2.sender(), peer: i2.receiver() }).unwrap()
}

fn opened(packet: &Packet<'_>, keymat: &Keymat, keys: &DirectionKeys) -> Vec<u8> {
    packet.one::<Encrypted>().unwrap().open(provider(), keymat.cipher(), &keys.encryption).unwrap()
}

fn derived(
    prk: &Prk,
    member: Hit,
    server: Hit,
    rhash: HashAlgorithm,
    cipher: CipherAlgorithm,
) -> RegistrationSa {
    let hosts = Hosts { local: member, peer: server };
    let keymat = Keymat::derive(provider(), rhash, cipher_id(cipher), prk.clone(), hosts).unwrap();
    registration_keys(&keymat, GCKS_GDOI, Side::Requester).unwrap()
}

fn cipher_id(cipher: CipherAlgorithm) -> CipherId {
    match cipher {
        CipherAlgorithm::Aes256Cbc => CipherId::AES_256_CBC,
        _ => CipherId::AES_128_CBC,
    }
}

/// Names and octets of a registration's keys.
fn registration_octets(sa: &RegistrationSa) -> [(&'static str, &[u8]); 6] {
    [
        ("SKEYID_d", sa.skeyid_d.expose()),
        ("SKEYID_a", sa.skeyid_a.expose()),
        ("SKEYID_e", sa.skeyid_e.expose()),
        ("CKY-I", sa.cookies.initiator()),
        ("CKY-R", sa.cookies.responder()),
        ("P1-IV", &sa.phase1_iv),
    ]
}

fn check_registration(vectors: &Vectors, section: &str, sa: &RegistrationSa) {
    for (name, octets) in registration_octets(sa) {
        assert_eq!(octets, vectors.octets(section, name), "{section}: {name}");
    }
}

fn check_direction(vectors: &Vectors, section: &str, who: &str, keys: &DirectionKeys) {
    let of = |what: &str| vectors.octets(section, &format!("{who}'s HIP {what} key"));
    assert_eq!(keys.encryption.expose(), of("encryption"), "{section}");
    assert_eq!(keys.integrity.expose(), of("integrity"), "{section}");
}

// --- recording -------------------------------------------------------------------------------------------------

/// Kij of the exchanges that run while it is recorded.
static SECRETS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A group that tells what it agreed on.
struct Telling(&'static dyn KxGroup);

struct TellingPrivate(Box<dyn KxPrivate>);

impl KxGroup for Telling {
    fn algorithm(&self) -> KxAlgorithm {
        self.0.algorithm()
    }

    fn public_len(&self) -> usize {
        self.0.public_len()
    }

    fn generate(&self, random: &mut dyn Random) -> Result<Box<dyn KxPrivate>, CryptoError> {
        Ok(Box::new(TellingPrivate(self.0.generate(random)?)))
    }
}

impl KxPrivate for TellingPrivate {
    fn public(&self) -> &[u8] {
        self.0.public()
    }

    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        let shared = self.0.agree(peer)?;
        SECRETS.lock().unwrap().push(shared.expose().to_vec());
        Ok(shared)
    }
}

fn telling_provider() -> &'static CryptoProvider {
    let group: &'static dyn KxGroup =
        Box::leak(Box::new(Telling(provider().kx_group(KxAlgorithm::P256).unwrap())));
    Box::leak(Box::new(CryptoProvider { kx_groups: Box::leak(Box::new([group])), ..*provider() }))
}

/// A member that joined a group, and its key server. No other recording runs meanwhile.
struct Recording {
    member: Arc<HostIdentity>,
    server: Arc<HostIdentity>,
    pair: Pair,
    _turn: MutexGuard<'static, ()>,
}

impl Recording {
    /// Waits for its turn, forgets what others told, and has a member join; `certify` makes what the member and the key
    /// server show.
    fn join(certify: impl FnOnce(&HostIdentity, &HostIdentity) -> [Vec<CertificateChain>; 2]) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap();
        SECRETS.lock().unwrap().clear();
        let (member, server) = (identity(KeyAlgorithm::EcdsaP256), identity(KeyAlgorithm::EcdsaP256));
        let telling = telling_provider();
        let mut member_config = config(member.clone(), [192, 0, 2, 1].into());
        let mut server_config = config(server.clone(), [192, 0, 2, 2].into());
        server_config.services = vec![GDOI];
        [member_config.certificates, server_config.certificates] = certify(&member, &server);
        member_config.provider = telling;
        server_config.provider = telling;
        let mut pair = Pair::new(member_config, server_config);
        pair.establish(Some(join(&["market"])));
        Self { member, server, pair, _turn: turn }
    }

    /// Has the member join another group.
    fn join_another(&mut self) {
        let request =
            RegistrationRequest { reg_type: GDOI, lifetime: HOUR, items: vec![group("#1234", HOUR)] };
        self.pair.member.host.request(self.pair.now, self.server.hit(), request).unwrap();
        self.pair.run();
    }

    fn write_identities(&self, w: &mut VectorWriter) {
        w.section("identities");
        for (who, identity) in [("member", &self.member), ("key server", &self.server)] {
            let pkcs8 = pem::decode(identity.to_pem().unwrap().expose()).unwrap();
            w.octets(&format!("{who}'s HIT"), identity.hit().octets());
            w.octets(&format!("{who}'s private key"), pkcs8.expose());
        }
    }

    /// Writes the packets that travelled, what stands inside ENCRYPTED, and the keys behind R2.
    fn write_packets(&self, w: &mut VectorWriter, packets: &[(&str, &str, PacketType, bool)]) {
        let log = &self.pair.log;
        assert_eq!(log.len(), packets.len());
        let i2 = Packet::parse(&log[2].1).unwrap();
        let solution: Solution = i2.one().unwrap();
        let (member, server) = (self.member.hit(), self.server.hit());
        let rhash = HitSuite::of_hit(server).unwrap().rhash();
        let cipher = i2.one::<HipCipher>().unwrap().chosen().unwrap();
        let secrets = SECRETS.lock().unwrap();
        assert!(secrets.iter().all(|secret| *secret == secrets[0]), "both hosts agree");
        let kij = SharedSecret::new(secrets[0].clone());
        let prk = Prk::extract(provider(), rhash, &solution.i, &solution.j, &kij).unwrap();
        let hosts = Hosts { local: member, peer: server };
        let keymat = Keymat::derive(provider(), rhash, cipher, prk.clone(), hosts).unwrap();
        let mut section_before = "";
        for ((_, octets), &(section, name, packet_type, by_member)) in log.iter().zip(packets) {
            if section != section_before {
                w.section(section);
                section_before = section;
            }
            let packet = Packet::parse(octets).unwrap();
            assert_eq!(packet.packet_type(), packet_type);
            w.octets(name, octets);
            if packet.parameters().raw(ParameterType::ENCRYPTED).is_some() {
                let keys = if by_member { keymat.outgoing() } else { keymat.incoming() };
                w.octets(&format!("{name}: inside ENCRYPTED"), &opened(&packet, &keymat, keys));
            }
            if name == "R2" {
                w.octets("Kij", &secrets[0]);
                write_keys(w, prk.clone(), member, server, rhash, cipher.algorithm().unwrap());
            }
        }
    }
}

/// What hosts without certificates show.
fn no_certificates(_: &HostIdentity, _: &HostIdentity) -> [Vec<CertificateChain>; 2] {
    [vec![], vec![]]
}

fn record() {
    let mut recording = Recording::join(no_certificates);
    recording.join_another();
    let (member, server) = (recording.member.hit(), recording.server.hit());
    let pair = &mut recording.pair;
    pair.server.host.revoke(pair.now, member, GDOI, vec![group("#1234", HOUR)]).unwrap();
    pair.run();
    pair.member.host.close(pair.now, server).unwrap();
    pair.run();

    let mut w = VectorWriter::default();
    w.comment("Test vectors of HIP registration to a key server. Explained in docs/vectors.md.");
    for (section, rhash, cipher) in SUITES {
        let length = provider().hash(rhash).unwrap().output_len() as u8;
        let (member, server) = (Hit::new([0x20; 16]), Hit::new([0x21; 16]));
        let count = |from: u8, length: u8| (from..from + length).collect::<Vec<u8>>();
        let (i, j, kij) = (count(0, length), count(0x40, length), count(0x80, 32));
        let prk = Prk::extract(provider(), rhash, &i, &j, &SharedSecret::new(kij.clone())).unwrap();
        w.section(section);
        w.octets("member's HIT", member.octets()).octets("key server's HIT", server.octets());
        w.octets("I", &i).octets("J", &j).octets("Kij", &kij);
        write_keys(&mut w, prk, member, server, rhash, cipher);
    }

    recording.write_identities(&mut w);
    recording.write_packets(&mut w, &PACKETS);
    w.write(Path::new(FILE));
}

fn write_keys(
    w: &mut VectorWriter,
    prk: Prk,
    member: Hit,
    server: Hit,
    rhash: HashAlgorithm,
    cipher: CipherAlgorithm,
) {
    w.octets("PRK", prk.expose());
    let sa = derived(&prk, member, server, rhash, cipher);
    let keymat =
        Keymat::derive(provider(), rhash, cipher_id(cipher), prk, Hosts { local: member, peer: server })
            .unwrap();
    for (who, keys) in [("member", keymat.outgoing()), ("key server", keymat.incoming())] {
        w.octets(&format!("{who}'s HIP encryption key"), keys.encryption.expose());
        w.octets(&format!("{who}'s HIP integrity key"), keys.integrity.expose());
    }
    for (name, octets) in registration_octets(&sa) {
        w.octets(name, octets);
    }
}
