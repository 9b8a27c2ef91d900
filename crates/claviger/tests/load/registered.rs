//! Floods of GDOI: PULLs and rekey messages.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use claviger_crypto::{
    SystemRandom, provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    limits::EXCHANGE_LIFETIME,
    push::{self, Push},
    wire::Delete,
};
use claviger_group::Role;
use claviger_identity::HostIdentity;
use claviger_testkit::{
    extent,
    flood::{Flood, Link},
    process::eventually,
};

use crate::{
    ground::{
        BASELINE, BEFORE_A_JOIN, FLOOD_RATE, GDOI_PORT, GROUP, Ground, flood_duration, junk, lasting, play,
    },
    recorded::received,
    support::{Conduct, Listener, Member},
    toll::Shown,
};

/// What a rekey message that an insider forged may cost of what junk costs: it is decrypted, and not verified.
const PUSH_RATIO_MAX: f64 = 4.0;

/// How many signatures of them a member may verify in a second.
const VERIFIED_PER_SECOND_MAX: f64 = 200.0;

/// How many messages an insider forges, each with a number of its own.
const FORGED: u32 = 8_192;

/// The number of the first, far ahead of the group's.
const FORGED_FROM: u32 = 1_000;

/// How many messages under a member's cookies come in a second.
const COOKIE_RATE: u32 = 10_000;

/// How many recorded messages come in a second.
const REPLAY_RATE: u32 = 1_000;

/// The longest time in which a rekey reaches a member: beyond it the flood was what kept it away.
const LAG_MAX: Duration = Duration::from_secs(30);

/// How much faster than time the clock of a member goes that wants sender ids without end.
const HURRY: u32 = 100;

/// How often it registers anew, since the PULLs of one registration are limited, and for how long each time.
const GREEDY_LIVES: usize = 6;
const GREEDY_LIFE: Duration = Duration::from_secs(2);

/// The header of ISAKMP (RFC 2408 section 3.1): octets of both cookies and of all of it, where the exchange type and the
/// message id stand, and the type of a PULL (RFC 6407 section 3.2).
const COOKIES_LEN: usize = 16;
const ISAKMP_HEADER_LEN: usize = 28;
const EXCHANGE_AT: usize = 18;
const GROUPKEY_PULL: u8 = 32;
const MESSAGE_ID: std::ops::Range<usize> = 20..24;

#[test]
fn a_rekey_message_forged_by_an_insider_costs_a_member_about_as_much_as_junk() {
    let test = "registered::a_rekey_message_forged_by_an_insider_costs_a_member_about_as_much_as_junk";
    play(test, &[], forged_pushes);
}

#[test]
fn a_member_pulls_while_junk_comes_under_its_cookies() {
    play(
        "registered::a_member_pulls_while_junk_comes_under_its_cookies",
        &["--lease", "10s"],
        junk_under_cookies,
    );
}

#[test]
fn a_recorded_pull_is_answered_to_one_address_at_most_after_a_restart() {
    let test = "registered::a_recorded_pull_is_answered_to_one_address_at_most_after_a_restart";
    play(test, &[], recorded_pulls);
}

#[test]
fn others_notice_nothing_of_a_member_that_wants_sender_ids_without_end() {
    let test = "registered::others_notice_nothing_of_a_member_that_wants_sender_ids_without_end";
    play(test, &["--sender-id-bits", "8"], sender_ids_without_end);
}

fn forged_pushes(ground: Ground<'_>) -> Shown {
    let mut member = ground.member(&[]);
    let (identity, hit) = Listener::identity();
    allow(&ground, &hit, "receiver");
    let insider = join(&ground, identity, Conduct::HONEST);
    let kek = insider.ledger().rekeys.last().unwrap().kek.clone();
    let SocketAddr::V4(place) = insider.push_address() else { panic!("the group is IPv4") };
    drop(insider);
    let mut random = SystemRandom::new().unwrap();
    let signer = SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut random).unwrap();
    let forged: Vec<_> = (FORGED_FROM..FORGED_FROM + FORGED)
        .map(|sequence| {
            let push = Push { kek: &kek, sequence, deletes: &[Delete::AllTeks], sa: None, kd: None };
            push::seal(provider(), &push, &signer).unwrap()
        })
        .collect();
    let link = Link { source: ground.flooder().hardware_address(), destination: Link::of_group(*place.ip()) };
    let from = ground.server_at(GDOI_PORT);
    let flood = |payloads: Vec<Vec<u8>>| {
        Flood::new(payloads.iter().map(|payload| link.udp(from, place, payload)).collect(), FLOOD_RATE)
    };
    // Junk of the same length has the KEK's SPI in front, or it would be a sign of missed keys.
    let length = forged[0].len();
    let spi = &forged[0][..COOKIES_LEN];
    let junk = junk(length).map(|octets| [spi, &octets[COOKIES_LEN..]].concat());
    let junk = flood(junk.take(forged.len()).collect());
    let cpu_time = || member.daemon.cpu_time();
    let ((), junk) = ground.weigh(&junk, member.host, cpu_time, || thread::sleep(BASELINE))?;
    println!("junk: {junk}");
    let meanwhile = || lasting(flood_duration(), || rekeyed(&ground, &member, || {}));
    let (lag, toll) = ground.weigh(&flood(forged), member.host, cpu_time, meanwhile)?;
    println!("forged rekey messages: {toll}; a rekey came after {:.2} s", lag.as_secs_f64());
    toll.assert_ratio(&junk, PUSH_RATIO_MAX);
    let status = member.status();
    toll.assert_verified(&status, ("gdoi", "bad_signature"), VERIFIED_PER_SECOND_MAX);
    assert_eq!(status["counters"]["member"]["registrations"], 1, "it stayed in the group");
    Ok(())
}

fn junk_under_cookies(ground: Ground<'_>) -> Shown {
    let capture = ground.server.host.capture();
    let mut member = ground.member(&["--sender"]);
    let pulls = received(&capture.stop(), member.host.ipv4(), GDOI_PORT);
    let (at, first) = pulls.first().unwrap().clone();
    // The header is that of the member's own message; the message id, and what is encrypted, are others.
    let header = &first[..ISAKMP_HEADER_LEN];
    let forge = |octets: Vec<u8>| {
        let mut forged = header.to_vec();
        forged[MESSAGE_ID].copy_from_slice(&octets[MESSAGE_ID]);
        [&forged[..], &octets[ISAKMP_HEADER_LEN..]].concat()
    };
    let link = ground.link_to(ground.server.host);
    let mut forged = junk(first.len()).map(forge);
    let own = forged.by_ref().map(|octets| link.udp(at, ground.server_at(GDOI_PORT), &octets));
    let own: Vec<_> = own.take(COOKIE_RATE as usize).collect();
    let others = ground.to_server(GDOI_PORT, forged.take(own.len()));
    let frames = own.into_iter().zip(others).flat_map(<[_; 2]>::from).collect();
    let flood = Flood::new(frames, COOKIE_RATE);
    let meanwhile = || {
        lasting(flood_duration(), || {
            thread::sleep(BEFORE_A_JOIN);
            // It misses the rekey, hears that it is behind, and pulls.
            rekeyed(&ground, &member, || member.host.nft(DEAF_TO_GROUPS))
        })
    };
    let (lag, toll) = ground.weigh(&flood, ground.server.host, || ground.server.cpu_time(), meanwhile)?;
    println!("junk under a member's cookies: {toll}; it has missed keys {:.2} s later", lag.as_secs_f64());
    let counters = member.status()["counters"]["member"].take();
    assert_eq!(counters["registrations"], 1, "it pulls under its registration: {counters}");
    assert!(counters["leases_ended"].is_null(), "{counters}");
    Ok(())
}

/// Rules by which a host hears nothing that is for many.
const DEAF_TO_GROUPS: &str = "table inet deaf { chain input { type filter hook input priority 0; \
                              meta l4proto udp ip daddr 224.0.0.0/4 drop; }; }";

fn recorded_pulls(ground: Ground<'_>) -> Shown {
    let capture = ground.server.host.capture();
    let mut member = ground.member(&["--sender"]);
    let mut pulls = received(&capture.stop(), member.host.ipv4(), GDOI_PORT);
    pulls.retain(|(_, message)| message[EXCHANGE_AT] == GROUPKEY_PULL);
    assert!(pulls.len() >= 2, "a PULL has two messages of the member");
    member.stop();
    // A member whose PULL a restart cut off goes on within the exchange's time: each of its exchanges
    // is answered once more, towards one address. An old one is not.
    let allowed = if extent::is_whole() {
        thread::sleep(EXCHANGE_LIFETIME);
        0
    } else {
        pulls.iter().map(|(_, message)| &message[MESSAGE_ID]).collect::<BTreeSet<_>>().len()
    };
    let ground = ground.restart_server();
    let recorded = pulls.iter().map(|(_, message)| message.clone()).cycle();
    let link = ground.link_to(ground.server.host);
    let mut frames: Vec<_> =
        pulls.iter().map(|(at, message)| link.udp(*at, ground.server_at(GDOI_PORT), message)).collect();
    frames.extend(ground.to_server(GDOI_PORT, recorded.take(REPLAY_RATE as usize)));
    let capture = ground.server.host.capture();
    let flood = Flood::new(frames, REPLAY_RATE);
    let wait = || thread::sleep(flood_duration());
    let ((), toll) = ground.weigh(&flood, ground.server.host, || ground.server.cpu_time(), wait)?;
    println!("recorded PULLs: {toll}");
    let packets = capture.stop().packets();
    let answered: BTreeSet<_> = packets
        .iter()
        .filter(|(_, packet)| packet.udp().is_some_and(|(from, ..)| from == GDOI_PORT))
        .map(|(_, packet)| packet.destination)
        .filter(|destination| !destination.is_multicast())
        .collect();
    println!("  answers to {} addresses, {allowed} allowed", answered.len());
    assert!(answered.len() <= allowed, "{answered:?}");
    Ok(())
}

fn sender_ids_without_end(ground: Ground<'_>) -> Shown {
    let mut member = ground.member(&["--sender"]);
    let (identity, hit) = Listener::identity();
    allow(&ground, &hit, "both");
    let conduct = Conduct { role: Role::Both, greedy: true, hurry: HURRY };
    let pulls: [u64; GREEDY_LIVES] = std::array::from_fn(|_| {
        let greedy = join(&ground, identity.clone(), conduct);
        thread::sleep(GREEDY_LIFE);
        greedy.pulls()
    });
    println!("sender ids without end: PULLs that brought keys, of each registration: {pulls:?}");
    assert!(pulls.iter().sum::<u64>() > GREEDY_LIVES as u64, "it was not greedy");
    let status = member.status();
    let counters = &status["counters"]["member"];
    assert_eq!(counters["registrations"], 1, "{counters}");
    assert!(counters["pulls_again"].is_null(), "{counters}");
    let log = member.daemon.errors();
    assert!(!log.contains("WARN") && !log.contains("pulls again"), "{log}");
    Ok(())
}

/// Lets a host in.
fn allow(ground: &Ground<'_>, hit: &str, role: &str) {
    ground.server.ask(&["member", "allow", "--group", GROUP, hit, "--role", role]);
}

/// Has a member inside the test join at host 3.
fn join(ground: &Ground<'_>, identity: Arc<HostIdentity>, conduct: Conduct) -> Listener {
    let at = (ground.server.hit(), *ground.server_at(GDOI_PORT).ip());
    Listener::join_as(ground.lab.host(3), identity, at, GROUP, conduct)
}

/// Orders a new TEK and says after how long a member has logged it.
#[expect(clippy::disallowed_methods, reason = "a lag is timed by the real clock")]
fn rekeyed(ground: &Ground<'_>, member: &Member<'_>, before: impl FnOnce()) -> Duration {
    before();
    let start = Instant::now();
    ground.server.ask(&["rekey", "--group", GROUP, "--key", "tek"]);
    let tek = ground.server.keys(GROUP).newest().unwrap();
    eventually("the member has the new TEK", LAG_MAX, || {
        member.daemon.errors().contains(&format!("tek=\"{tek:08x}\"")).then_some(())
    });
    start.elapsed()
}
