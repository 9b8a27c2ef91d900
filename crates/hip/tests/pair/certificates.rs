//! Certificates beside registrations (RFC 8002), and identities that say that they are anonymous.

use claviger_hip::{CertificateChain, Certificates, wire::Controls};

use super::*;

/// The chains that a side showed, in each request or answer that it was heard to make.
fn shown(events: &[Event]) -> Vec<Certificates> {
    let certificates = events.iter().filter_map(|event| match event {
        Event::RegistrationRequested { certificates, .. } | Event::Registered { certificates, .. } => {
            Some(certificates.clone())
        }
        _ => None,
    });
    certificates.collect()
}

/// A member and a server, each with certificates.
fn certified(member: &[CertificateChain], server: &[CertificateChain]) -> Pair {
    let (mut member_config, mut server_config) = (member_config(), server_config());
    member_config.certificates = member.to_vec();
    server_config.certificates = server.to_vec();
    Pair::new(member_config, server_config)
}

fn chains(chains: &[CertificateChain]) -> Vec<Certificates> {
    vec![Certificates::Chains(chains.to_vec())]
}

/// The member waits for nothing and asks anew.
fn ask(pair: &mut Pair, request: RegistrationRequest) {
    pair.member.host.request(pair.now, pair.server.hit(), request).unwrap();
    pair.run();
}

#[test]
fn each_side_shows_its_chains_to_the_other_and_nobody_else_sees_them() {
    for (own, theirs) in [
        (vec![chain(1, 1, 400)], vec![chain(2, 1, 300)]),
        (vec![chain(1, 4, 150)], vec![chain(2, 1, 300), chain(3, 2, 100)]),
        (vec![chain(1, 1, 100), chain(4, 1, 101), chain(5, 1, 102), chain(6, 1, 103)], vec![chain(2, 4, 50)]),
    ] {
        let mut pair = certified(&own, &theirs);
        // I2 { ENCRYPTED{ HOST_ID, CERTs, MCAST_CHANNEL } } -->  <-- R2 { ENCRYPTED{ CERTs, MCAST_CHANNEL } }
        pair.establish(Some(join(&["market"])));
        assert_eq!(shown(&pair.server.take_events()), chains(&own));
        assert_eq!(shown(&pair.member.take_events()), chains(&theirs));
        // UPDATE { SEQ, ENCRYPTED{ CERTs, MCAST_CHANNEL }, REG_REQUEST } --> and its answer
        ask(&mut pair, join(&["square"]));
        assert_eq!(shown(&pair.server.take_events()), chains(&own));
        assert_eq!(shown(&pair.member.take_events()), chains(&theirs));
        assert!(pair.keys_agree());
        for (_, octets) in &pair.log {
            let packet = Packet::parse(octets).unwrap();
            assert!(packet.parameters().raw(ParameterType::CERT).is_none());
            for certificate in own.iter().chain(&theirs).flat_map(|chain| &chain.0) {
                assert!(!octets.windows(16).any(|window| window == &certificate[..16]));
            }
        }
    }
}

#[test]
fn a_renewal_that_names_no_group_shows_certificates_too() {
    let (own, theirs) = ([chain(1, 2, 300)], [chain(2, 1, 300)]);
    let mut pair = certified(&own, &theirs);
    pair.establish(Some(join(&["market"])));
    pair.take_all_events();
    ask(&mut pair, RegistrationRequest { reg_type: GDOI, lifetime: HOUR, items: vec![] });
    assert_eq!(shown(&pair.server.take_events()), chains(&own));
    assert_eq!(shown(&pair.member.take_events()), chains(&theirs));
}

#[test]
fn hosts_without_certificates_show_none() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["market"])));
    ask(&mut pair, join(&["square"]));
    assert_eq!(shown(&pair.server.take_events()), [Certificates::None, Certificates::None]);
    assert_eq!(shown(&pair.member.take_events()), [Certificates::None, Certificates::None]);
}

/// Under the NULL cipher everybody sees what stands in ENCRYPTED.
#[test]
fn who_asks_for_nothing_and_who_is_asked_for_nothing_shows_nothing() {
    let (own, theirs) = (chain(1, 1, 300), chain(2, 1, 300));
    let (mut member, mut server) = (member_config(), server_config());
    member.certificates = vec![own.clone()];
    server.certificates = vec![theirs.clone()];
    server.services = vec![RegType::RENDEZVOUS];
    member.ciphers = vec![CipherId::NULL_ENCRYPT];
    server.ciphers = vec![CipherId::NULL_ENCRYPT];
    let is_seen = |pair: &Pair, chain: &CertificateChain| {
        pair.log.iter().any(|(_, octets)| octets.windows(16).any(|window| window == &chain.0[0][..16]))
    };
    let mut pair = Pair::new(member, server);
    pair.establish(None);
    pair.now = pair.now + Duration::from_secs(2);
    pair.server.host.rekey(pair.now, pair.member.hit()).unwrap();
    pair.run();
    assert!(!is_seen(&pair, &own) && !is_seen(&pair, &theirs));
    ask(&mut pair, RegistrationRequest { reg_type: RegType::RENDEZVOUS, lifetime: HOUR, items: vec![] });
    assert!(is_seen(&pair, &own) && is_seen(&pair, &theirs));
    pair.log.clear();
    pair.server.host.cancel(pair.now, pair.member.hit(), RegType::RENDEZVOUS, vec![]).unwrap();
    pair.run();
    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
    pair.run();
    assert!(!is_seen(&pair, &own) && !is_seen(&pair, &theirs));
}

#[test]
fn a_registrar_that_refuses_shows_who_refuses() {
    let theirs = [chain(2, 1, 300)];
    let mut pair = certified(&[], &theirs);
    pair.decide = Some(refuse);
    pair.establish(Some(join(&["market"])));
    assert_eq!(shown(&pair.member.take_events()), chains(&theirs));
}

#[test]
fn a_request_that_waited_because_both_called_shows_certificates() {
    let own = [chain(1, 1, 300)];
    for member_is_greater in [true, false] {
        let (member, server) = loop {
            let (mut member, server) = (member_config(), server_config());
            member.certificates = own.to_vec();
            if (member.identity.hit() > server.identity.hit()) == member_is_greater {
                break (member, server);
            }
        };
        let mut pair = Pair::new(member, server);
        pair.connect(Some(join(&["market"])));
        let (peer, address) = (pair.member.hit(), pair.member.address);
        pair.server.host.connect(pair.now, peer, address, Socket::HipUdp, None).unwrap();
        pair.pass(Duration::from_secs(20), |_, _| true);
        assert!(pair.keys_agree());
        assert_eq!(shown(&pair.server.take_events()), chains(&own));
    }
}

#[test]
fn certificates_that_replace_others_are_shown_from_the_next_packet_on() {
    let (first, second) = (chain(1, 1, 300), chain(7, 2, 200));
    let mut pair = certified(std::slice::from_ref(&first), std::slice::from_ref(&second));
    pair.establish(Some(join(&["market"])));
    pair.take_all_events();
    pair.member.host.request(pair.now, pair.server.hit(), join(&["square"])).unwrap();
    let request = pair.member.transmits().remove(0).payload;
    pair.member.host.set_certificates(vec![second.clone()]).unwrap();
    pair.server.host.set_certificates(vec![first.clone()]).unwrap();
    // What was sent is repeated as it was.
    pair.pass(Duration::from_secs(3), |_, _| true);
    assert!(pair.sent(pair.member.hit(), PacketType::UPDATE).contains(&request));
    assert_eq!(shown(&pair.server.take_events()), chains(std::slice::from_ref(&first)));
    assert_eq!(shown(&pair.member.take_events()), chains(std::slice::from_ref(&first)));
    ask(&mut pair, join(&["bridge"]));
    assert_eq!(shown(&pair.server.take_events()), chains(&[second]));
    pair.member.host.set_certificates(vec![]).unwrap();
    ask(&mut pair, join(&["tower"]));
    assert_eq!(shown(&pair.server.take_events()), [Certificates::None]);
}

#[test]
fn certificates_that_cannot_be_shown_are_refused_before_anything_is_sent() {
    let unusable = [
        ("five in one chain", vec![chain(1, 5, 20)]),
        ("five in two chains", vec![chain(1, 3, 20), chain(2, 2, 20)]),
        ("an empty chain", vec![CertificateChain(vec![])]),
        ("an empty certificate", vec![CertificateChain(vec![vec![]])]),
        ("too long", vec![chain(1, 1, 1600)]),
        ("too long together", vec![chain(1, 4, 400)]),
    ];
    for config in [member_config(), server_config()] {
        let mut host = side(config.clone(), [192, 0, 2, 1], 10500, 3).host;
        for (what, certificates) in unusable.clone() {
            assert_eq!(host.set_certificates(certificates.clone()), Err(ApiMisuse::Certificates), "{what}");
            let config = HostConfig { certificates, ..config.clone() };
            let random = Box::new(claviger_crypto::SeededRandom::new(1));
            let host = claviger_hip_groups::Host::new(config, random, START);
            assert_eq!(host.err(), Some(ApiMisuse::Certificates.into()), "{what}");
        }
        assert_eq!(host.set_certificates(vec![chain(1, 4, 200)]), Ok(()));
    }
}

/// What may be shown at all leaves a group of a long name in each packet, whatever the identity and the Diffie-Hellman group.
#[test]
fn the_longest_certificates_leave_room_for_a_group() {
    let rsa = || SigningKey::generate_rsa(RsaSize::Bits2048).unwrap();
    let rsa = || Arc::new(HostIdentity::new(provider(), Box::new(rsa()), DomainIdentifier::None).unwrap());
    let elliptic = |algorithm| [identity(algorithm), identity(algorithm)];
    let name = "n".repeat(200);
    for identities in [elliptic(KeyAlgorithm::EcdsaP256), elliptic(KeyAlgorithm::EcdsaP384), [rsa(), rsa()]] {
        for dh_group in [DhGroup::NIST_P256, DhGroup::NIST_P521, DhGroup::MODP_3072] {
            let longest = |config: HostConfig, identity: &Arc<HostIdentity>| {
                let config = HostConfig { identity: identity.clone(), dh_groups: vec![dh_group], ..config };
                let mut host = side(config.clone(), [192, 0, 2, 1], 10500, 3).host;
                let mut fits = |len: &usize| host.set_certificates(vec![chain(1, 2, *len)]).is_ok();
                let len = (16..1000).rev().find(|len| fits(len)).unwrap();
                HostConfig { certificates: vec![chain(1, 2, len)], ..config }
            };
            let [own, theirs] = &identities;
            let mut pair = Pair::new(longest(member_config(), own), longest(server_config(), theirs));
            pair.establish(Some(join(&[&name])));
            assert!(pair.keys_agree());
            ask(&mut pair, join(&[&name]));
            let events = pair.member.take_events();
            assert_eq!(shown(&events).len(), 2, "{dh_group} {:?}", names(&events));
        }
    }
}

#[test]
fn a_request_that_does_not_fit_beside_certificates_is_refused() {
    let names_of = |count: usize| (0..count).map(|number| format!("{number:0>60}")).collect::<Vec<_>>();
    let many = names_of(12);
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut pair = certified(&[chain(1, 2, 500)], &[]);
    pair.connect(Some(join(&many)));
    pair.pass(Duration::from_secs(1), |_, _| true);
    let events = pair.member.take_events();
    let reason = FailReason::Limit(LimitError::PacketLength);
    assert!(events.iter().any(|event| matches!(event, Event::Failed { reason: r, .. } if *r == reason)));
    assert!(pair.sent(pair.member.hit(), PacketType::I2).is_empty());

    pair.establish(Some(join(&["market"])));
    let (now, peer) = (pair.now, pair.server.hit());
    assert_eq!(pair.member.host.request(now, peer, join(&many)), Err(ApiMisuse::TooLarge));
    ask(&mut pair, join(&["square"]));
    assert!(told(&mut pair.member, "registered"));
    // Without certificates it fits.
    pair.member.host.set_certificates(vec![]).unwrap();
    ask(&mut pair, join(&many));
    assert!(told(&mut pair.member, "registered"));
}

#[test]
fn new_keys_of_an_association_change_nothing_of_its_certificates() {
    let (own, theirs) = ([chain(1, 2, 300)], [chain(2, 2, 300)]);
    let mut pair = certified(&own, &theirs);
    pair.establish(Some(join(&["market"])));
    pair.take_all_events();
    pair.now = pair.now + Duration::from_secs(2);
    pair.server.host.rekey(pair.now, pair.member.hit()).unwrap();
    pair.run();
    let (member, server) = (pair.member.take_events(), pair.server.take_events());
    assert!(names(&member).contains(&"rekeyed") && names(&server).contains(&"rekeyed"));
    assert!(shown(&member).is_empty() && shown(&server).is_empty());
    ask(&mut pair, join(&["square"]));
    assert_eq!(shown(&pair.server.take_events()), chains(&own));
    assert_eq!(shown(&pair.member.take_events()), chains(&theirs));
}

/// RFC 7401 sections 5.3.2 and 5.3.3: A is set in R1 and I2; the other packets have no control.
#[test]
fn r1_and_i2_say_that_an_identity_is_anonymous() {
    for (member_is_anonymous, server_is_anonymous) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let (mut member, mut server) = (member_config(), server_config());
        member.anonymous = member_is_anonymous;
        server.anonymous = server_is_anonymous;
        let mut pair = Pair::new(member, server);
        pair.establish(Some(join(&["market"])));
        ask(&mut pair, join(&["square"]));
        let requested = |event: &&Event| matches!(event, Event::RegistrationRequested { anonymous, .. } if *anonymous == member_is_anonymous);
        assert_eq!(pair.server.take_events().iter().filter(requested).count(), 2);
        let (member, server) = (pair.member.hit(), pair.server.hit());
        assert_eq!(pair.server.host.association(&member).unwrap().anonymous, member_is_anonymous);
        assert_eq!(pair.member.host.association(&server).unwrap().anonymous, server_is_anonymous);
        pair.member.host.close(pair.now, server).unwrap();
        pair.run();
        for (_, octets) in &pair.log {
            let packet = Packet::parse(octets).unwrap();
            let is_anonymous = match packet.packet_type() {
                PacketType::R1 => server_is_anonymous,
                PacketType::I2 => member_is_anonymous,
                _ => false,
            };
            let controls = if is_anonymous { Controls::ANONYMOUS } else { Controls::NONE };
            assert_eq!(packet.controls(), controls, "{}", packet.packet_type());
        }
    }
}
