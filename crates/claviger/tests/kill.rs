//! Kills key servers at any instant, and shows that nothing is reused, forgotten or revived.
//!
//! Four processes of this one executable play together over real sockets on loopback:
//!
//! | process | what |
//! |---|---|
//! | the test | the hosts of a group, who join, leave and pull again; the administrator; the one who kills |
//! | the server | the product's own key server on the product's own store, behind a wrapper that knows when to die |
//! | the checker | hears the group's sockets and what the hosts hold, through all kills; sees neither store nor log |
//!
//! Half of the kills come at random instants, half at a named [`store::Step`] between decide, write, send and
//! acknowledge. The same play on a store that forgets its last commit must not pass the checker. `./test` plays for about
//! a minute; `./test --all` plays every step of every commit several times, and more at random.
//!
//! | module | what |
//! |---|---|
//! | [`stage`] | ports, directories, processes |
//! | [`store`] | the stores that kill and forget |
//! | [`host`] | a host: the product's member machine with sockets of its own |
//! | [`testimony`] | what hosts and administrator tell the checker |
//! | [`checker`] | the process that judges |
//! | [`play`] | who does what when |

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "kill/checker.rs"]
mod checker;
#[path = "kill/host.rs"]
mod host;
#[path = "kill/judgement.rs"]
mod judgement;
#[path = "kill/play.rs"]
mod play;
#[path = "kill/stage.rs"]
mod stage;
#[path = "kill/store.rs"]
mod store;
#[path = "kill/testimony.rs"]
mod testimony;

use std::sync::{Mutex, PoisonError};

use claviger_crypto::{Random, SystemRandom, random};
use claviger_testkit::extent;

use play::{Play, Played, TABLES};
use store::Step;

/// One play at a time: each measures how long members lag.
static STAGE: Mutex<()> = Mutex::new(());

/// Takes the seed of what is random in the play, from the environment or a new one.
fn seed() -> u64 {
    match std::env::var("CLAVIGER_KILL_SEED") {
        Ok(seed) => seed.parse().expect("CLAVIGER_KILL_SEED is a number"),
        Err(_) => u64::from_be_bytes(random::array(&mut SystemRandom::new().unwrap() as &mut dyn Random)),
    }
}

fn played(play: &Play) -> Played {
    eprintln!("CLAVIGER_KILL_SEED={}", play.seed);
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let played = runtime.block_on(play.run());
    eprintln!("{played}");
    played
}

/// How often every step of every commit is played: once, or in `./test --all` several times.
fn rounds() -> usize {
    if extent::is_whole() { 4 } else { 1 }
}

#[test]
fn a_server_killed_at_any_instant_reuses_forgets_and_revives_nothing() {
    let rounds = rounds();
    let orders = Step::ALL.into_iter().flat_map(|step| TABLES.map(|table| (step, table)));
    let orders = orders.chain(Step::ALL.map(|step| (step, "group"))).collect::<Vec<_>>().repeat(rounds);
    let play = Play { seed: seed(), orders, kills_at_random: 30 * rounds, forgetful: false };
    let played = played(&play);
    let seed = play.seed;
    for step in Step::ALL {
        assert!(played.kills_at(step) >= 5 * rounds, "too few kills at {step:?}; CLAVIGER_KILL_SEED={seed}");
    }
    assert!(played.kills_at_random() >= 25 * rounds, "too few kills at random; CLAVIGER_KILL_SEED={seed}");
    assert!(played.kills() >= 50 * rounds, "{} kills; CLAVIGER_KILL_SEED={seed}", played.kills());
    let verdict = &played.verdict;
    assert!(verdict.violations.is_empty(), "CLAVIGER_KILL_SEED={seed}\n{}", verdict.violations.join("\n"));
    // There was something to judge.
    assert!(verdict.pushes > 100, "only {} rekey messages were heard", verdict.pushes);
    assert!(verdict.data > 300, "only {} data packets were heard", verdict.data);
    assert!(verdict.pulls > 30, "only {} PULLs", verdict.pulls);
    assert!(verdict.departures > 5, "only {} departures were acknowledged", verdict.departures);
    assert!(verdict.returns_refused > 0, "no evicted host tried to come back");
    assert!(verdict.settled > 20, "the group came to rest only {} times", verdict.settled);
}

#[test]
fn the_checker_convicts_a_store_that_forgets_its_last_commit() {
    // At this step the datagrams leave that rest on what is then forgotten.
    let orders = ["group", "group", "access", "group", "member", "push"].repeat(2);
    let orders = orders.into_iter().map(|table| (Step::Sending, table)).collect();
    let play = Play { seed: seed(), orders, kills_at_random: 2, forgetful: true };
    let verdict = played(&play).verdict;
    let seed = play.seed;
    assert!(
        verdict.violations.iter().any(|violation| judgement::is_reuse(violation)),
        "nothing was found to be reused or revived; CLAVIGER_KILL_SEED={seed}\n{}",
        verdict.violations.join("\n")
    );
}

#[test]
#[ignore = "started by the tests of this file as processes of their own"]
fn process() {
    match std::env::var(stage::ROLE).as_deref() {
        Ok("server") => stage::serve(),
        Ok("checker") => checker::check(),
        _ => {}
    }
}
