//! Rekey messages that cannot leave the key server: the eviction is not over before they have, and who asks is told so.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod support;

use std::{process::Command, thread, time::Duration};

use claviger_testkit::{
    lab::{self, INTERFACE, Lab, laboratory},
    process::eventually,
};
use serde_json::Value;
use support::{
    KeyServer, Member, PATIENCE,
    film::{members, screens},
    json, now,
};

/// How long the link of the key server is down.
const OUTAGE: Duration = Duration::from_secs(1);

/// The exit code of what failed.
const FAILED: i32 = 1;

#[test]
fn nothing_sent_after_the_instant_of_an_eviction_is_read_though_the_link_was_down() {
    let test = "nothing_sent_after_the_instant_of_an_eviction_is_read_though_the_link_was_down";
    if lab::installed(test, &[lab::NFT]) {
        laboratory(test, 4, link_down);
    }
}

#[test]
fn an_eviction_whose_rekey_does_not_leave_says_so_and_ends_when_there_is_a_route() {
    let test = "an_eviction_whose_rekey_does_not_leave_says_so_and_ends_when_there_is_a_route";
    laboratory(test, 4, no_route);
}

fn link_down(lab: &Lab) {
    let server = KeyServer::start(lab, lab.host(1), false);
    server.add_group("film", &[]);
    let mut members = members(lab, &server);
    let screens = screens(&members);
    eventually("what is said before", PATIENCE, || {
        say(&members[0], "before");
        screens.iter().all(|screen| screen.output().contains("before")).then_some(())
    });
    // It hears no notice from the key server: only new keys keep it out.
    lab.host(4).nft(
        "table inet notices { chain input { type filter hook input priority 0; \
         ip saddr 10.7.0.1 ip daddr 10.7.0.4 drop; }; }",
    );
    let hit = members[2].hit.clone();
    lab.host(1).ip(&format!("link set {INTERFACE} down"));
    let mut evicting = server.begin(&["member", "evict", "--group", "film", &hit, "--json"]);
    thread::sleep(OUTAGE);
    lab.host(1).ip(&format!("link set {INTERFACE} up"));
    let status = evicting.wait(PATIENCE);
    assert!(status.success(), "{status}: {}", evicting.errors());
    let instant = Duration::from_micros(json(&evicting.output())["deaf_at_us"].as_u64().unwrap());
    assert!(instant <= now(), "the command returns no earlier than the instant that it prints");
    for number in 0..10 {
        say(&members[0], &format!("secret {number}"));
    }
    eventually("what is said afterwards", PATIENCE, || {
        screens[0].output().contains("secret 9").then_some(())
    });
    let heard = screens[1].output();
    assert!(!heard.contains("secret"), "it is read by the host that was evicted: {heard}");
    assert!(members[1].keys().newest() == server.keys("film").newest());
}

fn no_route(lab: &Lab) {
    let route = format!("224.0.0.0/4 dev {INTERFACE}");
    lab.host(1).ip(&format!("route del {route}"));
    let server = KeyServer::start_with(lab, lab.host(1), false, &[]);
    server.add_group("film", &[]);
    let mut members = members(lab, &server);
    assert!(server.log().contains("no way out"), "a new group without a way out is worth a warning");
    server.kill();
    let server = KeyServer::start_with(lab, lab.host(1), false, &[]);
    assert!(server.log().contains("no way out"), "and so is a start");

    let hit = members[2].hit.clone();
    let evict = ["member", "evict", "--group", "film", &hit];
    let said = server.control(&[&evict[..], &["--json"]].concat());
    assert_eq!(json(&said.output)["code"], "rekey-not-sent");
    let (code, errors) = said.failure();
    assert_eq!(code, FAILED);
    for part in ["still read", "goes on trying", "Network is unreachable"] {
        assert!(errors.contains(part), "{errors}");
    }
    let (code, _) = server.control(&["rekey", "--group", "film"]).failure();
    assert_eq!(code, FAILED);
    let unsent = unsent(&server);
    assert!(unsent["messages"].as_u64().unwrap() >= 2, "{unsent}");
    assert!(unsent["error"].as_str().unwrap().contains("unreachable"), "{unsent}");
    assert!(server.control(&["status"]).success().contains("NOT SENT"));
    let warnings = |what: &str| server.log().matches(what).count();
    assert_eq!(warnings("rekey messages do not leave"), 1, "once, not for each datagram");

    lab.host(1).ip(&format!("route add {route}"));
    eventually("the messages leave", PATIENCE, || unsent_is_over(&server).then_some(()));
    eventually("members follow", PATIENCE, || {
        let wanted = server.keys("film").newest();
        members[..2].iter_mut().all(|member| member.keys().newest() == wanted).then_some(())
    });
    assert_eq!(warnings("rekey messages leave again"), 1);
    let again = json(&server.control(&[&evict[..], &["--json"]].concat()).success());
    assert!(again["was_member"].as_bool().unwrap(), "who asks again is told the same: {again}");
    assert!(Duration::from_micros(again["deaf_at_us"].as_u64().unwrap()) <= now());
    let stranger = ["member", "evict", "--group", "film", "2001:20::1"];
    assert_eq!(server.control(&stranger).failure().0, FAILED, "it never was on the list");
}

fn unsent(server: &KeyServer<'_>) -> Value {
    server.ask(&["status"])[0]["groups"][0]["unsent"].take()
}

fn unsent_is_over(server: &KeyServer<'_>) -> bool {
    unsent(server).is_null()
}

/// Has a member send a line.
fn say(member: &Member<'_>, line: &str) {
    let mut command: Command = member.command(&["send", "--group", "film"]);
    member.host.run_with(&mut command, format!("{line}\n").as_bytes()).success();
}
