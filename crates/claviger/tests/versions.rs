//! Members and key servers of the version before and of this one serve each other.
//!
//! The program of the version before is named by CLAVIGER_BEFORE; `./test --all` builds it.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use support::daemons::{Daemon, Host, Serving, this_version};

/// Put out by the key server.
const NOT_AUTHORISED: i32 = 4;

fn version_before() -> PathBuf {
    std::env::var_os("CLAVIGER_BEFORE")
        .expect("CLAVIGER_BEFORE names the program of the version before")
        .into()
}

/// Makes a host that is allowed in a group, and starts its member daemon; returns its HIT too.
fn join(
    server: &Host,
    serving: &Serving,
    member: &Host,
    group: &str,
    allowance: &[&str],
) -> (Daemon, String) {
    let hit = member.ask(&["identity", "new"])["hit"].as_str().unwrap().to_owned();
    server.ask(&[&["member", "allow", "--group", group, &hit, "--role", "both"], allowance].concat());
    let daemon = member.start(&serving.join_with(&["--sender", "--group", group]));
    member.wait_until_keyed();
    (daemon, hit)
}

/// The SPIs that a member or a key server says it has.
fn spis(keys: &Value) -> Vec<String> {
    let sas = keys["sas"].as_array().unwrap().iter();
    sas.map(|sa| sa["spi"].as_str().unwrap().to_owned()).collect()
}

/// Sends a payload from one member to the other.
fn pass(from: &Host, to: &Host, group: &str) {
    let mut receiver = to.command(&["recv", "--group", group, "--count", "1", "--idle", "20"]);
    let mut receiver = receiver.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Until it hears the first: it may still be connecting to its daemon.
    while receiver.try_wait().unwrap().is_none() {
        let mut sender = from.command(&["send", "--group", group]);
        let mut sender = sender.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        sender.stdin.take().unwrap().write_all(b"across versions").unwrap();
        assert!(sender.wait().unwrap().success());
    }
    let received = receiver.wait_with_output().unwrap();
    assert_eq!(received.stdout, b"across versions");
}

fn play(server: &Path, member: &Path, policy: &[&str], allowance: &[&str]) {
    let work = tempfile::tempdir().unwrap();
    let host = |program: &Path, name: &str| Host::new(program, work.path().join(name));
    let (server, one, other) = (host(server, "server"), host(member, "one"), host(member, "other"));
    let serving = server.serve();
    server.ask(&[&["group", "add", "versions"], policy].concat());
    let (_one, _) = join(&server, &serving, &one, "versions", allowance);
    let (mut departing, hit) = join(&server, &serving, &other, "versions", allowance);
    pass(&one, &other, "versions");
    for key in ["tek", "kek", "tek"] {
        server.ask(&["rekey", "--group", "versions", "--key", key]);
    }
    let group = server.ask(&["group", "show", "versions"]);
    let newest = spis(&group["keys"]).pop().unwrap();
    for member in [&one, &other] {
        let has_newest = |status: &Value| spis(&status["keys"]).contains(&newest);
        member.wait_until("the member follows three rekeys", has_newest);
    }
    pass(&other, &one, "versions");
    server.ask(&["member", "evict", "--group", "versions", &hit]);
    assert_eq!(departing.code(), Some(NOT_AUTHORISED));
}

const POLICIES: [&[&str]; 2] = [&[], &["--kek-management", "lkh-32"]];

#[test]
fn members_of_the_version_before_are_served() {
    for policy in POLICIES {
        // They know no leases.
        play(&this_version(), &version_before(), policy, &["--without-lease"]);
        play(&this_version(), &version_before(), &[policy, &["--lease", "off"]].concat(), &[]);
    }
}

#[test]
fn key_servers_of_the_version_before_serve_members() {
    for policy in POLICIES {
        play(&version_before(), &this_version(), policy, &[]);
    }
}
