//! Floods of I1s, and who is answered during one (binding section 3.1).

use claviger_hip::wire::cookie::{COOKIE_LEN, NONCE_LEN};
use claviger_hip::wire::{Cookie, DhGroupList, Puzzle};
use claviger_sansio::{Time, Transmit};

use super::*;

/// A flood: I1s a second, as many as a small key server takes in.
const PER_SECOND: u32 = 60_000;

/// Where a flood claims to come from.
#[derive(Clone, Copy)]
enum Sources {
    /// 2,000 addresses.
    Many,
    /// The address that the member has too, from other ports.
    OfMember,
}

struct Flood {
    sources: Sources,
    sent: u32,
    attacker: Hit,
}

impl Flood {
    fn new(sources: Sources) -> Self {
        Self { sources, sent: 0, attacker: attacker().hit() }
    }

    /// Sends what comes within a millisecond; returns what is answered.
    fn millisecond(&mut self, pair: &mut Pair) -> Vec<Transmit> {
        let i1 = i1(self.attacker, pair.server.hit(), &[DhGroup::NIST_P256]);
        let now = pair.now;
        for _ in 0..PER_SECOND / 1_000 {
            self.sent += 1;
            let port = 1_024 + (self.sent % 9_000) as u16;
            let [high, low] = (self.sent % 2_000).to_be_bytes()[2..] else { unreachable!("two octets") };
            let address = match self.sources {
                Sources::Many => [198, 18, high, low],
                Sources::OfMember => [192, 0, 2, 1],
            };
            let _ = hear(&mut pair.server, now, (address, port), &i1);
        }
        let own = pair.member.address;
        let flooded = |transmit: &Transmit| transmit.destination != own;
        let (answers, others): (Vec<_>, Vec<_>) = pair.server.transmits().into_iter().partition(flooded);
        let server = pair.server.hit();
        for transmit in others {
            pair.deliver(server, &transmit);
        }
        answers
    }

    /// Floods for a time, while the two hosts go on as well as they can.
    fn run(
        &mut self,
        pair: &mut Pair,
        duration: Duration,
        mut wanted: impl FnMut(&Pair) -> bool,
    ) -> Vec<Transmit> {
        let end = pair.now + duration;
        let mut answers = Vec::new();
        while pair.now < end && !wanted(pair) {
            answers.extend(self.millisecond(pair));
            pair.run();
            pair.now = pair.now + Duration::from_millis(1);
            pair.member.host.handle_timeout(pair.now);
            pair.server.host.handle_timeout(pair.now);
        }
        answers
    }
}

fn flooded(sources: Sources) -> (Pair, Flood) {
    let mut pair = Pair::default_pair();
    let mut flood = Flood::new(sources);
    flood.run(&mut pair, Duration::from_millis(250), |_| false);
    (pair, flood)
}

fn asking(from: Hit, to: Hit, groups: &[DhGroup], cookie: Cookie) -> Vec<u8> {
    let mut builder = PacketBuilder::new(PacketType::I1, from, to);
    builder.add(&DhGroupList(groups.to_vec())).add(&cookie).finish().unwrap()
}

#[test]
fn r1s_have_no_more_octets_than_the_limit_however_many_addresses_a_flood_claims() {
    for sources in [Sources::Many, Sources::OfMember] {
        let mut pair = Pair::default_pair();
        let answers = Flood::new(sources).run(&mut pair, Duration::from_millis(500), |_| false);
        let octets: usize = answers.iter().map(|answer| answer.payload.len()).sum();
        assert!((400_000..=500_000).contains(&octets), "{octets} in half a second");
        assert_eq!(pair.server.host.associations().count(), 0);
    }
}

#[test]
fn who_claims_a_victims_address_does_not_take_its_r1s() {
    let mut pair = Pair::default_pair();
    let victim = i1(attacker().hit(), pair.server.hit(), &[DhGroup::NIST_P256]);
    for number in 0..1_000u32 {
        let mut hit = *pair.member.hit().octets();
        hit[12..].copy_from_slice(&number.to_be_bytes());
        let forged = i1(Hit::new(hit), pair.server.hit(), &[DhGroup::NIST_P256]);
        let _ = pair.server_hears(&forged);
        pair.now = pair.now + Duration::from_micros(900);
    }
    pair.server.transmits();
    assert_eq!(pair.server_hears(&victim), Ok(()));
    assert_eq!(pair.server.transmits().len(), 1);
}

#[test]
fn a_foreign_host_has_its_chance_each_time_it_asks_during_a_flood() {
    let (mut pair, mut flood) = flooded(Sources::OfMember);
    let (mut answered, times) = (0, 1_500);
    for number in 0..times {
        let mut hit = *pair.member.hit().octets();
        hit[12..].copy_from_slice(&u32::to_be_bytes(number));
        let foreign = i1(Hit::new(hit), pair.server.hit(), &[DhGroup::NIST_P256]);
        answered += u32::from(pair.server_hears(&foreign).is_ok());
        if number % 10 == 0 {
            flood.millisecond(&mut pair);
            pair.now = pair.now + Duration::from_millis(1);
        }
    }
    // A thousand R1s for 70,000 I1s: one in 70.
    assert!((5..60).contains(&answered), "{answered} of {times}");
}

#[test]
fn a_member_joins_within_a_second_during_a_flood_of_60000_i1s_a_second() {
    for sources in [Sources::Many, Sources::OfMember] {
        let (mut pair, mut flood) = flooded(sources);
        let began = pair.now;
        pair.connect(Some(join(&["one"])));
        flood.run(&mut pair, Duration::from_secs(1), Pair::keys_agree);
        assert!(pair.keys_agree(), "{:?}", pair.now.since(began));
        let r1s = pair.sent(pair.server.hit(), PacketType::R1);
        assert!(Packet::parse(&r1s[0]).unwrap().find::<Cookie>().unwrap().is_some(), "it proved its address");
    }
}

#[test]
fn the_answer_to_a_cookie_question_is_never_longer_than_the_question() {
    let (mut pair, _) = flooded(Sources::Many);
    let hit = attacker().hit();
    for groups in [&[][..], &[DhGroup::NIST_P256], &[DhGroup::NIST_P256; 40]] {
        let question = asking(hit, pair.server.hit(), groups, Cookie::asking([1; NONCE_LEN]));
        pair.server_hears(&question).unwrap();
        let answer = pair.server.transmits().pop().unwrap().payload;
        assert!(answer.len() <= question.len(), "{} for {}", answer.len(), question.len());
        let cookie: Cookie = Packet::parse(&answer).unwrap().one().unwrap();
        assert_eq!(cookie.nonce, [1; NONCE_LEN]);
    }
}

#[test]
fn a_foreign_host_is_never_sent_a_cookie() {
    let mut pair = Pair::default_pair();
    let answers = Flood::new(Sources::Many).run(&mut pair, Duration::from_millis(250), |_| false);
    assert!(!answers.is_empty());
    for answer in answers {
        let packet = Packet::parse(&answer.payload).unwrap();
        assert_eq!(packet.find::<Cookie>(), Ok(None));
        assert!(packet.one::<Puzzle>().is_ok());
    }
}

#[test]
fn a_cookie_is_good_for_one_host_at_one_address() {
    let (mut pair, _) = flooded(Sources::Many);
    let (one, other, server) = (attacker().hit(), attacker().hit(), pair.server.hit());
    let now = pair.now;
    let mut answer = |hit, source: ([u8; 4], u16), cookie| {
        hear(&mut pair.server, now, source, &asking(hit, server, &[DhGroup::NIST_P256], cookie)).unwrap();
        let answer = pair.server.transmits().pop().unwrap().payload;
        Packet::parse(&answer).unwrap().find::<Cookie>().unwrap()
    };
    let here = ([203, 0, 113, 1], 10500);
    let cookie = answer(one, here, Cookie::asking([7; NONCE_LEN])).unwrap();
    assert_eq!(answer(one, here, cookie), None, "an R1");
    assert!(answer(other, here, cookie).is_some());
    assert!(answer(one, ([203, 0, 113, 2], 10500), cookie).is_some());
    assert!(answer(one, ([203, 0, 113, 1], 10501), cookie).is_some());
    assert!(answer(one, here, Cookie { cookie: [9; COOKIE_LEN], ..cookie }).is_some());
}

#[test]
fn a_cookie_that_nobody_asked_for_is_not_taken() {
    let mut pair = Pair::default_pair();
    pair.connect(None);
    let i1 = pair.member.transmits().remove(0).payload;
    let nonce = Packet::parse(&i1).unwrap().one::<Cookie>().unwrap().nonce;
    let answer = |nonce, octet| {
        let mut builder = PacketBuilder::new(PacketType::R1, pair.server.hit(), pair.member.hit());
        builder.add(&Cookie { nonce, cookie: [octet; COOKIE_LEN] }).finish().unwrap()
    };
    let (forged, first, second) = (answer([0; NONCE_LEN], 1), answer(nonce, 2), answer(nonce, 3));
    let unasked: Error = PeerMisbehaved::R1Unasked.into();
    assert_eq!(pair.member_hears(&forged), Err(unasked), "who does not see the I1 does not know its nonce");
    assert_eq!(pair.member_hears(&first), Ok(()));
    let repeated = pair.member.transmits().remove(0).payload;
    assert_eq!(Packet::parse(&repeated).unwrap().one::<Cookie>().unwrap().cookie, [2; COOKIE_LEN]);
    assert_eq!(pair.member_hears(&second), Err(unasked), "hosts do not call each other in a circle");
    pair.pass(Duration::from_secs(1), |_, _| true);
    assert!(pair.is_established(), "a false cookie keeps nobody out where no proof is wanted");
}

#[test]
fn the_same_i1_repeated_at_once_is_answered_once() {
    let mut pair = Pair::default_pair();
    let octets = i1(attacker().hit(), pair.server.hit(), &[DhGroup::NIST_P256]);
    assert_eq!(pair.server_hears(&octets), Ok(()));
    for _ in 0..100 {
        assert_eq!(pair.server_hears(&octets), Err(LimitError::I1Repeated.into()));
    }
    pair.now = pair.now + Duration::from_millis(500);
    assert_eq!(pair.server_hears(&octets), Ok(()), "as often as a host repeats itself");
    assert_eq!(pair.server.transmits().len(), 2);
}

#[test]
fn a_host_refuses_a_limit_that_no_r1_fits_into() {
    let mut config = server_config();
    config.r1_octets_per_second_max = HostConfig::R1_OCTETS_PER_SECOND_MIN - 1;
    let random = Box::new(claviger_crypto::SeededRandom::new(1));
    let host = claviger_hip_groups::Host::new(config, random, Time::EPOCH);
    assert_eq!(host.err(), Some(claviger_hip::ApiMisuse::Config.into()));
}
