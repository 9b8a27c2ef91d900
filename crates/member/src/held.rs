//! The keys of one group that a member holds, whichever protocol brought them.
//!
//! What the data plane does with them is no business of this module: it keeps which SAs were asked for, with their times,
//! and the commands that the data plane is still to be given.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use claviger_crypto::random::Seed;
use claviger_group::{CookiePair, DataSa, PlaneCommand, Role, SenderId, Spi, Tek};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    error::SaFault,
    event::{Places, Source},
};

/// How many superseded rekey SAs are remembered, so that late copies of their messages are no sign of missed keys,
/// and a late answer to a PULL is known to be late: more than a busy group uses up while a PULL may take, twenty a second.
const RETIRED_MAX: usize = 1024;

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
    /// How many came so far.
    came: u64,
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
    /// How many came before it.
    order: u64,
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
    pub(crate) fn new(now: Time, role: Role, sender_id_bits: u8, places: Places, seed: Seed) -> Self {
        Self {
            sender_id_bits,
            sender_ids: Vec::new(),
            sas: BTreeMap::new(),
            came: 0,
            rekey_sa: None,
            retired: VecDeque::new(),
            places,
            last_rekey: now,
            keyed_at: now,
            lifetime_ended: false,
            commands: VecDeque::from([PlaneCommand::Open { role, sender_id_bits, seed }]),
        }
    }

    /// Takes the sender ids that a PULL brought; none leaves the earlier ones.
    pub(crate) fn take_sender_ids(&mut self, sender_ids: Vec<SenderId>) {
        if !sender_ids.is_empty() {
            // They are for the data SAs listed: under another one they may have been somebody else's.
            self.sender_ids = sender_ids;
        }
    }

    /// Says whether this member has sender ids.
    pub(crate) fn has_sender_ids(&self) -> bool {
        !self.sender_ids.is_empty()
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
            let order = self.came;
            let held =
                HeldSa { tek: tek.clone(), by, order, activate_at: None, deactivate_at: None, expires };
            self.came += 1;
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

    /// Adds a command for the data plane, behind the others.
    pub(crate) fn command(&mut self, command: PlaneCommand) {
        self.commands.push_back(command);
    }

    /// Says which data SA came last, of those that are held.
    pub(crate) fn newest(&self) -> Option<Spi> {
        self.sas.iter().max_by_key(|(_, held)| held.order).map(|(spi, _)| *spi)
    }

    /// Says whether a data SA is held.
    pub(crate) fn holds(&self, spi: Spi) -> bool {
        self.sas.contains_key(&spi)
    }

    /// Says whether no data SA is held that came before this one.
    pub(crate) fn holds_nothing_older(&self, spi: Spi) -> bool {
        let order = self.sas.get(&spi).map(|held| held.order);
        self.sas.values().all(|held| Some(held.order) >= order)
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

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;
    use claviger_group::{Channel, Encapsulation, EspTransform, tek::TekKeys};

    use super::*;

    const NOW: Time = Time::from_secs(1_000);
    const AT_ONCE: Sends = Sends::From { at: NOW, older_until: NOW };

    fn channel() -> Channel {
        Channel::new([239, 192, 0, 1].into(), None).unwrap()
    }

    fn held() -> HeldKeys {
        let places = Places {
            channel: channel(),
            encapsulation: Encapsulation::UdpTransport,
            encapsulation_port: 4500,
            application_port: 0,
            push: None,
            place: None,
            push_source: None,
        };
        let mut held = HeldKeys::new(NOW, Role::Both, 16, places, Seed::draw(&mut SeededRandom::new(1)));
        held.take_sender_ids(vec![SenderId::new(16, 7).unwrap()]);
        assert!(matches!(held.poll_command(), Some(PlaneCommand::Open { .. })));
        held
    }

    fn tek(number: u32) -> Tek {
        let transform = EspTransform::Aes128Gcm16;
        Tek {
            spi: Spi::new(300 + number).unwrap(),
            transform,
            keys: TekKeys::generate(transform, &mut SeededRandom::new(number.into())),
            channel: channel(),
            encapsulation: Encapsulation::UdpTransport,
            encapsulation_port: 4500,
            application_port: 0,
            lifetime: Duration::from_secs(100),
        }
    }

    fn install(held: &mut HeldKeys, tek: Tek) -> Result<(), SaFault> {
        held.install(NOW, tek, AT_ONCE, Source::Push)
    }

    fn commands(held: &mut HeldKeys) -> Vec<PlaneCommand> {
        std::iter::from_fn(|| held.poll_command()).collect()
    }

    /// Asserts that an SA is not held, and that the data plane does not hear of it.
    fn refuses(held: &mut HeldKeys, tek: Tek, fault: SaFault) {
        commands(held);
        assert_eq!(install(held, tek), Err(fault));
        assert_eq!(commands(held), []);
    }

    #[test]
    fn refuses_a_key_under_a_second_spi_while_the_first_is_held() {
        let mut held = held();
        install(&mut held, tek(1)).unwrap();
        let again = Tek { keys: tek(1).keys, ..tek(2) };
        refuses(&mut held, again.clone(), SaFault::KeyReused(tek(1).spi));
        held.deactivate(NOW, tek(1).spi, NOW);
        install(&mut held, again).unwrap();
    }

    #[test]
    fn refuses_other_keys_under_an_spi_that_is_held() {
        let mut held = held();
        install(&mut held, tek(1)).unwrap();
        refuses(&mut held, Tek { spi: tek(1).spi, ..tek(2) }, SaFault::SpiInUse(tek(1).spi));
    }

    #[test]
    fn refuses_sender_ids_of_another_length() {
        let mut held = held();
        held.take_sender_ids(vec![SenderId::new(8, 7).unwrap()]);
        refuses(&mut held, tek(1), SaFault::SenderIdBits);
    }

    #[test]
    fn holds_so_many_sas_and_no_more() {
        let mut held = held();
        for number in 0..SAS_MAX as u32 {
            install(&mut held, tek(number)).unwrap();
        }
        refuses(&mut held, tek(1_000), SaFault::TooManySas);
        install(&mut held, tek(1)).unwrap();
    }

    #[test]
    fn an_sa_that_is_given_again_keeps_its_earlier_times() {
        let (mut held, spi) = (held(), tek(1).spi);
        let (sooner, later) = (NOW + Duration::from_secs(1), NOW + Duration::from_secs(5));
        for at in [sooner, later] {
            held.install(NOW, tek(1), Sends::From { at, older_until: at }, Source::Pull).unwrap();
            held.deactivate(NOW, spi, at + Duration::from_secs(10));
        }
        assert_eq!(held.activates(spi), Some(sooner));
        assert_eq!(held.poll_timeout(), Some(sooner + Duration::from_secs(10)));
    }

    #[test]
    fn the_end_of_a_lifetime_is_noted_once_and_a_deactivation_is_not() {
        let mut held = held();
        install(&mut held, tek(1)).unwrap();
        install(&mut held, tek(2)).unwrap();
        held.deactivate(NOW, tek(1).spi, NOW + Duration::from_secs(10));
        held.advance(NOW + Duration::from_secs(99));
        assert!(!held.take_lifetime_ended());
        assert_eq!(held.poll_timeout(), Some(NOW + Duration::from_secs(100)));
        held.advance(NOW + Duration::from_secs(100));
        assert!(held.take_lifetime_ended() && !held.take_lifetime_ended());
        assert_eq!((held.poll_timeout(), held.came_by(tek(2).spi)), (None, None));
    }

    #[test]
    fn what_is_deleted_at_once_is_held_no_more() {
        let mut held = held();
        install(&mut held, tek(1)).unwrap();
        commands(&mut held);
        held.delete_all();
        assert_eq!(commands(&mut held), [PlaneCommand::DeleteAll]);
        assert_eq!(held.expires(), None);
        held.deactivate(NOW, tek(1).spi, NOW);
        assert_eq!(commands(&mut held), [], "there is nothing to end");
    }

    #[test]
    fn of_three_sas_that_a_pull_lists_the_newest_alone_waits_and_an_overtaken_one_never_sends() {
        let mut held = held();
        let delays = Delays { activation: Duration::from_secs(3), deactivation: Duration::from_secs(8) };
        install(&mut held, tek(9)).unwrap();
        install(&mut held, tek(2)).unwrap();
        let pull_began = NOW - Duration::from_secs(1);
        let listed = held.install_listed(NOW, pull_began, delays, vec![tek(1), tek(2), tek(3)]).unwrap();
        assert_eq!(listed, [1, 2, 3].map(|number| tek(number).spi));
        assert_eq!(
            [1, 2, 3].map(|number| held.activates(tek(number).spi)),
            [None, Some(NOW), Some(NOW + delays.activation)]
        );
        let (at, older_until) = (NOW + delays.activation, pull_began + delays.activation);
        let told = commands(&mut held);
        assert!(told.contains(&PlaneCommand::Activate { spi: tek(3).spi, at, older_until }));
        for number in [9, 1, 2] {
            let (spi, at) = (tek(number).spi, NOW + delays.deactivation);
            assert!(told.contains(&PlaneCommand::Deactivate { spi, at }), "{number}");
        }
    }
}
