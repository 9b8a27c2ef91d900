//! Stores that earlier versions wrote are taken over in place.
//!
//! `fixtures/store-N` is the state directory of a key server whose records had version N, killed by SIGKILL: five groups
//! with all kinds of policies, members, an evicted host (`evicted.pem`), one that may come again (`member.pem`), and what
//! that key server said of them (`expected.json`).

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::daemons::Host;

/// Refused by the key server.
const NOT_AUTHORISED: i32 = 4;

/// Copies files of a fixture into a state directory; git keeps no modes.
fn copy(fixture: &Path, files: &[(&str, &str)], directory: &Path) {
    fs::create_dir(directory).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    for (from, to) in files {
        let to = directory.join(to);
        fs::copy(fixture.join(from), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Compares groups and lists with what the key server of before said.
fn check_groups(server: &Host, expected: &Value) {
    for (group, expected) in expected.as_object().unwrap() {
        let mut shown = server.ask(&["group", "show", group]);
        // It follows the GDOI port.
        let policy = shown["policy"].as_object_mut().unwrap();
        policy.remove("push_port");
        // It knew no leases, and a group keeps the policy that it was made with.
        assert_eq!(policy.remove("lease_s"), Some(0.into()), "{group}");
        assert_eq!(policy.remove("receiver_leases"), Some(false.into()), "{group}");
        // Nor had anybody to ask for a group whose packets can be replayed.
        let is_replayable = expected["policy"]["transform"] == "aes128-cbc-sha256";
        assert_eq!(policy.remove("replayable"), Some(is_replayable.into()), "{group}");
        assert_eq!(shown["policy"], expected["policy"], "{group}");
        let members = server.ask(&["member", "list", "--group", group]);
        let allowed = members.as_array().unwrap().iter();
        assert!(allowed.clone().all(|member| member["without_lease"] == false), "{group}");
        let allowed: serde_json::Map<_, _> = allowed
            .map(|member| (member["hit"].as_str().unwrap().to_owned(), member["allowed"].clone()))
            .collect();
        assert_eq!(Value::Object(allowed), expected["allowed"], "{group}");
    }
}

fn take_over(version: &str) {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version);
    let work = tempfile::tempdir().unwrap();
    let [server, member, evicted] =
        ["server", "member", "evicted"].map(|name| Host::of_this_version(work.path().join(name)));
    let stored = ["store.redb", "store.key", "store.mark", "identity.pem"].map(|name| (name, name));
    copy(&fixture, &stored, &server.directory);
    copy(&fixture, &[("member.pem", "identity.pem")], &member.directory);
    copy(&fixture, &[("evicted.pem", "identity.pem")], &evicted.directory);
    let expected = serde_json::from_slice(&fs::read(fixture.join("expected.json")).unwrap()).unwrap();

    let serving = server.serve();
    check_groups(&server, &expected);
    let join = serving.join_with(&["--group", "market"]);
    let out = evicted.run(&join);
    assert_eq!(out.status.code(), Some(NOT_AUTHORISED), "{}", String::from_utf8_lossy(&out.stderr));
    let _member = member.start(&join);
    member.wait_until_keyed();

    // What was written since stands beside what was written before.
    server.ask(&["rekey", "--group", "large", "--key", "kek"]);
    drop(serving);
    let _serving = server.serve();
    check_groups(&server, &expected);
}

#[test]
fn a_store_whose_records_have_version_3_is_taken_over() {
    take_over("store-3");
}

#[test]
fn a_store_whose_records_have_version_4_is_taken_over() {
    take_over("store-4");
}
