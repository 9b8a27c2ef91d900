//! Carries datagrams between sockets and a daemon's event loop.
//!
//! Each socket has a task that reads it and puts what it reads on one channel, which the loop takes from; what the
//! machines want sent goes out by [`Carrier::send`]. HIP on UDP stands behind four zero octets (RFC 5770 section
//! 5.1), which are added and removed here.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use claviger_net::{BindError, RawSocket, Received, UdpSocket};
use claviger_sansio::{Datagram, NotSent, Socket, Transmit};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::counters::{CarrierCounts, Counter};

/// Packets that wait for the loop; beyond them the sockets' own buffers fill, whose losses the kernel counts.
const QUEUE_LEN: usize = 1024;

/// What marks HIP on UDP apart from ESP (RFC 5770 section 5.1).
const HIP_MARKER: [u8; 4] = [0; 4];

/// How long a socket that fails is left alone at first, doubled up to [`FAILURE_PAUSE_MAX`]: an interface that goes down
/// and comes up again heals it.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inlet {
    /// A protocol message.
    Control(Socket),
    /// ESP: in UDP or as IP protocol 50, without its outer headers.
    Esp,
}

/// A packet that came in.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) inlet: Inlet,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) octets: Vec<u8>,
    /// How many packets the kernel had dropped at this socket by then.
    pub(crate) dropped: u32,
}

impl Packet {
    /// Shows a control packet as its machine reads it.
    pub(crate) fn as_datagram(&self) -> Option<Datagram<'_>> {
        let Inlet::Control(socket) = self.inlet else { return None };
        let payload = &self.octets;
        Some(Datagram { socket, source: self.source, destination: self.destination, payload })
    }
}

/// The sockets of a daemon.
pub(crate) struct Carrier {
    outlets: Vec<(Socket, OpenSocket)>,
    packets: mpsc::Sender<Packet>,
    listening: Vec<Listening>,
    counts: CarrierCounts,
}

/// A socket that is read; dropped, it is closed and has left its group.
pub(crate) struct Listening(JoinHandle<()>);

#[derive(Clone)]
enum OpenSocket {
    Raw(Arc<RawSocket>),
    Udp(Arc<UdpSocket>),
}

impl Carrier {
    /// Makes a carrier without sockets, and the end that the loop takes packets from. What is lost on the way between
    /// network and loop is counted in `counts`.
    pub(crate) fn new(counts: CarrierCounts) -> (Self, mpsc::Receiver<Packet>) {
        let (packets, receiver) = mpsc::channel(QUEUE_LEN);
        (Self { outlets: Vec::new(), packets, listening: Vec::new(), counts }, receiver)
    }

    /// Reads a UDP socket, and sends by it what names `socket`.
    pub(crate) fn carry_udp(&mut self, socket: Socket, open: UdpSocket) {
        self.carry(socket, OpenSocket::Udp(Arc::new(open)));
    }

    /// Reads a raw socket, and sends by it what names `socket`.
    pub(crate) fn carry_raw(&mut self, socket: Socket, open: RawSocket) {
        self.carry(socket, OpenSocket::Raw(Arc::new(open)));
    }

    /// Reads a UDP socket only, as long as what is returned lives.
    pub(crate) fn listen_udp(&self, inlet: Inlet, open: Arc<UdpSocket>) -> Listening {
        self.listen(inlet, OpenSocket::Udp(open))
    }

    /// Reads a raw socket only, as long as what is returned lives.
    pub(crate) fn listen_raw(&self, inlet: Inlet, open: Arc<RawSocket>) -> Listening {
        self.listen(inlet, OpenSocket::Raw(open))
    }

    fn carry(&mut self, socket: Socket, open: OpenSocket) {
        self.outlets.push((socket, open.clone()));
        let listening = self.listen(Inlet::Control(socket), open);
        self.listening.push(listening);
    }

    fn listen(&self, inlet: Inlet, open: OpenSocket) -> Listening {
        let (packets, counts) = (self.packets.clone(), self.counts.clone());
        Listening(tokio::spawn(async move {
            let mut buffer = vec![0; claviger_net::udp::MAX_DATAGRAM];
            let mut pause = FAILURE_PAUSE;
            loop {
                let received = match open.recv(&mut buffer).await {
                    Ok(received) => received,
                    Err(error) => {
                        if pause == FAILURE_PAUSE {
                            tracing::warn!(%error, "a socket cannot be read");
                        }
                        counts.count(Counter::ReceiveFailed);
                        tokio::time::sleep(pause).await;
                        pause = FAILURE_PAUSE_MAX.min(pause * 2);
                        continue;
                    }
                };
                pause = FAILURE_PAUSE;
                let Some(octets) = unmarked(inlet, &buffer[..received.length]) else {
                    counts.count(Counter::HipWithoutMarker);
                    continue;
                };
                let packet = Packet {
                    inlet,
                    source: received.source,
                    destination: received.destination,
                    octets: octets.to_vec(),
                    dropped: received.dropped,
                };
                if packets.send(packet).await.is_err() {
                    break;
                }
            }
        }))
    }

    /// Says whether a socket of this kind is open in the address family of a destination.
    pub(crate) fn has_outlet(&self, socket: Socket, destination: IpAddr) -> bool {
        self.outlet(socket, destination).is_some()
    }

    fn outlet(&self, socket: Socket, destination: IpAddr) -> Option<&(Socket, OpenSocket)> {
        self.outlets
            .iter()
            .find(|(outlet, open)| *outlet == socket && open.local_ip().is_ipv4() == destination.is_ipv4())
    }

    /// Sends what a machine wants sent, and says why it did not leave if it did not. A failure is counted and logged: the
    /// network may lose any datagram, and what matters is sent again.
    pub(crate) async fn send(&self, transmit: &Transmit) -> Result<(), NotSent> {
        let source = transmit.source.map(|source| source.ip());
        let sent = match self.outlet(transmit.socket, transmit.destination.ip()) {
            None => {
                self.counts.count(Counter::NoSocketOfFamily);
                tracing::debug!(destination = %transmit.destination, "no socket of this address family");
                return Err(NotSent::NoSocket);
            }
            Some((Socket::HipUdp, open)) => {
                let marked = [&HIP_MARKER[..], &transmit.payload].concat();
                open.send(&marked, transmit.destination, source).await
            }
            Some((Socket::HipRaw | Socket::Port848, open)) => {
                open.send(&transmit.payload, transmit.destination, source).await
            }
        };
        sent.map_err(|error| {
            self.counts.count(Counter::SendFailed);
            tracing::debug!(destination = %transmit.destination, %error, "not sent");
            NotSent::from(&error)
        })
    }
}

/// Takes HIP's marker off; nothing remains of HIP on UDP that has none.
fn unmarked(inlet: Inlet, octets: &[u8]) -> Option<&[u8]> {
    match inlet {
        Inlet::Control(Socket::HipUdp) => octets.strip_prefix(&HIP_MARKER),
        Inlet::Control(Socket::HipRaw | Socket::Port848) | Inlet::Esp => Some(octets),
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl OpenSocket {
    async fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Raw(open) => open.recv(buffer).await,
            Self::Udp(open) => open.recv(buffer).await,
        }
    }

    async fn send(&self, octets: &[u8], destination: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
        match self {
            Self::Raw(open) => open.send(octets, destination, source).await,
            Self::Udp(open) => open.send(octets, destination, source).await,
        }
    }

    fn local_ip(&self) -> IpAddr {
        match self {
            Self::Raw(open) => open.local_address(),
            Self::Udp(open) => open.local_address().ip(),
        }
    }
}

/// Binds a UDP socket for control messages.
pub(crate) fn bind_udp(address: SocketAddr, option: &'static str) -> Result<UdpSocket, BindError> {
    UdpSocket::bind(address, &claviger_net::UdpOptions::new(option))
}
