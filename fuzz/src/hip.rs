//! A HIP host with real keys and no manners: what it sends is made up, but signed and sealed genuinely.

use std::sync::{Arc, LazyLock};

use claviger_crypto::{
    SecretBytes, SeededRandom, hash::HashAlgorithm, kx::KxPrivate, prf::Prf, provider, sign::KeyAlgorithm,
    sign::SigningKey,
};
use claviger_group::RegistrationSa;
use claviger_hip::{
    CertRefusal, CertificateChain, Certificates, HostConfig,
    iana::{CertType, CipherId, DhGroup, PacketType, ParameterType, RegType},
    keys::{Hosts, Keymat, Prk},
    registration::Side,
    rules::CERTS_MAX,
    verification::Limits,
    wire::{
        DhGroupList, DiffieHellman, Encrypted, HipCipher, HipMac, HipMac2, HipSignature, HipSignature2,
        HitSuiteList, Lifetime, Packet, PacketBuilder, Puzzle, R1Counter, RegInfo, Solution,
        TransportFormatList, packet::PACKET_LEN_MAX,
    },
};
use claviger_hip_groups::{
    Event, Host,
    iana::{GCKS_GDOI, MCAST_CHANNEL},
    keys::registration_keys,
};
use claviger_identity::{DomainIdentifier, Hit, HostIdentity};
use claviger_sansio::{Datagram, Socket};
use claviger_wire::{Encode, Writer};

use crate::{group::NOW, script};

/// What a made-up parameter can be; its kind is a place in this table. Append only, or the corpus loses its meaning.
pub const TYPES: &[ParameterType] = &[
    ParameterType::ESP_INFO,
    ParameterType::R1_COUNTER,
    ParameterType::LOCATOR_SET,
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
    MCAST_CHANNEL,
    ParameterType::COOKIE,
];

/// The service that the hosts speak of.
pub const SERVICE: RegType = GCKS_GDOI;

/// The host under test.
pub static HOST: LazyLock<Arc<HostIdentity>> = LazyLock::new(|| identity(1));
/// The host that the fuzzer plays.
pub static PEER: LazyLock<Arc<HostIdentity>> = LazyLock::new(|| identity(2));

fn identity(octet: u8) -> Arc<HostIdentity> {
    // RFC 8410 section 7: a PKCS #8 prefix and the 32 octets of an Ed25519 key.
    let mut pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    pkcs8.extend_from_slice(&[octet; 32]);
    let key = SigningKey::from_pkcs8(provider(), KeyAlgorithm::Ed25519, SecretBytes::new(pkcs8));
    let key = key.expect("the octets are a key");
    Arc::new(
        HostIdentity::new(provider(), Box::new(key), DomainIdentifier::None)
            .expect("the key makes an identity"),
    )
}

/// Configures the host under test: one curve, puzzles that cost nothing.
pub fn config() -> HostConfig {
    let mut config = HostConfig::new(HOST.clone(), provider());
    config.dh_groups = vec![DhGroup::NIST_P256];
    config.ciphers = vec![CipherId::AES_128_CBC];
    config.puzzle_difficulty = 0;
    config.puzzle_difficulty_under_load = 0;
    config.public_key_limits = Limits::UNLIMITED;
    config.puzzle_difficulty_max = 4;
    config.services = vec![SERVICE];
    config.certificates = vec![CertificateChain(vec![vec![0x30, 0]])];
    config
}

/// Checks what a host tells of the certificates that it was shown.
///
/// # Panics
///
/// If they are none that it takes.
pub fn check_certificates(event: &Event) {
    let certificates = match event {
        Event::RegistrationRequested { certificates, .. } | Event::Registered { certificates, .. } => {
            certificates
        }
        _ => return,
    };
    match certificates {
        Certificates::Chains(chains) => {
            let count: usize = chains.iter().map(|chain| chain.0.len()).sum();
            assert!((1..=CERTS_MAX).contains(&count), "{count} certificates");
            assert!(chains.iter().all(|chain| !chain.0.is_empty()), "no chain is empty");
        }
        Certificates::Refused(CertRefusal::Unsupported(cert_type)) => {
            assert_ne!(*cert_type, CertType::X509_V3, "these are taken");
        }
        Certificates::Refused(CertRefusal::Incomplete) | Certificates::None => {}
    }
}

/// Makes the host under test.
///
/// # Panics
///
/// If it refuses the configuration.
pub fn host() -> Host {
    Host::new(config(), Box::new(SeededRandom::new(1)), NOW).expect("the configuration is usable")
}

/// Wraps octets that arrive at the HIP port.
pub fn datagram(payload: &[u8]) -> Datagram<'_> {
    let (source, destination) = (([192, 0, 2, 2], 10500).into(), ([192, 0, 2, 1], 10500).into());
    Datagram { socket: Socket::HipUdp, source, destination, payload }
}

/// Wraps octets that arrive at the HIP port from where the peer was not before.
pub fn datagram_from_elsewhere(payload: &[u8]) -> Datagram<'_> {
    Datagram { source: ([192, 0, 2, 77], 10500).into(), ..datagram(payload) }
}

/// Wraps octets that arrive at the GDOI port.
pub fn gdoi_datagram(payload: &[u8]) -> Datagram<'_> {
    let (source, destination) = (([192, 0, 2, 2], 848).into(), ([192, 0, 2, 1], 848).into());
    Datagram { socket: Socket::Port848, source, destination, payload }
}

/// The registration SA that hangs on an association, from the side of the peer.
///
/// # Panics
///
/// If the association has no cipher.
pub fn registration(keymat: &Keymat, peer_is_member: bool) -> RegistrationSa {
    let side = if peer_is_member { Side::Requester } else { Side::Registrar };
    registration_keys(keymat, SERVICE, side).expect("the association has a cipher")
}

/// The parameters of a packet before MAC and signature.
#[derive(Default)]
pub struct Parameters(Vec<(ParameterType, Vec<u8>)>);

impl Parameters {
    /// Adds one as it should be.
    pub fn with<P: claviger_hip::wire::Parameter>(mut self, parameter: &P) -> Self {
        self.0.push((P::TYPE, parameter.to_octets()));
        self
    }

    /// Puts made-up ones in the place of those of the same types.
    pub fn made_up(mut self, input: &[u8]) -> Self {
        let made_up: Vec<_> = script::pieces(input)
            .map(|(kind, contents)| (TYPES[usize::from(kind) % TYPES.len()], contents.to_vec()))
            .collect();
        self.0.retain(|(genuine, _)| made_up.iter().all(|(kind, _)| kind != genuine));
        self.0.extend(made_up);
        self.0.sort_by_key(|(kind, _)| kind.0);
        self
    }

    /// Encrypts what ENCRYPTED is to hold.
    pub fn encrypted(mut self, keymat: &Keymat) -> Self {
        for (_, contents) in self.0.iter_mut().filter(|(kind, _)| *kind == ParameterType::ENCRYPTED) {
            let key = &keymat.outgoing().encryption;
            let sealed =
                Encrypted::seal(provider(), keymat.cipher(), key, contents, &mut SeededRandom::new(3));
            *contents = sealed.expect("the key is its cipher's").to_octets();
        }
        self
    }

    /// Writes header and parameters.
    fn packet(&self, packet_type: PacketType) -> Vec<u8> {
        let header = PacketBuilder::new(packet_type, PEER.hit(), HOST.hit()).finish();
        let mut octets = header.expect("a header fits");
        for (kind, contents) in &self.0 {
            append(&mut octets, *kind, contents);
        }
        octets
    }
}

/// Writes parameters one behind the other, as ENCRYPTED holds them.
pub fn block(parameters: &[(ParameterType, Vec<u8>)]) -> Vec<u8> {
    let mut octets = Vec::new();
    parameters.iter().for_each(|(kind, contents)| append(&mut octets, *kind, contents));
    octets
}

fn append(octets: &mut Vec<u8>, kind: ParameterType, contents: &[u8]) {
    let mut w = Writer::new();
    w.u16(kind.0);
    w.u16(contents.len() as u16);
    w.slice(contents);
    w.pad_to(0, 8);
    octets.extend_from_slice(w.octets());
}

fn set_length(octets: &mut [u8], length: usize) {
    octets[1] = (length / 8 - 1) as u8;
}

fn mac(octets: &mut Vec<u8>, keymat: &Keymat, responder: Option<&HostIdentity>) {
    let prf: &dyn Prf = provider().prf(keymat.rhash()).expect("the association has the hash");
    let host_id = responder.map(|host| block(&[(ParameterType::HOST_ID, host.host_id().to_octets())]));
    let host_id = host_id.unwrap_or_default();
    let length = octets.len() + host_id.len();
    set_length(octets, length);
    let tag = prf.prf(keymat.outgoing().integrity.expose(), &[octets, &host_id]).to_vec();
    match responder {
        Some(_) => append(octets, ParameterType::HIP_MAC_2, &HipMac2(tag).to_octets()),
        None => append(octets, ParameterType::HIP_MAC, &HipMac(tag).to_octets()),
    }
}

fn sign(octets: &mut Vec<u8>) {
    let length = octets.len();
    set_length(octets, length);
    let signature = PEER.sign(octets).expect("the identity signs");
    let parameter = HipSignature { algorithm: PEER.host_id().algorithm(), signature };
    append(octets, ParameterType::HIP_SIGNATURE, &parameter.to_octets());
}

/// Ends a packet; `None` if it is longer than any can be.
fn finish(mut octets: Vec<u8>) -> Option<Vec<u8>> {
    let length = octets.len();
    set_length(&mut octets, length);
    (length <= PACKET_LEN_MAX).then_some(octets)
}

/// Writes a packet that nothing protects.
pub fn plain(packet_type: PacketType, parameters: &Parameters) -> Option<Vec<u8>> {
    finish(parameters.packet(packet_type))
}

/// Writes a packet with HIP_MAC and HIP_SIGNATURE.
pub fn protected(packet_type: PacketType, parameters: Parameters, keymat: &Keymat) -> Option<Vec<u8>> {
    let mut octets = parameters.encrypted(keymat).packet(packet_type);
    mac(&mut octets, keymat, None);
    sign(&mut octets);
    finish(octets)
}

/// Writes R2, with HIP_MAC_2.
pub fn r2(parameters: Parameters, keymat: &Keymat) -> Option<Vec<u8>> {
    let mut octets = parameters.encrypted(keymat).packet(PacketType::R2);
    mac(&mut octets, keymat, Some(&PEER));
    sign(&mut octets);
    finish(octets)
}

/// Writes R1, with HIP_SIGNATURE_2 (RFC 7401 section 5.2.15: receiver, Opaque and #I are zero under it).
pub fn r1(parameters: &Parameters) -> Option<Vec<u8>> {
    let mut octets = parameters.packet(PacketType::R1);
    let length = octets.len();
    set_length(&mut octets, length);
    let mut covered = octets.clone();
    covered[24..40].fill(0);
    let mut position = 40;
    for (kind, contents) in &parameters.0 {
        if *kind == ParameterType::PUZZLE && contents.len() > 2 {
            covered[position + 6..position + 4 + contents.len()].fill(0);
        }
        position += (4 + contents.len()).next_multiple_of(8);
    }
    let signature = PEER.sign(&covered).expect("the identity signs");
    let parameter = HipSignature2 { algorithm: PEER.host_id().algorithm(), signature };
    append(&mut octets, ParameterType::HIP_SIGNATURE_2, &parameter.to_octets());
    finish(octets)
}

/// The hash of both identities' suite.
pub fn rhash() -> HashAlgorithm {
    claviger_identity::HitSuite::of_hit(HOST.hit()).expect("the identity has a suite").rhash()
}

fn draw() -> Box<dyn KxPrivate> {
    let algorithm = DhGroup::NIST_P256.kx().expect("the group is known");
    let group = provider().kx_group(algorithm).expect("the provider has the group");
    group.generate(&mut SeededRandom::new(4)).expect("keys can be made")
}

fn keymat(i: &[u8], j: &[u8], private: &dyn KxPrivate, public: &[u8]) -> Option<Keymat> {
    let shared = private.agree(public).ok()?;
    let prk = Prk::extract(provider(), rhash(), i, j, &shared).ok()?;
    let hosts = Hosts { local: PEER.hit(), peer: HOST.hit() };
    Keymat::derive(provider(), rhash(), CipherId::AES_128_CBC, prk, hosts).ok()
}

/// Calls a host: I1 and its R1, which `answer` returns. Returns what I2 should hold, and the keys.
///
/// # Panics
///
/// If the host does not answer as it should.
pub fn call(answer: impl FnOnce(Datagram<'_>) -> Vec<u8>) -> (Parameters, Keymat) {
    let i1 = Parameters::default().with(&DhGroupList(vec![DhGroup::NIST_P256]));
    let i1 = plain(PacketType::I1, &i1).expect("I1 is short");
    let r1 = answer(datagram(&i1));
    let r1 = Packet::parse(&r1).expect("R1 is a packet");
    let puzzle: Puzzle = r1.one().expect("R1 holds a puzzle");
    let theirs: DiffieHellman = r1.one().expect("R1 holds a public value");
    let private = draw();
    let solution = Solution { k: puzzle.k, opaque: puzzle.opaque, j: vec![7; puzzle.i.len()], i: puzzle.i };
    let keymat = keymat(&solution.i, &solution.j, &*private, &theirs.public_value);
    let own = DiffieHellman { group: DhGroup::NIST_P256, public_value: private.public().to_vec() };
    let counter: R1Counter = r1.one().expect("R1 holds its generation");
    let i2 = Parameters::default()
        .with(&counter)
        .with(&solution)
        .with(&own)
        .with(&HipCipher(vec![CipherId::AES_128_CBC]))
        .with(PEER.host_id())
        .with(&TransportFormatList(vec![]));
    (i2, keymat.expect("public values are valid"))
}

/// Calls a [`host`].
///
/// # Panics
///
/// As [`call`].
pub fn call_host(host: &mut Host) -> (Parameters, Keymat) {
    call(|i1| {
        host.handle_datagram(NOW, i1).expect("I1 is as it should be");
        host.poll_transmit().expect("I1 is answered").payload
    })
}

/// A responder that is called: what R1 should hold, and the private value behind it.
pub fn called() -> (Parameters, Box<dyn KxPrivate>) {
    let private = draw();
    let length = provider().hash(rhash()).expect("the hash is known").output_len();
    let r1 = Parameters::default()
        .with(&Puzzle { k: 0, lifetime: 40, opaque: [1, 2], i: vec![9; length] })
        .with(&DhGroupList(vec![DhGroup::NIST_P256]))
        .with(&DiffieHellman { group: DhGroup::NIST_P256, public_value: private.public().to_vec() })
        .with(&HipCipher(vec![CipherId::AES_128_CBC]))
        .with(PEER.host_id())
        .with(&HitSuiteList(vec![HOST.hit().suite_id() << 4]))
        .with(&RegInfo { lifetime_min: Lifetime(80), lifetime_max: Lifetime(120), types: vec![SERVICE] })
        .with(&TransportFormatList(vec![]));
    (r1, private)
}

/// Derives the keys from an I2 that the host under test sent.
pub fn keys_of_i2(i2: &[u8], private: &dyn KxPrivate) -> Option<Keymat> {
    let packet = Packet::parse(i2).ok().filter(|packet| packet.packet_type() == PacketType::I2)?;
    let solution: Solution = packet.one().ok()?;
    let theirs: DiffieHellman = packet.one().ok()?;
    keymat(&solution.i, &solution.j, private, &theirs.public_value)
}

/// Where a peer of this name is.
pub fn peer_hit() -> Hit {
    PEER.hit()
}

/// Says by which kind a script names a parameter, for seeds.
///
/// # Panics
///
/// If it names it by none.
pub fn kind_of(parameter: ParameterType) -> u8 {
    TYPES.iter().position(|known| *known == parameter).expect("the parameter is in the table") as u8
}
