//! Which exchange a packet or a timer belongs to, and what the end of one means for the peer.
//!
//! A peer may have an association, a base exchange that this host began, and one that the peer began, all at once;
//! whichever base exchange completes replaces the association, and nothing before that touches it.

use claviger_identity::Hit;
use claviger_sansio::Time;
use tracing::{debug, debug_span};

use crate::{
    association::Phase,
    calls::Call,
    error::{Error, FailReason, LimitError, PeerIncompatible, PeerMisbehaved},
    event::Event,
    exchange::{
        Shared,
        initiate::{Established, Progress},
        notify,
        respond::{self, Acceptance, Outcome},
        task::Task,
    },
    host::Host,
    iana::PacketType,
    item::Item,
    path::Path,
    responder::{Recognised, SolvedPuzzle},
    rules,
    wire::{DhGroupList, DiffieHellman, Packet},
};

impl<I: Item> Host<I> {
    pub(crate) fn dispatch(&mut self, now: Time, back: &Path, packet: &Packet<'_>) -> Result<(), Error> {
        let _exchange = debug_span!("exchange", exchange = exchange_of(packet.packet_type())).entered();
        match packet.packet_type() {
            PacketType::I1 => self.handle_i1(now, back, packet),
            PacketType::R1 => self.handle_r1(now, back, packet),
            PacketType::I2 => self.handle_i2(now, back, packet),
            PacketType::R2 => self.handle_r2(now, packet),
            PacketType::NOTIFY => self.handle_notify(now, packet),
            _ => self.handle_associated(now, back, packet),
        }
    }

    /// RFC 7401 section 6.7: no state is made for an I1.
    fn handle_i1(&mut self, now: Time, back: &Path, packet: &Packet<'_>) -> Result<(), Error> {
        let peer = packet.sender();
        let DhGroupList(groups) = packet.one()?;
        let calling = self.peers.get(&peer).and_then(|peer| peer.initiation.as_ref());
        // RFC 7401 section 6.7 step 3: of two that call each other, the one with the greater HIT answers.
        if calling.is_some_and(|calling| !calling.has_sent_i2()) && self.hit() < peer {
            debug!("the calls cross; the peer answers this host's");
            return Ok(());
        }
        let cookie = packet.find()?;
        let call = Call { initiator: peer, source: back.remote, octets: packet.octets(), cookie };
        let Shared { config, random, .. } = &mut self.shared;
        let answer = self.responder.answer_i1(config, &mut **random, now, &call, &groups)?;
        self.shared.out.send(back, &answer);
        Ok(())
    }

    fn handle_r1(&mut self, now: Time, back: &Path, packet: &Packet<'_>) -> Result<(), Error> {
        let peer = packet.sender();
        let initiation = self.peers.get_mut(&peer).and_then(|peer| peer.initiation.as_mut());
        let initiation = initiation.ok_or(PeerMisbehaved::R1Unasked)?;
        if rules::brings_a_cookie(packet) {
            return initiation.handle_cookie(&mut self.shared, packet);
        }
        if let Progress::Failed(reason) = initiation.handle_r1(&mut self.shared, now, back, packet)? {
            self.fail(peer, reason);
        }
        Ok(())
    }

    /// RFC 7401 section 6.9.
    fn handle_i2(&mut self, now: Time, back: &Path, packet: &Packet<'_>) -> Result<(), Error> {
        let peer = packet.sender();
        respond::accepted_suite(&self.shared, packet)?;
        let address = back.remote.ip();
        let puzzle = match self.responder.recognise(&self.shared.config, now, address, packet)? {
            Recognised::New(puzzle) => puzzle,
            Recognised::Repeated(r2) => {
                debug!(superseded = r2.is_none(), "I2 was accepted before");
                if let Some(r2) = r2 {
                    self.shared.out.send(back, &r2);
                }
                return Ok(());
            }
        };
        if let Some(entry) = self.peers.get(&peer) {
            if let Some(acceptance) = &entry.acceptance {
                let same = acceptance.puzzle.is_same(&puzzle);
                debug!(same, "another I2 of the peer is being decided");
                return if same { Ok(()) } else { Err(PeerMisbehaved::RequestOutstanding.into()) };
            }
            // RFC 7401 section 6.9 step 5: of two I2s that cross, the greater HIT's is dropped by the smaller.
            let sent_i2 = entry.initiation.as_ref().is_some_and(|initiation| initiation.has_sent_i2());
            if sent_i2 && self.hit() < peer {
                debug!("the I2s cross; the peer answers this host's");
                return Ok(());
            }
        }
        let result = self.accept_i2(now, back, packet, puzzle);
        if let Err(error) = &result {
            // RFC 7401 section 6.9.1: the puzzle is solved, so the sender may be told.
            notify::send(&mut self.shared, now, back, packet, error);
        }
        result
    }

    fn accept_i2(
        &mut self,
        now: Time,
        back: &Path,
        packet: &Packet<'_>,
        puzzle: SolvedPuzzle,
    ) -> Result<(), Error> {
        let peer = packet.sender();
        let known = self.peers.contains_key(&peer);
        // Strangers take no room from others: they have their own, which they make for each other.
        let others = self.peers.len() - self.strangers.len();
        if !known && others >= self.shared.config.associations_max {
            return Err(LimitError::Associations.into());
        }
        let DiffieHellman { group, .. } = packet.one()?;
        let budget = match self.is_registered(&peer) {
            true => &mut self.shared.budgets.i2_of_peers,
            false => &mut self.shared.budgets.i2_of_strangers,
        };
        let permit = self.responder.spend(&self.shared.config, now, &puzzle, group, budget)?;
        let mut acceptance =
            Acceptance::verify(&mut self.shared, &self.responder, now, *back, puzzle, permit, packet)?;
        let entry = self.peers.entry(peer).or_default();
        // RFC 7401 section 6.9 steps 5 and 6: the I2 is the basis of the association that both wanted.
        if let Some(initiation) = entry.initiation.take() {
            debug!("the peer's base exchange replaces this host's");
            acceptance.own_request = initiation.request;
        }
        entry.acceptance = Some(Box::new(acceptance));
        self.decide_acceptance(now, peer)
    }

    /// Sends R2 and installs the association, once all that the I2 asked for is decided.
    pub(crate) fn decide_acceptance(&mut self, now: Time, peer: Hit) -> Result<(), Error> {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let Some(mut acceptance) = entry.acceptance.take() else {
            return Ok(());
        };
        if !acceptance.decide(&mut self.shared) {
            entry.acceptance = Some(acceptance);
            return Ok(());
        }
        let own_request = acceptance.own_request.take();
        let (outcome, puzzle, r2) = acceptance.complete(&mut self.shared, now, own_request.is_some())?;
        let Outcome::Associated(mut association) = outcome else {
            debug!("the peer asks for no registration; no association is made");
            self.responder.accept(&puzzle, peer, &r2, true);
            return Ok(());
        };
        self.responder.accept(&puzzle, peer, &r2, association.is_stranger);
        association.log_established();
        association.deferred = own_request;
        self.shared.out.tell(Event::Established { peer, initiator: false });
        let replaced = entry.association.replace(association);
        let kept = replaced.iter().chain(&entry.association).find(|association| !association.is_stranger);
        if let Some(association) = kept {
            association.tell_changed(&mut self.shared);
        }
        Ok(())
    }

    fn handle_r2(&mut self, now: Time, packet: &Packet<'_>) -> Result<(), Error> {
        let peer = packet.sender();
        let entry = self.peers.get_mut(&peer).ok_or(PeerMisbehaved::R2Unasked)?;
        let initiation = entry.initiation.take().ok_or(PeerMisbehaved::R2Unasked)?;
        let Established { association, answer } = match initiation.handle_r2(&self.shared, now, packet) {
            Ok(established) => established,
            Err((initiation, error)) => {
                entry.initiation = Some(initiation);
                // The peer itself has ended the exchange, under MAC and signature.
                let required = PeerIncompatible::RegistrationRequired;
                if error == required.into() {
                    self.fail(peer, FailReason::Incompatible(required));
                }
                return Err(error);
            }
        };
        let association = entry.association.insert(Box::new(association));
        association.log_established();
        self.shared.out.tell(Event::Established { peer, initiator: true });
        if let Some((answer, certificates)) = answer {
            self.shared.out.tell(Event::Registered { peer, answer, certificates });
        }
        self.shared.out.tell(Event::Changed { peer });
        // RFC 8003 section 3.1: who began has sent no R1, so it announces its services by UPDATE.
        if !self.shared.config.services.is_empty() {
            association.enqueue(&mut self.shared, now, Task::Announce)?;
        }
        Ok(())
    }

    /// Says whether a host has a registration here, in either direction.
    fn is_registered(&self, peer: &Hit) -> bool {
        let association = self.peers.get(peer).and_then(|peer| peer.association.as_ref());
        association.is_some_and(|association| !association.grants.is_empty())
    }

    fn handle_notify(&mut self, now: Time, packet: &Packet<'_>) -> Result<(), Error> {
        let entry = self.peers.get(&packet.sender()).ok_or(PeerMisbehaved::Unassociated)?;
        let associated = entry.association.as_ref().map(|association| &association.host_id);
        let calling = entry.initiation.as_ref().and_then(|initiation| initiation.host_id());
        let host_id = associated.or(calling).ok_or(PeerMisbehaved::Unassociated)?;
        let awaits = entry.association.as_ref().is_some_and(|association| association.awaits_peer());
        if entry.initiation.is_none() && !awaits {
            return Err(PeerMisbehaved::NotifyUnasked.into());
        }
        notify::handle(&mut self.shared, now, host_id, packet)
    }

    /// Processes what only an association can make sense of.
    fn handle_associated(&mut self, now: Time, back: &Path, packet: &Packet<'_>) -> Result<(), Error> {
        let entry = self.peers.get_mut(&packet.sender()).ok_or(PeerMisbehaved::Unassociated)?;
        let association = entry.association.as_mut().ok_or(PeerMisbehaved::Unassociated)?;
        let shared = &mut self.shared;
        let result = match packet.packet_type() {
            PacketType::UPDATE => association.handle_update(shared, now, back, packet),
            PacketType::CLOSE => association.handle_close(shared, now, back, packet),
            _ => {
                let result = association.handle_close_ack(shared, now, packet);
                if result.is_ok() {
                    debug!("CLOSE is acknowledged; the association is discarded");
                    association.tell_changed(shared);
                    entry.association = None;
                }
                result
            }
        };
        if let Err(error) = &result {
            notify::send(shared, now, back, packet, error);
        }
        result
    }

    pub(crate) fn handle_peer_timeout(&mut self, now: Time, peer: Hit) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let shared = &mut self.shared;
        // The Initiator has given up by then, and the program's answer would reach nobody.
        if entry.acceptance.take_if(|acceptance| acceptance.until <= now).is_some() {
            debug!("nobody has decided about the peer's I2 in time");
        }
        if let Some(initiation) = &mut entry.initiation {
            match initiation.handle_timeout(shared, now) {
                Ok(Progress::Running) => {}
                Ok(Progress::Failed(reason)) => self.fail(peer, reason),
                Err(Error::Crypto(error)) => self.fail(peer, FailReason::Crypto(error)),
                // I2 grew too long for a packet: the request was too large beside this identity.
                Err(_) => self.fail(peer, FailReason::Limit(LimitError::PacketLength)),
            }
        }
        let (Some(entry), shared) = (self.peers.get_mut(&peer), &mut self.shared) else {
            return;
        };
        let Some(association) = &mut entry.association else {
            return;
        };
        let mut gone = association.handle_close_timeout(shared, now);
        if association.is_live() {
            gone |= association.handle_update_timeout(shared, now);
            if association.expire(now) {
                debug!(grants = association.grants.len(), "a registration or an address has expired");
                association.tell_changed(shared);
            }
            if matches!(association.phase, Phase::R2Sent { until } if until <= now) {
                association.phase = Phase::Established;
            }
            association.forgo_deferred(shared, now);
            association.rekey_if_due(shared, now);
            if !gone && association.unused_at(shared).is_some_and(|unused_at| unused_at <= now) {
                // RFC 7401 section 4.4.3, ESTABLISHED: nothing was heard for the unused association lifetime.
                debug!("the association is not used");
                gone = association.close(shared, now).is_err();
            }
        }
        if gone {
            debug!("the association is discarded");
            association.tell_changed(shared);
            entry.association = None;
        }
    }

    fn fail(&mut self, peer: Hit, reason: FailReason) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.initiation = None;
        }
        debug!(reason = reason.reason(), %reason, "the base exchange failed");
        self.shared.out.tell(Event::Failed { peer, reason });
    }
}

/// Names the exchange that a packet belongs to, for the log.
fn exchange_of(packet_type: PacketType) -> &'static str {
    match packet_type {
        PacketType::I1 | PacketType::R1 | PacketType::I2 | PacketType::R2 => "base",
        PacketType::UPDATE => "update",
        PacketType::NOTIFY => "notify",
        PacketType::CLOSE | PacketType::CLOSE_ACK => "close",
        PacketType(_) => "unknown",
    }
}
