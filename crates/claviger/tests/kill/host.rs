//! A host: the product's member machine with sockets of its own, and a witness to all it holds.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use claviger_crypto::{SystemRandom, provider};
use claviger_dataplane::DataPlane;
use claviger_esp::packet::udp;
use claviger_group::Role;
use claviger_hip::HostConfig;
use claviger_identity::{Hit, HostIdentity};
use claviger_member::{
    Event, Member, MemberConfig, PlaneKind,
    event::{Places, Source},
};
use claviger_net::{Clock, Interface, MulticastSocket, UdpOptions, UdpSocket, udp::MAX_DATAGRAM};
use claviger_proof::Ledgers;
use claviger_sansio::{Datagram, RetransmitPolicy, Socket, Time, Transmit};
use claviger_testkit::network::new_identity;
use tokio::sync::{mpsc, watch};

use crate::{
    stage::Stage,
    testimony::{HostNumber, Life, Line, RekeyKeys},
};

/// How often a member sends a packet.
const DATA_INTERVAL: Duration = Duration::from_millis(120);

/// The marker of HIP on UDP (RFC 5770 section 5.1).
const HIP_MARKER: [u8; 4] = [0; 4];

/// Where the packet type stands in a HIP header, its highest bit zero (RFC 7401 section 5.1).
const PACKET_TYPE_AT: usize = 2;

/// The packet type of CLOSE_ACK (RFC 7401 section 5.3.8).
const CLOSE_ACK: u8 = 19;

/// The next header of UDP.
const UDP: u8 = 17;

/// What a host is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    Join,
    Leave,
    /// Meets a packet under an unknown SPI, so that it pulls again.
    Doubt,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Out,
    Joining,
    In,
    Leaving,
    Refused,
    PutOut,
}

/// What a host holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) phase: Phase,
    pub(crate) life: Life,
    pub(crate) kek: Option<[u8; 16]>,
    pub(crate) teks: Vec<u32>,
}

/// The handle of a host that runs.
pub(crate) struct Host {
    pub(crate) number: HostNumber,
    pub(crate) hit: Hit,
    pub(crate) errands: mpsc::Sender<Errand>,
    pub(crate) holding: watch::Receiver<Holding>,
}

impl Host {
    /// Starts a host with a new identity.
    pub(crate) fn start(stage: &Stage, number: HostNumber, witness: mpsc::UnboundedSender<Line>) -> Self {
        let identity = new_identity();
        let hit = identity.hit();
        let (errands, queue) = mpsc::channel(8);
        let (shown, holding) =
            watch::channel(Holding { phase: Phase::Out, life: 0, kek: None, teks: Vec::new() });
        let machine = Machine::new(stage, number, identity, witness, shown);
        tokio::spawn(machine.run(queue));
        Self { number, hit, errands, holding }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.holding.borrow().phase
    }
}

struct Machine {
    number: HostNumber,
    core: Member,
    plane: DataPlane,
    ledgers: Ledgers,
    clock: Clock,
    loopback: Interface,
    hip: UdpSocket,
    isakmp: UdpSocket,
    sender: UdpSocket,
    places: Option<(Places, UdpSocket, UdpSocket)>,
    witness: mpsc::UnboundedSender<Line>,
    shown: watch::Sender<Holding>,
    phase: Phase,
    life: Life,
    /// Whether the server answered the CLOSE.
    acknowledged: bool,
    /// How much of the ledger has been told; it grows from membership to membership.
    told: (usize, usize),
    send_at: Time,
}

impl Machine {
    fn new(
        stage: &Stage,
        number: HostNumber,
        identity: Arc<HostIdentity>,
        witness: mpsc::UnboundedSender<Line>,
        shown: watch::Sender<Holding>,
    ) -> Self {
        let clock = Clock::starting_at(Time::EPOCH);
        let config = MemberConfig {
            hip: HostConfig::new(identity, provider()),
            provider: provider(),
            owner: None,
            server: stage.server_hit(),
            server_address: (Ipv4Addr::LOCALHOST, stage.hip_port).into(),
            socket: Socket::HipUdp,
            gdoi_port: stage.gdoi_port,
            extensions: Default::default(),
            plane: PlaneKind::Udp,
            registration_lifetime: Duration::from_secs(3600),
            retransmit: RetransmitPolicy::default(),
        };
        let loopback = Interface::by_name("lo", "").unwrap();
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), &UdpOptions::new("")).unwrap();
        let sender = bind();
        sender.set_multicast_interface(&loopback).unwrap();
        let ledgers = Ledgers::default();
        let core = Member::new(config, Box::new(SystemRandom::new().unwrap()), clock.now())
            .unwrap()
            .witnessed(ledgers.witness());
        Self {
            number,
            core,
            plane: DataPlane::userspace(provider()),
            ledgers,
            clock,
            loopback,
            hip: bind(),
            isakmp: bind(),
            sender,
            places: None,
            witness,
            shown,
            phase: Phase::Out,
            life: 0,
            acknowledged: false,
            told: (0, 0),
            send_at: Time::EPOCH,
        }
    }

    async fn run(mut self, mut errands: mpsc::Receiver<Errand>) {
        let mut buffers = [(); 4].map(|()| vec![0; MAX_DATAGRAM]);
        loop {
            self.settle().await;
            let now = self.clock.now();
            let timers = [self.core.poll_timeout(), self.plane.poll_timeout()].into_iter().flatten().min();
            let wake = timers.unwrap_or(now + DATA_INTERVAL).min(self.send_at.max(now));
            let [a, b, c, d] = &mut buffers;
            let (push, data) = match &self.places {
                Some((_, push, data)) => (Some(push), Some(data)),
                None => (None, None),
            };
            tokio::select! {
                errand = errands.recv() => match errand {
                    Some(errand) => self.run_errand(errand),
                    None => return,
                },
                Ok(received) = self.hip.recv(a) => {
                    if let Some(octets) = a[..received.length].strip_prefix(&HIP_MARKER) {
                        self.acknowledged |= octets.get(PACKET_TYPE_AT) == Some(&CLOSE_ACK);
                        self.take(Socket::HipUdp, received.source, received.destination, octets);
                    }
                }
                Ok(received) = self.isakmp.recv(b) => {
                    self.take(Socket::Port848, received.source, received.destination, &b[..received.length]);
                }
                Ok(received) = receive(push, c) => {
                    self.take(Socket::Port848, received.source, received.destination, &c[..received.length]);
                }
                Ok(received) = receive(data, d) => self.open(received.source.port(), &d[..received.length]),
                () = self.clock.sleep_until(wake) => {}
            }
            let now = self.clock.now();
            self.core.handle_timeout(now);
            self.plane.handle_timeout(now);
            self.carry_keys();
            if self.send_at <= now {
                self.send_at = now + DATA_INTERVAL;
                self.send_data(now).await;
            }
        }
    }

    fn run_errand(&mut self, errand: Errand) {
        let now = self.clock.now();
        match (errand, self.phase) {
            (Errand::Join, Phase::Out | Phase::Refused | Phase::PutOut) => {
                self.life += 1;
                self.phase = Phase::Joining;
                self.tell(Line::Asked { host: self.number, life: self.life });
                self.core.join(now, Stage::group(), Role::Both);
            }
            (Errand::Leave, Phase::In) => {
                self.phase = Phase::Leaving;
                self.acknowledged = false;
                self.core.leave(now);
            }
            (Errand::Doubt, Phase::In) => {
                let unknown = [&[0xdd; 4][..], &[0; 40]].concat();
                let _ = self.plane.open(now, &Stage::group(), Ipv4Addr::LOCALHOST.into(), &unknown);
                self.carry_keys();
            }
            _ => {}
        }
    }

    fn take(
        &mut self,
        socket: Socket,
        source: std::net::SocketAddr,
        destination: std::net::SocketAddr,
        payload: &[u8],
    ) {
        // What a dying server sends, and what others send meanwhile, need not be sound here and now.
        let _ =
            self.core.handle_datagram(self.clock.now(), Datagram { socket, source, destination, payload });
        self.carry_keys();
    }

    /// Opens data as a receiver does: what it cannot open makes it pull.
    fn open(&mut self, port: u16, esp: &[u8]) {
        let now = self.clock.now();
        if port == self.sender.local_address().port() {
            return;
        }
        let _ = self.plane.open(now, &Stage::group(), Ipv4Addr::LOCALHOST.into(), esp);
        self.carry_keys();
    }

    async fn send_data(&mut self, now: Time) {
        let Some((places, ..)) = &self.places else { return };
        let source = self.sender.local_address();
        let destination = std::net::SocketAddr::new(places.channel.group(), 9);
        let header = udp::header(source, destination, b"alive").unwrap();
        let port = places.encapsulation_port;
        if let Ok(esp) = self.plane.seal(now, &Stage::group(), UDP, &[&header, b"alive"]) {
            let _ = self.sender.send(&esp, (destination.ip(), port).into(), None).await;
        }
        self.carry_keys();
    }

    /// Carries what the member says of its keys to its data plane, and what that has met back.
    fn carry_keys(&mut self) {
        let now = self.clock.now();
        loop {
            while let Some((group, command)) = self.core.poll_plane() {
                self.plane.apply(now, &group, command);
            }
            let Some((group, event)) = self.plane.poll_event() else { return };
            self.core.handle_plane_event(now, &group, event);
        }
    }

    /// Sends, tells and shows what came of the last step.
    async fn settle(&mut self) {
        self.carry_keys();
        while let Some(transmit) = self.core.poll_transmit() {
            self.transmit(&transmit).await;
        }
        while let Some(event) = self.core.poll_event() {
            self.act(event);
        }
        let subscription = self.core.subscription(&Stage::group());
        let holding = Holding {
            phase: self.phase,
            life: self.life,
            kek: subscription.and_then(|s| s.epoch()).map(|(spi, _)| spi.0),
            teks: self.plane.status(&Stage::group()).iter().map(|sa| sa.spi.as_u32()).collect(),
        };
        self.shown.send_if_modified(|shown| {
            let changed = *shown != holding;
            *shown = holding;
            changed
        });
    }

    async fn transmit(&mut self, transmit: &Transmit) {
        // A server that is dead refuses, which the machine's timers take care of.
        let _ = match transmit.socket {
            Socket::HipUdp => {
                let marked = [&HIP_MARKER[..], &transmit.payload].concat();
                self.hip.send(&marked, transmit.destination, None).await
            }
            _ => self.isakmp.send(&transmit.payload, transmit.destination, None).await,
        };
    }

    fn act(&mut self, event: Event) {
        let (host, life) = (self.number, self.life);
        match event {
            Event::Registered { .. } => self.tell(Line::Granted { host, life }),
            Event::Listen { places, .. } => {
                let push = places.push.expect("the group pushes");
                let bind = |port| {
                    let group = places.channel.group();
                    UdpSocket::bind_group(group, port, &self.loopback, None, &UdpOptions::new("")).unwrap()
                };
                self.places = Some((places, bind(push.port()), bind(places.encapsulation_port)));
            }
            Event::Rekeyed { by, .. } => {
                self.tell_keys();
                if by == Source::Pull {
                    let sas = self.plane.status(&Stage::group());
                    let ids = sas.iter().filter_map(|sa| Some((sa.spi.as_u32(), sa.sender_id?.value())));
                    self.tell(Line::Pulled { host, life, sender_ids: ids.collect() });
                    if self.phase == Phase::Joining {
                        self.phase = Phase::In;
                    }
                }
            }
            Event::Refused { refusal, .. } => {
                self.phase = Phase::Refused;
                self.tell(Line::Refused { host, life, reason: format!("{refusal:?}") });
            }
            Event::Evicted { .. } => {
                self.phase = Phase::PutOut;
                self.tell(Line::PutOut { host, life });
            }
            Event::Closed if self.phase == Phase::Leaving => {
                self.phase = Phase::Out;
                // Otherwise the machine gave up, and the server may not know.
                if self.acknowledged {
                    self.tell(Line::Left { host, life });
                }
            }
            _ => {}
        }
    }

    /// Tells the keys that are new in the ledger.
    fn tell_keys(&mut self) {
        let (host, life) = (self.number, self.life);
        let Some(ledger) = self.ledgers.of(&Stage::group()) else { return };
        let teks = ledger.teks[self.told.0..].iter().map(|tek| {
            let key = tek.keys.encryption.expose().to_vec();
            Line::Tek { host, life, spi: tek.spi.as_u32(), key }
        });
        let rekeys = ledger.rekeys[self.told.1..].iter().map(|rekey| {
            let rekey = Box::new(RekeyKeys::of(rekey));
            Line::Rekey { host, life, rekey }
        });
        let lines: Vec<Line> = teks.chain(rekeys).collect();
        self.told = (ledger.teks.len(), ledger.rekeys.len());
        lines.into_iter().for_each(|line| self.tell(line));
    }

    fn tell(&self, line: Line) {
        // At the end nobody listens any more.
        let _ = self.witness.send(line);
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> std::io::Result<claviger_net::Received> {
    match socket {
        Some(socket) => socket.recv(buffer).await,
        None => std::future::pending().await,
    }
}
