//! Registration in I2/R2 and by UPDATE.

use super::*;

#[test]
fn a_refused_member_has_an_association_but_no_keys() {
    let mut pair = Pair::default_pair();
    pair.decide = Some(refuse);
    pair.establish(Some(join(&["market"])));
    let events = pair.member.take_events();
    let Event::Registered { answer, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((answer.granted, answer.failure), (None, Some(RegFailure::ADDITIONAL_CREDENTIALS)));
    assert_eq!(answer.items[0].status, ChannelStatus::NOT_AUTHORISED);
    assert!(pair.member.host.registration_sa(&pair.server.hit(), GDOI).is_none());
    assert!(pair.server.host.registration_sa(&pair.member.hit(), GDOI).is_none());
}

#[test]
fn r2_waits_for_the_registrar() {
    let mut pair = Pair::default_pair();
    pair.decide = None;
    pair.connect(Some(join(&["market"])));
    pair.run();
    assert!(pair.server.host.association(&pair.member.hit()).is_none());
    assert!(pair.sent(pair.server.hit(), PacketType::R2).is_empty());
    // I2 is repeated meanwhile: one request is outstanding, and stays the only one.
    pair.pass(Duration::from_secs(2), |_, _| true);
    assert!(pair.sent(pair.member.hit(), PacketType::I2).len() > 1);
    let events = pair.server.take_events();
    assert_eq!(names(&events), ["requested"]);
    let Event::RegistrationRequested { ticket, request, .. } = &events[0] else { panic!() };

    let mut wrong = grant(request);
    wrong.items.clear();
    assert_eq!(pair.server.host.answer(pair.now, *ticket, wrong), Err(ApiMisuse::AnswerMismatch));
    pair.server.host.answer(pair.now, *ticket, grant(request)).unwrap();
    assert_eq!(pair.server.host.answer(pair.now, *ticket, grant(request)), Err(ApiMisuse::UnknownTicket));
    pair.run();
    assert!(pair.keys_agree());
}

#[test]
fn a_request_that_the_program_never_answers_is_forgotten() {
    let mut pair = Pair::default_pair();
    pair.decide = None;
    pair.connect(Some(join(&["market"])));
    pair.pass(Duration::from_secs(90), |_, _| true);
    assert!(names(&pair.member.take_events()).contains(&"failed"));
    for event in pair.server.take_events() {
        let Event::RegistrationRequested { ticket, request, .. } = event else { continue };
        assert_eq!(pair.server.host.answer(pair.now, ticket, grant(&request)), Err(ApiMisuse::UnknownTicket));
    }
    pair.decide = Some(grant);
    pair.establish(Some(join(&["market"])));
}

#[test]
fn types_that_are_not_offered_are_refused_without_asking_the_program() {
    let mut server = server_config();
    server.services = vec![RegType::RENDEZVOUS, GDOI];
    let mut pair = Pair::new(member_config(), server);
    pair.establish(None);
    // The server withdraws nothing and announces nothing, but the member's view is forged by its own API.
    let gsakmp = RegistrationRequest { reg_type: GCKS_GSAKMP, lifetime: HOUR, items: vec![] };
    let peer = pair.server.hit();
    assert_eq!(pair.member.host.request(pair.now, peer, gsakmp), Err(ApiMisuse::UnknownService));
    let rendezvous = RegistrationRequest { reg_type: RegType::RENDEZVOUS, lifetime: HOUR, items: vec![] };
    pair.member.host.request(pair.now, peer, rendezvous).unwrap();
    pair.run();
    assert!(names(&pair.member.take_events()).contains(&"registered"));
}

#[test]
fn update_registers_more_renews_and_leaves() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.take_events();
    pair.server.take_events();
    let peer = pair.server.hit();

    let leave_one = RegistrationRequest {
        reg_type: GDOI,
        lifetime: Duration::ZERO,
        items: vec![group("one", Duration::ZERO)],
    };
    let renew_all = RegistrationRequest { reg_type: GDOI, lifetime: HOUR, items: vec![] };
    for request in [join(&["two", "three"]), renew_all, leave_one.clone()] {
        // UPDATE { SEQ, ENCRYPTED, REG_REQUEST } -->  <-- UPDATE { SEQ, ACK, REG_RESPONSE }  UPDATE { ACK } -->
        pair.log.clear();
        pair.member.host.request(pair.now, peer, request.clone()).unwrap();
        assert_eq!(
            pair.member.host.request(pair.now, peer, request.clone()),
            Err(ApiMisuse::RequestOutstanding)
        );
        pair.run();
        assert_eq!(pair.log.len(), 3);
        let events = pair.server.take_events();
        let Event::RegistrationRequested { request: seen, fresh, .. } = &events[0] else {
            panic!("{events:?}")
        };
        assert!(!fresh);
        assert_eq!(seen.items, request.items);
        // Leaving one group must not read as leaving all.
        assert!(!seen.lifetime.is_zero());
        let events = pair.member.take_events();
        assert!(names(&events).contains(&"registered"), "{events:?}");
        assert!(pair.keys_agree());
    }

    let leave_all = RegistrationRequest { reg_type: GDOI, lifetime: Duration::ZERO, items: vec![] };
    pair.member.host.request(pair.now, peer, leave_all).unwrap();
    pair.run();
    let events = pair.server.take_events();
    let Event::RegistrationRequested { request, .. } = &events[0] else { panic!("{events:?}") };
    assert!(request.lifetime.is_zero() && request.items.is_empty());
    assert!(pair.member.host.registration_sa(&peer, GDOI).is_none(), "nothing is granted any more");
    assert!(pair.server.host.registration_sa(&pair.member.hit(), GDOI).is_none());
    assert!(pair.is_established(), "the association stays");
}

#[test]
fn a_renewal_keeps_the_keys_and_a_lifetime_that_runs_out_ends_them() {
    let short = RegistrationRequest { reg_type: GDOI, lifetime: Duration::from_secs(40), items: vec![] };
    let mut pair = Pair::default_pair();
    pair.establish(Some(short.clone()));
    let cookies = pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap().cookies;
    pair.pass(Duration::from_secs(20), |_, _| true);
    pair.member.host.request(pair.now, pair.server.hit(), short).unwrap();
    pair.run();
    pair.pass(Duration::from_secs(30), |_, _| true);
    let renewed = pair.member.host.registration_sa(&pair.server.hit(), GDOI).unwrap();
    assert_eq!(renewed.cookies, cookies);
    pair.pass(Duration::from_secs(15), |_, _| true);
    assert!(pair.member.host.registration_sa(&pair.server.hit(), GDOI).is_none());
    assert!(pair.server.host.registration_sa(&pair.member.hit(), GDOI).is_none());
}

#[test]
fn a_lifetime_outside_the_offer_is_granted_at_its_edge() {
    let mut server = server_config();
    server.registration_lifetime_min = Duration::from_secs(60);
    server.registration_lifetime_max = Duration::from_secs(600);
    let mut pair = Pair::new(member_config(), server);
    pair.establish(Some(join(&["market"])));
    let events = pair.server.take_events();
    let Event::RegistrationRequested { request, .. } = &events[0] else { panic!() };
    assert_eq!(request.lifetime, Duration::from_secs(600));
}

#[test]
fn eviction_is_told_until_it_is_acknowledged() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one", "two"])));
    pair.member.take_events();
    pair.server.take_events();
    let member = pair.member.hit();
    pair.server.host.revoke(pair.now, member, GDOI, vec![group("one", HOUR)]).unwrap();
    // UPDATE { SEQ, ENCRYPTED{ MCAST_CHANNEL }, REG_RESPONSE } is lost twice.
    let mut lost = 0;
    pair.pass(Duration::from_secs(10), |sender, _| {
        lost += usize::from(sender != member);
        sender == member || lost > 2
    });
    let events = pair.member.take_events();
    let Some(Event::Revoked { items: channels, reg_type, .. }) =
        events.iter().find(|e| matches!(e, Event::Revoked { .. }))
    else {
        panic!("{events:?}")
    };
    assert_eq!(*reg_type, GDOI);
    assert_eq!(channels[0].status, ChannelStatus::NOT_AUTHORISED);
    assert!(channels[0].lifetime.is_cancel());
    assert!(names(&pair.server.take_events()).contains(&"revoke_acknowledged"));
    assert!(pair.keys_agree(), "the other group goes on");

    pair.server.host.revoke(pair.now, member, GDOI, vec![]).unwrap();
    assert!(pair.server.host.registration_sa(&member, GDOI).is_none(), "at once");
    pair.run();
    assert!(pair.member.host.registration_sa(&pair.server.hit(), GDOI).is_none());
}

#[test]
fn a_host_is_told_of_its_eviction_however_long_it_was_silent() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.pass(Duration::from_secs(50 * 60), |_, _| true);
    let (member, server) = (pair.member.hit(), pair.server.address.ip());
    // The eviction waits behind the UPDATE { LOCATOR_SET, SEQ } of a server that moves to where it is.
    pair.server.host.readdress(pair.now, member, server, server).unwrap();
    pair.server.host.revoke(pair.now, member, GDOI, vec![]).unwrap();
    pair.pass(Duration::from_secs(3), |_, _| false);
    pair.pass(Duration::from_secs(5), |_, _| true);
    assert!(told(&mut pair.member, "revoked"));
    assert!(told(&mut pair.server, "revoke_acknowledged"));
}

#[test]
fn a_withdrawal_says_why() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one", "two", "three"])));
    pair.member.take_events();
    let member = pair.member.hit();
    for (name, why) in
        [("one", Withdrawal::Ended), ("two", Withdrawal::Narrowed), ("three", Withdrawal::Revoked)]
    {
        pair.server.host.withdraw(pair.now, member, GDOI, why, vec![group(name, HOUR)]).unwrap();
        pair.pass(Duration::from_secs(1), |_, _| true);
        let events = pair.member.take_events();
        let Some(Event::Revoked { items: channels, .. }) =
            events.iter().find(|event| matches!(event, Event::Revoked { .. }))
        else {
            panic!("{events:?}")
        };
        assert_eq!(Withdrawal::from_status(channels[0].status), why);
        assert!(channels[0].lifetime.is_cancel());
    }
    for other in [1, 201, 204, 255] {
        assert_eq!(Withdrawal::from_status(ChannelStatus(other)), Withdrawal::Revoked, "{other}");
    }
}

#[test]
fn a_member_that_does_not_hear_that_its_registration_ended_keeps_the_association() {
    for (why, associations) in [(Withdrawal::Ended, 1), (Withdrawal::Narrowed, 0), (Withdrawal::Revoked, 0)] {
        let mut pair = Pair::default_pair();
        pair.establish(Some(join(&["one"])));
        let member = pair.member.hit();
        pair.server.host.withdraw(pair.now, member, GDOI, why, vec![group("one", HOUR)]).unwrap();
        pair.pass(Duration::from_secs(90), |sender, _| sender == member);
        assert_eq!(pair.server.host.associations().count(), associations, "{why:?}");
    }
}

#[test]
fn several_evictions_go_one_after_the_other() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one", "two", "three"])));
    pair.member.take_events();
    let member = pair.member.hit();
    for name in ["one", "two", "three"] {
        pair.server.host.revoke(pair.now, member, GDOI, vec![group(name, HOUR)]).unwrap();
    }
    assert_eq!(pair.server.transmits().len(), 1, "one UPDATE is outstanding");
    pair.pass(Duration::from_secs(5), |_, _| true);
    let revoked = pair.member.take_events();
    assert_eq!(names(&revoked).iter().filter(|name| **name == "revoked").count(), 3);
}

#[test]
fn an_eviction_and_a_request_may_cross() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.take_events();
    pair.server.take_events();
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.pass(Duration::from_secs(20), |_, _| true);
    let member = pair.member.take_events();
    assert!(names(&member).contains(&"revoked") && names(&member).contains(&"registered"), "{member:?}");
    assert!(names(&pair.server.take_events()).contains(&"revoke_acknowledged"));
}

#[test]
fn an_evicted_member_that_does_not_answer_is_lost() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.server.take_events();
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
    pair.pass(Duration::from_secs(60), |_, _| false);
    let events = pair.server.take_events();
    assert!(names(&events).contains(&"lost"), "{events:?}");
    assert!(state_at_server(&pair).is_none());
    assert!(pair.server.host.snapshot(&pair.member.hit()).is_none());
}
