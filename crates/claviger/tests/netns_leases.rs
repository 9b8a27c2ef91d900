//! Leases in namespaces: an evicted host jams a sender, the key server's disk is slow, a stranger floods it with junk.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod support;

use std::{
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use claviger_testkit::{
    lab::{self, INTERFACE, Lab, laboratory},
    process::eventually,
};
use support::{
    KeyServer, PATIENCE,
    film::{Speaker, members, screens},
    json, now,
};

/// The shortest lease that a policy may have.
const LEASE: Duration = Duration::from_secs(10);

/// How long each wait for the disk takes more.
const SLOW_SYNC: Duration = Duration::from_millis(200);

/// What a bound on a lease is later by, and a program by than its instants.
const SLACK: Duration = Duration::from_secs(3);

#[test]
fn nothing_that_is_sent_after_the_last_lease_is_read_by_an_evicted_host_that_jams_a_sender() {
    let test = "nothing_that_is_sent_after_the_last_lease_is_read_by_an_evicted_host_that_jams_a_sender";
    if lab::installed(test, &[lab::NFT]) {
        laboratory(test, 4, jammed);
    }
}

#[test]
fn a_flood_of_junk_ends_no_senders_lease() {
    laboratory("a_flood_of_junk_ends_no_senders_lease", 4, flooded);
}

/// Builds what makes a disk slow.
fn slow_sync(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/slow_sync.c");
    let library = directory.join("slow_sync.so");
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(built.unwrap().success(), "a C compiler is there");
    library
}

fn jammed(lab: &Lab) {
    let library = slow_sync(lab.directory());
    let milliseconds = SLOW_SYNC.as_millis().to_string();
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("SLOW_SYNC_MS", &milliseconds)];
    let server = KeyServer::start_in(lab, lab.host(1), false, &["--interface", INTERFACE], &environment);
    server.add_group("film", &["--lease", "10s"]);
    let mut members = members(lab, &server);
    let screens = screens(&members);
    let mut speaker = Speaker::start(&members[0]);
    eventually("what is said is heard by both", PATIENCE, || {
        speaker.say();
        screens.iter().all(|screen| screen.output().contains("word 3.")).then_some(())
    });

    // The sender hears nothing from its key server any more, and the evicted host no notice.
    for host in [2, 4] {
        lab.host(host).nft(
            "table inet jam { chain input { type filter hook input priority 0; ip saddr 10.7.0.1 drop; }; }",
        );
    }
    let hit = members[2].hit.clone();
    let mut evicting = server.begin(&["member", "evict", "--group", "film", &hit, "--json"]);
    let known = server.ask(&["member", "evict", "--group", "film", &hit, "--no-wait"]);
    assert_eq!(known["laggards"][0]["host"], members[0].hit, "{known}");
    let bound = Duration::from_micros(known["silent_from_us"].as_u64().unwrap());
    assert!(bound <= now() + LEASE + SLACK, "{known}");
    let status = loop {
        if let Some(status) = evicting.poll() {
            break status;
        }
        speaker.say();
        thread::sleep(Duration::from_millis(100));
    };
    assert!(status.success(), "{status}: {}", evicting.errors());
    let missing = format!("0 of 1 have stated it; not yet: {} (its lease ends at ", members[0].hit);
    assert!(evicting.errors().contains(&missing), "it shows who is missing: {}", evicting.errors());
    let evicted = json(&evicting.output());
    let silent_from = Duration::from_micros(evicted["silent_from_us"].as_u64().unwrap());
    assert!(silent_from <= now() && silent_from <= bound, "{evicted}");
    assert!(evicted["laggards"].as_array().unwrap().is_empty(), "{evicted}");

    let heard = screens[1].output();
    assert!(
        heard.lines().count() > 3,
        "a sender with a lease goes on, and the evicted host hears it: {heard}"
    );
    for _ in 0..20 {
        speaker.say();
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(screens[1].output(), heard, "the evicted host hears what is sent after the last lease");
    assert!(members[0].status()["leased_for_s"] == 0);

    lab.host(2).nft("");
    let before = screens[0].output().lines().count();
    eventually("the sender is heard again", PATIENCE, || {
        speaker.say();
        (screens[0].output().lines().count() > before + 3).then_some(())
    });
    assert_eq!(screens[1].output(), heard, "and the evicted host hears nothing");
    assert!(members[1].keys().newest() == server.keys("film").newest());
}

fn flooded(lab: &Lab) {
    let server = KeyServer::start(lab, lab.host(1), false);
    server.add_group("film", &["--lease", "10s"]);
    let mut members = members(lab, &server);
    let screens = screens(&members);
    let mut speaker = Speaker::start(&members[0]);
    eventually("what is said is heard", PATIENCE, || {
        speaker.say();
        screens[0].output().contains("word").then_some(())
    });
    let before = speaker.said;
    let over = AtomicBool::new(false);
    let target = SocketAddr::from((lab.host(1).ipv4(), 848));
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| lab.host(4).enter(|| flood(target, &over)));
        // Two leases and more.
        for _ in 0..25 {
            speaker.say();
            thread::sleep(Duration::from_secs(1));
        }
        over.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    println!("{sent} datagrams of junk in 25 s");
    assert!(sent > 100_000, "{sent}");
    let words = (before + 1..=before + 25).map(|number| format!("word {number}."));
    for word in words {
        eventually("each word is heard", PATIENCE, || screens[0].output().contains(&word).then_some(()));
    }
    let ended = &members[0].status()["counters"]["member"]["leases_ended"];
    assert!(ended.is_null(), "{ended}");
}

/// Sends what looks like requests for leases, until it is told to stop. Returns how many.
fn flood(target: SocketAddr, over: &AtomicBool) -> u64 {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    let mut octets = [0x5a; 120];
    // Version 1.0, the exchange type, no flags, message id 0, the length.
    octets[17..28].copy_from_slice(&[0x10, 242, 0, 0, 0, 0, 0, 0, 0, 0, 120]);
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..100 {
            sent += u64::from(socket.send_to(&octets, target).is_ok());
        }
        thread::sleep(Duration::from_millis(2));
    }
    sent
}
