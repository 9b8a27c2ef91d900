//! A key server whose disk is slow: it goes on, and says nothing before what it rests on is durable.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use claviger::{
    server::{ServerOptions, run_on},
    settings::difficulty::Puzzle,
};
use claviger_api::{
    Client, ClientError, GroupPolicyOptions, ServerStatus, StatusView,
    view::{GroupAdd, RekeyKey, RekeyOrder},
};
use claviger_group::{GroupId, MemberId, Role};
use claviger_identity::Hit;
use claviger_net::{Interface, UdpOptions, UdpSocket};
use claviger_sansio::durable::{Change, Receipt, Table};
use claviger_store::{MemoryStore, Store, StoreError, store::Each};
use claviger_testkit::network::new_identity;
use tokio::{task::JoinHandle as Task, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// How long a test waits for what must not come.
const SILENCE: Duration = Duration::from_millis(400);

/// What the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Free,
    /// So many commits pass.
    Permits(u32),
    Broken,
}

struct State {
    pace: Pace,
    begun: u32,
}

/// Holds the commits of a store up.
#[derive(Clone)]
struct Gate(Arc<(Mutex<State>, Condvar)>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(State { pace: Pace::Free, begun: 0 }), Condvar::new())))
    }

    fn set(&self, pace: Pace) {
        self.0.0.lock().unwrap().pace = pace;
        self.0.1.notify_all();
    }

    fn begun(&self) -> u32 {
        self.0.0.lock().unwrap().begun
    }

    /// Waits until the disk has the commit after so many.
    async fn until_begun_beyond(&self, before: u32) {
        eventually("a commit is under way", async || (self.begun() > before).then_some(())).await;
    }

    /// Says whether the commit goes on.
    fn pass(&self) -> bool {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.begun += 1;
        let mut state = changed.wait_while(state, |state| state.pace == Pace::Permits(0)).unwrap();
        if let Pace::Permits(permits) = &mut state.pace {
            *permits -= 1;
        }
        state.pace != Pace::Broken
    }
}

struct SlowStore {
    inner: MemoryStore,
    gate: Gate,
}

impl Store for SlowStore {
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError> {
        if !self.gate.pass() {
            return Err(StoreError::TooLong { table: Table::new("broken") });
        }
        self.inner.commit(changes)
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, each)
    }
}

async fn eventually<T>(what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
    let attempts = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, attempts).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A key server in a thread of this process.
struct Server {
    gate: Gate,
    client: Client,
    hit: Hit,
    hip_port: u16,
    gdoi_port: u16,
    thread: JoinHandle<Result<(), String>>,
}

impl Server {
    async fn start(directory: &Path) -> Self {
        let identity = new_identity();
        let hit = identity.hit();
        let sockets = [(); 2].map(|()| std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [hip_port, gdoi_port] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(sockets);
        let socket = directory.join("server.sock");
        let client = Client::new(socket.clone());
        let options = ServerOptions {
            identity,
            state_dir: directory.to_owned(),
            socket,
            listen: vec![Ipv4Addr::LOCALHOST.into()],
            hip_port,
            gdoi_port,
            raw: false,
            interface: None,
            puzzle: Puzzle { difficulty: 1.try_into().unwrap(), difficulty_max: 1.try_into().unwrap() },
            dh_groups: Default::default(),
            ciphers: Default::default(),
            association_rekey: Default::default(),
            certificates: Vec::new(),
            revocation_lists: None,
        };
        let gate = Gate::new();
        let store = SlowStore { inner: MemoryStore::new(), gate: gate.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run_on(options, store)).map_err(|failure| failure.message)
        });
        let server = Self { gate, client, hit, hip_port, gdoi_port, thread };
        eventually("the server answers", async || server.client.status().await.ok()).await;
        server
    }

    async fn status(&self) -> ServerStatus {
        match timeout(PATIENCE, self.client.status()).await.expect("status does not wait for the disk") {
            Ok(StatusView::Server(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn add_group(&self, group: &GroupId, address: Option<IpAddr>) {
        let policy = GroupPolicyOptions { address, ..GroupPolicyOptions::default() };
        self.client.group_add(&GroupAdd { name: group.clone(), policy, owner: None }).await.unwrap();
    }

    /// Begins to let a host in.
    fn allow(&self, group: &GroupId, host: MemberId) -> Task<Result<(), ClientError>> {
        let (client, group) = (self.client.clone(), group.clone());
        tokio::spawn(
            async move { client.member_allow(&group, &host, &Role::Receiver.into()).await.map(|_| ()) },
        )
    }
}

fn group() -> GroupId {
    "slow".parse().unwrap()
}

fn some_host(number: u16) -> MemberId {
    format!("2001:20::{number:x}").parse().unwrap()
}

async fn silent<T>(task: &mut Task<T>) -> bool {
    timeout(SILENCE, task).await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_answers_and_packets_are_read_while_a_commit_is_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    server.add_group(&group(), None).await;
    let before = server.gate.begun();
    server.gate.set(Pace::Permits(0));
    let mut first = server.allow(&group(), some_host(1));
    server.gate.until_begun_beyond(before).await;

    let dropped = |status: &ServerStatus| status.drops.iter().map(|(.., count)| count).sum::<u64>();
    let drops = dropped(&server.status().await);
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.send_to(&[0, 0, 0, 0, 1, 2, 3], (Ipv4Addr::LOCALHOST, server.hip_port)).unwrap();
    eventually("the packet is read", async || (dropped(&server.status().await) > drops).then_some(())).await;

    let mut second = server.allow(&group(), some_host(2));
    assert!(silent(&mut first).await && silent(&mut second).await, "nothing is durable");
    assert_eq!(server.gate.begun(), before + 1, "one commit at a time");
    server.gate.set(Pace::Permits(1));
    timeout(PATIENCE, first).await.expect("the answer rests on the first commit").unwrap().unwrap();
    server.gate.until_begun_beyond(before + 1).await;
    assert!(silent(&mut second).await, "its own commit is under way");
    server.gate.set(Pace::Free);
    timeout(PATIENCE, second).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_a_limit_packets_wait_for_the_disk_with_the_sockets() {
    const LIMIT: u64 = 4_096;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    server.add_group(&group(), None).await;
    let before = server.gate.begun();
    server.gate.set(Pace::Permits(0));
    let call = server.allow(&group(), some_host(1));
    server.gate.until_begun_beyond(before).await;

    let drops = async || server.status().await.drops.iter().map(|(.., count)| count).sum::<u64>();
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let send = || socket.send_to(&[0, 0, 0, 0, 1, 2, 3], (Ipv4Addr::LOCALHOST, server.hip_port)).unwrap();
    eventually("as many are read as may be", async || {
        for _ in 0..100 {
            send();
        }
        (drops().await >= LIMIT).then_some(())
    })
    .await;
    for _ in 0..100 {
        send();
    }
    tokio::time::sleep(SILENCE).await;
    assert_eq!(drops().await, LIMIT);
    server.gate.set(Pace::Free);
    timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
    eventually("the others are read", async || (drops().await > LIMIT).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_ends_the_server_and_nothing_of_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    server.add_group(&group(), None).await;
    let before = server.gate.begun();
    server.gate.set(Pace::Permits(0));
    let first = server.allow(&group(), some_host(1));
    server.gate.until_begun_beyond(before).await;
    let second = server.allow(&group(), some_host(2));
    server.gate.set(Pace::Broken);
    for call in [first, second] {
        assert!(timeout(PATIENCE, call).await.unwrap().unwrap().is_err());
    }
    let ended = tokio::task::spawn_blocking(|| server.thread.join().unwrap()).await.unwrap();
    assert!(ended.is_err(), "it ends with the store's error");
}

/// A member daemon, killed at the end.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, of which the test has heard.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn member_command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).arg("--state-dir").arg(state).env_clear().env("HOME", state);
    command.stderr(Stdio::null());
    command
}

/// Makes a host that is allowed in the group, and has it join.
async fn join(server: &Server, state: PathBuf) -> Daemon {
    let shown = member_command(&state, &["identity", "new", "--json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let host = shown["hit"].as_str().unwrap().parse().unwrap();
    server.allow(&group(), host).await.unwrap().unwrap();
    let (at, gdoi) = (format!("{}@127.0.0.1:{}", server.hit, server.hip_port), server.gdoi_port.to_string());
    let group = group().to_string();
    let arguments = ["join", "--server", &at, "--gdoi-port", &gdoi, "--interface", "lo", "--group", &group];
    Daemon(member_command(&state, &arguments).stdout(Stdio::null()).spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rekey_message_leaves_before_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let address = Ipv4Addr::new(239, 192, 77, 88).into();
    server.add_group(&group(), Some(address)).await;
    let _member = join(&server, directory.path().join("member")).await;
    let members = async || server.status().await.groups.first().map(|group| group.members);
    eventually("the member is keyed", async || (members().await == Some(1)).then_some(())).await;
    // The copies of what its joining brought leave within this time.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let loopback = Interface::by_name("lo", "the test").unwrap();
    let options = UdpOptions::new("the test");
    let listener = UdpSocket::bind_group(address, server.gdoi_port, &loopback, None, &options).unwrap();
    let mut buffer = [0; 4096];
    let before = server.gate.begun();
    server.gate.set(Pace::Permits(0));
    let client = server.client.clone();
    let mut rekey =
        tokio::spawn(
            async move { client.rekey(&group(), &RekeyOrder { key: RekeyKey::Tek }).await.map(|_| ()) },
        );
    server.gate.until_begun_beyond(before).await;
    assert!(timeout(SILENCE, listener.recv(&mut buffer)).await.is_err(), "its number is not stored");
    assert!(silent(&mut rekey).await);
    server.gate.set(Pace::Free);
    let received = timeout(PATIENCE, listener.recv(&mut buffer)).await.expect("the PUSH leaves").unwrap();
    assert_eq!(received.destination, SocketAddr::new(address, server.gdoi_port));
    timeout(PATIENCE, rekey).await.unwrap().unwrap().unwrap();
}
