//! Why a packet of the group did not get through this host.

use std::{fmt, io};

use claviger_dataplane::Error;
use claviger_esp::packet::PacketError;

use super::counter::Counter;

/// Why a packet was dropped between the group's sockets and this host's programs.
#[derive(Debug)]
pub(super) enum Dropped {
    /// What came on the group's port stands behind the non-ESP marker.
    BehindMarker,
    /// The data plane did not protect it, or what it protected is not genuine.
    Unprotected(Error),
    /// There are no keys or no sockets of the group yet, or no more.
    NotKeyed,
    /// A packet outside or inside ESP is malformed.
    Packet(PacketError),
    /// Another protocol than UDP was inside.
    OtherProtocol(u8),
    /// What came on the group's port is too short to be ESP.
    Runt,
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
    /// Names what counts it; nothing if the data plane has counted it already.
    pub(super) fn counter(&self) -> Option<Counter> {
        match self {
            Self::BehindMarker => Some(Counter::NonEspMarker),
            Self::Unprotected(error) => match error {
                Error::Esp(_) => None,
                Error::NotKeyed(_) => Some(Counter::NotKeyed),
            },
            Self::NotKeyed => Some(Counter::NotKeyed),
            Self::NotDelivered(_) => Some(Counter::DeliveryFailed),
            Self::NotSent(_) => Some(Counter::SendFailed),
            Self::OtherDestination => Some(Counter::OtherDestination),
            Self::OtherPort(_) => Some(Counter::OtherPort),
            Self::OtherProtocol(_) => Some(Counter::OtherProtocol),
            Self::Packet(error) => Some(packet_counter(error)),
            Self::Runt => Some(Counter::Runt),
        }
    }
}

fn packet_counter(error: &PacketError) -> Counter {
    match error {
        PacketError::AddressMismatch => Counter::PacketAddressMismatch,
        PacketError::Checksum => Counter::PacketChecksum,
        PacketError::Decode(_) => Counter::PacketMalformed,
        PacketError::Family => Counter::PacketFamily,
        PacketError::Fragment => Counter::PacketFragment,
        PacketError::NotEsp(_) => Counter::PacketNotEsp,
        PacketError::NotTunnelled(_) => Counter::PacketNotTunnelled,
        PacketError::TooLong => Counter::PacketTooLong,
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BehindMarker => f.write_str("no ESP: it stands behind the non-ESP marker"),
            Self::Unprotected(error) => error.fmt(f),
            Self::NotKeyed => f.write_str("no keys"),
            Self::Packet(error) => error.fmt(f),
            Self::OtherProtocol(protocol) => write!(f, "protocol {protocol} inside is not UDP"),
            Self::OtherPort(port) => write!(f, "UDP port {port} inside is not the group's"),
            Self::OtherDestination => f.write_str("not for the group"),
            Self::NotSent(error) => write!(f, "not sent: {error}"),
            Self::Runt => f.write_str("no ESP: it is too short"),
            Self::NotDelivered(error) => write!(f, "not delivered: {error}"),
        }
    }
}

impl From<Error> for Dropped {
    fn from(error: Error) -> Self {
        Self::Unprotected(error)
    }
}

impl From<PacketError> for Dropped {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

#[cfg(test)]
mod tests {
    use claviger_sansio::Counted;

    use super::*;

    #[test]
    fn what_the_data_plane_counts_is_not_counted_twice() {
        let esp = Dropped::from(Error::from(claviger_esp::Error::Replayed));
        assert_eq!(esp.counter(), None);
        let group = "market".parse().unwrap();
        let not_keyed = Dropped::Unprotected(Error::NotKeyed(group));
        assert_eq!(not_keyed.counter(), Some(Counter::NotKeyed));
        assert_eq!(Dropped::from(PacketError::Checksum).counter(), Some(Counter::PacketChecksum));
        assert_eq!(Counter::NotKeyed.name(), "not_keyed");
        assert_eq!(Counter::PacketChecksum.name(), "packet_checksum");
    }
}
