//! Floods of I2s behind solved puzzles: what they may cost, and how hard the puzzles become.

use claviger_hip::{
    verification::{Limits, Rate},
    wire::Puzzle,
};

use super::*;

/// A server whose time for I2s is a hundred of them on P-256 a second, of strangers and registered hosts each.
fn busy_pair() -> Pair {
    let hundred = Rate { per_second: 26_000, burst: 26_000 };
    let mut server = server_config();
    server.provider = counting_provider();
    server.failed_i2_max = u32::MAX;
    server.notify_per_second_max = 0;
    server.public_key_limits = Limits { i2_of_peers: hundred, i2_of_strangers: hundred, ..Limits::default() };
    Pair::new(member_config(), server)
}

/// Sends I2s that fail, each another, behind the same solved puzzle.
fn flood(pair: &mut Pair, i2: &mut I2, count: u16) -> Vec<Error> {
    let fail = |number: u16| {
        i2.requests =
            vec![RegRequest { lifetime: Lifetime(number as u8), types: vec![RegType(number as u8)] }];
        let mut octets = i2.build();
        let mac = Packet::parse(&octets).unwrap().parameters().raw(ParameterType::HIP_MAC).unwrap().offset();
        octets[mac + 8] ^= (number >> 8) as u8 + 1;
        pair.server_hears(&octets).unwrap_err()
    };
    (0..count).map(fail).collect()
}

/// Asks the server for a puzzle, and returns its #K.
fn k(pair: &mut Pair) -> u8 {
    let hit = attacker().hit();
    pair.server_hears(&i1(hit, pair.server.hit(), &[DhGroup::NIST_P256])).unwrap();
    let r1 = pair.server.transmits().pop().unwrap().payload;
    Packet::parse(&r1).unwrap().one::<Puzzle>().unwrap().k
}

#[test]
fn i2s_get_no_more_time_than_they_may_and_registered_hosts_have_some_of_their_own() {
    let mut pair = busy_pair();
    pair.establish(Some(join(&["one"])));
    let mut honest = I2::prepare(&mut pair, attacker());
    honest.requests = vec![reg_request(GDOI)];
    let mut hostile = I2::prepare(&mut pair, attacker());
    pair.now = pair.now + Duration::from_secs(1);
    take_work();
    let errors = flood(&mut pair, &mut hostile, 300);
    let failed = errors.iter().filter(|error| **error == AuthError::Mac.into()).count();
    let refused = errors.iter().filter(|error| **error == LimitError::I2Work.into()).count();
    assert_eq!((failed, refused), (100, 200));
    assert_eq!(take_work(), Work { verifications: 0, computations: 100 });
    // A host that is registered calls anew.
    pair.establish(Some(join(&["one"])));
    // Another waits; what was refused has not worn its puzzle out.
    let i2 = honest.build();
    assert_eq!(pair.server_hears(&i2), Err(LimitError::I2Work.into()));
    pair.now = pair.now + Duration::from_millis(100);
    assert_eq!(pair.server_hears(&i2), Ok(()));
}

#[test]
fn puzzles_become_harder_with_the_load_and_easier_again() {
    let mut server = server_config();
    server.puzzle_difficulty = 1;
    server.puzzle_difficulty_under_load = 6;
    server.failed_i2_max = u32::MAX;
    server.notify_per_second_max = 0;
    let mut pair = Pair::new(member_config(), server);
    assert_eq!(k(&mut pair), 1);
    let mut hostile = I2::prepare(&mut pair, attacker());
    let mut slow = I2::prepare(&mut pair, attacker());
    let mut slower = I2::prepare(&mut pair, attacker());
    slow.requests = vec![reg_request(GDOI)];
    slower.requests = vec![reg_request(GDOI)];

    flood(&mut pair, &mut hostile, 200);
    assert_eq!(k(&mut pair), 3);
    // RFC 7401 section 6.9 step 7: who is solving a puzzle of the generation before is not too late.
    assert_eq!(pair.server_hears(&slow.build()), Ok(()));
    flood(&mut pair, &mut hostile, 200);
    assert_eq!(k(&mut pair), 3, "for a second");
    pair.now = pair.now + Duration::from_secs(1);
    flood(&mut pair, &mut hostile, 200);
    assert_eq!(k(&mut pair), 5);
    // A stock of easy puzzles is worth nothing now.
    let stale = Err(PeerMisbehaved::PuzzleStale.into());
    assert_eq!(pair.server_hears(&slower.build()), stale);
    let mut hostile = I2::prepare(&mut pair, attacker());
    pair.now = pair.now + Duration::from_secs(1);
    flood(&mut pair, &mut hostile, 200);
    assert_eq!(k(&mut pair), 6, "the limit of policy");
    pair.now = pair.now + Duration::from_secs(1);
    flood(&mut pair, &mut hostile, 200);
    assert_eq!(k(&mut pair), 6);
    pair.establish(Some(join(&["one"])));

    for easier in [4, 2, 1, 1] {
        pair.pass(Duration::from_secs(33), |_, _| true);
        assert_eq!(k(&mut pair), easier);
    }
}

#[test]
fn no_finite_field_group_is_offered_unless_it_is_named() {
    let finite_field = [DhGroup::MODP_1536, DhGroup::MODP_2048, DhGroup::MODP_3072];
    let named = |group| {
        let mut server = HostConfig::new(attacker(), provider());
        if let Some(group) = group {
            server.dh_groups.push(group);
        }
        let mut pair = Pair::new(member_config(), server);
        pair.server_hears(&i1(attacker().hit(), pair.server.hit(), &finite_field)).unwrap();
        let r1 = pair.server.transmits().pop().unwrap().payload;
        let DhGroupList(groups) = Packet::parse(&r1).unwrap().one().unwrap();
        groups.into_iter().filter(|group| finite_field.contains(group)).collect::<Vec<_>>()
    };
    assert_eq!(named(None), []);
    assert_eq!(named(Some(DhGroup::MODP_1536)), [DhGroup::MODP_1536]);
}
