//! Daemons of any version of the program as processes on loopback.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use claviger_testkit::process::eventually;
use serde_json::Value;

/// How long a daemon may take to do what it does in milliseconds on a host with nothing else to do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program that is tested.
pub fn this_version() -> PathBuf {
    env!("CARGO_BIN_EXE_claviger").into()
}

/// A daemon, killed at the end of the test.
pub struct Daemon(Child);

impl Daemon {
    /// Waits until it has ended, and returns its exit code.
    pub fn code(&mut self) -> Option<i32> {
        let ended = eventually("the daemon ends", PATIENCE, || self.0.try_wait().unwrap());
        ended.code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host of its own: a program and a state directory.
pub struct Host {
    pub program: PathBuf,
    pub directory: PathBuf,
}

impl Host {
    pub fn new(program: &Path, directory: PathBuf) -> Self {
        Self { program: program.to_owned(), directory }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--state-dir").arg(&self.directory);
        command.env_clear().env("HOME", &self.directory);
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Daemon {
        let mut command = self.command(arguments);
        Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that succeeds, and reads its JSON.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn status(&self) -> Option<Value> {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice::<Vec<Value>>(&output.stdout).ok()?.into_iter().next()
    }

    /// Starts a key server here; returns what members say to `join`.
    pub fn serve(&self) -> (Daemon, Vec<String>) {
        let listen = ["--address", "127.0.0.1", "--hip-port", "0", "--gdoi-port", "0", "--interface", "lo"];
        let daemon = self.start(&[&["server"], &listen[..]].concat());
        let status = eventually("the key server answers", PATIENCE, || self.status());
        let at = format!("{}@127.0.0.1:{}", status["hit"].as_str().unwrap(), port(&status, "hip-udp"));
        let gdoi = port(&status, "gdoi");
        let join = ["join", "--server", &at, "--gdoi-port", &gdoi, "--interface", "lo"];
        (daemon, join.map(str::to_owned).to_vec())
    }

    /// Waits until the member daemon here holds keys that the condition wants.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        eventually(what, PATIENCE, || self.status().filter(|status| condition(status)).map(drop));
    }

    /// Waits until the member daemon here holds keys.
    pub fn wait_until_keyed(&self) {
        self.wait_until("the member holds keys", |status| status["state"] == "keyed");
    }
}

fn port(status: &Value, protocol: &str) -> String {
    let listens = status["listens"].as_array().unwrap();
    let listen = listens.iter().find(|listen| listen["protocol"] == protocol).unwrap();
    listen["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
}
