//! Daemons of any version of the program as processes on loopback.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use claviger_testkit::process::eventually;
use serde_json::Value;

/// How long a daemon may take to do what it does in milliseconds on a host with nothing else to do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How tests start a key server.
pub const LISTEN: [&str; 9] =
    ["server", "--address", "127.0.0.1", "--hip-port", "0", "--gdoi-port", "0", "--interface", "lo"];

/// The program that is tested.
pub fn this_version() -> PathBuf {
    env!("CARGO_BIN_EXE_claviger").into()
}

/// A daemon, killed at the end of the test.
pub struct Daemon(pub Child);

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

    /// A host that runs the program that is tested.
    pub fn of_this_version(directory: PathBuf) -> Self {
        Self::new(&this_version(), directory)
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

    /// Runs a command that succeeds, and returns what it prints.
    pub fn print(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that succeeds, and reads its JSON.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.print(&[arguments, &["--json"]].concat())).unwrap()
    }

    pub fn status(&self) -> Option<Value> {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice::<Vec<Value>>(&output.stdout).ok()?.into_iter().next()
    }

    /// Starts a key server here.
    pub fn serve(&self) -> Serving {
        self.serve_and_log(Stdio::null())
    }

    /// Does what [`Host::serve`] does, with a place for the log.
    pub fn serve_and_log(&self, log: Stdio) -> Serving {
        let mut command = self.command(&LISTEN);
        let daemon = Daemon(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let status = eventually("the key server answers", PATIENCE, || self.status());
        let (hip, gdoi) = (port(&status, "hip-udp"), port(&status, "gdoi").to_string());
        let at = format!("{}@127.0.0.1:{hip}", status["hit"].as_str().unwrap());
        let join = ["join", "--server", &at, "--gdoi-port", &gdoi, "--interface", "lo"];
        Serving { daemon, hip, join: join.map(str::to_owned).to_vec() }
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

/// A key server that runs.
pub struct Serving {
    pub daemon: Daemon,
    /// The port of HIP.
    pub hip: u16,
    /// What members say to reach it.
    pub join: Vec<String>,
}

impl Serving {
    /// What members say to reach it, with more options.
    pub fn join_with<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        self.join.iter().map(String::as_str).chain(options.iter().copied()).collect()
    }
}

fn port(status: &Value, protocol: &str) -> u16 {
    let listens = status["listens"].as_array().unwrap();
    let listen = listens.iter().find(|listen| listen["protocol"] == protocol).unwrap();
    listen["address"].as_str().unwrap().parse::<SocketAddr>().unwrap().port()
}
