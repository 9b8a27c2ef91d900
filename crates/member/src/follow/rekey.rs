//! What a GROUPKEY-PUSH changes.
//!
//! The message proves itself first ([`RekeySa::open`](claviger_gdoi::push::RekeySa::open)); then its deletes, its
//! new rekey SA and its new data SAs take effect, in this order.

use claviger_crypto::{CryptoProvider, Random, sign::PublicKey};
use claviger_gdoi::{
    error::{Error as GdoiError, Limit, PeerMisbehaved},
    push::{RekeySa, VerifiedRekey},
    wire::{Delete, KeyDownload, LkhDownload, SaKek, lkh_32::Update},
};
use claviger_group::{CookiePair, GroupId, Spi, Tek};
use claviger_sansio::Time;
use tracing::debug;

use super::{
    Follower,
    collecting::{Place, is_delivered},
    download::tek_of,
    incoming::Incoming,
    origin::Origin,
    rekey_sa::Rekey,
    tree_keys::TreeKeys,
};
use crate::{
    Error,
    doubt::DoubtfulSign,
    event::Source,
    held::{Delays, HeldKeys, Sends},
    repull::Sign,
    subscription::{Keys, Subscription},
    witness::Means,
};

/// What a message brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) kek: Option<CookiePair>,
    pub(crate) tek: Option<Spi>,
    pub(crate) activates: Option<Time>,
}

impl Brought {
    /// Says whether anything is new.
    pub(crate) fn is_something(&self) -> bool {
        self.kek.is_some() || self.tek.is_some()
    }
}

impl Subscription {
    /// Says whether a message under these cookies is for this group: in force, or superseded.
    pub(crate) fn knows_rekey_sa(&self, cookies: &CookiePair) -> Option<Standing> {
        let Keys { held, follower } = self.keys.as_ref()?;
        if follower.rekey.as_ref().is_some_and(|rekey| rekey.sa.kek().spi == *cookies) {
            Some(Standing::InForce)
        } else if let Some(incoming) = &follower.incoming
            && incoming.comes_under(cookies)
        {
            Some(Standing::Late)
        } else if follower.incoming.as_ref().is_some_and(|incoming| incoming.leads_to(*cookies)) {
            Some(Standing::Announced)
        } else if held.is_retired(cookies) {
            Some(Standing::Superseded)
        } else {
            None
        }
    }

    /// Follows a message under the rekey SA in force.
    pub(crate) fn follow(
        &mut self,
        now: Time,
        means: &mut Means<'_>,
        datagram: &[u8],
        origin: Origin,
    ) -> Result<Brought, Error> {
        let keys = self.keys.as_mut().ok_or_else(|| Error::NotKeyed(self.group.clone()))?;
        let Follower { rekey, collecting, verifications, .. } = &mut keys.follower;
        let rekey = rekey.as_mut().ok_or(Error::RekeySaUnknown)?;
        if !verifications.has_room(now, origin) {
            // It may have been genuine.
            self.repull.doubt.note(now, DoubtfulSign::Unverified, means.random);
            return Err(GdoiError::from(Limit::Pushes).into());
        }
        let message = rekey.sa.open(datagram).inspect_err(|error| {
            // The key server asks for what this member may not follow; only a PULL can say more.
            if matches!(error, GdoiError::PeerIncompatible(_)) {
                self.repull.note(now, Sign::Gap, means.random);
            }
            if matches!(error, GdoiError::Auth(_)) {
                verifications.failed(now, origin);
            }
        })?;
        rekey.sa.commit(&message);
        let (sequence, gap, overtaken) = (message.sequence(), message.gap(), message.is_overtaken());
        debug!(rekey_sa = %message.spi(), sequence, gap, overtaken, "a GROUPKEY-PUSH is followed");
        if let Some(place) = message.batch().filter(is_delivered) {
            collecting.take(now, message.spi(), place, rekey.tree.as_ref(), datagram);
        }
        if message.gap() > 0 {
            self.repull.note(now, Sign::Gap, means.random);
        }
        self.take_in(now, means, &message).inspect_err(|_| {
            // The message is genuine and will not come again.
            self.repull.note(now, Sign::Gap, means.random);
        })
    }

    /// Lets a genuine message take effect.
    fn take_in(
        &mut self,
        now: Time,
        means: &mut Means<'_>,
        message: &VerifiedRekey,
    ) -> Result<Brought, Error> {
        let keys = self.keys.as_mut().ok_or_else(|| Error::NotKeyed(self.group.clone()))?;
        let Keys { held, follower } = keys;
        let mut brought = Brought::default();
        // What is said of data SAs in a message that came out of its turn would undo what was said since.
        let in_turn = !message.is_overtaken();
        let is_delivered = message.batch().is_some_and(|place| is_delivered(&place));
        if in_turn && follower.delete(held, now, message) {
            debug!("the key server has deleted the rekey SA; a PULL is expected");
            held.last_rekey = now;
            follower.collecting.reached();
            self.repull.note(now, Sign::Deleted, means.random);
            return Ok(brought);
        }
        match follower.follow_kek(now, means.provider, message)? {
            KekStep::Absent => {}
            // What is missing will be asked for.
            KekStep::NotForUs | KekStep::More if is_delivered => {}
            KekStep::NotForUs => {
                debug!("none of the new keys is under a key that is held");
                self.repull.note(now, Sign::NotForUs, means.random);
            }
            KekStep::More => {
                debug!("more messages lead to the new KEK");
                self.repull.more_to_come(now, means.random);
            }
            KekStep::TakenUp(spi) => {
                brought.kek = Some(spi);
                held.take_up_rekey_sa(spi);
                if let Some(rekey) = &follower.rekey {
                    means.witness.rekey_sa(&self.group, &rekey.sa, rekey.tree.as_ref());
                }
                self.repull.rekeyed(now, spi, means.random);
            }
        }
        let under = message.spi();
        if in_turn {
            follow_teks(held, now, message, &mut |tek| means.witness.tek(&self.group, tek), &mut brought)?;
        }
        if brought.is_something() {
            held.last_rekey = now;
        }
        if let Some(spi) = brought.tek {
            self.repull.installed(spi, under);
        }
        if brought.kek.is_some() {
            self.note_size();
        }
        if let Some(expires) = self.expires() {
            self.repull.lifetime(now, expires, means.random);
        }
        Ok(brought)
    }
}

/// A message that did not come from the network just now, to be followed like one that did.
pub(crate) struct Collected {
    pub(crate) group: GroupId,
    /// Where it stood, if repair brought it.
    pub(crate) place: Option<Place>,
    pub(crate) octets: Vec<u8>,
}

impl Subscription {
    /// Takes in a repair, an announcement or a directory.
    pub(crate) fn collect(
        &mut self,
        now: Time,
        random: &mut dyn Random,
        datagram: &[u8],
    ) -> Result<(), Error> {
        let keys = self.keys.as_mut().ok_or_else(|| Error::NotKeyed(self.group.clone()))?;
        let Follower { rekey, collecting, .. } = &mut keys.follower;
        let rekey = rekey.as_mut().ok_or(Error::RekeySaUnknown)?;
        let control = rekey.sa.open_control(now, datagram)?;
        Ok(collecting.control(now, rekey.sa.spi(), control, rekey.tree.as_ref(), random)?)
    }

    /// Keeps a message under a rekey SA whose KEK is being collected. Says whether it did.
    pub(crate) fn keep_early(&mut self, datagram: &[u8], origin: Origin) -> bool {
        self.keys.as_mut().is_some_and(|keys| keys.follower.collecting.keep(datagram, origin))
    }

    /// Gives a message that repair has brought, or one that waited for the KEK.
    pub(crate) fn poll_collected(&mut self) -> Option<Collected> {
        let collecting = &mut self.keys.as_mut()?.follower.collecting;
        let ready = collecting.poll_ready().map(|octets| (None, octets));
        let (place, octets) = ready.or_else(|| collecting.poll_recovered())?;
        Some(Collected { group: self.group.clone(), place, octets })
    }

    /// Takes back what did not verify.
    pub(crate) fn reject(&mut self, place: Place) {
        if let Some(keys) = &mut self.keys {
            keys.follower.collecting.reject(place);
        }
    }

    /// Takes in a message of a rekey whose KEK is in force already: it may bring keys of the levels below.
    pub(crate) fn follow_late(
        &mut self,
        now: Time,
        means: &mut Means<'_>,
        datagram: &[u8],
        origin: Origin,
    ) -> Result<(), Error> {
        let Some(Keys { follower, .. }) = &mut self.keys else { return Ok(()) };
        let Follower { incoming, rekey, verifications, .. } = follower;
        let (Some(incoming), Some(rekey)) = (incoming, rekey) else { return Ok(()) };
        if !verifications.has_room(now, origin) {
            // The KEK is here; what is missed below it is asked for when it is needed.
            return Err(GdoiError::from(Limit::Pushes).into());
        }
        let opened = incoming.open_late(now, datagram).inspect_err(|error| {
            if matches!(error, GdoiError::Auth(_)) {
                verifications.failed(now, origin);
            }
        })?;
        let Some(message) = opened else { return Ok(()) };
        self.repull.still_coming(now, means.random);
        let leads_here = incoming.leads_to(rekey.sa.spi());
        let Some((_, update)) =
            update_of(&message).filter(|(policy, _)| leads_here && policy.spi == rekey.sa.spi())
        else {
            return Ok(());
        };
        if let Some(staged) = incoming.take(update)?
            && let Some(TreeKeys::Lkh32(path)) = &mut rekey.tree
        {
            path.commit(staged);
            means.witness.tree_path(&self.group, path);
        }
        Ok(())
    }
}

/// Finds the keys of a tree with 32-bit node ids in a message, with the rekey SA that they lead to.
fn update_of(message: &VerifiedRekey) -> Option<(&SaKek, &Update)> {
    let policy = message.sa()?.kek.as_ref()?;
    let lkh = message.kd()?.lkh_32.as_ref().filter(|lkh| lkh.spi == policy.spi)?;
    Some((policy, lkh.update.as_ref()?))
}

/// Where a rekey SA stands with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    InForce,
    /// Superseded by one of whose rekey further messages may come.
    Late,
    /// Announced, and not all of what leads to its KEK has come.
    Announced,
    Superseded,
}

/// What became of a message's new KEK.
enum KekStep {
    Absent,
    /// None of its arrays starts at a key that this member holds: another message of the same rekey may.
    NotForUs,
    /// Some of what this member needs was in it; the rest is in other messages.
    More,
    TakenUp(CookiePair),
}

impl Follower {
    /// Deletes what the message says. Returns whether the rekey SA itself is gone: a new PULL is expected then.
    fn delete(&mut self, held: &mut HeldKeys, now: Time, message: &VerifiedRekey) -> bool {
        let delay = message.sa().map(|sa| Delays::from(sa).deactivation).unwrap_or_default();
        for delete in message.deletes() {
            match delete {
                Delete::Tek(spi) => held.deactivate(now, *spi, now + delay),
                Delete::AllTeks => held.delete_all(),
                Delete::AllKeks => self.rekey = None,
                Delete::Kek(spi) => {
                    if self.rekey.as_ref().is_some_and(|rekey| rekey.sa.kek().spi == *spi) {
                        self.rekey = None;
                    }
                }
            }
        }
        if self.rekey.is_none() {
            self.incoming = None;
            held.delete_rekey_sa();
        }
        self.rekey.is_none()
    }

    /// Opens the new KEK with the keys of the tree that are held (RFC 6407 section 4.4).
    fn follow_kek(
        &mut self,
        now: Time,
        provider: &'static CryptoProvider,
        message: &VerifiedRekey,
    ) -> Result<KekStep, Error> {
        let Some(policy) = message.sa().and_then(|sa| sa.kek.as_ref()) else { return Ok(KekStep::Absent) };
        let Some(rekey) = &self.rekey else { return Ok(KekStep::Absent) };
        let step = match &rekey.tree {
            Some(TreeKeys::Lkh(_)) => {
                let updates = message.kd().and_then(|kd| kd.lkh.as_ref()).filter(|lkh| lkh.spi == policy.spi);
                updates.map(|updates| self.follow_arrays(now, provider, policy, updates))
            }
            Some(TreeKeys::Lkh32(_)) => {
                let signing_key = message.kd().and_then(KeyDownload::signing_key).cloned();
                update_of(message)
                    .map(|(policy, update)| self.follow_update(now, provider, policy, signing_key, update))
            }
            None => None,
        };
        match step {
            None | Some(Err(GdoiError::PeerMisbehaved(PeerMisbehaved::UpdateArrayNotForUs))) => {
                Ok(KekStep::NotForUs)
            }
            Some(step) => Ok(step?),
        }
    }

    fn follow_arrays(
        &mut self,
        now: Time,
        provider: &'static CryptoProvider,
        policy: &SaKek,
        updates: &LkhDownload,
    ) -> Result<KekStep, GdoiError> {
        let Some(Rekey { sa, tree: Some(TreeKeys::Lkh(held)), .. }) = &self.rekey else {
            return Ok(KekStep::NotForUs);
        };
        let staged = held.apply(&updates.updates, provider, policy.cipher)?;
        let signing_key = updates.signing_key.clone().unwrap_or_else(|| sa.signing_key().clone());
        let next = RekeySa::new(provider, staged.kek(policy.spi), signing_key, policy.signature, 0)?;
        let next = next.with_form(policy.form).with_extensions(sa.extensions());
        let mut array = held.clone();
        array.commit(staged);
        let (tree, expires) = (Some(TreeKeys::Lkh(array)), now + policy.lifetime);
        self.take_up(Rekey { sa: next, tree, since: now, expires });
        Ok(KekStep::TakenUp(policy.spi))
    }

    fn follow_update(
        &mut self,
        now: Time,
        provider: &'static CryptoProvider,
        policy: &SaKek,
        signing_key: Option<PublicKey>,
        update: &Update,
    ) -> Result<KekStep, GdoiError> {
        let Some(rekey) = &self.rekey else { return Ok(KekStep::NotForUs) };
        let Some(TreeKeys::Lkh32(path)) = &rekey.tree else { return Ok(KekStep::NotForUs) };
        let staged = match &mut self.incoming {
            Some(incoming) if incoming.leads_to(policy.spi) => incoming.take(update)?,
            _ => {
                let (incoming, staged) = Incoming::begin(path, policy, signing_key, update)?;
                self.incoming = Some(incoming);
                staged
            }
        };
        let (Some(incoming), Some(staged)) = (&mut self.incoming, staged) else { return Ok(KekStep::More) };
        let successor = incoming.successor(now, provider, rekey, staged)?;
        let incoming = self.incoming.take();
        if let (Some(mut incoming), Some(superseded)) = (incoming, self.take_up(successor)) {
            incoming.supersede(now, superseded.sa);
            self.incoming = Some(incoming);
        }
        Ok(KekStep::TakenUp(policy.spi))
    }
}

/// Holds new data SAs: they receive at once and send when the activation delay ends.
fn follow_teks(
    held: &mut HeldKeys,
    now: Time,
    message: &VerifiedRekey,
    witness: &mut dyn FnMut(&Tek),
    brought: &mut Brought,
) -> Result<(), Error> {
    let (Some(sa), Some(kd)) = (message.sa(), message.kd()) else { return Ok(()) };
    let at = now + Delays::from(sa).activation;
    for policy in &sa.teks {
        let Ok(tek) = tek_of(policy, kd) else { continue };
        if tek.channel != held.places.channel || tek.encapsulation != held.places.encapsulation {
            debug!(spi = %tek.spi, "a TEK for another channel is left out");
            continue;
        }
        witness(&tek);
        let spi = tek.spi;
        held.install(now, tek, Sends::From { at, older_until: at }, Source::Push)?;
        brought.tek = Some(spi);
        brought.activates = Some(at);
    }
    Ok(())
}
