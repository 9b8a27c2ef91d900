//! A rekey that comes in many messages.
//!
//! Under LKH-32 the new keys of one rekey are spread over messages that come in any order, and a member needs few of
//! them. Those that come after the new KEK is known still bring keys of the levels below it.

use std::time::Duration;

use claviger_crypto::{CryptoProvider, sign::PublicKey};
use claviger_gdoi::{
    Error,
    lkh_32::kek_material,
    push::{RekeySa, VerifiedRekey},
    wire::{SaKek, lkh_32::Update},
};
use claviger_group::CookiePair;
use claviger_keypath::{Gathering, KeyPath, StagedPath};
use claviger_sansio::Time;

use super::{rekey_sa::Rekey, tree_keys::TreeKeys};

/// How long after the last message of a rekey another one may come. Then its keys are forgotten, as every key is at its
/// end, and whoever was put out can make nobody verify messages under them.
const LATENESS_MAX: Duration = Duration::from_secs(5);

/// What is known so far of the rekey SA that follows.
pub(crate) struct Incoming {
    policy: SaKek,
    /// A new key that signs its messages, if there is one.
    signing_key: Option<PublicKey>,
    gathering: Gathering,
    /// The rekey SA that its messages come under, once it is superseded, and until when more are expected.
    superseded: Option<(RekeySa, Time)>,
}

impl Incoming {
    /// Begins with the first message that came.
    ///
    /// # Errors
    ///
    /// Those of [`KeyPath::gather`].
    pub(crate) fn begin(
        path: &KeyPath,
        policy: &SaKek,
        signing_key: Option<PublicKey>,
        update: &Update,
    ) -> Result<(Self, Option<StagedPath>), Error> {
        let (gathering, staged) = path.gather(update.head(), update.entries(), policy.cipher.into())?;
        Ok((Self { policy: policy.clone(), signing_key, gathering, superseded: None }, staged))
    }

    /// Takes another message in. Nothing changes if there is an error.
    ///
    /// # Errors
    ///
    /// Those of [`Gathering::take`].
    pub(crate) fn take(&mut self, update: &Update) -> Result<Option<StagedPath>, Error> {
        Ok(self.gathering.take(update.head(), update.entries())?)
    }

    /// Says whether it is about the rekey SA with these cookies.
    pub(crate) fn leads_to(&self, spi: CookiePair) -> bool {
        self.policy.spi == spi
    }

    /// Says whether further messages of it come under these cookies, of a rekey SA that is superseded.
    pub(crate) fn comes_under(&self, cookies: &CookiePair) -> bool {
        self.superseded.as_ref().is_some_and(|(sa, _)| sa.spi() == *cookies)
    }

    /// Keeps the rekey SA that further messages come under.
    pub(crate) fn supersede(&mut self, now: Time, sa: RekeySa) {
        self.superseded = Some((sa, now + LATENESS_MAX));
    }

    /// Says when nothing more is expected of it; never before its KEK is in force.
    pub(crate) fn expires(&self) -> Option<Time> {
        self.superseded.as_ref().map(|(_, until)| *until)
    }

    /// Makes the rekey SA that a staged path leads to. What was said with the first message goes for it.
    ///
    /// # Errors
    ///
    /// Those of [`RekeySa::new`].
    pub(crate) fn successor(
        &self,
        now: Time,
        provider: &CryptoProvider,
        held: &Rekey,
        staged: StagedPath,
    ) -> Result<Rekey, Error> {
        let policy = &self.policy;
        let kek = kek_material(policy.spi, staged.path().root().key())?;
        let signing_key = self.signing_key.as_ref().unwrap_or(held.sa.signing_key()).clone();
        let sa = RekeySa::new(provider, kek, signing_key, policy.signature, 0)?;
        Ok(Rekey {
            sa: sa.with_form(policy.form).with_extensions(held.sa.extensions()),
            tree: Some(TreeKeys::Lkh32(staged.path().clone())),
            since: now,
            expires: now + policy.lifetime,
        })
    }

    /// Opens a message that comes under the superseded rekey SA.
    ///
    /// # Errors
    ///
    /// Those of [`RekeySa::open`].
    pub(crate) fn open_late(&mut self, now: Time, datagram: &[u8]) -> Result<Option<VerifiedRekey>, Error> {
        let Some((sa, until)) = &mut self.superseded else { return Ok(None) };
        let message = sa.open(datagram)?;
        sa.commit(&message);
        *until = now + LATENESS_MAX;
        Ok(Some(message))
    }
}
