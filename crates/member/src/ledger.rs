//! Every key that a member ever held.
//!
//! A member forgets keys at their end; it keeps a ledger only if its configuration asks for one. Whoever must show
//! what a host could decrypt, now or later, asks: honest behaviour proves nothing about keys.

use claviger_crypto::sign::PublicKey;
use claviger_gdoi::{
    lkh::KeyArray,
    push::{KekMaterial, RekeySa},
};
use claviger_group::Tek;

/// The keys of one group, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Data keys.
    pub teks: Vec<Tek>,
    /// Rekey keys with the paths of the key tree that they came with.
    pub rekeys: Vec<LedgerRekey>,
}

/// A rekey SA that was held.
#[derive(Debug, Clone)]
pub struct LedgerRekey {
    /// What opens its messages.
    pub kek: KekMaterial,
    /// Whose signature they bear.
    pub signing_key: PublicKey,
    /// The path from the member's leaf to the root, at that time.
    pub lkh: Option<KeyArray>,
}

impl Ledger {
    /// Enters a data key, once.
    pub fn enter_tek(&mut self, tek: &Tek) {
        if !self.teks.iter().any(|held| held.spi == tek.spi) {
            self.teks.push(tek.clone());
        }
    }

    /// Enters a rekey SA, once.
    pub fn enter_rekey(&mut self, sa: &RekeySa, lkh: Option<&KeyArray>) {
        if !self.rekeys.iter().any(|held| held.kek.spi == sa.kek().spi) {
            self.rekeys.push(LedgerRekey {
                kek: sa.kek().clone(),
                signing_key: sa.signing_key().clone(),
                lkh: lkh.cloned(),
            });
        }
    }
}
