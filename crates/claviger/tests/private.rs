//! What the kernel says of the memory of running daemons.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/daemons.rs"]
#[allow(dead_code, unreachable_pub, reason = "this file uses its own part of it")]
mod daemons;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use claviger_testkit::process::eventually;
use daemons::{Daemon, LISTEN, PATIENCE};
use nix::unistd::geteuid;

/// As whom the program runs where the tests run as root, whom the kernel lets lock and read everything.
const USER: u32 = 4711;

/// A key server of a user without privileges, which answers.
struct Server {
    daemon: Daemon,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts it by a shell, after what is said to the shell.
    fn start(before: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (program, state, log) =
            (directory.path().join("claviger"), directory.path().join("state"), directory.path().join("log"));
        // Where the tests were built another user may have no access.
        fs::copy(daemons::this_version(), &program).unwrap();
        fs::create_dir(&state).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\"")).arg(&program);
        command.args(LISTEN).arg("--state-dir").arg(&state).env_clear().env("HOME", &state);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        if geteuid().is_root() {
            chown(directory.path(), Some(USER), Some(USER)).unwrap();
            chown(&state, Some(USER), Some(USER)).unwrap();
            command.uid(USER).gid(USER);
        }
        let daemon = Daemon(command.spawn().unwrap());
        let socket = state.join("server.sock");
        eventually("the key server answers", PATIENCE, || socket.exists().then_some(()));
        Self { daemon, log, _directory: directory }
    }

    /// A file of /proc about it.
    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.daemon.0.id().to_string()).join(name)
    }

    /// The line of such a file that begins so, behind that.
    fn line(&self, name: &str, beginning: &str) -> String {
        let text = fs::read_to_string(self.proc(name)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("{name} has no {beginning}")).trim().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

#[test]
fn a_daemon_leaves_no_core_is_not_looked_into_and_keeps_its_keys_from_swap() {
    let server = Server::start("ulimit -c unlimited");
    let core: Vec<String> =
        server.line("limits", "Max core file size").split_whitespace().map(str::to_owned).collect();
    assert_eq!(core[..2], ["0", "0"]);
    // The files of a process that may be looked into are its user's.
    let owner = fs::metadata(server.proc("stat")).unwrap().uid();
    let user = if geteuid().is_root() { USER } else { geteuid().as_raw() };
    assert_ne!(owner, user);
    assert_ne!(server.line("status", "VmLck:"), "0 kB");
    assert!(!server.log().contains("keys may be"), "{}", server.log());
}

#[test]
fn a_daemon_that_may_lock_no_memory_runs_and_says_so() {
    let server = Server::start("ulimit -l 0");
    assert_eq!(server.line("status", "VmLck:"), "0 kB");
    let warning = "WARN";
    let said = server.log();
    let line = said.lines().find(|line| line.contains("keys may be written to swap"));
    assert!(line.is_some_and(|line| line.contains(warning)), "{said}");
}
