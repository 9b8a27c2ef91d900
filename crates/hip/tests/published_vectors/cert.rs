//! The vectors of `docs/vectors/cert.txt`: hosts that show certificates of a group owner when they register and when they
//! answer.

use std::{net::Ipv6Addr, path::Path, sync::Once};

use claviger_crypto::{
    SystemRandom, provider,
    sign::{KeyAlgorithm, PublicKey, SigningKey},
};
use claviger_group::GroupId;
use claviger_hip::{
    CertificateChain,
    iana::{CertType, PacketType, ParameterType},
    rules,
    wire::{Cert, Packet, Parameters},
};
use claviger_hip_groups::McastChannel;
use claviger_identity::HostIdentity;
use claviger_pki::{
    BasicConstraints, Certificate, GroupOwner, GroupRight, GroupRights, Issuer, Request, Revocation, Roles,
};
use claviger_testkit::vector::{VectorWriter, Vectors};

use super::{
    EXCHANGE, PACKETS, Recording, identity_of, keymat, opened, permit,
    support::{HOUR, START, group},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/cert.txt");

const CERTIFICATES: &str = "certificates";

/// The certificates of each side as they travel, by their names in the file.
const CHAINS: [(&str, &[&str]); 2] = [
    ("member", &["member's certificate", "CA's certificate"]),
    ("key server", &["key server's certificate"]),
];

/// The packets of the recording: those of the base exchange, and of a registration by UPDATE.
fn packets() -> &'static [(&'static str, &'static str, PacketType, bool)] {
    &PACKETS[..7]
}

fn vectors() -> Vectors {
    static RECORDED: Once = Once::new();
    Vectors::published(Path::new(FILE), &RECORDED, record)
}

#[test]
fn requests_and_answers_show_the_certificates_that_are_published() {
    let vectors = vectors();
    let keymat = keymat(&vectors);
    let prf = provider().prf(keymat.rhash()).unwrap();
    let r1 = Packet::parse(vectors.octets(EXCHANGE, "R1")).unwrap();
    let responder = r1.parameters().raw(ParameterType::HOST_ID).unwrap().octets();
    let mut shown = 0;
    for &(section, name, packet_type, by_member) in packets().iter().skip(2) {
        let packet = Packet::parse(vectors.octets(section, name)).unwrap();
        assert_eq!(packet.packet_type(), packet_type, "{name}");
        rules::check::<McastChannel>(&packet).unwrap();
        let (keys, (who, chain)) =
            if by_member { (keymat.outgoing(), CHAINS[0]) } else { (keymat.incoming(), CHAINS[1]) };
        match packet_type {
            PacketType::R2 => packet.verify_mac_2(prf, &keys.integrity, responder).map(drop),
            _ => packet.verify_mac(prf, &keys.integrity).map(drop),
        }
        .unwrap();
        packet.verify_signature(permit(), provider(), identity_of(&vectors, who).host_id()).unwrap();
        if packet.parameters().raw(ParameterType::ENCRYPTED).is_none() {
            assert_eq!(name, "acknowledgement");
            continue;
        }
        let inner = opened(&packet, &keymat, keys);
        assert_eq!(inner, vectors.octets(section, &format!("{name}: inside ENCRYPTED")));
        let inner = Parameters::parse(&inner).unwrap();
        rules::check_encrypted::<McastChannel>(&packet, &inner).unwrap();
        let count = chain.len() as u8;
        let certs = (1..).zip(chain).map(|(id, certificate)| Cert {
            group: 1,
            count,
            id,
            cert_type: CertType::X509_V3,
            certificate: vectors.octets(CERTIFICATES, certificate).to_vec(),
        });
        assert_eq!(inner.all::<Cert>().unwrap(), certs.collect::<Vec<_>>(), "{name}");
        shown += 1;
    }
    assert_eq!(shown, 4, "I2, R2, a request and its answer");
}

#[test]
fn the_certificates_are_a_group_owner_s_for_the_hosts_of_these_packets() {
    let vectors = vectors();
    let certificate = |name: &str| Certificate::from_der(vectors.octets(CERTIFICATES, name)).unwrap();
    let owner = GroupOwner::new(provider(), vec![certificate("owner's certificate")], Revocation::NotChecked);
    for (who, chain) in CHAINS {
        let chain: Vec<_> = chain.iter().map(|name| certificate(name)).collect();
        let host = identity_of(&vectors, who);
        let hit = Ipv6Addr::from(host.hit());
        let warrant = owner.judge(&chain, &public_key(&host), Some(hit), now()).unwrap();
        let roles = group_rights(who);
        let id = group_id();
        assert_eq!(warrant.roles_for(id.id_type().0, id.octets()), roles, "{who}");
    }
}

/// Seconds since 1970, at which the certificates are valid.
fn now() -> u64 {
    START.as_micros() / 1_000_000
}

fn public_key(host: &HostIdentity) -> PublicKey {
    host.host_id().public_key().unwrap()
}

/// The group that the hosts are certified for.
fn group_id() -> GroupId {
    group("market", HOUR).group
}

/// What the owner lets a host be in it.
fn group_rights(who: &str) -> Roles {
    match who {
        "member" => Roles { receiver: true, ..Roles::NONE },
        _ => Roles { key_server: true, ..Roles::NONE },
    }
}

// --- recording -------------------------------------------------------------------------------------------------

/// Certifies a CA or a host; a CA without a certificate certifies itself.
fn certify(signer: &SigningKey, issuer: Option<&Certificate>, request: Request) -> Certificate {
    let issuer = Issuer { provider: provider(), signer, certificate: issuer };
    issuer.issue(&request, &mut SystemRandom::new().unwrap()).unwrap()
}

fn request(subject: &str, key: PublicKey, ca: bool) -> Request {
    const YEAR: u64 = 365 * 86_400;
    Request {
        subject: subject.to_owned(),
        key,
        not_before: now() - YEAR,
        not_after: now() + 30 * YEAR,
        basic_constraints: BasicConstraints { ca, path_length: None },
        addresses: vec![],
        extensions: vec![],
    }
}

fn host_request(who: &str, host: &HostIdentity) -> Request {
    let id = group_id();
    let right =
        GroupRight { id_type: id.id_type().0, group_id: id.octets().to_vec(), roles: group_rights(who) };
    Request {
        addresses: vec![Ipv6Addr::from(host.hit()).into()],
        extensions: vec![GroupRights::new(vec![right]).unwrap().extension()],
        ..request(&format!("CN={who}"), public_key(host), false)
    }
}

fn record() {
    let key = || {
        SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().unwrap()).unwrap()
    };
    let (root_key, ca_key) = (key(), key());
    let root = certify(&root_key, None, request("CN=owner", root_key.public().clone(), true));
    let ca = certify(&root_key, Some(&root), request("CN=CA", ca_key.public().clone(), true));
    let mut certificates = Vec::new();
    let mut recording = Recording::join(|member, server| {
        let member = certify(&ca_key, Some(&ca), host_request("member", member));
        let server = certify(&root_key, Some(&root), host_request("key server", server));
        let der = |certificates: &[&Certificate]| {
            CertificateChain(certificates.iter().map(|certificate| certificate.der().to_vec()).collect())
        };
        let chains = [vec![der(&[&member, &ca])], vec![der(&[&server])]];
        certificates.extend([member, server]);
        chains
    });
    recording.join_another();
    let mut w = VectorWriter::default();
    w.comment("Test vectors of certificates beside HIP registrations. Explained in docs/vectors.md.");
    recording.write_identities(&mut w);
    w.section(CERTIFICATES);
    w.octets("owner's certificate", root.der()).octets("CA's certificate", ca.der());
    w.octets("member's certificate", certificates[0].der());
    w.octets("key server's certificate", certificates[1].der());
    recording.write_packets(&mut w, packets());
    w.write(Path::new(FILE));
}
