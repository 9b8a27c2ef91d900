//! One group of a member: its keys and data plane.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use claviger_crypto::{CryptoProvider, Random, random::fork};
use claviger_esp::{Opened, Plane, PlaneConfig, SaStatus, SenderId, SenderKey};
use claviger_gdoi::{Extensions, PullId};
use claviger_group::{CookiePair, GroupId, Role, Spi, Tek};
use claviger_sansio::{Counts, Time};
use tracing::{Level, Span, debug, debug_span, enabled};

use crate::{
    Error,
    collecting::Collecting,
    download::{Delays, Download, Pulled, PulledError, Rekey},
    event::{Places, PolicyFault},
    incoming::Incoming,
    repull::{REKEY_SPREAD, Repull, Sign},
    tree_keys::TreeKeys,
    witness::Means,
};

/// How many superseded rekey SAs are remembered, so that late copies of their messages are no sign of missed keys,
/// and a late answer to a PULL is known to be late: more than a busy group uses up while a PULL may take.
const RETIRED_MAX: usize = 256;

/// When a data SA sends that only receives.
const NEVER: Time = Time::from_micros(u64::MAX);

/// How long the answer to a first PULL may take without a suspicion that the group was rekeyed behind it.
const PROMPT: Duration = Duration::from_secs(1);

/// How many of the IV's first bits tell senders apart at a member that has no sender id. The counter behind a
/// shorter id leaves its first octet zero for 2^48 packets, so the widest id tells senders of all widths apart.
const SENDER_BITS_OF_A_RECEIVER: u8 = 16;

/// A group that this member asked for.
pub struct Subscription {
    pub(crate) group: GroupId,
    pub(crate) role: Role,
    extensions: Extensions,
    /// Until when the key server granted it.
    pub(crate) granted_until: Option<Time>,
    pub(crate) pulling: Option<PullId>,
    /// When the last PULL began.
    pub(crate) pull_began: Time,
    pub(crate) repull: Repull,
    pub(crate) keys: Option<Keys>,
    pub(crate) pulls: u64,
}

/// What a PULL brought and PUSHes renew.
pub(crate) struct Keys {
    pub(crate) rekey: Option<Rekey>,
    /// The rekey that is coming in, or came in last, if it takes many messages.
    pub(crate) incoming: Option<Incoming>,
    /// Its messages, if they are delivered.
    pub(crate) collecting: Collecting,
    /// Superseded rekey SAs, the latest last.
    pub(crate) retired: VecDeque<CookiePair>,
    pub(crate) plane: Plane,
    pub(crate) places: Places,
    pub(crate) sender_ids: Vec<SenderId>,
    pub(crate) last_rekey: Time,
    /// When the first PULL was answered.
    pub(crate) keyed_at: Time,
    /// Until when a newcomer may hear the rest of the rekey that brought it in, under a KEK that it never gets.
    pub(crate) new_until: Time,
}

impl Subscription {
    pub(crate) fn new(group: GroupId, role: Role, extensions: Extensions) -> Self {
        Self {
            group,
            role,
            extensions,
            granted_until: None,
            pulling: None,
            pull_began: Time::EPOCH,
            repull: Repull::default(),
            keys: None,
            pulls: 0,
        }
    }

    /// Names the group in the log of what is done for it.
    pub(crate) fn span(&self) -> Span {
        debug_span!("group", group = %self.group)
    }

    /// Shows the group's identifier.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Shows the role asked for, or what the key server has left of it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Says whether the member holds keys.
    pub fn is_keyed(&self) -> bool {
        self.keys.is_some()
    }

    /// Shows where the group speaks, once a PULL told it.
    pub fn places(&self) -> Option<Places> {
        self.keys.as_ref().map(|keys| keys.places)
    }

    /// Shows the rekey SA and the last sequence number under it.
    pub fn epoch(&self) -> Option<(CookiePair, u32)> {
        let rekey = self.keys.as_ref()?.rekey.as_ref()?;
        Some((rekey.sa.kek().spi, rekey.sa.sequence()))
    }

    /// Says how many keys of the group's key tree are held: those on the path from the member's leaf to the root.
    pub fn tree_keys(&self) -> usize {
        let rekey = self.keys.as_ref().and_then(|keys| keys.rekey.as_ref());
        rekey.and_then(|rekey| rekey.tree.as_ref()).map_or(0, TreeKeys::count)
    }

    /// Says since when the rekey SA is held, and how much of its lifetime remains.
    pub fn kek_lifetime(&self, now: Time) -> Option<(Duration, Duration)> {
        let rekey = self.keys.as_ref()?.rekey.as_ref()?;
        Some((now.since(rekey.since), rekey.expires.since(now)))
    }

    /// Says whether packets of this sender are the member's own, as it hears them back from a group it receives.
    pub fn is_own(&self, sender: &SenderKey) -> bool {
        let ids = self.keys.as_ref().map(|keys| &keys.sender_ids[..]).unwrap_or_default();
        matches!(sender, SenderKey::Id(id) if ids.contains(id))
    }

    /// Says when keys last came.
    pub fn last_rekey(&self) -> Option<Time> {
        self.keys.as_ref().map(|keys| keys.last_rekey)
    }

    /// Says when the member will fetch its keys again unless new ones come before.
    pub fn pulls_again_at(&self) -> Option<Time> {
        self.repull.poll_timeout()
    }

    /// Says how many PULLs have succeeded.
    pub fn pulls(&self) -> u64 {
        self.pulls
    }

    /// Shows the data SAs.
    pub fn data_sas(&self) -> Vec<SaStatus> {
        self.keys.as_ref().map(|keys| keys.plane.status()).unwrap_or_default()
    }

    /// Shows what the data plane has counted.
    pub fn counts(&self) -> Option<&Counts<claviger_esp::Counter>> {
        self.keys.as_ref().map(|keys| keys.plane.counts())
    }

    /// Protects a payload for the group.
    pub fn seal(&mut self, now: Time, next_header: u8, payload: &[&[u8]]) -> Result<Vec<u8>, Error> {
        // The path of packets: nothing is made for a log that nobody reads.
        let _group = enabled!(Level::TRACE).then(|| self.span().entered());
        let keys = self.keys.as_mut().ok_or_else(|| Error::NotKeyed(self.group.clone()))?;
        Ok(keys.plane.seal_parts(now, next_header, payload)?)
    }

    /// Opens an ESP packet of the group.
    pub fn open(&mut self, now: Time, source: IpAddr, esp: &[u8]) -> Result<Opened, Error> {
        // As above.
        let _group = enabled!(Level::TRACE).then(|| self.span().entered());
        let keys = self.keys.as_mut().ok_or_else(|| Error::NotKeyed(self.group.clone()))?;
        Ok(keys.plane.open(now, source, esp)?)
    }

    /// Takes in what a PULL downloaded. Nothing changes unless all of it is sound.
    pub(crate) fn pulled(
        &mut self,
        now: Time,
        means: &mut Means<'_>,
        pulled: &Pulled<'_>,
    ) -> Result<Vec<Spi>, PulledError> {
        let earlier = self.keys.as_ref().map(|keys| keys.places);
        let mut download = pulled.read(now, means.provider, self.extensions, earlier)?;
        if let (Some(keys), Some(rekey)) = (&self.keys, &download.rekey)
            && keys.has_overtaken(rekey)
        {
            return Err(PulledError::Overtaken);
        }
        if self.keys.is_none() && now.since(self.pull_began) > PROMPT {
            // Its last message may have been lost and repeated, and the group rekeyed meanwhile, unheard.
            self.repull.note(now, Sign::Gap, means.random);
        }
        if !self.role.sends() {
            // The role was taken while they were on their way.
            download.sender_ids.clear();
        }
        download.show(&self.group, means.witness);
        let role = self.role;
        let keys = self.keys.get_or_insert_with(|| Keys::new(now, means.provider, means.random, role, &download));
        Ok(keys.adopt(now, self.pull_began, download)?)
    }

    /// Goes on in a lesser role. Whoever is no sender any more has no sender ids either.
    pub(crate) fn narrow(&mut self, role: Role) {
        debug!(group = %self.group, %role, "the role is narrowed");
        self.role = role;
        if let Some(keys) = &mut self.keys {
            keys.plane.narrow(role);
            if !role.sends() {
                keys.sender_ids.clear();
            }
        }
    }

    /// Forgets what remains of a rekey once no more messages of it are expected.
    pub(crate) fn handle_timeout(&mut self, now: Time, random: &mut dyn Random) {
        if let Some(keys) = &mut self.keys {
            keys.plane.handle_timeout(now);
            keys.collecting.handle_timeout(now, random);
            keys.incoming.take_if(|incoming| incoming.expires().is_some_and(|at| at <= now));
        }
    }

    /// Says when [`Subscription::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let keys = self.keys.as_ref()?;
        let incoming = keys.incoming.as_ref().and_then(Incoming::expires);
        [keys.plane.poll_timeout(), keys.collecting.poll_timeout(), incoming].into_iter().flatten().min()
    }

    /// Says when the first of the keys in force ends.
    pub(crate) fn expires(&self) -> Option<Time> {
        let keys = self.keys.as_ref()?;
        let newest_tek = keys.plane.status().into_iter().map(|sa| sa.expires).max();
        [keys.rekey.as_ref().map(|rekey| rekey.expires), newest_tek].into_iter().flatten().min()
    }
}

impl Keys {
    /// Makes room for the keys of a first download.
    fn new(
        now: Time,
        provider: &'static CryptoProvider,
        random: &mut dyn Random,
        role: Role,
        download: &Download,
    ) -> Self {
        let bits = download.sender_ids.first().map_or(SENDER_BITS_OF_A_RECEIVER, SenderId::bits);
        Self {
            rekey: None,
            incoming: None,
            collecting: Collecting::default(),
            retired: VecDeque::new(),
            plane: Plane::new(provider, PlaneConfig::new(role, bits), fork(random)),
            places: download.places,
            sender_ids: Vec::new(),
            last_rekey: now,
            keyed_at: now,
            new_until: now + REKEY_SPREAD,
        }
    }

    /// Puts a download in force; its PULL began at `pull_began`. Returns the SPIs of its TEKs.
    fn adopt(&mut self, now: Time, pull_began: Time, download: Download) -> Result<Vec<Spi>, PolicyFault> {
        let Download { rekey, teks, sender_ids, places, delays } = download;
        self.places = places;
        self.last_rekey = now;
        if let Some(rekey) = rekey {
            self.take_up_rekey(rekey);
        }
        if !sender_ids.is_empty() {
            // They are for the data SAs listed: under another one they may have been somebody else's.
            self.sender_ids = sender_ids;
        }
        let listed: Vec<Spi> = teks.iter().map(|tek| tek.spi).collect();
        for superseded in self.plane.status().into_iter().filter(|status| !listed.contains(&status.spi)) {
            self.plane.deactivate(now, superseded.spi, now + delays.deactivation);
        }
        self.install_listed(now, pull_began, &delays, teks)?;
        Ok(listed)
    }

    /// Installs the TEKs that a PULL listed, the newest last.
    ///
    /// The key server said what remained of the delay when it heard message 1, once or again. Others do not send under
    /// the old TEK for longer than from the first message 1 on; all can receive under the new one after what remained
    /// from now on. In between this member has none to send under.
    fn install_listed(
        &mut self,
        now: Time,
        pull_began: Time,
        delays: &Delays,
        teks: Vec<Tek>,
    ) -> Result<(), PolicyFault> {
        let stops_at = pull_began + delays.activation;
        let begins_at = now + delays.activation;
        let installed: Vec<Spi> = self.plane.status().iter().map(|status| status.spi).collect();
        let listed: Vec<Spi> = teks.iter().map(|tek| tek.spi).collect();
        let newest = teks.len().saturating_sub(1);
        for (index, tek) in teks.into_iter().enumerate() {
            // One that is older than what is held already is for others' packets only: to send under it would go
            // back to a key that a departed member may have.
            let is_overtaken = listed[index + 1..].iter().any(|newer| installed.contains(newer));
            let activate_at = match index {
                _ if index == newest => begins_at,
                _ if is_overtaken => NEVER,
                _ => now,
            };
            let spi = tek.spi;
            self.plane.install(now, tek, activate_at, &self.sender_ids).map_err(PolicyFault::Esp)?;
            if index == newest {
                self.plane.supersede_older(now, spi, stops_at);
            } else {
                self.plane.deactivate(now, spi, now + delays.deactivation);
            }
        }
        Ok(())
    }

    /// Says whether PUSHes have led beyond what a PULL brought: its answer was long on the way.
    fn has_overtaken(&self, pulled: &Rekey) -> bool {
        let spi = pulled.sa.kek().spi;
        let newer = |held: &Rekey| held.sa.kek().spi == spi && held.sa.sequence() > pulled.sa.sequence();
        self.retired.contains(&spi) || self.rekey.as_ref().is_some_and(newer)
    }

    /// Puts a rekey SA in force. One that is in force already keeps the higher sequence number: the SEQ of a PULL
    /// can be older than a PUSH that overtook it (RFC 6407 section 3.3). Returns the one that it supersedes.
    pub(crate) fn take_up_rekey(&mut self, mut rekey: Rekey) -> Option<Rekey> {
        let (spi, sequence) = (rekey.sa.spi(), rekey.sa.sequence());
        debug!(rekey_sa = %spi, sequence, form = ?rekey.sa.form(), tree = rekey.tree.is_some(), "a rekey SA is in force");
        let earlier = self.rekey.take();
        self.incoming = None;
        if let Some(earlier) = &earlier {
            let earlier_spi = earlier.sa.kek().spi;
            if earlier_spi == rekey.sa.kek().spi {
                rekey.sa.raise_sequence(earlier.sa.sequence());
            } else {
                self.collecting.reached();
                self.retired.push_back(earlier_spi);
                if self.retired.len() > RETIRED_MAX {
                    self.retired.pop_front();
                }
            }
        }
        self.rekey = Some(rekey);
        earlier
    }
}
