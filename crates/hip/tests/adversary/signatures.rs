//! Floods that want signatures verified: what strangers send costs little, and what is awaited goes through under it.

use super::*;

/// Far more than any budget has at once.
const FLOOD: usize = 1_100;

/// A pair whose server counts its work.
fn counted_pair() -> Pair {
    let mut server = server_config();
    server.provider = counting_provider();
    Pair::new(member_config(), server)
}

/// A pair whose member counts its work.
fn counting_member() -> Pair {
    let mut member = member_config();
    member.provider = counting_provider();
    Pair::new(member, server_config())
}

/// Changes an octet of the signature.
fn with_another_signature(octets: &[u8], number: usize) -> Vec<u8> {
    let packet = Packet::parse(octets).unwrap();
    let at = packet.parameters().raw(ParameterType::HIP_SIGNATURE).unwrap().offset() + 20;
    let mut changed = octets.to_vec();
    changed[at] ^= (number % 255) as u8 + 1;
    changed
}

/// A NOTIFY in somebody's name that somebody else signed.
fn forged_notify(from: Hit, to: Hit) -> Vec<u8> {
    let mut builder = PacketBuilder::new(PacketType::NOTIFY, from, to);
    builder.add(&Notification::new(NotifyType::HIP_MAC_FAILED)).sign(&attacker()).unwrap();
    builder.finish().unwrap()
}

/// Two registered hosts, and the packet of a type that the member sent last.
fn registered_pair(packet_type: PacketType) -> (Pair, Vec<u8>) {
    let mut pair = counted_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.pass(Duration::from_secs(3), |_, _| true);
    if packet_type == PacketType::CLOSE {
        pair.member.host.close(pair.now, pair.server.hit()).unwrap();
        pair.run();
    }
    let octets = pair.sent(pair.member.hit(), packet_type).pop().unwrap();
    pair.server.take_events();
    take_work();
    (pair, octets)
}

#[test]
fn forged_notifies_to_a_host_that_awaits_nothing_cost_no_verification() {
    let (mut pair, _) = registered_pair(PacketType::UPDATE);
    let notify = forged_notify(pair.member.hit(), pair.server.hit());
    for _ in 0..FLOOD {
        assert_eq!(pair.server_hears(&notify), Err(PeerMisbehaved::NotifyUnasked.into()));
    }
    assert_eq!(take_work(), Work::default());
}

#[test]
fn an_awaited_r2_goes_through_under_a_flood_of_forged_notifies_of_which_a_few_are_verified() {
    let mut pair = counting_member();
    pair.connect(Some(join(&["one"])));
    pair.run_with(|_, octets| octets[2] != PacketType::R2.0);
    let r2 = pair.sent(pair.server.hit(), PacketType::R2).remove(0);
    take_work();
    let notify = forged_notify(pair.server.hit(), pair.member.hit());
    for number in 0..FLOOD {
        let expected: Error =
            if number < 8 { AuthError::Signature.into() } else { LimitError::NotifySignatures.into() };
        assert_eq!(pair.member_hears(&notify), Err(expected));
    }
    assert_eq!(take_work().verifications, 8);
    pair.now = pair.now + Duration::from_millis(250);
    assert_eq!(pair.member_hears(&notify), Err(AuthError::Signature.into()), "four a second");
    assert_eq!(pair.member_hears(&notify), Err(LimitError::NotifySignatures.into()));
    assert_eq!(pair.member_hears(&r2), Ok(()));
    assert!(pair.keys_agree());
}

#[test]
fn an_update_that_is_repeated_with_another_signature_costs_no_verification() {
    let mut pair = counted_pair();
    pair.establish(Some(join(&["one"])));
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.run();
    let update = pair.sent(pair.member.hit(), PacketType::UPDATE).remove(0);
    let answer = pair.sent(pair.server.hit(), PacketType::UPDATE).pop().unwrap();
    let before = fingerprint(&pair.server, &pair.member.hit());
    take_work();
    let mut answered = 0;
    for number in 0..FLOOD {
        match pair.server_hears(&with_another_signature(&update, number)) {
            Ok(()) => answered += 1,
            other => assert_eq!(other, Err(LimitError::Repetitions.into())),
        }
    }
    assert_eq!(take_work(), Work::default());
    let answers = pair.server.transmits();
    assert_eq!((answered, answers.len()), (16, 16), "who repeats itself is answered, within bounds");
    assert!(answers.iter().all(|transmit| transmit.payload == answer));
    assert_eq!(fingerprint(&pair.server, &pair.member.hit()), before);
}

#[test]
fn a_close_that_is_repeated_with_another_signature_costs_no_verification() {
    let (mut pair, close) = registered_pair(PacketType::CLOSE);
    let mut answered = 0;
    for number in 0..FLOOD {
        answered += usize::from(pair.server_hears(&with_another_signature(&close, number)).is_ok());
    }
    assert_eq!(take_work(), Work::default());
    assert_eq!((answered, pair.server.transmits().len()), (16, 16));
}

#[test]
fn a_recorded_acknowledgement_costs_no_verification() {
    let (mut pair, acknowledgement) = registered_pair(PacketType::UPDATE);
    assert!(Packet::parse(&acknowledgement).unwrap().find::<Seq>().unwrap().is_none());
    for _ in 0..FLOOD {
        assert_eq!(pair.server_hears(&acknowledgement), Err(PeerMisbehaved::AckUnasked.into()));
    }
    assert_eq!(take_work(), Work::default());
}

#[test]
fn who_has_the_keys_of_an_association_has_few_signatures_verified_and_stops_nobody_else() {
    let mut pair = counted_pair();
    let session = I2::prepare(&mut pair, attacker()).establish(&mut pair);
    pair.establish(Some(join(&["one"])));
    take_work();
    let update = |seq| {
        let octets = session.packet(PacketType::UPDATE, |builder| {
            builder.add(&Seq(seq));
        });
        with_another_signature(&octets, 0)
    };
    for _ in 0..FLOOD {
        pair.server_hears(&update(0)).unwrap_err();
    }
    assert_eq!(take_work().verifications, 64);
    assert_eq!(pair.server_hears(&update(0)), Err(LimitError::UpdateSignatures.into()));
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.run();
    assert!(told(&mut pair.member, "registered"));
}

#[test]
fn hosts_without_a_registration_have_few_signatures_verified_together_and_stop_no_member() {
    let mut pair = counted_pair();
    pair.establish(Some(join(&["one"])));
    pair.decide = Some(refuse);
    let strangers: Vec<Session> =
        (0..8).map(|_| I2::prepare(&mut pair, attacker()).establish(&mut pair)).collect();
    pair.decide = Some(grant);
    take_work();
    let mut refused = 0;
    for stranger in &strangers {
        let update = stranger.packet(PacketType::UPDATE, |builder| {
            builder.add(&Seq(0));
        });
        for number in 0..64 {
            let result = pair.server_hears(&with_another_signature(&update, number));
            refused += usize::from(result == Err(LimitError::UnregisteredSignatures.into()));
        }
    }
    assert_eq!((take_work().verifications, refused), (256, 256));
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
    pair.run();
    assert!(told(&mut pair.member, "registered"));
    // What this host awaits goes through as well, from whomever.
    let eviction = pair.member.hit();
    pair.server.host.revoke(pair.now, eviction, GDOI, vec![]).unwrap();
    pair.run();
    assert!(told(&mut pair.server, "revoke_acknowledged"));
}

#[test]
fn forged_r1s_do_not_keep_the_genuine_one_out() {
    let mut pair = counting_member();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0);
    pair.deliver(pair.member.hit(), &i1);
    let genuine = pair.server.transmits().remove(0).payload;
    let signature = {
        let packet = Packet::parse(&genuine).unwrap();
        packet.parameters().raw(ParameterType::HIP_SIGNATURE_2).unwrap().offset() + 20
    };
    let mut forged = genuine.clone();
    forged[signature] ^= 1;
    let now = pair.now;
    // Who cannot send in the name of the address that was called has next to nothing verified.
    for _ in 0..FLOOD {
        hear(&mut pair.member, now, ([203, 0, 113, 9], 10500), &forged).unwrap_err();
    }
    assert_eq!(take_work().verifications, 8);
    for _ in 0..1_000 {
        assert_eq!(pair.member_hears(&forged), Err(AuthError::Signature.into()));
    }
    assert_eq!(pair.member_hears(&genuine), Ok(()));
    pair.run();
    assert!(pair.is_established());
}

#[test]
fn each_i1_has_r1s_verified_anew() {
    let mut pair = counting_member();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0);
    pair.deliver(pair.member.hit(), &i1);
    let genuine = pair.server.transmits().remove(0).payload;
    let mut forged = genuine.clone();
    let end = forged.len();
    forged[end - 20] ^= 1;
    for _ in 0..2 * FLOOD {
        pair.member_hears(&forged).unwrap_err();
    }
    assert_eq!(pair.member_hears(&genuine), Err(LimitError::R1Signatures.into()));
    assert_eq!(take_work().verifications, 1_024);
    pair.pass(Duration::from_secs(1), |_, _| true);
    assert!(pair.is_established());
}

#[test]
fn forged_r2s_cost_no_verification_and_few_under_the_right_mac() {
    let mut pair = counting_member();
    pair.connect(Some(join(&["one"])));
    pair.run_with(|_, octets| octets[2] != PacketType::R2.0);
    let r2 = pair.sent(pair.server.hit(), PacketType::R2).remove(0);
    take_work();
    let mac = Packet::parse(&r2).unwrap().parameters().raw(ParameterType::HIP_MAC_2).unwrap().offset() + 10;
    let mut forged = r2.clone();
    forged[mac] ^= 1;
    for _ in 0..FLOOD {
        assert_eq!(pair.member_hears(&forged), Err(AuthError::Mac.into()));
    }
    assert_eq!(take_work(), Work::default());
    for number in 0..FLOOD {
        pair.member_hears(&with_another_signature(&r2, number)).unwrap_err();
    }
    assert_eq!(take_work().verifications, 64);
    pair.pass(Duration::from_secs(1), |_, _| true);
    assert!(pair.keys_agree());
}
