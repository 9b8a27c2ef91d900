//! Why a packet of the group did not get through this host.

use std::{fmt, io};

use claviger_esp::packet::PacketError;

/// Why a packet was dropped between the group's sockets and this host's programs.
#[derive(Debug)]
pub(super) enum Dropped {
    /// What came on the group's port is no ESP: the name of what it is.
    Framing(&'static str),
    /// ESP did not protect it, or what it protected is not genuine.
    Esp(claviger_member::Error),
    /// There are no keys or no sockets of the group yet, or no more.
    NotKeyed,
    /// A packet outside or inside ESP is malformed.
    Packet(PacketError),
    /// Another protocol than UDP was inside.
    OtherProtocol(u8),
    /// It was for a UDP port that the group does not protect.
    OtherPort(u16),
    /// A program sent it through the TUN device, but not to the group.
    OtherDestination,
    /// It could not be sent to the group.
    NotSent(io::Error),
    /// It could not be given to this host's programs.
    NotDelivered(io::Error),
}

impl Dropped {
    /// Names the reason for counters; nothing if the data plane has counted it already.
    pub(super) fn uncounted(&self) -> Option<&'static str> {
        match self {
            Self::Framing(reason) => Some(reason),
            Self::Esp(claviger_member::Error::Esp(_)) => None,
            Self::Esp(error) => Some(error.reason()),
            Self::NotKeyed => Some("not_keyed"),
            Self::Packet(error) => Some(error.reason()),
            Self::OtherProtocol(_) => Some("other_protocol"),
            Self::OtherPort(_) => Some("other_port"),
            Self::OtherDestination => Some("other_destination"),
            Self::NotSent(_) => Some("send_failed"),
            Self::NotDelivered(_) => Some("delivery_failed"),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing(what) => write!(f, "no ESP: {what}"),
            Self::Esp(error) => error.fmt(f),
            Self::NotKeyed => f.write_str("no keys"),
            Self::Packet(error) => error.fmt(f),
            Self::OtherProtocol(protocol) => write!(f, "protocol {protocol} inside is not UDP"),
            Self::OtherPort(port) => write!(f, "UDP port {port} inside is not the group's"),
            Self::OtherDestination => f.write_str("not for the group"),
            Self::NotSent(error) => write!(f, "not sent: {error}"),
            Self::NotDelivered(error) => write!(f, "not delivered: {error}"),
        }
    }
}

impl From<claviger_member::Error> for Dropped {
    fn from(error: claviger_member::Error) -> Self {
        Self::Esp(error)
    }
}

impl From<PacketError> for Dropped {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_data_plane_counts_is_not_counted_twice() {
        let esp = Dropped::from(claviger_member::Error::from(claviger_esp::Error::Replayed));
        assert_eq!(esp.uncounted(), None);
        let group = "market".parse().unwrap();
        assert_eq!(Dropped::Esp(claviger_member::Error::NotKeyed(group)).uncounted(), Some("not_keyed"));
        assert_eq!(Dropped::from(PacketError::Checksum).uncounted(), Some("packet_checksum"));
    }
}
