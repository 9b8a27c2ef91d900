//! Carries datagrams between sockets and a daemon's event loop.
//!
//! Each socket has a task that reads it and puts what it reads on one channel, which the loop takes from; what the
//! machines want sent goes out by [`Carrier::send`]. HIP on UDP stands behind four zero octets (RFC 5770 section
//! 5.1), which are added and removed here.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use claviger_net::{BindError, RawSocket, UdpSocket};
use claviger_sansio::{Carriage, Datagram, Transmit};
use tokio::{sync::mpsc, task::JoinHandle};

/// Packets that wait for the loop; beyond them the sockets' own buffers fill, whose losses the kernel counts.
const QUEUE_LEN: usize = 1024;

/// What marks HIP on UDP apart from ESP (RFC 5770 section 5.1).
const HIP_MARKER: [u8; 4] = [0; 4];

/// Where a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inlet {
    /// A protocol message.
    Control(Carriage),
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
        let Inlet::Control(carriage) = self.inlet else { return None };
        let payload = &self.octets;
        Some(Datagram { carriage, source: self.source, destination: self.destination, payload })
    }
}

/// The sockets of a daemon.
pub(crate) struct Carrier {
    outlets: Vec<(Carriage, Outlet)>,
    packets: mpsc::Sender<Packet>,
    tasks: Vec<JoinHandle<()>>,
}

enum Outlet {
    Raw(Arc<RawSocket>),
    Udp(Arc<UdpSocket>),
}

impl Carrier {
    /// Makes a carrier without sockets, and the end that the loop takes packets from.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Packet>) {
        let (packets, receiver) = mpsc::channel(QUEUE_LEN);
        (Self { outlets: Vec::new(), packets, tasks: Vec::new() }, receiver)
    }

    /// Reads a UDP socket and sends by it what goes by this carriage.
    pub(crate) fn carry_udp(&mut self, carriage: Carriage, socket: UdpSocket) {
        let socket = Arc::new(socket);
        self.outlets.push((carriage, Outlet::Udp(socket.clone())));
        self.listen_udp(Inlet::Control(carriage), socket);
    }

    /// Reads a raw socket and sends by it what goes by this carriage.
    pub(crate) fn carry_raw(&mut self, carriage: Carriage, socket: RawSocket) {
        let socket = Arc::new(socket);
        self.outlets.push((carriage, Outlet::Raw(socket.clone())));
        self.listen_raw(Inlet::Control(carriage), socket);
    }

    /// Reads a UDP socket only.
    pub(crate) fn listen_udp(&mut self, inlet: Inlet, socket: Arc<UdpSocket>) {
        let packets = self.packets.clone();
        self.tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; claviger_net::udp::MAX_DATAGRAM];
            while let Ok(received) = socket.recv(&mut buffer).await {
                let octets = &buffer[..received.length];
                let octets = match inlet {
                    Inlet::Control(Carriage::HipUdp) => match octets.strip_prefix(&HIP_MARKER) {
                        Some(octets) => octets,
                        None => continue,
                    },
                    _ => octets,
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
        }));
    }

    /// Reads a raw socket only.
    pub(crate) fn listen_raw(&mut self, inlet: Inlet, socket: Arc<RawSocket>) {
        let packets = self.packets.clone();
        self.tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; claviger_net::udp::MAX_DATAGRAM];
            while let Ok(received) = socket.recv(&mut buffer).await {
                let packet = Packet {
                    inlet,
                    source: received.source,
                    destination: received.destination,
                    octets: buffer[..received.length].to_vec(),
                    dropped: received.dropped,
                };
                if packets.send(packet).await.is_err() {
                    break;
                }
            }
        }));
    }

    /// Sends what a machine wants sent. A failure is logged: the network may lose any datagram, and what matters is
    /// sent again.
    pub(crate) async fn send(&self, transmit: &Transmit) {
        let family = transmit.destination.is_ipv4();
        let outlet = self.outlets.iter().find(|(carriage, outlet)| {
            *carriage == transmit.carriage && outlet.local_ip().is_ipv4() == family
        });
        let source = transmit.source.map(|source| source.ip());
        let sent = match outlet {
            None => {
                return tracing::debug!(destination = %transmit.destination, "no socket of this address family");
            }
            Some((Carriage::HipUdp, Outlet::Udp(socket))) => {
                let marked = [&HIP_MARKER[..], &transmit.payload].concat();
                socket.send(&marked, transmit.destination, source).await
            }
            Some((_, Outlet::Udp(socket))) => {
                socket.send(&transmit.payload, transmit.destination, source).await
            }
            Some((_, Outlet::Raw(socket))) => {
                socket.send(&transmit.payload, transmit.destination, source).await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(destination = %transmit.destination, %error, "not sent");
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Outlet {
    fn local_ip(&self) -> IpAddr {
        match self {
            Self::Raw(socket) => socket.local_address(),
            Self::Udp(socket) => socket.local_address().ip(),
        }
    }
}

/// Binds a UDP socket for control messages.
pub(crate) fn bind_udp(address: SocketAddr, option: &'static str) -> Result<UdpSocket, BindError> {
    UdpSocket::bind(address, &claviger_net::UdpOptions::new(option))
}
