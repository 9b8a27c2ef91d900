//! Carriages, ESP, misuse and limits.

use super::*;

#[test]
fn both_carriages_and_both_address_families_work() {
    for (member_address, server_address) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        for socket in [Socket::HipRaw, Socket::HipUdp] {
            let port = if socket == Socket::HipRaw { 0 } else { 10500 };
            let mut member = member_config();
            member.local_addresses = vec!["198.51.100.9".parse().unwrap(), member_address.parse().unwrap()];
            let mut pair = Pair::new(member, server_config());
            pair.member.address = (member_address.parse::<std::net::IpAddr>().unwrap(), port).into();
            pair.server.address = (server_address.parse::<std::net::IpAddr>().unwrap(), port).into();
            if member_address.starts_with('1') && socket == Socket::HipRaw {
                // The first address of the family is the source, so it is the member's address here.
                pair.member.address = ("198.51.100.9".parse::<std::net::IpAddr>().unwrap(), port).into();
            }
            let (peer, address) = (pair.server.hit(), pair.server.address);
            pair.member.host.connect(pair.now, peer, address, socket, Some(join(&["market"]))).unwrap();
            pair.run();
            assert!(pair.is_established() && pair.keys_agree(), "{:?}", pair.server.errors);
            let info = pair.server.host.association(&pair.member.hit()).unwrap();
            assert_eq!((info.socket, info.address), (socket, pair.member.address));
            for (_, octets) in &pair.log {
                assert_eq!(octets[4..6] == [0, 0], socket == Socket::HipUdp, "checksum");
            }
        }
    }
    let mut pair = Pair::default_pair();
    let elsewhere = "[2001:db8::1]:0".parse().unwrap();
    let peer = pair.server.hit();
    let result = pair.member.host.connect(pair.now, peer, elsewhere, Socket::HipRaw, None);
    assert_eq!(result, Err(ApiMisuse::LocalAddress));
}

#[test]
fn hip_neither_calls_nor_listens_as_isakmp() {
    let mut pair = Pair::default_pair();
    let (now, peer, address) = (pair.now, pair.server.hit(), pair.server.address);
    let called = pair.member.host.connect(now, peer, address, Socket::Port848, None);
    assert_eq!(called, Err(ApiMisuse::Socket));
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0);
    let datagram = claviger_sansio::Datagram {
        socket: Socket::Port848,
        source: pair.member.address,
        destination: address,
        payload: &i1.payload,
    };
    assert_eq!(pair.server.host.handle_datagram(now, datagram), Err(ApiMisuse::Socket.into()));
    assert_eq!(pair.server.host.poll_transmit(), None);
}

/// RFC 7402 section 5.2: a generic host that wants ESP gets SPIs and a suite.
#[test]
fn esp_is_agreed_where_both_sides_have_it() {
    let esp = |mut config: HostConfig, suites: &[EspSuite]| {
        config.transport = TransportFormats::Esp(suites.to_vec());
        config
    };
    let both = [EspSuite::AES_256_CBC_HMAC_SHA_256, EspSuite::AES_128_CBC_HMAC_SHA_256];
    let mut pair = Pair::new(
        esp(member_config(), &both),
        esp(server_config(), &[EspSuite::NULL_HMAC_SHA_256, EspSuite::AES_128_CBC_HMAC_SHA_256]),
    );
    pair.establish(None);
    let at_member = pair.member.host.association(&pair.server.hit()).unwrap().esp.unwrap();
    let at_server = pair.server.host.association(&pair.member.hit()).unwrap().esp.unwrap();
    assert_eq!(at_member.suite, EspSuite::AES_128_CBC_HMAC_SHA_256);
    assert_eq!(
        (at_member.inbound_spi, at_member.outbound_spi),
        (at_server.outbound_spi, at_server.inbound_spi)
    );
    assert_eq!((at_member.suite, at_member.keymat_index), (at_server.suite, at_server.keymat_index));
    assert!(at_member.inbound_spi > 255 && at_member.outbound_spi > 255);

    // Who only registers names no transport, and is accepted by a server that offers ESP, and the other way round.
    for (member, server) in
        [(member_config(), esp(server_config(), &both)), (esp(member_config(), &both), server_config())]
    {
        let mut pair = Pair::new(member, server);
        pair.establish(Some(join(&["market"])));
        assert!(pair.keys_agree());
        assert_eq!(pair.member.host.association(&pair.server.hit()).unwrap().esp, None);
    }
}

#[test]
fn the_api_refuses_what_makes_no_sense() {
    let mut pair = Pair::default_pair();
    let (own, peer, address) = (pair.member.hit(), pair.server.hit(), pair.server.address);
    let now = pair.now;
    let host = &mut pair.member.host;
    // The opportunistic NULL HIT is never called (binding section 5).
    for hit in [Hit::NULL, own, Hit::new([1; 16])] {
        assert_eq!(host.connect(now, hit, address, Socket::HipUdp, None), Err(ApiMisuse::PeerHit));
    }
    let mut foreign = join(&["market"]);
    foreign.items[0].reg_type = GCKS_MIKEY;
    let mut answered = join(&["market"]);
    answered.items[0].status = ChannelStatus::GROUP_FULL;
    let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for request in [foreign, answered, join(&["market", "market"]), join(&many)] {
        let result = host.connect(now, peer, address, Socket::HipUdp, Some(request));
        assert_eq!(result, Err(ApiMisuse::Items));
    }
    assert_eq!(host.request(now, peer, join(&["market"])), Err(ApiMisuse::NoAssociation));
    assert_eq!(host.revoke(now, peer, GDOI, vec![]), Err(ApiMisuse::NoAssociation));
    assert_eq!(host.close(now, peer), Err(ApiMisuse::NoAssociation));
    assert_eq!(host.poll_transmit(), None);

    pair.establish(None);
    let long: Vec<String> = (0..32).map(|number| format!("{number:0>80}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    assert_eq!(pair.member.host.request(now, peer, join(&long)), Err(ApiMisuse::TooLarge));
    let foreign = vec![McastChannel { reg_type: GCKS_MIKEY, ..group("a", HOUR) }];
    assert_eq!(pair.member.host.revoke(now, peer, GDOI, foreign), Err(ApiMisuse::Items));
}

#[test]
fn unusable_configurations_are_refused() {
    let refused = |change: &dyn Fn(&mut HostConfig)| {
        let mut config = server_config();
        change(&mut config);
        let random = Box::new(claviger_crypto::SeededRandom::new(1));
        claviger_hip_groups::Host::new(config, random, START).err() == Some(ApiMisuse::Config.into())
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|config| config.dh_groups.clear()));
    assert!(refused(&|config| config.dh_groups = vec![DhGroup::SECP160R1]));
    assert!(refused(&|config| config.ciphers.clear()));
    assert!(refused(&|config| config.ciphers = vec![CipherId(3)]));
    assert!(refused(&|config| config.hit_suites.clear()));
    assert!(refused(&|config| config.r1_lifetime = Duration::from_secs(3600)));
    assert!(refused(&|config| config.puzzle_lifetime = Duration::from_millis(10)));
    assert!(refused(&|config| config.retransmit.attempts = 0));
    assert!(refused(&|config| config.registration_lifetime_min = 100 * HOUR));
    assert!(refused(&|config| config.transport = TransportFormats::Esp(vec![])));
}

#[test]
fn many_members_register_and_the_timers_stay_in_order() {
    let mut server = side(server_config(), [192, 0, 2, 2], 10500, 9);
    let mut pairs = Vec::new();
    for number in 0..20u8 {
        let mut pair = Pair::default_pair();
        pair.member.address = ([198, 51, 100, number], 10500).into();
        std::mem::swap(&mut pair.server, &mut server);
        pair.establish(Some(join(&["market"])));
        std::mem::swap(&mut pair.server, &mut server);
        pairs.push(pair);
    }
    assert_eq!(server.host.associations().count(), 20);
    let due = server.host.poll_timeout().unwrap();
    server.host.handle_timeout(due);
    assert!(server.host.poll_timeout().unwrap() > due);
}

#[test]
fn a_full_server_says_that_it_is_busy() {
    let mut server = server_config();
    server.associations_max = 0;
    let mut pair = Pair::new(member_config(), server);
    pair.connect(None);
    pair.run();
    assert_eq!(pair.server.errors, [LimitError::Associations.into()]);
    let events = pair.member.take_events();
    let busy = claviger_hip::iana::NotifyType::RESPONDER_BUSY_PLEASE_RETRY;
    assert!(matches!(events[..], [Event::Notified { message, .. }] if message == busy), "{events:?}");
    assert_eq!(state_at_member(&pair), Some(AssociationState::I2Sent), "a NOTIFY changes nothing");
}

#[test]
fn a_registrar_that_called_announces_its_services() {
    let mut pair = Pair::default_pair();
    let (peer, address) = (pair.member.hit(), pair.member.address);
    pair.server.host.connect(pair.now, peer, address, Socket::HipUdp, None).unwrap();
    pair.run();
    assert!(pair.is_established());
    // The member has seen no R1 of the server's: it learns by UPDATE { SEQ, REG_INFO } whom it may ask for what.
    assert_eq!(pair.sent(pair.server.hit(), PacketType::UPDATE).len(), 1);
    let foreign = RegistrationRequest { reg_type: RegType::RENDEZVOUS, lifetime: HOUR, items: vec![] };
    let server = pair.server.hit();
    assert_eq!(pair.member.host.request(pair.now, server, foreign), Err(ApiMisuse::UnknownService));
    pair.member.host.request(pair.now, server, join(&["market"])).unwrap();
    pair.run();
    assert!(pair.keys_agree());
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let mut pair = Pair::default_pair();
    pair.decide = None;
    pair.connect(Some(join(&["one", "two"])));
    pair.run();
    let events = pair.server.take_events();
    let Event::RegistrationRequested { ticket, request, .. } = &events[0] else { panic!("{events:?}") };
    let good = grant(request);
    let bad: [fn(&mut RegistrationAnswer); 6] = [
        |answer| answer.reg_type = GCKS_MIKEY,
        |answer| answer.granted = None,
        |answer| answer.failure = Some(RegFailure::TYPE_UNAVAILABLE),
        |answer| answer.items[0].group = "three".parse().unwrap(),
        |answer| drop(answer.items.pop()),
        |answer| {
            answer.granted = None;
            answer.failure = Some(RegFailure(202));
        },
    ];
    for change in bad {
        let mut answer = good.clone();
        change(&mut answer);
        assert_eq!(pair.server.host.answer(pair.now, *ticket, answer), Err(ApiMisuse::AnswerMismatch));
    }
    pair.server.host.answer(pair.now, *ticket, good).unwrap();
    pair.run();
    assert!(pair.keys_agree());
}

#[test]
fn the_names_of_reasons_are_those_of_counters() {
    let reasons = PeerMisbehaved::ALL.iter().map(|error| error.reason());
    let reasons = reasons.chain(PeerIncompatible::ALL.iter().map(|error| error.reason()));
    let reasons = reasons.chain(LimitError::ALL.iter().map(|error| error.reason()));
    let mut seen = std::collections::BTreeSet::new();
    for reason in reasons {
        assert!(reason.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()), "{reason}");
        assert!(seen.insert(reason), "{reason} is said twice");
    }
}
