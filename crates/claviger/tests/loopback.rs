//! Daemons as processes on loopback: what they account for, and a group that needs the extensions.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use claviger_crypto::{SecretBytes, SystemRandom, provider};
use claviger_gcks::{Gcks, GcksConfig};
use claviger_group::{Channel, GroupPolicy};
use claviger_hip::HostConfig;
use claviger_identity::HostIdentity;
use claviger_net::{Clock, Interface, MulticastSocket, UdpOptions, UdpSocket};
use claviger_sansio::Time;
use claviger_store::{FileStore, Store};
use claviger_testkit::process::eventually;
use serde_json::Value;
use support::daemons::{Daemon, Host, LISTEN, PATIENCE, Serving};

/// A key server, and the host that it runs at.
struct Server {
    host: Host,
    serving: Serving,
}

impl Server {
    fn start(directory: PathBuf) -> Self {
        Self::start_and_log(directory, Stdio::null())
    }

    /// Does what [`Server::start`] does, with a place for the log.
    fn start_and_log(directory: PathBuf, log: Stdio) -> Self {
        let host = Host::of_this_version(directory);
        let serving = host.serve_and_log(log);
        Self { host, serving }
    }

    /// Makes a host that is allowed in a group; returns its HIT.
    fn allow(&self, member: &Host, group: &str) -> String {
        self.allow_as(member, group, "receiver")
    }

    /// Makes a host that is allowed a role in a group; returns its HIT.
    fn allow_as(&self, member: &Host, group: &str, role: &str) -> String {
        let hit = member.ask(&["identity", "new"])["hit"].as_str().unwrap().to_owned();
        self.host.print(&["member", "allow", "--group", group, &hit, "--role", role]);
        hit
    }

    /// Starts a member daemon and waits for its keys; returns where the group's data goes too.
    fn member(&self, member: &Host, group: &str) -> (Daemon, SocketAddr) {
        self.member_as(member, group, &[])
    }

    /// Does what [`Server::member`] does, with more options.
    fn member_as(&self, member: &Host, group: &str, options: &[&str]) -> (Daemon, SocketAddr) {
        let daemon = member.start(&self.serving.join_with(&[&["--group", group], options].concat()));
        let data = eventually("the member holds keys", PATIENCE, || {
            let status = member.status()?;
            (status["state"] == "keyed").then(|| status["data_address"].as_str()?.parse().ok())?
        });
        (daemon, data)
    }
}

fn dropped(host: &Host, machine: &str, reason: &str) -> u64 {
    host.status().and_then(|status| status["drops"][machine][reason].as_u64()).unwrap_or(0)
}

/// The SPI of the KEK that a member has.
fn kek(member: &Host) -> Option<Value> {
    Some(member.status()?["keys"]["epoch"]["kek_spi"].clone())
}

#[tokio::test]
async fn what_no_machine_sees_is_counted_by_reason() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path().join("server"));
    let member = Host::of_this_version(directory.path().join("member"));
    server.host.print(&["group", "add", "market"]);
    server.allow(&member, "market");
    let (_member, data) = server.member(&member, "market");

    // To the group's own address, but by the loopback interface and no other.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), &UdpOptions::new("the test")).unwrap();
    socket.set_multicast_interface(&Interface::by_name("lo", "the test").unwrap()).unwrap();
    let destination = SocketAddr::from((Ipv4Addr::LOCALHOST, server.serving.hip));
    for datagram in [&b"no marker in front"[..], &[0, 0, 0]] {
        socket.send(datagram, destination, None).await.unwrap();
    }
    eventually("both are counted", PATIENCE, || {
        (dropped(&server.host, "carrier", "hip_without_marker") == 2).then_some(())
    });
    for datagram in [&[0, 0, 0, 0, 1][..], &[1, 2], &[0, 0, 9, 9, 0, 0, 0, 1, 7, 7]] {
        socket.send(datagram, data, None).await.unwrap();
    }
    for (machine, reason) in [("data", "non_esp_marker"), ("data", "runt"), ("esp", "unknown_spi")] {
        eventually(reason, PATIENCE, || (dropped(&member, machine, reason) == 1).then_some(()));
    }
    let table = member.print(&["status"]);
    assert!(table.contains("data/non_esp_marker") && table.contains("DROPS BY REASON"), "{table}");
}

#[test]
fn a_group_for_a_million_is_joined_followed_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path().join("server"));
    let added = server.host.print(&["group", "add", "big", "--members-max", "1000000"]);
    assert!(
        added.contains("KEK management:         lkh-32")
            && added.contains("signed:                 each batch")
    );

    let members: Vec<Host> = (0..3)
        .map(|number| Host::of_this_version(directory.path().join(format!("member-{number}"))))
        .collect();
    let hits: Vec<String> = members.iter().map(|member| server.allow(member, "big")).collect();
    let mut daemons: Vec<(Daemon, SocketAddr)> =
        members.iter().map(|member| server.member(member, "big")).collect();
    let group = || {
        let shown: Value = server.host.ask(&["group", "show", "big"]);
        shown["keys"]["epoch"]["kek_spi"].clone()
    };
    eventually("all have the newest KEK", PATIENCE, || {
        members.iter().all(|member| kek(member) == Some(group())).then_some(())
    });

    server.host.print(&["member", "evict", "--group", "big", &hits[1]]);
    eventually("the evicted member's daemon ends", PATIENCE, || daemons[1].0.0.try_wait().unwrap());
    for member in [&members[0], &members[2]] {
        eventually("who stays has the newest KEK", PATIENCE, || (kek(member) == Some(group())).then_some(()));
        assert_eq!(
            member.status().unwrap()["counters"]["member"]["pulls_again"],
            Value::Null,
            "by PUSH alone"
        );
    }

    // Who keeps to the standard is told what the group needs.
    let plain = Host::of_this_version(directory.path().join("plain"));
    server.allow(&plain, "big");
    let refused = plain.run(&server.serving.join_with(&["--group", "big", "--standard-only"]));
    let sentence = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{sentence}");
    assert!(sentence.contains("join without --standard-only"), "{sentence}");
}

#[test]
fn a_group_with_places_serves_each_at_its_own_address() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path().join("server"));
    // All members are on loopback: the longer prefix has them, and 10/8 nobody.
    let places =
        ["--place", "127.0.0.0/8,16", "--place", "127.0.0.0/24", "--place", "10.0.0.0/8=239.195.1.1"];
    let added = server.host.print(&[&["group", "add", "sites"][..], &places].concat());
    for words in ["lkh-32", "each batch", "PLACE", "10.0.0.0/8    239.195.1.1", "a tree that follows places"]
    {
        assert!(added.contains(words), "{words}: {added}");
    }
    let shown = || -> Value { server.host.ask(&["group", "show", "sites"]) };
    let policy = shown()["policy"].clone();
    let expected: Vec<&Value> = (0..3).map(|place| &policy["places"][place]["members"]).collect();
    assert_eq!(expected, [16, 64, 64]);
    let mut addresses: Vec<&str> =
        (0..3).map(|place| policy["places"][place]["push_address"].as_str().unwrap()).collect();
    addresses.push(policy["address"].as_str().unwrap());
    assert!(addresses.iter().all(|address| address.starts_with("239.")), "{addresses:?}");
    let distinct: std::collections::BTreeSet<&&str> = addresses.iter().collect();
    assert_eq!(distinct.len(), 4, "{addresses:?}");

    let members: Vec<Host> = (0..3)
        .map(|number| Host::of_this_version(directory.path().join(format!("member-{number}"))))
        .collect();
    let hits: Vec<String> = members.iter().map(|member| server.allow(member, "sites")).collect();
    let mut daemons: Vec<(Daemon, SocketAddr)> =
        members.iter().map(|member| server.member(member, "sites")).collect();
    let newest = || shown()["keys"]["epoch"]["kek_spi"].clone();
    eventually("all have the newest KEK", PATIENCE, || {
        members.iter().all(|member| kek(member) == Some(newest())).then_some(())
    });

    // Every key of this rekey goes to the place's address: whoever hears only the group's has to pull.
    server.host.print(&["member", "evict", "--group", "sites", &hits[1]]);
    eventually("the evicted member's daemon ends", PATIENCE, || daemons[1].0.0.try_wait().unwrap());
    for member in [&members[0], &members[2]] {
        eventually("who stays has the newest KEK", PATIENCE, || {
            (kek(member) == Some(newest())).then_some(())
        });
        assert_eq!(
            member.status().unwrap()["counters"]["member"]["pulls_again"],
            Value::Null,
            "by PUSH alone"
        );
    }

    let plain = Host::of_this_version(directory.path().join("plain"));
    server.allow(&plain, "sites");
    let refused = plain.run(&server.serving.join_with(&["--group", "sites", "--standard-only"]));
    assert_eq!(refused.status.code(), Some(4));

    // What cannot be is said with the option to change.
    for (options, code, sentence) in [
        (&["--place", "10.1.0.0"][..], 2, "a prefix is written ADDR/LENGTH"),
        (&["--place", "10.1.0.0/16=10.1.0.1"], 2, "each place needs a push address of its own"),
        (&["--place", "10.1.0.0/16", "--place", "10.1.0.0/16"], 2, "each place needs a prefix of its own"),
        (&["--place", "10.1.0.0/16,0"], 2, "a place expects at least one member"),
        (
            &["--place", "10.1.0.0/16", "--push-authentication", "message"],
            2,
            "places need KEK management lkh-32 and push authentication batch",
        ),
    ] {
        let arguments = [&["group", "add", "wrong"][..], options].concat();
        let output = server.host.run(&arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(sentence) && errors.contains("--p"), "{errors}");
    }
}

/// A signal to a process that this test started.
fn signal(process: &Child, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn a_hangup_ends_neither_a_daemon_nor_what_sends_and_receives_through_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_and_log(directory.path().join("server"), Stdio::piped());
    server.host.print(&["group", "add", "market"]);
    let member = Host::of_this_version(directory.path().join("member"));
    server.allow_as(&member, "market", "both");
    let (mut daemon, _) = server.member_as(&member, "market", &["--sender"]);
    let listener = Host::of_this_version(directory.path().join("listener"));
    server.allow(&listener, "market");
    let (mut listening, _) = server.member(&listener, "market");
    let client = |host: &Host, what: &str| {
        let mut client = host.command(&[what, "--group", "market"]);
        Daemon(client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    };
    let (mut recv, mut send) = (client(&listener, "recv"), client(&member, "send"));
    // Both are through their start once a payload has come from one to the other.
    let mut heard = recv.0.stdout.take().unwrap();
    let heard = std::thread::spawn(move || heard.read_exact(&mut [0; 100]).map(|()| heard));
    eventually("a payload arrives", PATIENCE, || {
        send.0.stdin.as_mut().unwrap().write_all(&[b'x'; 4096]).unwrap();
        heard.is_finished().then_some(())
    });
    let _heard = heard.join().unwrap().unwrap();
    // Whoever closes a terminal takes the place of the log away too.
    drop(server.serving.daemon.0.stderr.take());
    for _ in 0..3 {
        for process in [&server.serving.daemon.0, &daemon.0, &listening.0, &send.0, &recv.0] {
            signal(process, nix::sys::signal::Signal::SIGHUP);
        }
        assert!(server.host.status().is_some() && member.status().is_some());
    }
    // What it logs now can be written nowhere.
    let newcomer = Host::of_this_version(directory.path().join("newcomer"));
    server.allow(&newcomer, "market");
    let _newcomer = server.member(&newcomer, "market");
    for (what, process) in [
        ("server", &mut server.serving.daemon.0),
        ("sender's daemon", &mut daemon.0),
        ("listener's daemon", &mut listening.0),
        ("send", &mut send.0),
        ("recv", &mut recv.0),
    ] {
        assert_eq!(process.try_wait().unwrap(), None, "{what}");
    }
}

#[test]
fn a_daemon_that_loses_the_sender_role_says_so_and_goes_on_receiving() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path().join("server"));
    server.host.print(&["group", "add", "market"]);
    let member = Host::of_this_version(directory.path().join("member"));
    let hit = server.allow_as(&member, "market", "both");
    let (mut daemon, _) = server.member_as(&member, "market", &["--sender"]);
    let json = |arguments: &[&str]| server.host.ask(arguments);
    assert_eq!(json(&["group", "show", "market"])["senders"], 1);
    let mut open = member.command(&["send", "--group", "market"]);
    let mut open = Daemon(open.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    open.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();

    server.host.print(&["member", "allow", "--group", "market", &hit, "--role", "receiver"]);
    assert_eq!(json(&["group", "show", "market"])["senders"], 0);
    assert_eq!(json(&["member", "list", "--group", "market"])[0]["granted"], "receiver");
    eventually("the daemon knows", PATIENCE, || (member.status()?["role"] == "receiver").then_some(()));
    // Again and again: nothing is to be sent, and the refusal must not be lost with the end of that.
    for _ in 0..20 {
        let refused = member.command(&["send", "--group", "market"]).stdin(Stdio::null()).output().unwrap();
        let sentence = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(4), "{sentence}");
        assert!(sentence.contains("the key server has taken the sender role from this host"), "{sentence}");
    }
    let ended = eventually("what was being sent ends", PATIENCE, || open.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(4));
    server.host.print(&["rekey", "--group", "market", "--key", "kek"]);
    let newest = json(&["group", "show", "market"])["keys"]["epoch"]["kek_spi"].clone();
    eventually("it has the newest KEK", PATIENCE, || {
        (member.status()?["keys"]["epoch"]["kek_spi"] == newest).then_some(())
    });
    assert_eq!(daemon.0.try_wait().unwrap(), None);
}

/// Starts a key server that is to refuse; returns its exit code and what it says.
fn refused_server(host: &Host) -> (Option<i32>, String) {
    let mut server = Daemon(host.command(&LISTEN).stderr(Stdio::piped()).spawn().unwrap());
    let code = server.code();
    let mut sentence = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut sentence).unwrap();
    (code, sentence)
}

#[test]
fn a_key_server_whose_identity_is_lost_or_another_hosts_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::of_this_version(directory.path().join("server"));
    drop(host.serve());
    let file = host.directory.join("identity.pem");
    let own = std::fs::read(&file).unwrap();

    std::fs::remove_file(&file).unwrap();
    let (code, sentence) = refused_server(&host);
    assert_eq!(code, Some(3), "{sentence}");
    assert!(sentence.contains("identity.pem is missing, and the key server's store beside it"), "{sentence}");
    assert!(sentence.contains("\n  try: restore the file"), "{sentence}");
    assert!(!file.exists(), "no new one is made");

    let other = Host::of_this_version(directory.path().join("other"));
    other.print(&["identity", "new"]);
    std::fs::copy(other.directory.join("identity.pem"), &file).unwrap();
    let (code, sentence) = refused_server(&host);
    assert_eq!(code, Some(3), "{sentence}");
    assert!(sentence.contains("the store belongs to the key server 2001:"), "{sentence}");
    assert!(sentence.contains("\n  try: restore the identity.pem of 2001:"), "{sentence}");

    std::fs::write(&file, own).unwrap();
    drop(host.serve());
}

/// Leaves a store that a key server wrote whose clock was two days ahead.
fn store_from_ahead(host: &Host, group: &str) {
    host.print(&["identity", "new"]);
    let state = &host.directory;
    let pem = SecretBytes::from(std::fs::read(state.join("identity.pem")).unwrap());
    let identity = Arc::new(HostIdentity::from_pem(claviger_crypto::provider(), pem.expose()).unwrap());
    let config = GcksConfig {
        hip: HostConfig::new(identity, provider()),
        provider: provider(),
        gdoi_port: 848,
        push_source_v4: None,
        push_source_v6: None,
    };
    let ahead = Clock::starting_at(Time::EPOCH).now() + Duration::from_secs(48 * 3600);
    let mut core = Gcks::new(config, Box::new(SystemRandom::new().unwrap()), ahead).unwrap();
    let group = group.parse().unwrap();
    let channel = Channel::new("239.192.7.7".parse().unwrap(), None).unwrap();
    core.add_group(ahead, group, GroupPolicy::new(channel)).unwrap();
    let mut store = FileStore::open(state).unwrap();
    let _durable = core.stage(ahead).unwrap().commit(|changes| store.commit(changes)).unwrap();
}

#[test]
fn a_key_server_whose_clock_was_ahead_tells_the_right_time_again() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::of_this_version(directory.path().join("server"));
    store_from_ahead(&host, "market");
    let server = Server { serving: host.serve(), host };
    let member = Host::of_this_version(directory.path().join("member"));
    let hit = server.allow(&member, "market");
    let (_daemon, _) = server.member(&member, "market");
    let evicted = server.host.ask(&["member", "evict", "--group", "market", &hit]);
    let deaf_at = Duration::from_micros(evicted["deaf_at_us"].as_u64().unwrap());
    let now = Duration::from_micros(Clock::starting_at(Time::EPOCH).now().as_micros());
    assert!(deaf_at.abs_diff(now) < Duration::from_secs(3600), "{deaf_at:?} is far from {now:?}");
}
