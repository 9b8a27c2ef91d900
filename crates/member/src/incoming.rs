//! A rekey that comes in many messages.
//!
//! Under LKH-32 the new keys of one rekey are spread over messages that come in any order, and a member needs few of
//! them. Those that come after the new KEK is known still bring keys of the levels below it.

use claviger_crypto::CryptoProvider;
use claviger_gdoi::{
    Error,
    lkh_32::{Gathering, KeyPath, StagedPath},
    push::{RekeySa, VerifiedRekey},
    wire::{SaKek, lkh_32::Update},
};
use claviger_group::CookiePair;
use claviger_sansio::Time;

use crate::{subscription::Rekey, tree_keys::TreeKeys};

/// What is known so far of the rekey SA that follows.
pub(crate) struct Incoming {
    policy: SaKek,
    gathering: Gathering,
    /// The rekey SA that its messages come under, once it is superseded.
    superseded: Option<RekeySa>,
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
        update: &Update,
    ) -> Result<(Self, Option<StagedPath>), Error> {
        let (gathering, staged) = path.gather(update, policy.cipher)?;
        Ok((Self { policy: policy.clone(), gathering, superseded: None }, staged))
    }

    /// Takes another message in. Nothing changes if there is an error.
    ///
    /// # Errors
    ///
    /// Those of [`Gathering::take`].
    pub(crate) fn take(&mut self, update: &Update) -> Result<Option<StagedPath>, Error> {
        self.gathering.take(update)
    }

    /// Says whether it is about the rekey SA with these cookies.
    pub(crate) fn leads_to(&self, spi: CookiePair) -> bool {
        self.policy.spi == spi
    }

    /// Says whether further messages of it come under these cookies, of a rekey SA that is superseded.
    pub(crate) fn comes_under(&self, cookies: &CookiePair) -> bool {
        self.superseded.as_ref().is_some_and(|sa| sa.spi() == *cookies)
    }

    /// Keeps the rekey SA that further messages come under.
    pub(crate) fn supersede(&mut self, sa: RekeySa) {
        self.superseded = Some(sa);
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
        let kek = staged.kek(policy.spi)?;
        let sa = RekeySa::new(provider, kek, held.sa.signing_key().clone(), policy.signature, 0)?;
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
    pub(crate) fn open_late(&mut self, datagram: &[u8]) -> Result<Option<VerifiedRekey>, Error> {
        let Some(sa) = &mut self.superseded else { return Ok(None) };
        let message = sa.open(datagram)?;
        sa.commit(&message);
        Ok(Some(message))
    }
}
