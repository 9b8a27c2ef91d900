//! Floods of those who call: I1, I2, and what answers them.

use std::{net::SocketAddrV4, thread, time::Instant};

use claviger_crypto::SeededRandom;
use claviger_hip::iana::ParameterType;
use claviger_testkit::{flood::Flood, network::new_identity};

use crate::{
    callers,
    ground::{
        BASELINE, BEFORE_A_JOIN, FLOOD_RATE, FRAMES, Ground, HIP_PORT, flood_duration, lasting, play,
        wait_until_keyed,
    },
    hip,
    recorded::received,
    toll::{Shown, Toll, Weak},
};

/// What an I1 may cost of what junk costs: some are answered.
const I1_RATIO_MAX: f64 = 3.0;

/// What an R1 or R2 may cost that nobody sent who is called: some R1s must be verified, as the genuine one has no MAC.
const ANSWER_RATIO_MAX: f64 = 5.0;

/// How many R1s a second a caller may verify: 1,000, and as many behind each I1 that it sends.
const R1_PER_SECOND_MAX: f64 = 3_000.0;

/// What I2s that a puzzle was solved for may cost of a core.
const CORES_MAX: f64 = 0.5;

/// How many octets a key server may write for a stranger: a line of its log, and no record in its store.
const WRITTEN_MAX: u64 = 1_000;

/// How many I2s come in a second.
const I2_RATE: u32 = 1_000;

#[test]
fn an_i1_of_a_flood_costs_a_key_server_about_as_much_as_junk() {
    play("calls::an_i1_of_a_flood_costs_a_key_server_about_as_much_as_junk", &[], |ground| {
        let server = ground.server.hit();
        let i1s = hip::hits(server).map(move |hit| hip::i1(hit, server));
        let toll = ground.compare("I1 from many addresses", i1s, I1_RATIO_MAX)?;
        let traffic = toll.traffic;
        assert!(traffic.octets_out < traffic.octets_in, "the answers are longer than what is asked: {toll}");
        Ok(())
    });
}

#[test]
fn a_flood_of_i1s_in_the_name_of_a_newcomers_address_does_not_keep_it_out() {
    let test = "calls::a_flood_of_i1s_in_the_name_of_a_newcomers_address_does_not_keep_it_out";
    play(test, &[], |ground| {
        let server = ground.server.hit();
        let (link, victim) = (ground.link_to(ground.server.host), ground.lab.host(3).ipv4());
        let frame = |(port, hit)| {
            let source = SocketAddrV4::new(victim, port);
            link.udp(source, ground.server_at(HIP_PORT), &hip::i1(hit, server))
        };
        let frames = (1_024..32_768).zip(hip::hits(server)).map(frame).collect();
        ground.flood_server("I1 from the newcomer's address", &Flood::new(frames, FLOOD_RATE)).map(drop)
    });
}

#[test]
fn failing_i2s_behind_solved_puzzles_cost_a_key_server_at_most_half_a_core() {
    play("calls::failing_i2s_behind_solved_puzzles_cost_a_key_server_at_most_half_a_core", &[], |ground| {
        let mut random = SeededRandom::new(1);
        solved(&ground, "failing I2", |caller| caller.failing_i2(&ground, &mut random)).map(drop)
    });
}

#[test]
fn valid_i2s_of_strangers_cost_a_key_server_at_most_half_a_core() {
    play("calls::valid_i2s_of_strangers_cost_a_key_server_at_most_half_a_core", &[], |ground| {
        let mut random = SeededRandom::new(2);
        let before = ground.server.octets_written();
        let toll = solved(&ground, "valid I2 of a stranger", |caller| caller.valid_i2(&ground, &mut random))?;
        let written = (ground.server.octets_written() - before) / toll.sent.frames;
        println!("  {written} octets are written for each");
        assert!(written <= WRITTEN_MAX, "{written} octets are written for each: strangers are stored");
        Ok(())
    });
}

/// Floods with an I2 of each of so many callers that none comes twice.
fn solved(
    ground: &Ground<'_>,
    what: &str,
    i2: impl FnMut(&callers::Caller) -> Vec<u8>,
) -> Result<Toll, Weak> {
    let wanted = usize::try_from(flood_duration().as_secs() + 1).unwrap() * I2_RATE as usize;
    let callers = callers::call(ground, wanted);
    println!("{} of {wanted} were answered, puzzle of {} bits", callers.len(), callers[0].difficulty());
    assert!(callers.len() * 2 > wanted, "most calls are answered");
    let flood = Flood::new(callers.iter().map(i2).collect(), I2_RATE);
    let toll = ground.flood_server(what, &flood)?;
    let stale = &ground.server.ask(&["status"])[0]["drops"]["hip"]["puzzle_stale"];
    assert_eq!(
        stale.as_u64().unwrap_or(0),
        0,
        "puzzles that were solved did not hold: the flood was over early"
    );
    toll.assert_cores(CORES_MAX);
    Ok(toll)
}

#[test]
fn a_forged_answer_costs_a_caller_about_as_much_as_junk() {
    play("calls::a_forged_answer_costs_a_caller_about_as_much_as_junk", &[], forged_answers);
}

#[expect(clippy::disallowed_methods, reason = "a join is timed by the real clock")]
fn forged_answers(ground: Ground<'_>) -> Shown {
    let (server, caller_host) = (&ground.server, ground.lab.host(3));
    let genuine = callers::an_r1(&ground);
    let newcomer = ground.newcomer("called");
    let hit = newcomer.hit.parse().unwrap();

    // The key server does not hear the caller for a while, which so awaits an answer.
    server.host.nft(&format!(
        "table inet away {{ chain input {{ type filter hook input priority 0; ip saddr {} drop; }}; }}",
        caller_host.ipv4()
    ));
    let capture = caller_host.capture();
    let mut caller = ground.start_join(newcomer, &[]);
    thread::sleep(BEFORE_A_JOIN);
    let calls = received(&capture.stop(), caller_host.ipv4(), HIP_PORT);
    let (at, _) = calls.first().expect("it calls");

    let signer = new_identity();
    let forged_r2 = hip::r2(server.hit(), hit, &signer);
    let r1s = hip::with_altered_signature(&hip::readdressed(&genuine, hit), ParameterType::HIP_SIGNATURE_2);
    let answers: Vec<_> = r1s.flat_map(|r1| [r1, forged_r2.clone()]).take(FRAMES).collect();
    let link = ground.link_to(caller_host);
    let frames = |payloads: Vec<Vec<u8>>| {
        payloads.iter().map(|payload| link.udp(ground.server_at(HIP_PORT), *at, payload)).collect()
    };
    let length = answers[0].len();
    let junk = hip::junk(length).take(FRAMES).collect();
    let cpu_time = || caller.daemon.cpu_time();
    let junk = Flood::new(frames(junk), FLOOD_RATE);
    let ((), junk) = ground.weigh(&junk, caller_host, cpu_time, || thread::sleep(BASELINE))?;
    println!("junk: {junk}");
    let meanwhile = || {
        lasting(flood_duration(), || {
            thread::sleep(BEFORE_A_JOIN);
            server.host.nft("");
            let start = Instant::now();
            wait_until_keyed(&caller.daemon);
            start.elapsed()
        })
    };
    let flood = Flood::new(frames(answers), FLOOD_RATE);
    let (joined, toll) = ground.weigh(&flood, caller_host, cpu_time, meanwhile)?;
    println!("forged R1 and R2: {toll}; keyed {:.2} s after the key server hears", joined.as_secs_f64());
    toll.assert_ratio(&junk, ANSWER_RATIO_MAX);
    toll.assert_verified(&caller.status(), ("hip", "signature"), R1_PER_SECOND_MAX);
    Ok(())
}
