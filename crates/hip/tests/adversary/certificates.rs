//! Certificates as no honest host shows them.

use claviger_hip::{
    CertRefusal, CertificateChain, Certificates, iana::CertType, rules::CERTS_MAX, wire::Cert,
};

use super::*;

/// A certificate of some group, which nobody need understand.
fn cert(group: u8, count: u8, id: u8) -> Cert {
    Cert { group, count, id, cert_type: CertType::X509_V3, certificate: vec![group ^ id; 40] }
}

fn of_type(cert_type: u8) -> Cert {
    Cert {
        cert_type: CertType(cert_type),
        certificate: b"http://192.0.2.9/host.der".to_vec(),
        ..cert(1, 1, 1)
    }
}

/// The chain that a whole group makes.
fn chain_of(group: u8, count: u8) -> CertificateChain {
    CertificateChain((1..=count).map(|id| cert(group, count, id).certificate).collect())
}

/// What stands where, and what is told of it.
struct Case {
    what: &'static str,
    inside: Vec<Cert>,
    open: Vec<Cert>,
    told: Certificates,
}

fn case(what: &'static str, inside: &[Cert], open: &[Cert], told: Certificates) -> Case {
    Case { what, inside: inside.to_vec(), open: open.to_vec(), told }
}

/// All that is taken for the form of a packet, whatever its certificates are worth.
fn cases() -> Vec<Case> {
    let chains = |chains: &[CertificateChain]| Certificates::Chains(chains.to_vec());
    let incomplete = || Certificates::Refused(CertRefusal::Incomplete);
    let unsupported = |cert_type| Certificates::Refused(CertRefusal::Unsupported(CertType(cert_type)));
    vec![
        case("in order", &[cert(1, 2, 1), cert(1, 2, 2)], &[], chains(&[chain_of(1, 2)])),
        case(
            "ids out of order",
            &[cert(1, 3, 3), cert(1, 3, 1), cert(1, 3, 2)],
            &[],
            chains(&[chain_of(1, 3)]),
        ),
        case(
            "groups out of order",
            &[cert(9, 1, 1), cert(4, 1, 1)],
            &[],
            chains(&[chain_of(4, 1), chain_of(9, 1)]),
        ),
        case("in the open", &[], &[cert(1, 2, 1), cert(1, 2, 2)], chains(&[chain_of(1, 2)])),
        case(
            "inside and open",
            &[cert(2, 1, 1)],
            &[cert(1, 1, 1)],
            chains(&[chain_of(1, 1), chain_of(2, 1)]),
        ),
        case("a group inside and open", &[cert(1, 2, 2)], &[cert(1, 2, 1)], chains(&[chain_of(1, 2)])),
        case("one is missing", &[cert(1, 2, 1)], &[], incomplete()),
        case("the first is missing", &[cert(1, 3, 2), cert(1, 3, 3)], &[], incomplete()),
        case("254 are missing", &[cert(1, 255, 255)], &[], incomplete()),
        case("doubled ids", &[cert(1, 2, 1), cert(1, 2, 1)], &[], incomplete()),
        case("doubled inside and open", &[cert(1, 1, 1)], &[cert(1, 1, 1)], incomplete()),
        case("counts differ", &[cert(1, 2, 1), cert(1, 3, 2)], &[], incomplete()),
        case("one group of two", &[cert(1, 1, 1), cert(2, 2, 1)], &[], incomplete()),
        case("hash and URL", &[of_type(3)], &[], unsupported(3)),
        case("LDAP URL", &[of_type(5)], &[], unsupported(5)),
        case("distinguished name", &[], &[of_type(7)], unsupported(7)),
        case("obsolete SPKI", &[of_type(2)], &[], unsupported(2)),
        case("reserved", &[of_type(0)], &[], unsupported(0)),
        case("a URL behind a chain", &[cert(1, 1, 1), Cert { group: 2, ..of_type(3) }], &[], unsupported(3)),
        case("none", &[], &[], Certificates::None),
    ]
}

/// What a request showed, as it was told; nothing else is told of it.
fn requested(pair: &mut Pair) -> Option<Certificates> {
    let mut events = pair.server.take_events();
    let event = events.pop()?;
    assert!(events.is_empty(), "{events:?}");
    let Event::RegistrationRequested { certificates, .. } = event else { panic!("{event:?}") };
    Some(certificates)
}

#[test]
fn an_i2_with_certificates_of_any_kind_is_told_with_its_request_and_nothing_is_fetched() {
    for Case { what, inside, open, told } in cases() {
        let mut pair = Pair::default_pair();
        let mut i2 = I2::prepare(&mut pair, attacker());
        (i2.certs, i2.open_certs) = (inside, open);
        pair.server_hears(&i2.build()).unwrap();
        assert_eq!(requested(&mut pair), Some(told), "{what}");
        assert!(pair.server.transmits().is_empty(), "{what}: the program has decided nothing yet");
    }
}

#[test]
fn an_update_with_certificates_of_any_kind_is_told_with_its_request_and_nothing_is_fetched() {
    for Case { what, inside, open, told } in cases() {
        let (mut pair, session) = forged();
        let update = session.packet(PacketType::UPDATE, |builder| {
            builder.add(&Seq(0));
            builder.add(&session.seal(&block(&inside, &[group("two", HOUR)])));
            for cert in &open {
                builder.add(cert);
            }
            builder.add(&reg_request(GDOI));
        });
        pair.server_hears(&update).unwrap();
        assert_eq!(requested(&mut pair), Some(told), "{what}");
        assert!(pair.server.transmits().is_empty(), "{what}: the program has decided nothing yet");
    }
}

/// The forged peer plays the registrar.
#[test]
fn an_answer_with_certificates_of_any_kind_is_told_with_them() {
    for Case { what, inside, open, told } in cases() {
        let mut pair = Pair::default_pair();
        let mut i2 = I2::prepare(&mut pair, attacker());
        i2.requests.clear();
        i2.channels.clear();
        let session = i2.establish(&mut pair);
        pair.server.host.request(pair.now, session.identity.hit(), join(&["one"])).unwrap();
        pair.server.take_events();
        let answer = session.packet(PacketType::UPDATE, |builder| {
            builder.add(&Ack(vec![0])).add(&session.seal(&block(&inside, &[group("one", HOUR)])));
            for cert in &open {
                builder.add(cert);
            }
            builder.add(&RegResponse { lifetime: Lifetime::at_most(HOUR), types: vec![GDOI] });
        });
        pair.server_hears(&answer).unwrap();
        let events = pair.server.take_events();
        let registered = events.iter().find_map(|event| match event {
            Event::Registered { certificates, .. } => Some(certificates),
            _ => None,
        });
        assert_eq!(registered, Some(&told), "{what}");
    }
}

/// Certificates beside what is neither a request nor an answer are of no use, and of no harm.
#[test]
fn certificates_beside_anything_else_are_ignored() {
    let (mut pair, session) = forged();
    let update = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0)).add(&session.seal(&block(&[cert(1, 1, 1)], &[]))).add(&of_type(3));
    });
    pair.server_hears(&update).unwrap();
    assert!(!told(&mut pair.server, "requested"));
    let close = session.packet(PacketType::CLOSE, |builder| {
        builder.add(&cert(1, 2, 1)).add(&EchoRequestSigned(vec![7; 8]));
    });
    pair.server_hears(&close).unwrap();
    assert!(told(&mut pair.server, "closed"));
    let mut pair = Pair::default_pair();
    let (own, server) = (attacker().hit(), pair.server.hit());
    let mut i1 = PacketBuilder::new(PacketType::I1, own, server);
    let i1 = i1.add(&DhGroupList(vec![DhGroup::NIST_P256])).add(&cert(1, 1, 1)).finish().unwrap();
    pair.server_hears(&i1).unwrap();
    assert_eq!(pair.server.transmits().len(), 1, "R1");
}

fn block(certs: &[Cert], channels: &[claviger_hip_groups::McastChannel]) -> ParameterBlock {
    let mut block = ParameterBlock::new();
    for cert in certs {
        block.add(cert);
    }
    for channel in channels {
        block.add(channel);
    }
    block
}

#[test]
fn five_certificates_are_too_many_wherever_they_stand() {
    let certs: Vec<Cert> = (1..=5).map(|group| cert(group, 1, 1)).collect();
    let too_many: Error = DecodeError::TooMany { what: "CERT", limit: CERTS_MAX }.into();
    for inside in [0, 1, 3, 5] {
        let (inside, open) = certs.split_at(inside);
        let error = i2_with(|_| {}, |i2| (i2.certs, i2.open_certs) = (inside.to_vec(), open.to_vec()));
        assert_eq!(error, too_many, "{} inside", inside.len());
        let error = forged_update(|session, builder| {
            builder.add(&Seq(0)).add(&session.seal(&block(inside, &[group("two", HOUR)])));
            for cert in open {
                builder.add(cert);
            }
            builder.add(&reg_request(GDOI));
        });
        assert_eq!(error, too_many, "{} inside", inside.len());
    }
}

#[test]
fn a_cert_id_that_is_none_of_its_count_makes_the_packet_malformed() {
    for (count, id) in [(0, 0), (0, 1), (1, 0), (1, 2), (4, 255)] {
        let malformed: Error = DecodeError::Value { field: "CERT ID", value: id.into() }.into();
        let bad = || vec![cert(1, count, id)];
        assert_eq!(i2_with(|_| {}, |i2| i2.certs = bad()), malformed, "{id} of {count}");
        assert_eq!(i2_with(|_| {}, |i2| i2.open_certs = bad()), malformed, "{id} of {count}");
        let error = forged_update(|session, builder| {
            builder.add(&Seq(0)).add(&session.seal(&block(&bad(), &[group("two", HOUR)])));
            builder.add(&reg_request(GDOI));
        });
        assert_eq!(error, malformed, "{id} of {count}");
    }
}

#[test]
fn a_certificate_may_fill_its_packet_and_not_say_that_it_is_longer() {
    let mut pair = Pair::default_pair();
    let mut i2 = I2::prepare(&mut pair, attacker());
    let longest = (1000..2000).rev().find(|length| {
        i2.certs = vec![Cert { certificate: vec![7; *length], ..cert(1, 1, 1) }];
        i2.try_build().is_some()
    });
    pair.server_hears(&i2.build()).unwrap();
    let chain = CertificateChain(vec![vec![7; longest.unwrap()]]);
    assert_eq!(requested(&mut pair), Some(Certificates::Chains(vec![chain])));

    // Inside ENCRYPTED: its Length goes beyond the end.
    let (mut pair, session) = forged();
    let mut inside = block(&[cert(1, 1, 1)], &[]).octets().unwrap().to_vec();
    inside[2] = 0xff;
    let update = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0)).add(&session.seal_octets(&inside)).add(&reg_request(GDOI));
    });
    assert_eq!(pair.server_hears(&update), Err(AuthError::Decryption.into()));
    // In the open, under a genuine MAC.
    let update = session.packet(PacketType::UPDATE, |builder| {
        builder.add(&Seq(0)).add(&cert(1, 1, 1)).add(&reg_request(GDOI));
    });
    let offset = Packet::parse(&update).unwrap().parameters().raw(ParameterType::CERT).unwrap().offset();
    let mut longer = update.clone();
    longer[offset + 2] = 0xff;
    let truncated = DecodeError::Truncated { field: "parameter contents" };
    assert_eq!(pair.server_hears(&longer), Err(truncated.into()));
    assert_eq!(pair.server_hears(&update), Ok(()));
}

/// A registrar takes no request whose answer would not fit beside the certificates that it shows.
#[test]
fn a_request_that_leaves_no_room_for_the_registrar_s_certificates_is_refused_at_once() {
    let groups = || (0..20).map(|number| group(&format!("{number:0>40}"), HOUR)).collect::<Vec<_>>();
    let with = |certificates: Vec<CertificateChain>| {
        let mut pair = Pair::new(member_config(), HostConfig { certificates, ..server_config() });
        let mut i2 = I2::prepare(&mut pair, attacker());
        i2.channels = groups();
        let result = pair.server_hears(&i2.build());
        pair.decide_requests();
        (result, pair.server.transmits().len())
    };
    assert_eq!(with(vec![]), (Ok(()), 1));
    let too_many = DecodeError::TooMany { what: "items for one answer", limit: 2048 };
    assert_eq!(with(vec![chain(1, 2, 400)]), (Err(too_many.into()), 0));
}

/// Before its MAC nothing of an I2 is opened, and certificates are only octets here: who judges them pays for that.
#[test]
fn certificates_cost_a_host_no_public_key_work() {
    let mut server = server_config();
    server.provider = counting_provider();
    let mut work = Vec::new();
    for certs in [vec![], vec![cert(1, 4, 1), cert(1, 4, 2), cert(1, 4, 3), cert(1, 4, 4)]] {
        let mut pair = Pair::new(member_config(), server.clone());
        let mut i2 = I2::prepare(&mut pair, attacker());
        i2.certs = certs;
        take_work();
        pair.server_hears(&i2.build()).unwrap();
        work.push(take_work());
    }
    assert_eq!(work, [Work { verifications: 1, computations: 1 }; 2]);
}

#[test]
fn an_i2_full_of_malformed_certificates_is_refused_by_its_mac_first() {
    let mut pair = Pair::default_pair();
    let other = I2::prepare(&mut pair, attacker()).keymat();
    let error = i2_with(
        |_| {},
        |i2| {
            i2.certs = vec![cert(1, 0, 0); 20];
            i2.mac_keymat = Some(other);
        },
    );
    assert_eq!(error, AuthError::Mac.into());
}

/// The control is covered: nobody on the path makes an identity anonymous, or known.
#[test]
fn the_anonymous_control_is_the_peer_s_own() {
    let mut pair = Pair::default_pair();
    let i2 = I2::prepare(&mut pair, attacker());
    let mut octets = i2.build();
    octets[7] ^= 1;
    // What the puzzle admitted costs one computation, and the MAC is another's.
    assert_eq!(pair.server_hears(&octets), Err(AuthError::Mac.into()));
    let mut pair = Pair::default_pair();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0);
    pair.deliver(pair.member.hit(), &i1);
    let mut r1 = pair.server.transmits().remove(0).payload;
    r1[7] ^= 1;
    assert_eq!(pair.member_hears(&r1), Err(AuthError::Signature.into()));
}
