//! The processes and their parts.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use claviger_api::{Client, StatusView, status::MembershipState};
use claviger_group::GroupId;
use claviger_identity::Hit;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::{
    exit::{Exit, Failure, Outcome},
    identity_file,
    lock::IdentityLock,
    settings::{identity::IdentityName, new_key::NewKey, paths::Paths},
};

/// How long anything may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every process of the demonstration is told.
pub(super) struct Stage {
    pub(super) executable: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) group: GroupId,
    pub(super) hip_port: u16,
    pub(super) gdoi_port: u16,
    pub(super) data_address: SocketAddr,
}

/// A process that is killed if nobody ends it.
pub(super) struct Process {
    child: Child,
    name: String,
}

impl Process {
    fn spawn(command: &mut Command, name: &str, log: &Path) -> Outcome<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot start {name}: {error}")))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// Asks it to end in good order and waits; returns its exit code.
    pub(super) async fn terminate(&mut self) -> Outcome<i32> {
        self.signal(Signal::SIGTERM);
        self.wait().await
    }

    /// Ends it without giving it a chance.
    pub(super) async fn kill(&mut self) -> Outcome {
        self.signal(Signal::SIGKILL);
        self.wait().await.map(|_| ())
    }

    /// Waits for its end; returns its exit code.
    pub(super) async fn wait(&mut self) -> Outcome<i32> {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => Ok(status?.code().unwrap_or(-1)),
            Err(_) => Err(Failure::new(Exit::Failed, format!("{} does not end", self.name))),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}

/// A member with its identity and its files.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) hit: Hit,
    pub(super) sends: bool,
    directory: PathBuf,
    group: GroupId,
}

impl Actor {
    /// Makes the actor's identity.
    pub(super) fn new(stage: &Stage, name: &'static str, sends: bool) -> Outcome<Self> {
        let directory = stage.directory.join(name);
        let paths = Paths::find(Some(&directory))?;
        paths.make_state_dir()?;
        let lock = IdentityLock::acquire(&directory, &IdentityName::FIRST, "claviger demo")?;
        let identity = identity_file::create(&lock, &NewKey::Made(identity_file::ALGORITHM_DEFAULT))?;
        Ok(Self { name, hit: identity.hit(), sends, directory, group: stage.group.clone() })
    }

    /// Starts its process; `take` tells recordings of one actor apart.
    pub(super) fn enter(&self, stage: &Stage, server: Hit, take: &str) -> Outcome<Process> {
        let mut command = Command::new(&stage.executable);
        command
            .arg("--state-dir")
            .arg(&self.directory)
            .args(["--log", "info", "demo-member", "--interface", "lo"])
            .arg("--server")
            .arg(format!("{server}@127.0.0.1:{}", stage.hip_port))
            .args(["--gdoi-port", &stage.gdoi_port.to_string()])
            .args(["--group", &stage.group.to_string()])
            .arg("--recording")
            .arg(self.recording(take))
            .arg("--ledger")
            .arg(self.ledger(take));
        if self.sends {
            command.arg("--sender");
        }
        Process::spawn(&mut command, self.name, &self.directory.join("log"))
    }

    pub(super) fn recording(&self, take: &str) -> PathBuf {
        self.directory.join(format!("{take}.recording"))
    }

    pub(super) fn ledger(&self, take: &str) -> PathBuf {
        self.directory.join(format!("{take}.ledger"))
    }

    pub(super) fn client(&self) -> Client {
        let paths = Paths { state_dir: self.directory.clone(), runtime_dir: self.directory.clone() };
        Client::new(paths.member_socket(&self.group))
    }

    /// Waits until it holds keys, and if it sends, until it may.
    pub(super) async fn keyed(&self) -> Outcome {
        let deadline = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Ok(StatusView::Member(status)) = self.client().status().await
                    && status.state == MembershipState::Keyed
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        deadline.await.map_err(|_| {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            Failure::new(Exit::Failed, format!("member {} got no keys; its log:\n{log}", self.name))
        })
    }

    /// Says how often it has registered, by its own count.
    pub(super) async fn registrations(&self) -> Outcome<u64> {
        match self.client().status().await? {
            StatusView::Member(status) => Ok(status.counters.get(claviger_member::Counter::Registrations)),
            StatusView::Server(_) => Ok(0),
        }
    }
}

/// Starts the key server, or starts it again.
pub(super) async fn start_server(stage: &Stage) -> Outcome<(Process, Hit)> {
    let directory = stage.directory.join("server");
    let mut command = Command::new(&stage.executable);
    command
        .arg("--state-dir")
        .arg(&directory)
        .args(["--log", "info", "server", "--address", "127.0.0.1"])
        .args(["--hip-port", &stage.hip_port.to_string(), "--gdoi-port", &stage.gdoi_port.to_string()]);
    let log = stage.directory.join("server.log");
    let mut process = Process::spawn(&mut command, "server", &log)?;
    let ready = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(StatusView::Server(status)) = server_client(stage).status().await {
                return Some(status.hit);
            }
            if process.child.try_wait().ok().flatten().is_some() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    match ready.await {
        Ok(Some(hit)) => Ok((process, hit)),
        _ => {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            Err(Failure::new(Exit::Failed, format!("the key server does not run; its log:\n{log}")))
        }
    }
}

pub(super) fn server_client(stage: &Stage) -> Client {
    Client::new(stage.directory.join("server").join("server.sock"))
}

/// Starts the observer and waits until it listens.
pub(super) async fn start_observer(stage: &Stage) -> Outcome<Process> {
    let mut command = Command::new(&stage.executable);
    command
        .args(["--log", "warn", "demo-observer"])
        .args(["--address", &stage.data_address.ip().to_string()])
        .args(["--port", &stage.data_address.port().to_string()])
        .args(["--port", &stage.gdoi_port.to_string()])
        .arg("--recording")
        .arg(observer_recording(stage));
    let process = Process::spawn(&mut command, "observer", &stage.directory.join("observer.log"))?;
    for _ in 0..500 {
        if observer_recording(stage).exists() {
            return Ok(process);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(Failure::new(Exit::Failed, "the observer does not listen"))
}

pub(super) fn observer_recording(stage: &Stage) -> PathBuf {
    stage.directory.join("observer.recording")
}
