//! Who does what when: rounds of rest, load and kill.

use std::{collections::BTreeMap, fmt, ops::Range, time::Duration};

use claviger_api::{
    Client, ClientError, ErrorCode, EvictWait, GroupPolicyOptions,
    view::{GroupAdd, MemberAllow, RekeyKey, RekeyOrder},
};
use claviger_crypto::{Random, SeededRandom, random};
use claviger_group::Role;
use claviger_net::Clock;
use claviger_sansio::Time;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    host::{Errand, Host, Phase},
    judgement::Verdict,
    stage::Stage,
    store::{Order, Step},
    testimony::{HostNumber, Line},
};

/// Within so long of a restart every member holds what is in force, without registering again: at worst a PULL ran
/// into the kill and fails after 3.5 s, the next one follows within 1 s and meets a rekey, and the one after that is
/// delayed by 2 s at random; the rest is for a busy host.
const SETTLE_MAX: Duration = Duration::from_secs(15);

/// How long nothing must have changed for the group to be at rest: a departure waits so long for its rekey at most, until the
/// copies of earlier messages have left and those have answered who were told of the next rekey.
const REST_MIN: Duration = Duration::from_millis(500);

/// A broken store leaves members behind for good; nobody waits for them long.
const SETTLE_MAX_FORGETFUL: Duration = Duration::from_millis(700);

/// Within so long after the last kill whoever is joining has joined.
const JOIN_MAX: Duration = Duration::from_secs(40);

/// Within so long a server under load reaches the commit that an order names; after it any commit will do.
const ORDER_PATIENCE: Duration = Duration::from_secs(3);

/// Hosts that stay throughout, and hosts that come and go.
const STAYERS: usize = 2;
const COMERS: usize = 3;

/// How often an evicted host tries to come back.
const RETURNS: u32 = 3;

/// What can be in the commits that orders wait for.
pub(crate) const TABLES: [&str; 5] = ["member", "access", "group", "push", "grant"];

/// A play before it begins.
pub(crate) struct Play {
    pub(crate) seed: u64,
    /// The steps to kill at, and the table that the commit changes.
    pub(crate) orders: Vec<(Step, &'static str)>,
    pub(crate) kills_at_random: usize,
    pub(crate) forgetful: bool,
}

/// A play that is over.
pub(crate) struct Played {
    kills: BTreeMap<Option<Step>, usize>,
    pub(crate) verdict: Verdict,
    took: Duration,
    seed: u64,
}

impl Played {
    pub(crate) fn kills_at(&self, step: Step) -> usize {
        self.kills.get(&Some(step)).copied().unwrap_or(0)
    }

    pub(crate) fn kills_at_random(&self) -> usize {
        self.kills.get(&None).copied().unwrap_or(0)
    }

    pub(crate) fn kills(&self) -> usize {
        self.kills.values().sum()
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, verdict, took, seed } = self;
        writeln!(
            f,
            "{} kills in {:.1} s: {kills:?}; CLAVIGER_KILL_SEED={seed}",
            self.kills(),
            took.as_secs_f64()
        )?;
        write!(f, "{verdict:#?}")
    }
}

/// When the server of a round dies.
#[derive(Debug, Clone)]
enum Plan {
    /// Under load, where an order says.
    AtStep(Order),
    /// Under load, at some time.
    UnderLoad(Duration),
    /// While it starts.
    WhileStarting(Duration),
}

/// A host that is to be evicted.
struct Victim {
    host: Host,
    allowed: bool,
    eviction: Eviction,
    returns: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eviction {
    None,
    Running,
    /// The server died before it answered.
    InDoubt,
    Done,
}

/// What became of a call to the server.
enum Called {
    Allowed(HostNumber, bool),
    Evicted(HostNumber, bool),
    Rekeyed,
}

struct Playing {
    stage: Stage,
    random: SeededRandom,
    clock: Clock,
    client: Client,
    witness: mpsc::UnboundedSender<Line>,
    stayers: Vec<Host>,
    comers: Vec<Host>,
    victims: Vec<Victim>,
    hosts: usize,
    calls: JoinSet<Called>,
    kills: BTreeMap<Option<Step>, usize>,
}

impl Play {
    /// Plays it, and returns what the checker found.
    pub(crate) async fn run(&self) -> Played {
        let directory = tempfile::tempdir().unwrap();
        let mut random = SeededRandom::new(self.seed);
        let stage = Stage::new(directory.path(), self.forgetful, &mut random);
        let clock = Clock::starting_at(Time::EPOCH);
        let began = clock.now();
        let mut checker = stage.spawn("checker");
        let (witness, lines) = mpsc::unbounded_channel();
        let writing = tokio::spawn(write(lines, checker.stdin.take().unwrap()));
        while !stage.directory.join("checker.ready").exists() {
            sleep(Duration::from_millis(5)).await;
        }

        let plans = self.plans(&mut random);
        let mut playing = Playing {
            client: stage.client(),
            stage,
            random,
            clock,
            witness,
            stayers: Vec::new(),
            comers: Vec::new(),
            victims: Vec::new(),
            hosts: 0,
            calls: JoinSet::new(),
            kills: BTreeMap::new(),
        };
        let mut server = playing.open().await;
        for (number, plan) in plans.iter().enumerate() {
            server = playing.round(number, plan, server).await;
        }
        playing.close(server).await;

        let Playing { stage, kills, calls, .. } = playing;
        drop(calls);
        writing.await.unwrap();
        let ended =
            timeout(Duration::from_secs(60), checker.wait()).await.expect("the checker ends").unwrap();
        let log = || std::fs::read_to_string(stage.directory.join("checker.log")).unwrap_or_default();
        assert!(ended.success(), "the checker failed:\n{}", log());
        let verdict = serde_json::from_slice(&std::fs::read(stage.verdict()).unwrap()).unwrap();
        Played { kills, verdict, took: clock.now().since(began), seed: self.seed }
    }

    fn plans(&self, random: &mut SeededRandom) -> Vec<Plan> {
        let mut plans = Vec::new();
        for (step, table) in &self.orders {
            plans.push(Plan::AtStep(Order {
                step: *step,
                table: Some((*table).to_owned()),
                passes: below(random, 0..3) as u32,
                delay_us: below(random, 0..step.span_us() + 1),
            }));
        }
        for place in 0..self.kills_at_random {
            plans.push(match place % 3 {
                0 => Plan::WhileStarting(Duration::from_micros(below(random, 0..120_000))),
                _ => Plan::UnderLoad(Duration::from_micros(below(random, 20_000..1_500_000))),
            });
        }
        for place in (1..plans.len()).rev() {
            plans.swap(place, below(random, 0..place as u64 + 1) as usize);
        }
        plans
    }
}

impl Playing {
    /// Starts the server for the first time, makes the group and lets the first hosts in.
    async fn open(&mut self) -> Child {
        let mut server = self.started().await;
        let policy = GroupPolicyOptions {
            address: Some(self.stage.data.ip()),
            port: Some(self.stage.data.port()),
            tek_lifetime_s: Some(12),
            tek_rekey_s: Some(2),
            kek_lifetime_s: Some(30),
            kek_rekey_s: Some(5),
            activation_delay_s: Some(below(&mut self.random, 0..2) as u16),
            deactivation_delay_s: Some(2),
            ..GroupPolicyOptions::default()
        };
        self.client.group_add(&GroupAdd { name: Stage::group(), policy, owner: None }).await.unwrap();
        for number in 0..STAYERS + COMERS {
            let host = self.host();
            self.client.member_allow(&Stage::group(), &host.hit.into(), &BOTH).await.unwrap();
            self.tell(Line::Allowed { host: host.number });
            let part = if number < STAYERS { &mut self.stayers } else { &mut self.comers };
            part.push(host);
        }
        for host in self.stayers.iter_mut().chain(&mut self.comers) {
            host.errands.send(Errand::Join).await.unwrap();
            let keyed = host.holding.wait_for(|holding| holding.phase == Phase::In);
            timeout(JOIN_MAX, keyed).await.expect("a host joins a server that nobody kills").unwrap();
        }
        self.stage.server_answers(&mut server).await.ok().expect("nobody kills it yet");
        server
    }

    /// Lets the group come to rest under the server that runs, loads it, kills it, and starts the next.
    async fn round(&mut self, number: usize, plan: &Plan, mut server: Child) -> Child {
        match plan {
            Plan::WhileStarting(_) => {}
            _ => self.settle(false).await,
        }
        let began = self.clock.now();
        match plan {
            Plan::AtStep(order) => {
                self.stage.give(order);
                if !self.load(&mut server, began + ORDER_PATIENCE).await {
                    self.stage.give(&Order { table: None, passes: 0, ..order.clone() });
                    let fallback = began + 2 * ORDER_PATIENCE;
                    assert!(self.load(&mut server, fallback).await, "the server made no commit");
                }
                self.killed(number, Some(order.step), format!("{order:?}"));
            }
            Plan::UnderLoad(delay) => {
                assert!(!self.load(&mut server, began + *delay).await);
                self.kill(&mut server).await;
                self.killed(number, None, format!("{plan:?}"));
            }
            Plan::WhileStarting(delay) => {
                self.kill(&mut server).await;
                server = self.stage.start_server();
                sleep(*delay).await;
                self.kill(&mut server).await;
                self.killed(number, None, format!("{plan:?}"));
            }
        }
        self.started().await
    }

    /// Ends the play: the last rest, and the last joins.
    async fn close(&mut self, mut server: Child) {
        self.settle(true).await;
        self.kill(&mut server).await;
        // The hosts end with their handles, and the checker with the last witness.
        self.stayers.clear();
        self.comers.clear();
        self.victims.clear();
        self.calls.shutdown().await;
        self.witness = mpsc::unbounded_channel().0;
    }

    async fn started(&mut self) -> Child {
        let mut server = self.stage.start_server();
        self.stage.server_answers(&mut server).await.ok().expect("nobody kills it while it starts");
        server
    }

    async fn kill(&mut self, server: &mut Child) {
        server.start_kill().unwrap();
        let status = server.wait().await.unwrap();
        self.stage.assert_killed(status);
    }

    fn killed(&mut self, number: usize, step: Option<Step>, how: String) {
        *self.kills.entry(step).or_default() += 1;
        self.tell(Line::Killed { how: format!("kill {number}: {how}") });
    }

    /// Loads the server until it dies or the time has come. Says whether it died.
    async fn load(&mut self, server: &mut Child, until: Time) -> bool {
        while self.clock.now() < until {
            if let Some(status) = server.try_wait().unwrap() {
                self.stage.assert_killed(status);
                return true;
            }
            self.answers();
            self.act().await;
            let pause = Duration::from_micros(below(&mut self.random, 2_000..60_000));
            sleep(pause.min(until.since(self.clock.now()))).await;
        }
        false
    }

    /// Does something.
    async fn act(&mut self) {
        match below(&mut self.random, 0..12) {
            0..4 => {
                let comer = &self.comers[below(&mut self.random, 0..COMERS as u64) as usize];
                match comer.phase() {
                    Phase::In => comer.errands.send(Errand::Leave).await.unwrap(),
                    Phase::Out | Phase::Refused => comer.errands.send(Errand::Join).await.unwrap(),
                    _ => {}
                }
            }
            4 => self.rekey(RekeyKey::Kek),
            5 => self.rekey(RekeyKey::Tek),
            6 => {
                let stayer = &self.stayers[below(&mut self.random, 0..STAYERS as u64) as usize];
                stayer.errands.send(Errand::Doubt).await.unwrap();
            }
            7 => self.allow_next(),
            _ => self.act_on_victim().await,
        }
    }

    fn rekey(&mut self, key: RekeyKey) {
        let client = self.client.clone();
        self.calls.spawn(async move {
            let _ = client.rekey(&Stage::group(), &RekeyOrder { key }).await;
            Called::Rekeyed
        });
    }

    /// Lets somebody new in, unless enough are about.
    fn allow_next(&mut self) {
        self.victims.retain(|victim| victim.eviction != Eviction::Done || victim.returns > 0);
        let host = match self.victims.iter().find(|victim| !victim.allowed) {
            Some(waiting) => (waiting.host.number, waiting.host.hit),
            None if self.victims.len() < 3 => {
                let host = self.host();
                let name = (host.number, host.hit);
                let victim = Victim { host, allowed: false, eviction: Eviction::None, returns: RETURNS };
                self.victims.push(victim);
                name
            }
            None => return,
        };
        let client = self.client.clone();
        self.calls.spawn(async move {
            let answer = client.member_allow(&Stage::group(), &host.1.into(), &BOTH).await;
            Called::Allowed(host.0, answer.is_ok())
        });
    }

    async fn act_on_victim(&mut self) {
        let count = self.victims.len() as u64;
        if count == 0 {
            return;
        }
        let place = below(&mut self.random, 0..count) as usize;
        let victim = &mut self.victims[place];
        match (victim.eviction, victim.host.phase()) {
            (Eviction::None, Phase::Out | Phase::Refused) if victim.allowed => {
                victim.host.errands.send(Errand::Join).await.unwrap();
            }
            (Eviction::None, Phase::In) | (Eviction::InDoubt, _) => self.evict(place),
            // Out for good, whatever it believes.
            (Eviction::Done, Phase::In) if victim.returns > 0 => {
                victim.returns -= 1;
                victim.host.errands.send(Errand::Doubt).await.unwrap();
            }
            (Eviction::Done, Phase::Out | Phase::Refused | Phase::PutOut) if victim.returns > 0 => {
                victim.returns -= 1;
                victim.host.errands.send(Errand::Join).await.unwrap();
            }
            _ => {}
        }
    }

    fn evict(&mut self, place: usize) {
        let victim = &mut self.victims[place];
        victim.eviction = Eviction::Running;
        let (client, number, hit) = (self.client.clone(), victim.host.number, victim.host.hit);
        self.tell(Line::Evicting { host: number });
        self.calls.spawn(async move {
            let out = match client.member_evict(&Stage::group(), &hit.into(), EvictWait::Deaf).await {
                Ok(_) => true,
                // It was out already: the server died between the eviction and its answer.
                Err(ClientError::Api(error)) => error.code == ErrorCode::MemberUnknown,
                Err(_) => false,
            };
            Called::Evicted(number, out)
        });
    }

    /// Takes in what became of the calls.
    fn answers(&mut self) {
        while let Some(called) = self.calls.try_join_next() {
            let (line, number) = match called.unwrap() {
                Called::Allowed(host, true) => (Line::Allowed { host }, host),
                Called::Evicted(host, true) => (Line::Evicted { host }, host),
                Called::Evicted(host, false) => {
                    self.victim(host).eviction = Eviction::InDoubt;
                    continue;
                }
                Called::Allowed(_, false) | Called::Rekeyed => continue,
            };
            let victim = self.victim(number);
            match line {
                Line::Allowed { .. } => victim.allowed = true,
                _ => victim.eviction = Eviction::Done,
            }
            self.tell(line);
        }
    }

    fn victim(&mut self, number: HostNumber) -> &mut Victim {
        self.victims.iter_mut().find(|victim| victim.host.number == number).expect("it is still about")
    }

    /// Waits until every member holds what the server says is in force; at the end, until joiners do too.
    async fn settle(&mut self, joiners: bool) {
        let began = self.clock.now();
        let limit = match (self.stage.forgetful, joiners) {
            (true, _) => SETTLE_MAX_FORGETFUL,
            (false, false) => SETTLE_MAX,
            (false, true) => JOIN_MAX,
        };
        let mut still: Option<(Time, _)> = None;
        loop {
            let view = self.client.group_show(&Stage::group()).await.expect("a running server answers");
            let kek = view.keys.epoch.expect("a group has a KEK").kek_spi;
            let newest = view.keys.sas.last().expect("a group has a TEK");
            let tek = u32::from_str_radix(&newest.spi, 16).unwrap();
            self.answers();
            let mut members = 0;
            let (mut behind, mut phases) = (Vec::new(), Vec::new());
            for host in self.members() {
                let holding = host.holding.borrow();
                phases.push((holding.phase, holding.life));
                match holding.phase {
                    Phase::In if holding.kek == Some(kek) && holding.teks.contains(&tek) => members += 1,
                    Phase::In => behind.push((host.number, holding.clone())),
                    Phase::Joining if joiners => behind.push((host.number, holding.clone())),
                    _ => {}
                }
            }
            let took = self.clock.now().since(began);
            if behind.is_empty() {
                let now = self.clock.now();
                let state = (kek, tek, phases);
                let (since, _) = match still.take().filter(|(_, before)| *before == state) {
                    Some(still) => still,
                    None => (now, state.clone()),
                };
                if self.stage.forgetful || now.since(since) >= REST_MIN {
                    let took_ms = since.since(began).as_millis() as u64;
                    return self.tell(Line::Settled { kek, tek, members, took_ms });
                }
                still = Some((since, state));
            } else {
                still = None;
            }
            if took > limit {
                for (host, holding) in behind {
                    let (life, holds) = (holding.life, format!("{holding:x?}"));
                    let in_force = format!("KEK {kek:x?}, TEK {tek:x} after {took:?}");
                    self.tell(Line::Lags { host, life, holds, in_force });
                }
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Goes through those who may stay in the group.
    fn members(&self) -> Vec<&Host> {
        let victims = self.victims.iter().filter(|victim| victim.eviction == Eviction::None);
        let victims = victims.map(|victim| &victim.host);
        self.stayers.iter().chain(&self.comers).chain(victims).collect()
    }

    fn host(&mut self) -> Host {
        let number = self.hosts;
        self.hosts += 1;
        Host::start(&self.stage, number, self.witness.clone())
    }

    fn tell(&self, line: Line) {
        self.witness.send(line).expect("the checker listens");
    }
}

const BOTH: MemberAllow = MemberAllow { role: Role::Both, without_lease: false };

/// Draws a number of a range.
fn below(random: &mut SeededRandom, range: Range<u64>) -> u64 {
    let drawn = u64::from_be_bytes(random::array(random as &mut dyn Random));
    range.start + drawn % (range.end - range.start)
}

/// Hands the checker what is told, until nobody is left to tell.
async fn write(mut lines: mpsc::UnboundedReceiver<Line>, mut checker: ChildStdin) {
    while let Some(line) = lines.recv().await {
        let mut text = serde_json::to_vec(&line).unwrap();
        text.push(b'\n');
        checker.write_all(&text).await.unwrap();
    }
}
