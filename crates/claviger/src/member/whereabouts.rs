//! Where this host is: the address that its packets to the key server leave from, as the routes have it.
//!
//! The system is asked from time to time, and when something could not be sent. A host between two networks has no
//! route; it is where it was until it is elsewhere.

use std::{net::IpAddr, time::Duration};

use claviger_sansio::Time;

use crate::route::address_towards;

/// How often the routes are asked. RFC 8046 section 5.2 wants a change announced that lasts at least a few seconds, and
/// not every flicker.
const PAUSE: Duration = Duration::from_secs(2);

/// This host's address towards its key server.
#[derive(Debug)]
pub(super) struct Whereabouts {
    server: IpAddr,
    address: Option<IpAddr>,
    look_at: Time,
}

impl Whereabouts {
    /// Takes note of where the host is.
    pub(super) fn new(now: Time, server: IpAddr) -> Self {
        Self { server, address: address_towards(server).ok(), look_at: now + PAUSE }
    }

    /// Returns the address, if there was ever a route.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Has the next look be at once: something could not be sent.
    pub(super) fn hurry(&mut self, now: Time) {
        self.look_at = self.look_at.min(now);
    }

    /// Says when to look next.
    pub(super) fn poll_timeout(&self) -> Time {
        self.look_at
    }

    /// Looks, if it is time to; returns the address before and the address now if the host has moved.
    pub(super) fn look(&mut self, now: Time) -> Option<(IpAddr, IpAddr)> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + PAUSE;
        self.note(address_towards(self.server).ok()?)
    }

    fn note(&mut self, address: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let before = self.address.replace(address)?;
        (before != address).then_some((before, address))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_host_has_moved_when_its_address_is_another_one() {
        let now = Time::from_secs(1);
        let mut whereabouts = Whereabouts::new(now, Ipv4Addr::LOCALHOST.into());
        let home = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(whereabouts.address, Some(home));
        let away = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(whereabouts.note(away), Some((home, away)));
        assert_eq!(whereabouts.note(away), None);
        assert_eq!(whereabouts.look(now), None, "it is not time yet");
        whereabouts.hurry(now);
        assert_eq!(whereabouts.poll_timeout(), now);
        assert_eq!(whereabouts.look(now), Some((away, home)), "the routes know better");
        assert_eq!(whereabouts.poll_timeout(), now + PAUSE);
    }

    #[test]
    fn who_had_no_route_at_the_beginning_has_not_moved() {
        let mut whereabouts =
            Whereabouts { server: Ipv4Addr::LOCALHOST.into(), address: None, look_at: Time::EPOCH };
        assert_eq!(whereabouts.look(Time::EPOCH), None);
        assert!(whereabouts.address.is_some());
    }
}
