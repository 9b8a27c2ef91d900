//! What a PULL brings: read and found sound as a whole, and only then put in force.

use std::{net::SocketAddr, time::Duration};

use claviger_crypto::{CryptoProvider, Random, random::Seed};
use claviger_gdoi::{
    Extensions,
    wire::{KeyDownload, SaPayload, SaTek, SenderIds},
};
use claviger_group::{GroupId, Role, SenderId, Spi, Tek};
use claviger_sansio::Time;

use super::{Follower, rekey_sa::Rekey};
use crate::{
    event::{Missing, Places, PolicyFault},
    held::{Delays, HeldKeys},
    lease::Terms,
    repull::Sign,
    subscription::{Keys, Subscription},
    witness::{Means, Witness},
};

/// How long the answer to a first PULL may take without a suspicion that the group was rekeyed behind it: less than until a
/// message is repeated, for a key server on which many join rekeys ten times a second.
const PROMPT: Duration = Duration::from_millis(450);

/// How many of the IV's first bits tell senders apart at a member that has no sender id. The counter behind a
/// shorter id leaves its first octet zero for 2^48 packets, so the widest id tells senders of all widths apart.
const SENDER_BITS_OF_A_RECEIVER: u8 = 16;

/// The payloads of a PULL, authentic and not yet understood.
pub(crate) struct Pulled<'a> {
    pub(crate) sa: &'a SaPayload,
    pub(crate) sequence: Option<u32>,
    pub(crate) kd: &'a KeyDownload,
}

/// Keys and policy of a PULL that fit together. Only [`Pulled::read`] makes it.
pub(crate) struct Download {
    pub(crate) rekey: Option<Rekey>,
    /// The TEKs, the newest last.
    pub(crate) teks: Vec<Tek>,
    pub(crate) sender_ids: Vec<SenderId>,
    pub(crate) places: Places,
    pub(crate) delays: Delays,
}

impl Pulled<'_> {
    /// Joins policy and keys; nothing changes by it. A PULL without data SAs leaves the data where it was `earlier`.
    ///
    /// # Errors
    ///
    /// What is missing, or cannot be followed.
    pub(crate) fn read(
        &self,
        now: Time,
        provider: &'static CryptoProvider,
        extensions: Extensions,
        earlier: Option<Places>,
    ) -> Result<Download, PolicyFault> {
        let Self { sa, sequence, kd } = *self;
        Ok(Download {
            rekey: Rekey::downloaded(now, provider, extensions, sa, sequence, kd)?,
            teks: sa.teks.iter().map(|tek| tek_of(tek, kd)).collect::<Result<_, _>>()?,
            sender_ids: sender_ids(kd.sender_ids.as_ref())?,
            places: places(sa, earlier)?,
            delays: Delays::from(sa),
        })
    }
}

impl Download {
    /// Shows every key to a witness.
    pub(crate) fn show(&self, group: &GroupId, witness: &mut Witness) {
        if let Some(rekey) = &self.rekey {
            witness.rekey_sa(group, &rekey.sa, rekey.tree.as_ref());
        }
        self.teks.iter().for_each(|tek| witness.tek(group, tek));
    }
}

/// Why a download is not taken up.
#[derive(Debug)]
pub(crate) enum PulledError {
    /// It cannot be followed.
    Fault(PolicyFault),
    /// Newer keys came by PUSH since it was sent.
    Overtaken,
}

impl From<PolicyFault> for PulledError {
    fn from(fault: PolicyFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<&SaPayload> for Delays {
    fn from(sa: &SaPayload) -> Self {
        let gap = sa.gap.as_ref();
        let seconds = |delay: Option<u16>| Duration::from_secs(delay.unwrap_or(0).into());
        Self {
            activation: seconds(gap.and_then(|gap| gap.activation_delay)),
            deactivation: seconds(gap.and_then(|gap| gap.deactivation_delay)),
        }
    }
}

impl Terms {
    /// Reads what a policy says of leases, if this member needs one.
    fn of(sa: &SaPayload) -> Option<Self> {
        let gap = sa.gap?;
        let time = Duration::from_secs(gap.lease_time?.into());
        Some(Self { time, receives: gap.lease_receiving.is_some() })
    }
}

impl Subscription {
    /// Takes in what a PULL downloaded. Nothing changes unless all of it is sound.
    pub(crate) fn pulled(
        &mut self,
        now: Time,
        means: &mut Means<'_>,
        pulled: &Pulled<'_>,
    ) -> Result<Vec<Spi>, PulledError> {
        let earlier = self.keys.as_ref().map(|keys| keys.held.places);
        let mut download = pulled.read(now, means.provider, self.extensions, earlier)?;
        if let (Some(keys), Some(rekey)) = (&self.keys, &download.rekey)
            && keys.follower.has_overtaken(&keys.held, rekey)
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
        self.keys.get_or_insert_with(|| Keys::new(now, role, &download, means.random));
        // Before the data plane may send.
        self.take_lease(Terms::of(pulled.sa), self.pull_began, means.random);
        let keys = self.keys.as_mut().expect("there is room for them");
        Ok(keys.adopt(now, self.pull_began, download)?)
    }
}

impl Keys {
    /// Makes room for the keys of a first download.
    fn new(now: Time, role: Role, download: &Download, random: &mut dyn Random) -> Self {
        let bits = download.sender_ids.first().map_or(SENDER_BITS_OF_A_RECEIVER, SenderId::bits);
        Self {
            held: HeldKeys::new(now, role, bits, download.places, Seed::draw(random)),
            follower: Follower::new(now),
        }
    }

    /// Puts a download in force; its PULL began at `pull_began`. Returns the SPIs of its TEKs.
    fn adopt(&mut self, now: Time, pull_began: Time, download: Download) -> Result<Vec<Spi>, PolicyFault> {
        let Download { rekey, teks, sender_ids, places, delays } = download;
        self.held.places = places;
        self.held.last_rekey = now;
        if let Some(rekey) = rekey {
            self.held.take_up_rekey_sa(rekey.sa.spi());
            self.follower.take_up(rekey);
        }
        self.held.take_sender_ids(sender_ids);
        self.held.install_listed(now, pull_began, delays, teks).map_err(PolicyFault::DataSa)
    }
}

/// Joins the policy of a data SA with its keys.
pub(crate) fn tek_of(sa: &SaTek, kd: &KeyDownload) -> Result<Tek, PolicyFault> {
    let (_, keys) =
        kd.teks.iter().find(|(spi, _)| *spi == sa.spi).ok_or(PolicyFault::Missing(Missing::Tek))?;
    sa.to_tek(keys).map_err(PolicyFault::Gdoi)
}

fn sender_ids(download: Option<&SenderIds>) -> Result<Vec<SenderId>, PolicyFault> {
    let Some(SenderIds { bits, values }) = download else { return Ok(Vec::new()) };
    let id = |value: &u32| SenderId::new(*bits, *value).ok_or(PolicyFault::Missing(Missing::SenderId));
    values.iter().map(id).collect()
}

/// Reads where the group speaks; a PULL without data SAs leaves the data where it was.
fn places(sa: &SaPayload, earlier: Option<Places>) -> Result<Places, PolicyFault> {
    let push = sa.kek.as_ref().map(|kek| SocketAddr::from(kek.destination));
    let push_source = sa.kek.as_ref().and_then(|kek| kek.source);
    let place = sa.kek.as_ref().and_then(|kek| kek.place).map(SocketAddr::from);
    match (sa.teks.last(), earlier) {
        (Some(tek), _) => Ok(Places {
            channel: tek.channel,
            encapsulation: tek.encapsulation,
            encapsulation_port: tek.encapsulation_port,
            application_port: tek.application_port,
            push,
            place,
            push_source,
        }),
        (None, Some(earlier)) => Ok(Places { push, place, push_source, ..earlier }),
        (None, None) => Err(PolicyFault::Missing(Missing::DataSa)),
    }
}
