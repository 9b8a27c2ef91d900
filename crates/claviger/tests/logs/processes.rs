//! Daemons and commands as processes, as users run them: standard output and standard error of each.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use claviger_gcks::Gcks;
use claviger_identity::Hit;
use claviger_store::{FileStore, Store};
use claviger_testkit::process::eventually;
use serde_json::Value;

use super::{lines, search::Secrets};

const PATIENCE: Duration = Duration::from_secs(15);

/// A payload that nobody may find in a log.
const PAYLOAD: &[u8; 32] = b"\x8a1.Wt\xf0\x11z@e\x9cQm\x03\xd7k{T\x90b\xee#s\x5aV\x1c\xb8Jr\xff,8";

/// Processes, all at TRACE, and what they have written.
struct Stage {
    directory: tempfile::TempDir,
    started: usize,
    server: Option<Child>,
    /// The ports of HIP and GDOI, which members know after the first start.
    ports: [String; 2],
    secrets: Secrets,
    rekey_sas: Vec<[u8; 16]>,
}

/// A process that is killed at the end of the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.take().map(Daemon);
    }
}

impl Stage {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            started: 0,
            server: None,
            ports: ["0", "0"].map(str::to_owned),
            secrets: Secrets::default(),
            rekey_sas: Vec::new(),
        }
    }

    fn state(&self, host: &str) -> PathBuf {
        self.directory.path().join(host)
    }

    fn output(&self, number: usize, stream: &str) -> PathBuf {
        self.directory.path().join(format!("{number:03}.{stream}"))
    }

    fn start(&mut self, host: &str, arguments: &[&str], input: Option<&[u8]>) -> Child {
        self.started += 1;
        let state = self.state(host);
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["--log", "trace"]).args(arguments).arg("--state-dir").arg(&state);
        command.env_clear().env("HOME", self.directory.path());
        let create = |stream| File::create(self.output(self.started, stream)).unwrap();
        command.stdout(create("out")).stderr(create("err"));
        match input {
            Some(input) => {
                let file = self.output(self.started, "in");
                fs::write(&file, input).unwrap();
                command.stdin(File::open(file).unwrap());
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        command.spawn().unwrap()
    }

    fn end(&mut self, host: &str, arguments: &[&str], input: Option<&[u8]>) -> (ExitStatus, String, String) {
        let status = self.start(host, arguments, input).wait().unwrap();
        let read = |stream| fs::read_to_string(self.output(self.started, stream)).unwrap();
        (status, read("out"), read("err"))
    }

    fn run(&mut self, host: &str, arguments: &[&str]) -> String {
        let (status, output, errors) = self.end(host, arguments, None);
        assert!(status.success(), "{arguments:?}: {errors}");
        output
    }

    /// What the daemon of a host says of itself, if it answers.
    fn status(&mut self, host: &str) -> Option<Value> {
        let (_, output, _) = self.end(host, &["status", "--json"], None);
        serde_json::from_str::<Vec<Value>>(&output).ok()?.into_iter().next()
    }

    /// Starts the key server, and waits until it answers. Returns what members call.
    fn serve(&mut self) -> String {
        let [hip, gdoi] = self.ports.clone();
        let ports = ["--hip-port", &hip, "--gdoi-port", &gdoi, "--address", "127.0.0.1", "--interface", "lo"];
        self.server = Some(self.start("server", &[&["server"][..], &ports].concat(), None));
        let up = eventually("the key server answers", PATIENCE, || self.status("server"));
        let port = |protocol: &str| {
            let listens = up["listens"].as_array().unwrap();
            let listen = listens.iter().find(|listen| listen["protocol"] == protocol).unwrap();
            listen["address"].as_str().unwrap().parse::<SocketAddr>().unwrap().port().to_string()
        };
        self.ports = ["hip-udp", "gdoi"].map(port);
        format!("{}@127.0.0.1:{}", up["hit"].as_str().unwrap(), self.ports[0])
    }

    /// Kills the key server, takes every secret from its store, and starts it again.
    fn restart(&mut self) {
        self.note_rekey_sa();
        self.stop();
        self.serve();
    }

    /// Kills the key server, and takes every secret from its store.
    fn stop(&mut self) {
        self.server.take().map(Daemon);
        let state = self.state("server");
        let pem = fs::read(state.join("identity.pem")).unwrap();
        let own = claviger_identity::HostIdentity::from_pem(claviger_crypto::provider(), &pem).unwrap().hit();
        let store = FileStore::open(&state).unwrap();
        let secrets = &mut self.secrets;
        for table in Gcks::TABLES {
            let each = &mut |key: &claviger_sansio::durable::RecordKey,
                             value: claviger_crypto::SecretBytes| {
                match table.name() {
                    "association" => {
                        let peer = Hit::new(key.item[..].try_into().unwrap());
                        secrets.add_association(own, peer, value.expose());
                    }
                    "group" => secrets.add("group record: signing key, TEKs", value.expose()),
                    "node" => secrets.add("node record: tree key", value.expose()),
                    // Ciphertext and names.
                    _ => {}
                }
                Ok(())
            };
            store.scan(table, each).unwrap();
        }
    }

    /// Notes the name of the rekey SA in force, which is in records, and no secret.
    fn note_rekey_sa(&mut self) {
        let shown: Value =
            serde_json::from_str(&self.run("server", &["group", "show", "market", "--json"])).unwrap();
        let spi = shown["keys"]["epoch"]["kek_spi"].as_str().unwrap();
        self.rekey_sas.push(u128::from_str_radix(spi, 16).unwrap().to_be_bytes());
    }

    /// Makes a host, allowed a role or none. Returns its HIT.
    fn host(&mut self, host: &str, role: Option<&str>) -> String {
        let shown: Value = serde_json::from_str(&self.run(host, &["identity", "new", "--json"])).unwrap();
        let hit = shown["hit"].as_str().unwrap().to_owned();
        if let Some(role) = role {
            self.run("server", &["member", "allow", "--group", "market", &hit, "--role", role]);
        }
        hit
    }

    fn wait_until_keyed(&mut self, host: &str) {
        eventually("the member holds keys", PATIENCE, || {
            (self.status(host)?["state"] == "keyed").then_some(())
        });
    }

    /// Everything that was written, by the number and stream of each process.
    fn outputs(&self) -> Vec<(String, Vec<u8>)> {
        let numbers = (1..=self.started).flat_map(|number| ["out", "err"].map(|stream| (number, stream)));
        let read = |(number, stream)| {
            let path = self.output(number, stream);
            (path.display().to_string(), fs::read(&path).unwrap())
        };
        numbers.map(read).collect()
    }

    fn add_private_key(&mut self, host: &str) {
        let pem = fs::read(self.state(host).join("identity.pem")).unwrap();
        self.secrets.add("identity key", claviger_identity::pem::decode(&pem).unwrap().expose());
    }
}

/// Lets a group live, and says what all processes wrote. The last is of the process that has a payload to show.
fn life(stage: &mut Stage) -> usize {
    let server = stage.serve();
    stage.run("server", &["group", "add", "market"]);
    let gdoi = stage.ports[1].clone();
    let join = ["join", "--server", &server, "--gdoi-port", &gdoi, "--interface", "lo", "--group", "market"];
    let sender = stage.host("sender", Some("both"));
    let evicted = stage.host("evicted", Some("receiver"));
    stage.host("leaves", Some("receiver"));
    stage.host("stranger", None);
    let mut daemons: Vec<Daemon> = ["sender", "evicted", "leaves"]
        .into_iter()
        .map(|host| {
            let role: &[&str] = if host == "sender" { &["--sender"] } else { &[] };
            let daemon = Daemon(stage.start(host, &[&join[..], role].concat(), None));
            stage.wait_until_keyed(host);
            daemon
        })
        .collect();
    let (refused, _, sentence) = stage.end("stranger", &join, None);
    assert_eq!(refused.code(), Some(4), "{sentence}");

    let _recv = Daemon(stage.start("leaves", &["recv", "--group", "market"], None));
    let recv = stage.started;
    eventually("a payload arrives", PATIENCE, || {
        stage.end("sender", &["send", "--group", "market"], Some(PAYLOAD));
        let arrived = fs::read(stage.output(recv, "out")).unwrap();
        arrived.windows(PAYLOAD.len()).any(|window| window == PAYLOAD).then_some(())
    });
    stage.restart();
    for key in ["kek", "tek"] {
        stage.run("server", &["rekey", "--group", "market", "--key", key]);
        stage.restart();
    }
    stage.run("server", &["member", "evict", "--group", "market", &evicted]);
    eventually("the evicted member's daemon ends", PATIENCE, || daemons[1].0.try_wait().unwrap());
    stage.restart();
    stage.run("server", &["member", "allow", "--group", "market", &sender, "--role", "receiver"]);
    stage.restart();
    let leaves = nix::unistd::Pid::from_raw(daemons[2].0.id().try_into().unwrap());
    nix::sys::signal::kill(leaves, nix::sys::signal::Signal::SIGTERM).unwrap();
    eventually("the member leaves", PATIENCE, || daemons[2].0.try_wait().unwrap());
    eventually("its departure is rekeyed", PATIENCE, || {
        let shown = stage.run("server", &["group", "show", "market", "--json"]);
        (serde_json::from_str::<Value>(&shown).unwrap()["members"] == 1).then_some(())
    });
    stage.restart();
    stage.run("server", &["group", "remove", "market"]);
    stage.stop();
    recv
}

#[test]
fn no_output_of_any_process_has_a_secret_in_it_and_each_command_and_rekey_says_its_cause() {
    let mut stage = Stage::new();
    let recv = life(&mut stage);
    let recv = stage.output(recv, "out").display().to_string();
    for host in ["server", "sender", "evicted", "leaves", "stranger"] {
        stage.add_private_key(host);
    }
    stage.secrets.add("key of the store", &fs::read(stage.state("server").join("store.key")).unwrap());
    let mut secrets = std::mem::take(&mut stage.secrets);
    stage.rekey_sas.iter().for_each(|spi| secrets.except(spi));
    for kind in ["HIP association", "SKEYID", "group record: signing key, TEKs", "node record: tree key"] {
        assert!(secrets.kinds()[kind] > 0, "{kind}");
    }
    let mut payload = Secrets::default();
    payload.add("payload", PAYLOAD);

    let outputs = stage.outputs();
    for (name, octets) in &outputs {
        assert_eq!(secrets.found_in(octets), Vec::<String>::new(), "{name}");
        let shows_payload = !payload.found_in(octets).is_empty();
        assert_eq!(shows_payload, *name == recv, "{name}");
    }
    let all: String = outputs.iter().map(|(_, octets)| String::from_utf8_lossy(octets)).collect();
    for machine in ["hip", "gdoi", "gcks", "member", "esp"] {
        let found = ["DEBUG", "TRACE"].map(|level| lines(&all, machine, level));
        assert!(found[0] >= 10 && found[1] >= 5, "{machine}: {found:?}");
    }

    let told: Vec<&str> = all.lines().filter(|line| line.contains(" INFO ")).collect();
    for words in [
        &["command=\"group add\"", "cause=\"by_hand\"", "group=market"][..],
        &["command=\"member allow\"", "cause=\"by_hand\"", "role=receiver"],
        &["command=\"rekey\"", "cause=\"by_hand\"", "key=\"kek\""],
        &["command=\"member evict\"", "cause=\"by_hand\"", "peer=2001:"],
        &["command=\"group remove\"", "cause=\"by_hand\"", "group=market"],
        &["rekeyed", "cause=join", "kek=", "tek="],
        &["rekeyed", "cause=by_hand kek="],
        &["rekeyed", "cause=by_hand tek="],
        &["rekeyed", "cause=eviction", "kek=", "tek="],
        &["rekeyed", "cause=narrowed_role tek="],
        &["rekeyed", "cause=leave", "kek=", "tek="],
    ] {
        let is_said = |line: &&str| words.iter().all(|word| line.contains(word));
        assert!(told.iter().any(is_said), "{words:?} in\n{}", told.join("\n"));
    }
}
