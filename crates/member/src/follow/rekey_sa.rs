//! The rekey SA in force.

use claviger_crypto::CryptoProvider;
use claviger_gdoi::{
    Extensions,
    push::{KekMaterial, RekeySa},
    wire::{KeyDownload, SaPayload},
};
use claviger_sansio::Time;

use super::tree_keys::TreeKeys;
use crate::event::{Missing, PolicyFault};

/// The rekey SA in force with the keys that open its successor.
pub(crate) struct Rekey {
    pub(crate) sa: RekeySa,
    pub(crate) tree: Option<TreeKeys>,
    pub(crate) since: Time,
    pub(crate) expires: Time,
}

impl Rekey {
    /// Reads what a PULL brings of it; none if the group has none.
    pub(super) fn downloaded(
        now: Time,
        provider: &'static CryptoProvider,
        extensions: Extensions,
        sa: &SaPayload,
        sequence: Option<u32>,
        kd: &KeyDownload,
    ) -> Result<Option<Self>, PolicyFault> {
        let Some(policy) = &sa.kek else { return Ok(None) };
        let sequence = sequence.ok_or(PolicyFault::Missing(Missing::SequenceNumber))?;
        let expires = now + policy.lifetime;
        let downloaded = TreeKeys::downloaded(policy, kd).map_err(PolicyFault::Gdoi)?;
        let (tree, material) = match (downloaded, &kd.kek) {
            (Some((tree, kek)), _) => (Some(tree), kek),
            (None, Some(kek)) if kek.spi == policy.spi => {
                let (iv, key) = (kek.iv, kek.key.clone());
                (None, KekMaterial { spi: policy.spi, cipher: policy.cipher, iv, key })
            }
            _ => return Err(PolicyFault::Missing(Missing::Kek)),
        };
        let signing_key = kd.signing_key().cloned().ok_or(PolicyFault::Missing(Missing::SigningKey))?;
        let sa = RekeySa::new(provider, material, signing_key, policy.signature, sequence)
            .map_err(PolicyFault::Gdoi)?
            .with_form(policy.form)
            .with_extensions(extensions);
        Ok(Some(Self { sa, tree, since: now, expires }))
    }
}
