//! Hosts that call a registrar and are granted nothing.

use super::*;

/// Answers a request by whose it is.
fn refuse_all_but(pair: &mut Pair, listed: Hit) {
    while let Some(event) = pair.server.host.poll_event() {
        if let Event::RegistrationRequested { ticket, peer, request, .. } = &event {
            let answer = if *peer == listed { grant(request) } else { refuse(request) };
            pair.server.host.answer(pair.now, *ticket, answer).unwrap();
        }
        pair.server.events.push(event);
    }
}

fn stranger_calls(pair: &mut Pair) -> Hit {
    let i2 = I2::prepare(pair, attacker());
    pair.server_hears(&i2.build()).unwrap();
    refuse_all_but(pair, Hit::NULL);
    pair.server.transmits();
    // So that each is older than the next, and no limit of R1s is met.
    pair.now = pair.now + Duration::from_millis(2);
    i2.sender
}

#[test]
fn strangers_make_room_for_each_other_and_take_none_from_a_listed_host() {
    let mut config = server_config();
    config.associations_max = 2;
    let most = config.strangers_max;
    let mut pair = Pair::new(member_config(), config);
    pair.decide = None;
    let first = stranger_calls(&mut pair);
    for _ in 0..most + 500 {
        stranger_calls(&mut pair);
    }
    let last = stranger_calls(&mut pair);
    assert_eq!(pair.server.host.associations().count(), most);
    assert!(pair.server.host.association(&first).is_none(), "who called first is forgotten");
    assert!(pair.server.host.association(&last).is_some());

    let listed = pair.member.hit();
    pair.connect(Some(join(&["one"])));
    for _ in 0..4 {
        pair.run();
        let decided = pair.server.events.split_off(0);
        for event in decided {
            if let Event::RegistrationRequested { ticket, peer, request, .. } = &event
                && *peer == listed
            {
                pair.server.host.answer(pair.now, *ticket, grant(request)).unwrap();
            }
        }
    }
    assert!(pair.keys_agree());
    for _ in 0..most {
        stranger_calls(&mut pair);
    }
    assert!(pair.keys_agree(), "strangers push out strangers only");
}

#[test]
fn nothing_of_a_stranger_is_stored() {
    let mut pair = Pair::default_pair();
    pair.decide = Some(refuse);
    pair.establish(Some(join(&["one"])));
    let member = pair.member.hit();
    assert!(pair.server.host.snapshot(&member).is_none());
    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
    pair.run();
    pair.pass(Duration::from_secs(600), |_, _| true);
    assert!(pair.server.host.association(&member).is_none());
    assert!(!told(&mut pair.server, "changed"), "there is nothing to store, and nothing to remove");
}

#[test]
fn a_stranger_that_is_granted_something_is_none_any_more() {
    let mut config = server_config();
    config.strangers_max = 1;
    let mut pair = Pair::new(member_config(), config);
    pair.decide = Some(refuse);
    pair.establish(Some(join(&["one"])));
    pair.decide = Some(grant);
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.run();
    assert!(told(&mut pair.server, "changed"));
    assert!(pair.server.host.snapshot(&pair.member.hit()).is_some());
    pair.decide = None;
    for _ in 0..3 {
        stranger_calls(&mut pair);
    }
    assert!(pair.keys_agree());
}

/// A member that is put out and calls anew is a stranger from then on, and what was stored of it goes.
#[test]
fn what_was_stored_of_a_host_goes_when_it_calls_anew_and_is_refused() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.server.take_events();
    pair.decide = Some(refuse);
    pair.now = pair.now + Duration::from_secs(1);
    pair.establish(Some(join(&["one"])));
    assert!(told(&mut pair.server, "changed"));
    assert!(pair.server.host.snapshot(&pair.member.hit()).is_none());
}

/// RFC 8003 section 3.2.
#[test]
fn a_registrar_that_requires_a_registration_says_so_in_r2_and_makes_no_association() {
    let mut config = server_config();
    config.requires_registration = true;
    let mut pair = Pair::new(member_config(), config);
    pair.connect(None);
    pair.run();
    let r2 = pair.sent(pair.server.hit(), PacketType::R2).remove(0);
    let r2 = Packet::parse(&r2).unwrap();
    assert_eq!(r2.one::<Notification>(), Ok(Notification::new(NotifyType::REG_REQUIRED)));
    assert_eq!(pair.server.host.associations().count(), 0);
    assert_eq!(pair.member.host.associations().count(), 0);
    let required = FailReason::Incompatible(PeerIncompatible::RegistrationRequired);
    let events = pair.member.take_events();
    assert!(matches!(events[..], [Event::Failed { reason, .. }] if reason == required), "{events:?}");
    // The I2 again gets the same R2.
    let i2 = pair.sent(pair.member.hit(), PacketType::I2).remove(0);
    pair.server_hears(&i2).unwrap();
    assert_eq!(pair.server.transmits().remove(0).payload, r2.octets());
    pair.establish(Some(join(&["one"])));
}
