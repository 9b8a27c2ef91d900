//! Where hosts listen: ports, and the addresses that a member's events name.

use std::collections::BTreeMap;

use claviger_group::GroupId;
use claviger_member::{Event, event::Places};
use claviger_sansio::Socket;

use super::{GDOI_PORT, HIP_PORT};

/// Says on which port a host speaks.
pub(super) fn port_of(socket: Socket) -> u16 {
    match socket {
        Socket::HipRaw | Socket::HipUdp => HIP_PORT,
        Socket::Port848 => GDOI_PORT,
    }
}

/// Follows where a member listens for its groups.
pub(super) fn follow(listening: &mut BTreeMap<GroupId, Places>, event: &Event) {
    match event {
        Event::Listen { group, places } => {
            listening.insert(group.clone(), *places);
        }
        Event::Evicted { group } | Event::Refused { group, .. } => {
            listening.remove(group);
        }
        Event::Closed => listening.clear(),
        Event::LeaseEnded { .. } | Event::LeaseResumed { .. } => {}
        Event::Registered { .. }
        | Event::Rekeyed { .. }
        | Event::PullAgain { .. }
        | Event::Narrowed { .. }
        | Event::RegistrationEnded { .. }
        | Event::Unreachable { .. }
        | Event::Moved => {}
    }
}
