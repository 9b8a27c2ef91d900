//! CLOSE and CLOSE_ACK (RFC 7401 sections 5.3.7, 5.3.8, 6.14 and 6.15).
//!
//! ```text
//! CLOSE { ECHO_REQUEST_SIGNED, HIP_MAC, HIP_SIGNATURE }          -->
//!        <--    CLOSE_ACK { ECHO_RESPONSE_SIGNED, HIP_MAC, HIP_SIGNATURE }
//! ```

use claviger_crypto::{random, secret::ct_eq};
use claviger_sansio::{Retransmit, Time, retransmit::Expiry};
use tracing::debug;

use crate::{
    association::{Association, Closed, Closing, Phase, SignedUnderMac},
    error::{Error, LimitError, PeerMisbehaved},
    event::Event,
    exchange::Shared,
    iana::PacketType,
    item::Item,
    path::Path,
    wire::{EchoRequestSigned, EchoResponseSigned, Packet, PacketBuilder},
};

/// The octets by which CLOSE_ACK is known to answer its CLOSE.
const ECHO_LEN: usize = 16;

impl<I: Item> Association<I> {
    /// Sends CLOSE. From now on nothing but the end is spoken of.
    pub(crate) fn close(&mut self, shared: &mut Shared<I>, now: Time) -> Result<(), Error> {
        let echo = random::array::<ECHO_LEN>(&mut *shared.random).to_vec();
        let mut builder = PacketBuilder::new(PacketType::CLOSE, shared.config.identity.hit(), self.peer);
        builder.add(&EchoRequestSigned(echo.clone()));
        let octets = self.finish(shared, &mut builder)?;
        debug!(grants = self.grants.len(), "the association is closed");
        shared.out.send(&self.path, &octets);
        self.grants.clear();
        let retransmit = Retransmit::new(shared.config.retransmit, now);
        self.phase = Phase::Closing(Closing { octets, echo, retransmit });
        self.tell_changed(shared);
        Ok(())
    }

    /// Answers CLOSE (RFC 7401 section 6.14), in whatever phase the association is. One that is repeated, whatever signature
    /// it has now, costs no verification.
    pub(crate) fn handle_close(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        packet: &Packet<'_>,
    ) -> Result<(), Error> {
        let packet = self.verify_mac(packet)?;
        let EchoRequestSigned(echo) = packet.one()?;
        if let Phase::Closed(closed) = &self.phase
            && closed.echo == echo
        {
            if !self.budgets.may_repeat(now) {
                return Err(LimitError::Repetitions.into());
            }
            debug!("CLOSE is repeated, and CLOSE_ACK");
            shared.out.send(back, &closed.ack);
            return Ok(());
        }
        let packet = self.verify_signature(shared, now, SignedUnderMac::Close, packet)?;
        self.note_keys(shared, now, &packet);
        let mut builder = PacketBuilder::new(PacketType::CLOSE_ACK, shared.config.identity.hit(), self.peer);
        builder.add(&EchoResponseSigned(echo.clone()));
        let ack = self.finish(shared, &mut builder)?;
        shared.out.send(back, &ack);
        let (was_closed, own_echo) = match &mut self.phase {
            Phase::Closing(closing) => (false, Some(std::mem::take(&mut closing.echo))),
            Phase::Closed(closed) => (true, closed.own_echo.take()),
            Phase::R2Sent { .. } | Phase::Established => (false, None),
        };
        debug!(crossing = own_echo.is_some(), was_closed, "the peer closes the association");
        self.grants.clear();
        self.updates.forget();
        let until = now + shared.config.closed_lifetime;
        self.phase = Phase::Closed(Closed { until, echo, ack, own_echo });
        if !was_closed {
            shared.out.tell(Event::Closed { peer: self.peer, by_peer: true });
        }
        self.tell_changed(shared);
        Ok(())
    }

    /// Verifies CLOSE_ACK (RFC 7401 section 6.15); after success the association is to be discarded.
    pub(crate) fn handle_close_ack(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        packet: &Packet<'_>,
    ) -> Result<(), Error> {
        let (own_echo, was_closed) = match &self.phase {
            Phase::Closing(closing) => (Some(&closing.echo), false),
            Phase::Closed(closed) => (closed.own_echo.as_ref(), true),
            Phase::R2Sent { .. } | Phase::Established => (None, false),
        };
        let own_echo = own_echo.ok_or(PeerMisbehaved::CloseAckUnasked)?;
        // The echo is compared before the signature costs anything.
        let packet = self.verify_mac(packet)?;
        let EchoResponseSigned(echo) = packet.one()?;
        if !ct_eq(&echo, own_echo) {
            return Err(PeerMisbehaved::CloseAckForeign.into());
        }
        self.verify_signature(shared, now, SignedUnderMac::Close, packet)?;
        if !was_closed {
            shared.out.tell(Event::Closed { peer: self.peer, by_peer: false });
        }
        Ok(())
    }

    /// Sends CLOSE again, or gives up; returns whether the association is to be discarded.
    pub(crate) fn handle_close_timeout(&mut self, shared: &mut Shared<I>, now: Time) -> bool {
        match &mut self.phase {
            Phase::Closing(closing) => match closing.retransmit.handle_timeout(now) {
                Expiry::Pending => false,
                Expiry::Resend => {
                    debug!(sent = closing.retransmit.sent(), "no CLOSE_ACK has come; CLOSE is sent again");
                    shared.out.send(&self.path, &closing.octets);
                    false
                }
                Expiry::GiveUp => {
                    debug!("CLOSE was never acknowledged");
                    shared.out.tell(Event::Lost { peer: self.peer });
                    true
                }
            },
            Phase::Closed(closed) => now >= closed.until,
            Phase::R2Sent { .. } | Phase::Established => false,
        }
    }
}
