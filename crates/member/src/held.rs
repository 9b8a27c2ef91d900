//! The keys of one group that a member holds, whichever protocol brought them.
//!
//! What the data plane does with them is no business of this module: it keeps which SAs were asked for, with their times,
//! and the commands that the data plane is still to be given.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use claviger_group::{CookiePair, DataSa, PlaneCommand, Role, SenderId, Spi, Tek};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    error::SaFault,
    event::{Places, Source},
};

/// How many superseded rekey SAs are remembered, so that late copies of their messages are no sign of missed keys,
/// and a late answer to a PULL is known to be late: more than a busy group uses up while a PULL may take.
const RETIRED_MAX: usize = 256;

/// How many data SAs a member holds at most: a rekey each second, each with a minute and more to drain.
pub(crate) const SAS_MAX: usize = 128;

/// The delays of rollover in force.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delays {
    pub(crate) activation: Duration,
    pub(crate) deactivation: Duration,
}

/// When a data SA begins to send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sends {
    /// It is for others' packets only.
    Never,
    /// From `at` on, and no older one from `older_until` on.
    From { at: Time, older_until: Time },
}

/// A group's keys, as they stand with this member.
pub(crate) struct HeldKeys {
    /// How many of an initialization vector's first bits tell senders apart.
    sender_id_bits: u8,
    sender_ids: Vec<SenderId>,
    sas: BTreeMap<Spi, HeldSa>,
    /// The rekey SA in force.
    rekey_sa: Option<CookiePair>,
    /// Superseded ones, the latest last.
    retired: VecDeque<CookiePair>,
    pub(crate) places: Places,
    pub(crate) last_rekey: Time,
    /// When the first keys came.
    pub(crate) keyed_at: Time,
    /// Whether an SA was held to the end of its lifetime since that was asked last.
    lifetime_ended: bool,
    commands: VecDeque<PlaneCommand>,
}

/// A data SA that the data plane was asked to install.
struct HeldSa {
    tek: Tek,
    by: Source,
    /// When it begins to send, if ever.
    activate_at: Option<Time>,
    deactivate_at: Option<Time>,
    expires: Time,
}

impl HeldSa {
    /// Says when the data plane removes it.
    fn ends(&self) -> Time {
        self.deactivate_at.map_or(self.expires, |at| at.min(self.expires))
    }
}

impl HeldKeys {
    /// Begins with a group whose first keys come.
    pub(crate) fn new(now: Time, role: Role, sender_id_bits: u8, places: Places) -> Self {
        Self {
            sender_id_bits,
            sender_ids: Vec::new(),
            sas: BTreeMap::new(),
            rekey_sa: None,
            retired: VecDeque::new(),
            places,
            last_rekey: now,
            keyed_at: now,
            lifetime_ended: false,
            commands: VecDeque::from([PlaneCommand::Open { role, sender_id_bits }]),
        }
    }

    /// Takes the sender ids that a PULL brought; none leaves the earlier ones.
    pub(crate) fn take_sender_ids(&mut self, sender_ids: Vec<SenderId>) {
        if !sender_ids.is_empty() {
            // They are for the data SAs listed: under another one they may have been somebody else's.
            self.sender_ids = sender_ids;
        }
    }

    /// Holds a data SA: it receives at once. One that is held takes over the new lifetime and sender ids, and of two times
    /// to begin to send the earlier counts.
    ///
    /// # Errors
    ///
    /// Why it is not held; then nothing changes.
    pub(crate) fn install(&mut self, now: Time, tek: Tek, sends: Sends, by: Source) -> Result<(), SaFault> {
        self.advance(now);
        if self.sender_ids.iter().any(|id| id.bits() != self.sender_id_bits) {
            return Err(SaFault::SenderIdBits);
        }
        let (spi, expires) = (tek.spi, now + tek.lifetime);
        if let Some(held) = self.sas.get_mut(&spi) {
            if held.tek.keys != tek.keys || held.tek.transform != tek.transform {
                return Err(SaFault::SpiInUse(spi));
            }
            (held.expires, held.by) = (expires, by);
        } else {
            self.check_new(&tek)?;
            let held = HeldSa { tek: tek.clone(), by, activate_at: None, deactivate_at: None, expires };
            self.sas.insert(spi, held);
        }
        let sender_ids = self.sender_ids.clone();
        self.commands.push_back(PlaneCommand::Install(DataSa { tek, expires, sender_ids }));
        if let Sends::From { at, older_until } = sends {
            self.activate(spi, at, older_until);
        }
        self.advance(now);
        Ok(())
    }

    /// Holds what a PULL listed, the newest last; its first message 1 left at `pull_began`. What is not listed is over.
    ///
    /// The key server said what remained of the delay when it heard message 1, once or again. Others do not send under
    /// the old TEK for longer than from the first message 1 on; all can receive under the new one after what remained
    /// from now on. In between this member has none to send under.
    ///
    /// # Errors
    ///
    /// Those of [`HeldKeys::install`].
    pub(crate) fn install_listed(
        &mut self,
        now: Time,
        pull_began: Time,
        delays: Delays,
        teks: Vec<Tek>,
    ) -> Result<Vec<Spi>, SaFault> {
        self.advance(now);
        let listed: Vec<Spi> = teks.iter().map(|tek| tek.spi).collect();
        let over: Vec<Spi> = self.sas.keys().copied().filter(|spi| !listed.contains(spi)).collect();
        for spi in over {
            self.deactivate(now, spi, now + delays.deactivation);
        }
        let installed: Vec<Spi> = self.sas.keys().copied().collect();
        let newest = teks.len().saturating_sub(1);
        let in_turn =
            Sends::From { at: now + delays.activation, older_until: pull_began + delays.activation };
        for (index, tek) in teks.into_iter().enumerate() {
            // One that is older than what is held already is for others' packets only: to send under it would go
            // back to a key that a departed member may have.
            let is_overtaken = listed[index + 1..].iter().any(|newer| installed.contains(newer));
            let sends = match index {
                _ if index == newest => in_turn,
                _ if is_overtaken => Sends::Never,
                _ => Sends::From { at: now, older_until: now },
            };
            let spi = tek.spi;
            self.install(now, tek, sends, Source::Pull)?;
            if index != newest {
                self.deactivate(now, spi, now + delays.deactivation);
            }
        }
        Ok(listed)
    }

    /// Ends a data SA at a time; of two such times the earlier counts.
    pub(crate) fn deactivate(&mut self, now: Time, spi: Spi, at: Time) {
        if let Some(held) = self.sas.get_mut(&spi) {
            held.deactivate_at = Some(held.deactivate_at.map_or(at, |before| before.min(at)));
            self.commands.push_back(PlaneCommand::Deactivate { spi, at });
        }
        self.advance(now);
    }

    /// Ends every data SA at once.
    pub(crate) fn delete_all(&mut self) {
        self.sas.clear();
        self.commands.push_back(PlaneCommand::DeleteAll);
    }

    /// Goes on in a lesser role. Whoever is no sender any more has no sender ids either.
    pub(crate) fn narrow(&mut self, role: Role) {
        if !role.sends() {
            self.sender_ids.clear();
        }
        self.commands.push_back(PlaneCommand::Narrow(role));
    }

    /// Notes the rekey SA in force. Another one before it is superseded.
    pub(crate) fn take_up_rekey_sa(&mut self, spi: CookiePair) {
        let earlier = self.rekey_sa.replace(spi).filter(|earlier| *earlier != spi);
        self.retired.extend(earlier);
        if self.retired.len() > RETIRED_MAX {
            self.retired.pop_front();
        }
    }

    /// Notes that the rekey SA was deleted, and none is in force.
    pub(crate) fn delete_rekey_sa(&mut self) {
        self.rekey_sa = None;
    }

    /// Says whether a rekey SA was superseded.
    pub(crate) fn is_retired(&self, spi: &CookiePair) -> bool {
        self.retired.contains(spi)
    }

    /// Forgets data SAs that have ended.
    pub(crate) fn advance(&mut self, now: Time) {
        let ended = &mut self.lifetime_ended;
        self.sas.retain(|spi, held| {
            let is_over = held.ends() <= now;
            if is_over && held.expires <= now {
                debug!(%spi, "a data SA is held to the end of its lifetime");
                *ended = true;
            }
            !is_over
        });
    }

    /// Says when [`HeldKeys::advance`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.sas.values().map(HeldSa::ends).min()
    }

    /// Says, once, that a data SA was held to the end of its lifetime: whatever replaces it was missed.
    pub(crate) fn take_lifetime_ended(&mut self) -> bool {
        std::mem::take(&mut self.lifetime_ended)
    }

    /// Gives a command for the data plane.
    pub(crate) fn poll_command(&mut self) -> Option<PlaneCommand> {
        self.commands.pop_front()
    }

    /// Says whether this member would not send yet under any SA that it holds.
    pub(crate) fn is_waiting(&self, now: Time) -> bool {
        self.sas.values().all(|held| held.activate_at.is_none_or(|at| at > now))
    }

    /// Says how a data SA came, if it is held.
    pub(crate) fn came_by(&self, spi: Spi) -> Option<Source> {
        self.sas.get(&spi).map(|held| held.by)
    }

    /// Says when a data SA begins to send, if it is held and ever does.
    pub(crate) fn activates(&self, spi: Spi) -> Option<Time> {
        self.sas.get(&spi)?.activate_at
    }

    /// Says when the last of the data SAs ends.
    pub(crate) fn expires(&self) -> Option<Time> {
        self.sas.values().map(|held| held.expires).max()
    }

    fn activate(&mut self, spi: Spi, at: Time, older_until: Time) {
        if let Some(held) = self.sas.get_mut(&spi) {
            held.activate_at = Some(held.activate_at.map_or(at, |before| before.min(at)));
            self.commands.push_back(PlaneCommand::Activate { spi, at, older_until });
        }
    }

    fn check_new(&self, tek: &Tek) -> Result<(), SaFault> {
        if self.sas.len() >= SAS_MAX {
            return Err(SaFault::TooManySas);
        }
        // RFC 6407 section 3.5: under one key, counter modes would repeat their nonces.
        match self.sas.values().find(|held| held.tek.keys.encryption == tek.keys.encryption) {
            Some(held) => Err(SaFault::KeyReused(held.tek.spi)),
            None => Ok(()),
        }
    }
}
