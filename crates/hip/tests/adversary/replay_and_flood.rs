//! Replays and floods.

use super::*;

#[test]
fn a_replayed_i2_gets_the_stored_r2_and_changes_nothing() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.server.take_events();
    let i2 = pair.sent(pair.member.hit(), PacketType::I2).remove(0);
    let r2 = pair.sent(pair.server.hit(), PacketType::R2).remove(0);
    let before = fingerprint(&pair.server, &pair.member.hit());
    for later in [0, 100, 200, 250] {
        pair.now = START + Duration::from_secs(later);
        pair.server_hears(&i2).unwrap();
        assert_eq!(pair.server.transmits().remove(0).payload, r2, "also after the puzzle's lifetime");
        assert_eq!(fingerprint(&pair.server, &pair.member.hit()), before);
        assert!(pair.server.take_events().is_empty());
    }
    // The R1's key is destroyed with its generation.
    pair.now = START + Duration::from_secs(700);
    assert_eq!(pair.server_hears(&i2), Err(PeerMisbehaved::PuzzleStale.into()));
    assert_eq!(fingerprint(&pair.server, &pair.member.hit()), before);
}

#[test]
fn a_replayed_i2_of_an_earlier_association_does_not_bring_it_back() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    let old = pair.sent(pair.member.hit(), PacketType::I2).remove(0);
    pair.establish(Some(join(&["two"])));
    pair.server.take_events();
    let before = fingerprint(&pair.server, &pair.member.hit());
    pair.server_hears(&old).unwrap();
    assert!(pair.server.transmits().is_empty(), "its R2 was replaced");
    assert_eq!(fingerprint(&pair.server, &pair.member.hit()), before);

    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
    pair.run();
    for i2 in pair.sent(pair.member.hit(), PacketType::I2) {
        let _ = pair.server_hears(&i2);
        let info = pair.server.host.association(&pair.member.hit()).unwrap();
        assert_eq!(info.state, AssociationState::Closed, "who has left stays out");
    }
}

#[test]
fn a_replayed_i2_with_other_octets_where_nothing_covers_them_is_the_same_i2() {
    let mut pair = Pair::default_pair();
    pair.establish(Some(join(&["one"])));
    pair.server.take_events();
    let mut i2 = pair.sent(pair.member.hit(), PacketType::I2).remove(0);
    let padding = signature_padding(&Packet::parse(&i2).unwrap());
    assert!(!padding.is_empty());
    i2[padding.start] ^= 0xff;
    let before = fingerprint(&pair.server, &pair.member.hit());
    pair.server_hears(&i2).unwrap();
    assert!(pair.server.take_events().is_empty());
    assert_eq!(fingerprint(&pair.server, &pair.member.hit()), before);
}

#[test]
fn a_restarted_server_takes_no_i2_of_its_earlier_life() {
    let config = server_config();
    let mut pair = Pair::new(member_config(), config.clone());
    pair.connect(Some(join(&["one"])));
    pair.run_with(|_, octets| octets[2] != PacketType::I2.0);
    let i2 = pair.sent(pair.member.hit(), PacketType::I2).remove(0);
    pair.now = pair.now + Duration::from_millis(5);
    let random = Box::new(claviger_crypto::SeededRandom::new(2));
    pair.server.host = claviger_hip_groups::Host::new(config, random, pair.now).unwrap();
    assert_eq!(pair.server_hears(&i2), Err(PeerMisbehaved::PuzzleStale.into()));
    // The member finds out by itself, and registers.
    pair.pass(Duration::from_secs(5), |_, _| true);
    assert!(pair.keys_agree());
}

#[test]
fn a_puzzle_is_good_for_one_host_at_one_address() {
    let mut pair = Pair::default_pair();
    let foreign: Error = PeerMisbehaved::PuzzleForeign.into();
    let i2 = I2::prepare(&mut pair, attacker()).build();
    let now = pair.now;
    assert_eq!(hear(&mut pair.server, now, ([203, 0, 113, 1], 10500), &i2), Err(foreign));
    let mut stolen = I2::prepare(&mut pair, attacker());
    let other = attacker();
    stolen.sender = other.hit();
    stolen.host_id = other.host_id().clone();
    stolen.identity = other;
    assert_eq!(pair.server_hears(&stolen.build()), Err(foreign));
    assert_eq!(pair.server_hears(&i2), Ok(()));
}

/// Each I2 with a solved puzzle costs a Diffie-Hellman computation: one puzzle buys a bounded number.
#[test]
fn an_i2_flood_behind_one_solved_puzzle_is_bounded() {
    let mut pair = Pair::default_pair();
    let identity = attacker();
    let mut i2 = I2::prepare(&mut pair, identity);
    let (mut computed, mut worn) = (0, 0);
    for number in 0..100u8 {
        i2.requests = vec![RegRequest { lifetime: Lifetime(number), types: vec![GDOI] }];
        let mut octets = i2.build();
        let position = octets.len() - 100;
        octets[position] ^= 1;
        match pair.server_hears(&octets) {
            Err(Error::Auth(_)) => computed += 1,
            Err(Error::Limit(LimitError::PuzzleWorn)) => worn += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((computed, worn), (2, 98));
    let notifies = pair.server.transmits();
    assert_eq!(notifies.len(), 2, "one for each that was looked at");
    assert!(notifies.iter().all(|transmit| transmit.payload[2] == PacketType::NOTIFY.0));
    // Others, and the same host with another puzzle, are served.
    pair.establish(Some(join(&["one"])));
    pair.now = pair.now + Duration::from_secs(1);
    let identity = i2.identity.clone();
    I2::prepare(&mut pair, identity).establish(&mut pair);
}

/// Made-up puzzles cost the server three digests, and no memory.
#[test]
fn an_i2_flood_with_made_up_puzzles_leaves_nothing_behind() {
    let mut pair = Pair::default_pair();
    let mut i2 = I2::prepare(&mut pair, attacker());
    for _ in 0..100 {
        i2.solution.i[0] = i2.solution.i[0].wrapping_add(1);
        assert_eq!(pair.server_hears(&i2.build()), Err(PeerMisbehaved::PuzzleForeign.into()));
    }
    assert_eq!(pair.server.host.associations().count(), 0);
    assert!(pair.server.transmits().is_empty(), "nobody is told before its puzzle is solved");
}
