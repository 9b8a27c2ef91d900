//! Daemons as processes on loopback: what they account for, and a group that needs the extensions.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use claviger_net::{Interface, MulticastSocket, UdpOptions, UdpSocket};
use claviger_testkit::process::eventually;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(15);

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).arg("--state-dir").arg(directory).env_clear().env("HOME", directory);
    command
}

/// A daemon, killed at the end of the test.
struct Daemon(Child);

impl Daemon {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = command(directory, arguments);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed by then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn status(directory: &Path) -> Option<Value> {
    let output = command(directory, &["status", "--json"]).output().unwrap();
    let daemons: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
    daemons.into_iter().next()
}

fn dropped(directory: &Path, reason: &str) -> u64 {
    status(directory).and_then(|status| status["drops"][reason].as_u64()).unwrap_or(0)
}

/// A key server, where its HIP listens, and what members say to `join`.
struct Server {
    directory: PathBuf,
    hip: u16,
    join: Vec<String>,
    _daemon: Daemon,
}

impl Server {
    fn start(directory: PathBuf) -> Self {
        let listen =
            ["server", "--address", "127.0.0.1", "--hip-port", "0", "--gdoi-port", "0", "--interface", "lo"];
        let daemon = Daemon::start(&directory, &listen);
        let up = eventually("the key server answers", PATIENCE, || status(&directory));
        let port = |protocol: &str| -> u16 {
            let listens = up["listens"].as_array().unwrap();
            let listen = listens.iter().find(|listen| listen["protocol"] == protocol).unwrap();
            listen["address"].as_str().unwrap().parse::<SocketAddr>().unwrap().port()
        };
        let (hip, gdoi) = (port("hip-udp"), port("gdoi").to_string());
        let at = format!("{}@127.0.0.1:{hip}", up["hit"].as_str().unwrap());
        let join = ["join", "--server", &at, "--gdoi-port", &gdoi, "--interface", "lo"];
        Self { directory, hip, join: join.map(str::to_owned).to_vec(), _daemon: daemon }
    }

    /// Makes a host that is allowed in a group; returns its HIT.
    fn allow(&self, member: &Path, group: &str) -> String {
        let shown: Value = serde_json::from_str(&run(member, &["identity", "new", "--json"])).unwrap();
        let hit = shown["hit"].as_str().unwrap().to_owned();
        run(&self.directory, &["member", "allow", "--group", group, &hit]);
        hit
    }

    fn join<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        self.join.iter().map(String::as_str).chain(options.iter().copied()).collect()
    }

    /// Starts a member daemon and waits for its keys; returns where the group's data goes too.
    fn member(&self, member: &Path, group: &str) -> (Daemon, SocketAddr) {
        let daemon = Daemon::start(member, &self.join(&["--group", group]));
        let data = eventually("the member holds keys", PATIENCE, || {
            let status = status(member)?;
            (status["state"] == "keyed").then(|| status["data_address"].as_str()?.parse().ok())?
        });
        (daemon, data)
    }
}

#[tokio::test]
async fn what_no_machine_sees_is_counted_by_reason() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path().join("server"));
    let member = directory.path().join("member");
    run(&server.directory, &["group", "add", "market"]);
    server.allow(&member, "market");
    let (_member, data) = server.member(&member, "market");

    // To the group's own address, but by the loopback interface and no other.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), &UdpOptions::new("the test")).unwrap();
    socket.set_multicast_interface(&Interface::by_name("lo", "the test").unwrap()).unwrap();
    let destination = SocketAddr::from((Ipv4Addr::LOCALHOST, server.hip));
    for datagram in [&b"no marker in front"[..], &[0, 0, 0]] {
        socket.send(datagram, destination, None).await.unwrap();
    }
    eventually("both are counted", PATIENCE, || {
        (dropped(&server.directory, "hip_without_marker") == 2).then_some(())
    });
    for datagram in [&[0, 0, 0, 0, 1][..], &[1, 2], &[0, 0, 9, 9, 0, 0, 0, 1, 7, 7]] {
        socket.send(datagram, data, None).await.unwrap();
    }
    for reason in ["non_esp_marker", "runt", "unknown_spi"] {
        eventually(reason, PATIENCE, || (dropped(&member, reason) == 1).then_some(()));
    }
    let table = run(&member, &["status"]);
    assert!(table.contains("non_esp_marker") && table.contains("DROPS BY REASON"), "{table}");
}

#[test]
fn a_group_for_a_million_is_joined_followed_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path().join("server"));
    let added = run(&server.directory, &["group", "add", "big", "--members-max", "1000000"]);
    assert!(
        added.contains("KEK management:         lkh-32")
            && added.contains("signed:                 each batch")
    );

    let members: Vec<PathBuf> =
        (0..3).map(|number| directory.path().join(format!("member-{number}"))).collect();
    let hits: Vec<String> = members.iter().map(|member| server.allow(member, "big")).collect();
    let mut daemons: Vec<(Daemon, SocketAddr)> =
        members.iter().map(|member| server.member(member, "big")).collect();
    let kek = |directory: &Path| Some(status(directory)?["keys"]["epoch"]["kek_spi"].clone());
    let group = || {
        let shown: Value =
            serde_json::from_str(&run(&server.directory, &["group", "show", "big", "--json"])).unwrap();
        shown["keys"]["epoch"]["kek_spi"].clone()
    };
    eventually("all have the newest KEK", PATIENCE, || {
        members.iter().all(|member| kek(member) == Some(group())).then_some(())
    });

    run(&server.directory, &["member", "evict", "--group", "big", &hits[1]]);
    eventually("the evicted member's daemon ends", PATIENCE, || daemons[1].0.0.try_wait().unwrap());
    for member in [&members[0], &members[2]] {
        eventually("who stays has the newest KEK", PATIENCE, || (kek(member) == Some(group())).then_some(()));
        assert_eq!(status(member).unwrap()["counters"]["pulls_again"], Value::Null, "by PUSH alone");
    }

    // Who keeps to the standard is told what the group needs.
    let plain = directory.path().join("plain");
    server.allow(&plain, "big");
    let refused = command(&plain, &server.join(&["--group", "big", "--standard-only"])).output().unwrap();
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
    let added = run(&server.directory, &[&["group", "add", "sites"][..], &places].concat());
    for words in ["lkh-32", "each batch", "PLACE", "10.0.0.0/8    239.195.1.1", "a tree that follows places"]
    {
        assert!(added.contains(words), "{words}: {added}");
    }
    let shown = || -> Value {
        serde_json::from_str(&run(&server.directory, &["group", "show", "sites", "--json"])).unwrap()
    };
    let policy = shown()["policy"].clone();
    let expected: Vec<&Value> = (0..3).map(|place| &policy["places"][place]["members"]).collect();
    assert_eq!(expected, [16, 64, 64]);
    let mut addresses: Vec<&str> =
        (0..3).map(|place| policy["places"][place]["push_address"].as_str().unwrap()).collect();
    addresses.push(policy["address"].as_str().unwrap());
    assert!(addresses.iter().all(|address| address.starts_with("239.")), "{addresses:?}");
    let distinct: std::collections::BTreeSet<&&str> = addresses.iter().collect();
    assert_eq!(distinct.len(), 4, "{addresses:?}");

    let members: Vec<PathBuf> =
        (0..3).map(|number| directory.path().join(format!("member-{number}"))).collect();
    let hits: Vec<String> = members.iter().map(|member| server.allow(member, "sites")).collect();
    let mut daemons: Vec<(Daemon, SocketAddr)> =
        members.iter().map(|member| server.member(member, "sites")).collect();
    let kek = |directory: &Path| Some(status(directory)?["keys"]["epoch"]["kek_spi"].clone());
    let newest = || shown()["keys"]["epoch"]["kek_spi"].clone();
    eventually("all have the newest KEK", PATIENCE, || {
        members.iter().all(|member| kek(member) == Some(newest())).then_some(())
    });

    // Every key of this rekey goes to the place's address: whoever hears only the group's has to pull.
    run(&server.directory, &["member", "evict", "--group", "sites", &hits[1]]);
    eventually("the evicted member's daemon ends", PATIENCE, || daemons[1].0.0.try_wait().unwrap());
    for member in [&members[0], &members[2]] {
        eventually("who stays has the newest KEK", PATIENCE, || {
            (kek(member) == Some(newest())).then_some(())
        });
        assert_eq!(status(member).unwrap()["counters"]["pulls_again"], Value::Null, "by PUSH alone");
    }

    let plain = directory.path().join("plain");
    server.allow(&plain, "sites");
    let refused = command(&plain, &server.join(&["--group", "sites", "--standard-only"])).output().unwrap();
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
        let output = command(&server.directory, &arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(sentence) && errors.contains("--p"), "{errors}");
    }
}
