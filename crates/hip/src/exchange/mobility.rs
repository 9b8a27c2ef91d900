//! Moves (RFC 8046): a host that changed its address says so, and its peer makes sure before it follows.
//!
//! ```text
//! mobile host, from its new address                                                          peer
//! UPDATE { [ESP_INFO,] LOCATOR_SET, SEQ, HIP_MAC, HIP_SIGNATURE }                             -->
//!        <--    UPDATE { [ESP_INFO,] SEQ, ACK, ECHO_REQUEST_SIGNED, HIP_MAC, HIP_SIGNATURE }
//! UPDATE { ACK, ECHO_RESPONSE_SIGNED, HIP_MAC, HIP_SIGNATURE }                                -->
//! ```
//!
//! Until the third message nothing but the second goes to the new address, retransmitted as every UPDATE and limited
//! for each address and for all: it may be somebody else's. On IP protocol 139 that address is the
//! locator that the mobile host prefers. On UDP it is where the first message came from: a locator has no port, and
//! behind a NAT the host does not know its address.

use std::net::{IpAddr, SocketAddr};

use claviger_sansio::{Retransmit, Time};
use tracing::debug;

use crate::{
    association::Association,
    error::{ApiMisuse, Error, PeerIncompatible, PeerMisbehaved},
    event::Event,
    exchange::{
        Shared,
        task::{Candidate, Outgoing, Received, Task, Verification},
    },
    iana::TrafficType,
    item::Item,
    path::Path,
    wire::{Authentic, EspInfo, Locator, LocatorSet, LocatorValue},
};

/// Packets to all unverified addresses within a second: a train of a thousand members arrives within some.
pub(crate) const PROBES_PER_SECOND_MAX: u32 = 1_000;

/// What a LOCATOR_SET comes to.
pub(crate) struct Announcement {
    /// The address to be used, if there is one.
    candidate: Option<Candidate>,
    /// Locators of unknown types.
    pub(crate) unsupported: Vec<Locator>,
}

impl<I: Item> Association<I> {
    /// Tells the peer that this host is at another address. What is outstanding goes on from there at once.
    pub(crate) fn readdress(&mut self, shared: &mut Shared<I>, now: Time, to: IpAddr) -> Result<(), Error> {
        if to.is_ipv4() != self.path.remote.is_ipv4() {
            return Err(ApiMisuse::LocalAddress.into());
        }
        debug!(%to, announced = self.is_live(), "this host is at another address");
        self.path.leave_from(to);
        if !self.is_live() {
            return Ok(());
        }
        // An announcement is replaced by the next (RFC 8046 section 5.2).
        self.updates.queue.retain(|task| !matches!(task, Task::Locate { .. }));
        self.updates.outgoing.take_if(|outgoing| matches!(outgoing.task, Task::Locate { .. }));
        self.updates.leave_from(to);
        if let Some(outgoing) = &mut self.updates.outgoing {
            outgoing.retransmit = Retransmit::new(shared.config.retransmit, now);
            shared.out.send(&outgoing.path, &outgoing.octets);
        }
        self.updates.queue.push_front(Task::Locate { address: to });
        self.send_next(shared, now)?;
        self.tell_changed(shared);
        Ok(())
    }

    /// Announces an address, with the SPI that is received there if ESP was agreed on (RFC 8046 section 5.2 case 1).
    pub(crate) fn locator_set(&self, address: IpAddr) -> LocatorSet {
        LocatorSet(vec![Locator::only(match self.esp {
            Some(esp) => LocatorValue::Esp { spi: esp.inbound_spi, address },
            None => LocatorValue::Address(address),
        })])
    }

    /// Names the SA that goes on unchanged, for middleboxes on the path (RFC 8046 section 3.2.1).
    pub(crate) fn unchanged_esp(&self) -> Option<EspInfo> {
        self.esp.map(|esp| EspInfo {
            keymat_index: esp.keymat_index,
            old_spi: esp.inbound_spi,
            new_spi: esp.inbound_spi,
        })
    }

    /// Reads what an UPDATE announces (RFC 8046 section 5.3); nothing changes by it.
    pub(crate) fn read_locators(
        &self,
        now: Time,
        back: &Path,
        packet: &Authentic<'_>,
    ) -> Result<Option<Announcement>, Error> {
        let Some(LocatorSet(locators)) = packet.find()? else {
            return Ok(None);
        };
        self.check_esp_info(packet)?;
        for locator in &locators {
            self.check_locator(back, locator)?;
        }
        let mut chosen: Option<&Locator> = None;
        for locator in locators.iter().filter(|locator| is_usable(back, locator)) {
            if chosen.is_none_or(|chosen| preference(locator) > preference(chosen)) {
                chosen = Some(locator);
            }
        }
        let names_source = |locator: &&Locator| locator.address() == Some(back.remote.ip());
        let source = locators.iter().find(names_source);
        let candidate = chosen.map(|chosen| {
            let locator = if back.is_raw() { chosen } else { source.unwrap_or(chosen) };
            let address = locator.address().unwrap_or(back.remote.ip());
            let moves = back.is_raw() && address != back.remote.ip();
            let remote = if moves { SocketAddr::new(address, 0) } else { back.remote };
            let bounded = locator.lifetime != Locator::UNBOUNDED;
            Candidate {
                path: Path { remote, ..*back },
                is_listed: address == remote.ip(),
                until: bounded.then(|| now + std::time::Duration::from_secs(locator.lifetime.into())),
            }
        });
        let unsupported = locators.into_iter().filter(|locator| locator.address().is_none()).collect();
        Ok(Some(Announcement { candidate, unsupported }))
    }

    /// RFC 8046 section 5.3: ESP_INFO either names the SA that there is, or asks for a rekey, or is an error.
    fn check_esp_info(&self, packet: &Authentic<'_>) -> Result<(), Error> {
        let Some(EspInfo { old_spi, new_spi, .. }) = packet.find()? else {
            return Ok(());
        };
        let current = self.esp.map(|esp| esp.outbound_spi);
        if current == Some(old_spi) && old_spi == new_spi {
            Ok(())
        } else if current == Some(old_spi) || (old_spi == 0 && new_spi != 0) {
            Err(PeerIncompatible::Rekeying.into())
        } else {
            Err(PeerMisbehaved::SpiForeign.into())
        }
    }

    /// RFC 8046 section 5.3: an address must be one that a host can have. A directed broadcast address cannot be told
    /// from others from afar; the system refuses to send there.
    fn check_locator(&self, back: &Path, locator: &Locator) -> Result<(), Error> {
        if let LocatorValue::Esp { spi, .. } = locator.value
            && self.esp.is_none_or(|esp| esp.outbound_spi != spi)
        {
            return Err(PeerMisbehaved::SpiForeign.into());
        }
        let Some(address) = locator.address() else {
            return Ok(());
        };
        // A host may speak with itself, and nobody else has that address.
        if !is_unicast(address) || (address.is_loopback() && !back.remote.ip().is_loopback()) {
            return Err(PeerMisbehaved::LocatorIllegal.into());
        }
        Ok(())
    }

    /// Lets an announcement take effect: a new address is verified by the answer to it. Returns the announcing UPDATE
    /// if it still is to be acknowledged.
    pub(crate) fn take_up_locators(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        announcement: &Announcement,
        received: Received,
    ) -> Result<Option<Received>, Error> {
        self.supersede_verification();
        let Some(candidate) = self.pending(announcement) else {
            return Ok(Some(received));
        };
        self.verify(shared, now, candidate, received)?;
        Ok(None)
    }

    /// Verifies a new address after an answer that goes out first.
    pub(crate) fn verify_later(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        announcement: &Announcement,
    ) -> Result<(), Error> {
        if let Some(candidate) = self.pending(announcement) {
            let task = Task::Verify(Verification::new(shared, candidate, None));
            self.updates.queue.push_back(task);
            self.send_next(shared, now)?;
        }
        Ok(())
    }

    /// Drops the verification that is under way: the peer has announced something else since.
    pub(crate) fn supersede_verification(&mut self) {
        self.updates.queue.retain(|task| !matches!(task, Task::Verify(_)));
        self.updates.outgoing.take_if(|outgoing| matches!(outgoing.task, Task::Verify(_)));
    }

    /// Returns the address to verify. One that is in use already gets its new lifetime; no locators at all, or none
    /// that could be used, leave the association where it is: there is no alternative to it (RFC 8046 section 4).
    fn pending(&mut self, announcement: &Announcement) -> Option<Candidate> {
        let candidate = announcement.candidate?;
        if candidate.path.remote == self.path.remote && !self.is_deprecated {
            self.locator_until = candidate.until;
            return None;
        }
        Some(candidate)
    }

    /// Sends a nonce to a new address, with the acknowledgement of what announced it.
    fn verify(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        candidate: Candidate,
        announcement: Received,
    ) -> Result<(), Error> {
        debug!(candidate = %candidate.path.remote, listed = candidate.is_listed, "the peer's new address is verified");
        let task = Task::Verify(Verification::new(shared, candidate, Some(announcement)));
        self.build(shared, 0, &task)?;
        // It goes before all else. An answer need not arrive: who misses it asks again (RFC 7401 section 5.3.5).
        // Anything else is sent anew behind it, under a new Update ID, for the peer takes none out of order.
        let outgoing = self.updates.outgoing.take().map(|outgoing| outgoing.task);
        if let Some(task) = outgoing.filter(|task| !matches!(task, Task::Answer { .. } | Task::Verify(_))) {
            self.updates.queue.push_front(task);
        }
        self.updates.queue.push_front(task);
        self.send_next(shared, now)?;
        self.tell_changed(shared);
        Ok(())
    }

    /// Answers a repeated announcement while its verification is under way; says whether one was.
    ///
    /// A copy from an address that the peer named is worth more than one from an address that it did not: somebody
    /// else on the path may have been faster. It gets a nonce of its own.
    pub(crate) fn repeat_verification(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        packet: &Authentic<'_>,
    ) -> Result<bool, Error> {
        let Some(Outgoing { task: Task::Verify(verification), octets, .. }) = &self.updates.outgoing else {
            return Ok(false);
        };
        if self.updates.processed.as_ref().is_none_or(|processed| processed.answer != *octets) {
            return Ok(false);
        }
        if !verification.candidate.is_listed
            && let Some(announcement) = verification.announcement.clone()
            && let Some(Announcement { candidate: Some(candidate), .. }) =
                self.read_locators(now, back, packet)?
            && candidate.is_listed
        {
            self.verify(shared, now, candidate, announcement)?;
        } else if let Some(outgoing) = &self.updates.outgoing {
            shared.probe(now, &outgoing.path, &outgoing.octets);
        }
        Ok(true)
    }

    /// Follows the peer to an address that is verified now.
    pub(crate) fn follow(&mut self, shared: &mut Shared<I>, candidate: Candidate) {
        let (from, to) = (self.path.remote, candidate.path.remote);
        self.path = candidate.path;
        self.locator_until = candidate.until;
        self.is_deprecated = false;
        debug!(%from, %to, "the peer is followed");
        if from != to {
            shared.out.tell(Event::Moved { peer: self.peer, from, to });
        }
    }
}

impl<I: Item> Shared<I> {
    /// Sends to an address that is not verified, unless enough was sent there within this second.
    pub(crate) fn probe(&mut self, now: Time, path: &Path, octets: &[u8]) {
        if self.probes.allow(now, path.remote.ip()) {
            self.out.send(path, octets);
        } else {
            debug!(destination = %path.remote, "enough was sent to addresses that are not verified");
        }
    }
}

/// Says whether one host can have an address (RFC 8046 section 5.2: broadcast and multicast addresses are not
/// announced).
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != IpAddr::from([255; 4])
}

/// Says whether HIP packets can be sent to a locator over the path that its announcement came by. Handover between
/// IP versions is multihoming (RFC 8047), and a link-local address means nothing without its link.
fn is_usable(back: &Path, locator: &Locator) -> bool {
    let signals = matches!(locator.traffic_type, TrafficType::BOTH | TrafficType::SIGNALLING);
    let reached = |address: IpAddr| {
        let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let source = back.remote.ip();
        address.is_ipv4() == source.is_ipv4() && (!link_local || address == source)
    };
    signals && locator.address().is_some_and(reached)
}

/// Orders locators (RFC 8046 section 4.1): preferred ones first, and of those the ones for signalling alone.
fn preference(locator: &Locator) -> (bool, bool) {
    (locator.preferred, locator.preferred && locator.traffic_type == TrafficType::SIGNALLING)
}
