//! What happens when.
//!
//! ```text
//! 0 s  the file begins to flow         6.5 s  one member is evicted
//! 1.5  a latecomer joins               10.5   the timer replaces the TEK
//! 4    one member leaves by CLOSE      12     the key server is killed and started again
//!                                      14.5   the timer of the new process replaces the TEK
//!                                      16     the file ends
//! ```

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroU64,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use claviger_api::{Client, EvictWait, GroupAdd, GroupPolicyOptions, SendSummary};
use claviger_crypto::{Random, SystemRandom, random};
use claviger_group::{Channel, GroupId, Role};
use claviger_identity::Hit;
use claviger_net::{Clock, Pacer};
use claviger_proof::Ledger;
use claviger_sansio::Time;

use super::{
    cast::{self, Actor, Process, Stage},
    ledger,
    recording::{self, Recording},
};
use crate::exit::{Exit, Failure, Outcome};

/// The least file that lasts as long as the demonstration.
pub(super) const STREAM_OCTETS_MIN: usize = 64 * 1024;

/// How long the file flows.
const STREAM: Duration = Duration::from_secs(16);
const LATE_JOIN: Duration = Duration::from_millis(1500);
const LEAVE: Duration = Duration::from_secs(4);
const EVICTION: Duration = Duration::from_millis(6500);
const KILL: Duration = Duration::from_secs(12);

/// The activation delay, which is the eviction delay.
pub(super) const ACTIVATION_DELAY: Duration = Duration::from_secs(1);

/// The timer of the TEK: no departure or join is as far from the next as this, so it fires after the last of them.
const TEK_REKEY_S: u32 = 4;

/// The most octets of the file in one datagram.
const CHUNK_LEN_MAX: usize = 1200;

/// The least datagrams that the file is cut into.
const CHUNKS_MIN: usize = 800;

/// The octets before each chunk: its place in the file.
pub(super) const OFFSET_LEN: usize = 8;

/// What one member left behind, and the times that the demonstration itself took.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) hit: Hit,
    pub(super) receives: bool,
    /// Before its process was started.
    pub(super) started: Time,
    /// When it held keys.
    pub(super) keyed: Time,
    /// When its departure began, and from when on nothing may open.
    pub(super) departed: Option<(Time, Time)>,
    pub(super) received: Recording,
    pub(super) ledger: Ledger,
    /// How often it registered, as it says itself; `None` of those that departed.
    pub(super) registrations: Option<u64>,
}

/// All that happened.
pub(super) struct Played {
    pub(super) parts: Vec<Part>,
    pub(super) observed: Recording,
    pub(super) data_port: u16,
    pub(super) push_port: u16,
    pub(super) sent: SendSummary,
    pub(super) killed: Time,
    pub(super) restarted: Time,
    /// The exit code of the evicted member's second attempt, after the restart.
    pub(super) second_attempt: i32,
    pub(super) duration: Duration,
}

/// Tells the user what happens, on standard error.
pub(super) struct Progress {
    clock: Clock,
    began: Time,
}

impl Progress {
    fn tell(&self, what: &str) {
        let elapsed = self.clock.now().since(self.began);
        eprintln!("{:5.1} s  {what}", elapsed.as_secs_f64());
    }
}

/// Plays it all.
pub(super) async fn play(executable: &Path, directory: &Path, file: &[u8]) -> Outcome<Played> {
    let clock = Clock::starting_at(Time::EPOCH);
    let progress = Progress { clock, began: clock.now() };
    let stage = stage(executable, directory)?;

    let (mut server, server_hit) = cast::start_server(&stage).await?;
    progress.tell(&format!("the key server runs: HIT {server_hit}"));
    let control = cast::server_client(&stage);
    add_group(&control, &stage).await?;
    progress.tell(&format!("group {} at {}: AES-128-GCM, ESP in UDP", stage.group, stage.data_address));

    let sender = Actor::new(&stage, "sender", true)?;
    let stayer = Actor::new(&stage, "stayer", false)?;
    let leaver = Actor::new(&stage, "leaver", false)?;
    let evicted = Actor::new(&stage, "evicted", false)?;
    let late = Actor::new(&stage, "latecomer", false)?;
    for actor in [&sender, &stayer, &leaver, &evicted, &late] {
        let role = if actor.sends { Role::Both } else { Role::Receiver };
        control.member_allow(&stage.group, &actor.hit.into(), &role.into()).await?;
    }
    let mut observer = cast::start_observer(&stage).await?;

    let mut playing = Vec::new();
    for actor in [&sender, &stayer, &leaver, &evicted] {
        playing.push(enter(&stage, actor, server_hit, clock).await?);
        progress.tell(&format!("{} registered by HIP and pulled its keys by GDOI", actor.name));
    }
    // The last join's TEK activates before the file flows.
    tokio::time::sleep(ACTIVATION_DELAY + Duration::from_millis(400)).await;

    let began = clock.now();
    progress.tell(&format!("{} octets begin to flow", file.len()));
    let stream = tokio::spawn(stream(sender.client(), stage.group.clone(), file.to_vec(), clock));

    clock.sleep_until(began + LATE_JOIN).await;
    playing.push(enter(&stage, &late, server_hit, clock).await?);
    progress.tell("latecomer joined");

    clock.sleep_until(began + LEAVE).await;
    let leaving = clock.now();
    playing[2].process.terminate().await?;
    let left = clock.now();
    playing[2].departed = Some((leaving, left + ACTIVATION_DELAY + SLACK));
    progress.tell("leaver left by CLOSE");

    clock.sleep_until(began + EVICTION).await;
    let evicting = clock.now();
    let eviction = control.member_evict(&stage.group, &evicted.hit.into(), EvictWait::Deaf).await?;
    let deaf_at = eviction.deaf_at_us.unwrap_or_else(|| clock.now());
    playing[3].departed = Some((evicting, deaf_at));
    let took = clock.now().since(evicting);
    progress.tell(&format!("evicted was put out; deaf after {:.2} s", took.as_secs_f64()));
    playing[3].process.wait().await?;

    clock.sleep_until(began + KILL).await;
    let killed = clock.now();
    server.kill().await?;
    progress.tell("the key server was killed (SIGKILL)");
    let (mut server, again) = cast::start_server(&stage).await?;
    let restarted = clock.now();
    if again != server_hit {
        return Err(Failure::new(Exit::Failed, "the key server has another identity after its restart"));
    }
    progress.tell(&format!("it runs again after {:.2} s", restarted.since(killed).as_secs_f64()));
    let second_attempt = evicted.enter(&stage, server_hit, "second")?.wait().await?;
    progress.tell("the evicted member asked again and was refused");

    let sent = stream.await.map_err(|error| Failure::new(Exit::Failed, error.to_string()))??;
    progress.tell("the file has flowed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    finish(&mut playing).await?;
    observer.terminate().await?;
    server.terminate().await?;

    let channel =
        Channel::new(stage.data_address.ip(), None).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    let parts = playing.into_iter().map(|actor| actor.part(channel)).collect::<Outcome<Vec<_>>>()?;
    Ok(Played {
        parts,
        observed: recording::read(&cast::observer_recording(&stage))?,
        data_port: stage.data_address.port(),
        push_port: stage.gdoi_port,
        sent,
        killed,
        restarted,
        second_attempt,
        duration: clock.now().since(progress.began),
    })
}

/// What a departure by CLOSE may take beyond the activation delay: the copies of its two messages.
const SLACK: Duration = Duration::from_millis(700);

/// A member on the stage.
struct Playing<'a> {
    actor: &'a Actor,
    process: Process,
    started: Time,
    keyed: Time,
    departed: Option<(Time, Time)>,
    registrations: Option<u64>,
}

async fn enter<'a>(stage: &Stage, actor: &'a Actor, server: Hit, clock: Clock) -> Outcome<Playing<'a>> {
    let started = clock.now();
    let process = actor.enter(stage, server, "first")?;
    actor.keyed().await?;
    Ok(Playing { actor, process, started, keyed: clock.now(), departed: None, registrations: None })
}

/// Asks those who stayed for their counts, and ends them.
async fn finish(playing: &mut [Playing<'_>]) -> Outcome {
    for member in playing.iter_mut().filter(|member| member.departed.is_none()) {
        member.registrations = Some(member.actor.registrations().await?);
    }
    for member in playing.iter_mut().filter(|member| member.departed.is_none()) {
        member.process.terminate().await?;
    }
    Ok(())
}

impl Playing<'_> {
    fn part(self, channel: Channel) -> Outcome<Part> {
        Ok(Part {
            name: self.actor.name,
            hit: self.actor.hit,
            receives: !self.actor.sends,
            started: self.started,
            keyed: self.keyed,
            departed: self.departed,
            received: recording::read(&self.actor.recording("first"))?,
            ledger: ledger::read(&self.actor.ledger("first"), channel)?,
            registrations: self.registrations,
        })
    }
}

fn stage(executable: &Path, directory: &Path) -> Outcome<Stage> {
    let mut random = SystemRandom::new()?;
    // Ports that were free a moment ago, and an address of 239.255/16 (RFC 2365 section 6.1) that nobody is likely
    // to have: several demonstrations on one host do not meet.
    let sockets = [(); 3].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; 3];
    for (port, socket) in ports.iter_mut().zip(&sockets) {
        *port = socket
            .as_ref()
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?
            .local_addr()?
            .port();
    }
    let [a, b] = random::array(&mut random as &mut dyn Random);
    let group: GroupId = "demo".parse().map_err(|_| Failure::new(Exit::Failed, "the group has no name"))?;
    Ok(Stage {
        executable: executable.into(),
        directory: directory.into(),
        group,
        hip_port: ports[0],
        gdoi_port: ports[1],
        data_address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, a, b.clamp(1, 254))), ports[2]),
    })
}

async fn add_group(control: &Client, stage: &Stage) -> Outcome {
    let policy = GroupPolicyOptions {
        address: Some(stage.data_address.ip()),
        port: Some(stage.data_address.port()),
        activation_delay_s: Some(ACTIVATION_DELAY.as_secs() as u16),
        deactivation_delay_s: Some(3),
        tek_rekey_s: Some(TEK_REKEY_S),
        tek_lifetime_s: Some(60),
        ..GroupPolicyOptions::default()
    };
    control.group_add(&GroupAdd { name: stage.group.clone(), policy, owner: None }).await?;
    Ok(())
}

/// Streams the file through the sender's daemon, each chunk behind its place in the file.
async fn stream(client: Client, group: GroupId, file: Vec<u8>, clock: Clock) -> Outcome<SendSummary> {
    let chunk_len = (file.len() / CHUNKS_MIN).clamp(1, CHUNK_LEN_MAX);
    let rate = NonZeroU64::new((file.len() as f64 / STREAM.as_secs_f64()) as u64).unwrap_or(NonZeroU64::MIN);
    let mut pacer = Pacer::with_burst(rate, chunk_len as u64, clock.now());
    let mut stream = client.send(&group, None).await?;
    for (number, chunk) in file.chunks(chunk_len).enumerate() {
        pacer.pace(&clock, chunk.len()).await;
        let offset = (number * chunk_len) as u64;
        stream.push(Bytes::from([&offset.to_be_bytes()[..], chunk].concat())).await?;
    }
    Ok(stream.finish().await?)
}
