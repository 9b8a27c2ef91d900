//! Stores that earlier versions wrote are taken over in place.
//!
//! `fixtures/store-N` is the state directory of a key server whose records had version N, killed by SIGKILL: five groups
//! with all kinds of policies, members, an evicted host (`evicted.pem`), one that may come again (`member.pem`), and what
//! that key server said of them (`expected.json`).

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use claviger_testkit::process::eventually;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// Refused by the key server.
const NOT_AUTHORISED: i32 = 4;

fn claviger(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).arg("--state-dir").arg(directory).env_clear().env("HOME", directory);
    command
}

fn ask(directory: &Path, arguments: &[&str]) -> Value {
    let output = claviger(directory, &[arguments, &["--json"]].concat()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A daemon, killed at the end of the test.
struct Daemon(Child);

impl Daemon {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = claviger(directory, arguments);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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

fn serve(directory: &Path) -> (Daemon, Value) {
    let listen = ["--address", "127.0.0.1", "--hip-port", "0", "--gdoi-port", "0", "--interface", "lo"];
    let daemon = Daemon::start(directory, &[&["server"], &listen[..]].concat());
    let status = eventually("the key server answers", PATIENCE, || {
        let output = claviger(directory, &["status", "--json"]).output().unwrap();
        serde_json::from_slice::<Vec<Value>>(&output.stdout).ok()?.into_iter().next()
    });
    (daemon, status)
}

fn port(status: &Value, protocol: &str) -> String {
    let listens = status["listens"].as_array().unwrap();
    let listen = listens.iter().find(|listen| listen["protocol"] == protocol).unwrap();
    listen["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
}

/// Compares groups and lists with what the key server of before said.
fn check_groups(directory: &Path, expected: &Value) {
    for (group, expected) in expected.as_object().unwrap() {
        let mut shown = ask(directory, &["group", "show", group]);
        shown["policy"].as_object_mut().unwrap().remove("push_port");
        assert_eq!(shown["policy"], expected["policy"], "{group}");
        let members = ask(directory, &["member", "list", "--group", group]);
        let allowed = members.as_array().unwrap().iter();
        let allowed: serde_json::Map<_, _> = allowed
            .map(|member| (member["hit"].as_str().unwrap().to_owned(), member["allowed"].clone()))
            .collect();
        assert_eq!(Value::Object(allowed), expected["allowed"], "{group}");
    }
}

fn take_over(version: &str) {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version);
    let work = tempfile::tempdir().unwrap();
    let [server, member, evicted] = ["server", "member", "evicted"].map(|name| work.path().join(name));
    let stored = ["store.redb", "store.key", "store.mark", "identity.pem"].map(|name| (name, name));
    copy(&fixture, &stored, &server);
    copy(&fixture, &[("member.pem", "identity.pem")], &member);
    copy(&fixture, &[("evicted.pem", "identity.pem")], &evicted);
    let expected = serde_json::from_slice(&fs::read(fixture.join("expected.json")).unwrap()).unwrap();

    let (daemon, status) = serve(&server);
    check_groups(&server, &expected);
    let at = format!("{}@127.0.0.1:{}", status["hit"].as_str().unwrap(), port(&status, "hip-udp"));
    let gdoi = port(&status, "gdoi");
    let join = ["join", "--server", &at, "--gdoi-port", &gdoi, "--interface", "lo", "--group", "market"];
    let out = claviger(&evicted, &join).output().unwrap();
    assert_eq!(out.status.code(), Some(NOT_AUTHORISED), "{}", String::from_utf8_lossy(&out.stderr));
    let _member = Daemon::start(&member, &join);
    eventually("the member holds keys", PATIENCE, || {
        let output = claviger(&member, &["status", "--json"]).output().unwrap();
        let status = serde_json::from_slice::<Vec<Value>>(&output.stdout).ok()?.into_iter().next()?;
        (status["state"] == "keyed").then_some(())
    });

    // What was written since stands beside what was written before.
    ask(&server, &["rekey", "--group", "large", "--key", "kek"]);
    drop(daemon);
    let (_daemon, _) = serve(&server);
    check_groups(&server, &expected);
}

#[test]
fn a_store_whose_records_have_version_3_is_taken_over() {
    take_over("store-3");
}
