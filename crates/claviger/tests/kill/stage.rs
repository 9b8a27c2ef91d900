//! Ports, directories, processes.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use claviger::{
    server::{ServerOptions, run_on},
    settings::difficulty::Puzzle,
};
use claviger_api::{Client, StatusView};
use claviger_crypto::{Random, provider, random};
use claviger_group::GroupId;
use claviger_identity::{Hit, HostIdentity};
use claviger_store::{FileStore, Store};
use claviger_testkit::network::new_identity;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::store::{ForgetfulStore, KillingStore, Order};

/// The environment variable that says what a process is.
pub(crate) const ROLE: &str = "CLAVIGER_KILL_ROLE";

/// The environment variable with the stage, as JSON.
const STAGE: &str = "CLAVIGER_KILL_STAGE";

/// How long a server may take to start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// What every process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stage {
    pub(crate) directory: PathBuf,
    pub(crate) hip_port: u16,
    pub(crate) gdoi_port: u16,
    pub(crate) data: SocketAddr,
    pub(crate) forgetful: bool,
}

/// How a server ended while it was started.
pub(crate) struct Died;

impl Stage {
    /// Finds free ports and a group address that nobody is likely to have.
    pub(crate) fn new(directory: &Path, forgetful: bool, random: &mut dyn Random) -> Self {
        let sockets = [(); 3].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [hip_port, gdoi_port, data_port] =
            sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
        let [a, b] = random::array(random);
        let data = SocketAddr::from((Ipv4Addr::new(239, 255, a, b.clamp(1, 254)), data_port));
        fs::write(directory.join("identity.pem"), new_identity().to_pem().unwrap().expose()).unwrap();
        Self { directory: directory.to_owned(), hip_port, gdoi_port, data, forgetful }
    }

    pub(crate) fn group() -> GroupId {
        "killed".parse().unwrap()
    }

    pub(crate) fn server_hit(&self) -> Hit {
        self.identity().hit()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.directory.join("server.sock"))
    }

    pub(crate) fn order(&self) -> PathBuf {
        self.directory.join("order")
    }

    /// Tells the server when to die.
    pub(crate) fn give(&self, order: &Order) {
        // Renamed into place, so that nobody reads half of it.
        let draft = self.directory.join("order.new");
        fs::write(&draft, serde_json::to_vec(order).unwrap()).unwrap();
        fs::rename(draft, self.order()).unwrap();
    }

    pub(crate) fn verdict(&self) -> PathBuf {
        self.directory.join("verdict")
    }

    pub(crate) fn server_log(&self) -> String {
        fs::read_to_string(self.directory.join("server.log")).unwrap_or_default()
    }

    fn identity(&self) -> HostIdentity {
        HostIdentity::from_pem(provider(), &fs::read(self.directory.join("identity.pem")).unwrap()).unwrap()
    }

    /// Starts a process of this executable.
    pub(crate) fn spawn(&self, role: &str) -> Child {
        let log = self.directory.join(format!("{role}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["process", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(STAGE, serde_json::to_string(self).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Starts the server; it need not live until it answers.
    pub(crate) fn start_server(&self) -> Child {
        // An order that was carried out is none any more.
        let _ = fs::remove_file(self.order());
        self.spawn("server")
    }

    /// Waits until the server answers.
    pub(crate) async fn server_answers(&self, server: &mut Child) -> Result<(), Died> {
        let answers = async {
            loop {
                if matches!(self.client().status().await, Ok(StatusView::Server(_))) {
                    return Ok(());
                }
                if let Some(status) = server.try_wait().unwrap() {
                    self.assert_killed(status);
                    return Err(Died);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(START_PATIENCE, answers).await {
            Ok(result) => result,
            Err(_) => panic!("the server does not answer; its log:\n{}", self.server_log()),
        }
    }

    /// Makes sure that a server that ended did not end by itself.
    pub(crate) fn assert_killed(&self, status: ExitStatus) {
        let killed = status.signal() == Some(nix::libc::SIGKILL);
        assert!(killed, "the server ended by itself ({status}); its log:\n{}", self.server_log());
    }
}

/// Reads the stage that this process was given.
pub(crate) fn given() -> Stage {
    serde_json::from_str(&std::env::var(STAGE).expect("the process is given a stage")).unwrap()
}

/// The server's process.
pub(crate) fn serve() {
    let stage = given();
    let store = FileStore::open(&stage.directory.join("store")).unwrap();
    if stage.forgetful {
        serve_on(&stage, ForgetfulStore { inner: store, answered: Vec::new() });
    } else {
        serve_on(&stage, store);
    }
}

fn serve_on(stage: &Stage, store: impl Store + 'static) {
    let store = KillingStore { inner: store, order: stage.order(), passed: 0, sending: false };
    let options = ServerOptions {
        identity: Arc::new(stage.identity()),
        state_dir: stage.directory.clone(),
        socket: stage.directory.join("server.sock"),
        listen: vec![Ipv4Addr::LOCALHOST.into()],
        hip_port: stage.hip_port,
        gdoi_port: stage.gdoi_port,
        raw: false,
        interface: None,
        puzzle: Puzzle { difficulty: 1.try_into().unwrap(), difficulty_max: 1.try_into().unwrap() },
        dh_groups: Default::default(),
        ciphers: Default::default(),
        association_rekey: Default::default(),
        certificates: Vec::new(),
        revocation_lists: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Err(failure) = runtime.block_on(run_on(options, store)) {
        panic!("{}", failure.message);
    }
}
