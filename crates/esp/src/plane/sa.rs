//! One association of a plane, both directions and its times.

use std::sync::Arc;

use claviger_crypto::CryptoProvider;
use claviger_group::{EspTransform, Spi, Tek};
use claviger_sansio::Time;

use super::PlaneConfig;
use crate::{Error, InboundSa, OutboundSa, SenderId, outbound::Ledger, protection::Protection};

/// An installed association.
pub(super) struct Sa {
    pub(super) tek: Tek,
    pub(super) inbound: InboundSa,
    /// Absent at a receiver, and in counter mode as long as there is no sender id.
    pub(super) outbound: Option<OutboundSa>,
    /// Counts installations: a higher one is newer.
    pub(super) order: u64,
    pub(super) activate_at: Time,
    pub(super) active: bool,
    /// From when on no older association sends, if that is not when this one is activated.
    pub(super) supersedes_at: Option<Time>,
    pub(super) deactivate_at: Option<Time>,
    pub(super) expires: Time,
    /// Whether the member was told to register for new sender ids.
    pub(super) exhausting: bool,
    protection: Arc<Protection>,
    /// What was sent before this installation, until an outbound half takes it over.
    ledger: Ledger,
}

impl Sa {
    pub(super) fn new(
        provider: &CryptoProvider,
        config: &PlaneConfig,
        now: Time,
        tek: Tek,
        activate_at: Time,
        order: u64,
    ) -> Result<Self, Error> {
        let protection = Arc::new(Protection::new(provider, &tek)?);
        let inbound = InboundSa::with_protection(Arc::clone(&protection), &tek, config.sender_id_bits)?;
        let expires = now + tek.lifetime;
        Ok(Self {
            tek,
            inbound,
            outbound: None,
            order,
            activate_at,
            active: false,
            supersedes_at: None,
            deactivate_at: None,
            expires,
            exhausting: false,
            protection,
            ledger: Ledger::default(),
        })
    }

    /// Goes on behind what was sent under the same SPI before.
    pub(super) fn remember(&mut self, ledger: Ledger) {
        self.ledger = ledger;
    }

    /// Takes what a key server says about an association that is installed already.
    pub(super) fn install_again(&mut self, now: Time, tek: &Tek, activate_at: Time) -> Result<(), Error> {
        if self.tek.keys != tek.keys || self.tek.transform != tek.transform {
            return Err(Error::SpiInUse(tek.spi));
        }
        self.expires = now + tek.lifetime;
        self.activate_at = self.activate_at.min(activate_at);
        Ok(())
    }

    /// Replaces the sender ids, or begins to send with them; without counter mode there are none.
    pub(super) fn set_sender_ids(&mut self, sender_ids: &[SenderId]) -> Result<(), Error> {
        match &mut self.outbound {
            Some(outbound) => outbound.set_sender_ids(sender_ids)?,
            None => {
                let protection = Arc::clone(&self.protection);
                let ledger = self.ledger.clone();
                self.outbound = Some(OutboundSa::with_protection(protection, &self.tek, sender_ids, ledger)?);
            }
        }
        self.exhausting = false;
        Ok(())
    }

    /// Says when the association is removed.
    pub(super) fn ends(&self) -> Time {
        self.deactivate_at.map_or(self.expires, |at| at.min(self.expires))
    }

    /// Says when something happens to the association next.
    pub(super) fn deadline(&self) -> Time {
        let activation = Some(self.activate_at).filter(|_| !self.active);
        activation.into_iter().chain(self.supersedes_at).fold(self.ends(), Time::min)
    }

    pub(super) fn into_ledger(self) -> Ledger {
        self.outbound.map_or(self.ledger, OutboundSa::into_ledger)
    }

    pub(super) fn status(&self, current: Option<Spi>) -> SaStatus {
        let stage = if current == Some(self.tek.spi) {
            Stage::Current
        } else if self.active {
            Stage::Trailing
        } else {
            Stage::Leading
        };
        SaStatus {
            spi: self.tek.spi,
            transform: self.tek.transform,
            stage,
            activate_at: self.activate_at,
            deactivate_at: self.deactivate_at,
            expires: self.expires,
            sender_id: self.outbound.as_ref().and_then(OutboundSa::sender_id),
            sent: self.outbound.as_ref().map_or(0, OutboundSa::sent),
            remaining: self.outbound.as_ref().map(OutboundSa::remaining),
            opened: self.inbound.opened(),
            senders: self.inbound.senders(),
        }
    }
}

/// Where an association stands in a rollover (RFC 5374 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It receives and will send when its activation delay ends.
    Leading,
    /// It receives, and what this member sends goes out under it.
    Current,
    /// It receives what is still on its way.
    Trailing,
}

/// What there is to say about an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaStatus {
    /// Its name in packets.
    pub spi: Spi,
    /// Its algorithms.
    pub transform: EspTransform,
    /// Where it stands in a rollover.
    pub stage: Stage,
    /// When it begins, or began, to send.
    pub activate_at: Time,
    /// When it is removed, if a newer one has replaced it.
    pub deactivate_at: Option<Time>,
    /// When its lifetime ends.
    pub expires: Time,
    /// The sender id in use, in counter mode at a sender.
    pub sender_id: Option<SenderId>,
    /// How many packets were sent under that id, or in all without counter mode.
    pub sent: u32,
    /// How many packets can still be sent; `None` if the association only receives.
    pub remaining: Option<u64>,
    /// How many packets were received and opened.
    pub opened: u64,
    /// How many senders were heard.
    pub senders: usize,
}
