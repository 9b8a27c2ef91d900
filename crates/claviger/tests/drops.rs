//! Every packet is accounted for: what the daemons drop outside their machines shows in `status`, by reason.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
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

#[tokio::test]
async fn what_no_machine_sees_is_counted_by_reason() {
    let directory = tempfile::tempdir().unwrap();
    let (server, member) = (directory.path().join("server"), directory.path().join("member"));
    let listen = ["--address", "127.0.0.1", "--hip-port", "0", "--gdoi-port", "0", "--interface", "lo"];
    let _server = Daemon::start(&server, &[&["server"][..], &listen].concat());
    let up = eventually("the key server answers", PATIENCE, || status(&server));
    let port = |protocol: &str| -> u16 {
        let listens = up["listens"].as_array().unwrap();
        let listen = listens.iter().find(|listen| listen["protocol"] == protocol).unwrap();
        listen["address"].as_str().unwrap().parse::<SocketAddr>().unwrap().port()
    };
    let (hip, gdoi) = (port("hip-udp"), port("gdoi").to_string());

    run(&server, &["group", "add", "market"]);
    let shown: Value = serde_json::from_str(&run(&member, &["identity", "new", "--json"])).unwrap();
    run(&server, &["member", "allow", "--group", "market", shown["hit"].as_str().unwrap()]);
    let at = format!("{}@127.0.0.1:{hip}", up["hit"].as_str().unwrap());
    let join = ["join", "--server", &at, "--group", "market", "--gdoi-port", &gdoi, "--interface", "lo"];
    let _member = Daemon::start(&member, &join);
    let data: SocketAddr = eventually("the member holds keys", PATIENCE, || {
        let status = status(&member)?;
        (status["state"] == "keyed").then(|| status["data_address"].as_str()?.parse().ok())?
    });

    // To the group's own address, but by the loopback interface and no other.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), &UdpOptions::new("the test")).unwrap();
    socket.set_multicast_interface(&Interface::by_name("lo", "the test").unwrap()).unwrap();
    let destination = SocketAddr::from((Ipv4Addr::LOCALHOST, hip));
    for datagram in [&b"no marker in front"[..], &[0, 0, 0]] {
        socket.send(datagram, destination, None).await.unwrap();
    }
    eventually("both are counted", PATIENCE, || (dropped(&server, "hip_without_marker") == 2).then_some(()));
    for datagram in [&[0, 0, 0, 0, 1][..], &[1, 2], &[0, 0, 9, 9, 0, 0, 0, 1, 7, 7]] {
        socket.send(datagram, data, None).await.unwrap();
    }
    for reason in ["non_esp_marker", "runt", "unknown_spi"] {
        eventually(reason, PATIENCE, || (dropped(&member, reason) == 1).then_some(()));
    }
    let table = run(&member, &["status"]);
    assert!(table.contains("non_esp_marker") && table.contains("DROPS BY REASON"), "{table}");
}
