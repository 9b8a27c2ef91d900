//! How a member behaves. A key server has nothing to choose here: its groups' policies come with each offer.

use claviger_crypto::CryptoProvider;
use claviger_sansio::RetransmitPolicy;

use crate::extensions::Extensions;

/// What a member accepts and tolerates. [`MemberConfig::new`] has the defaults.
#[derive(Clone, Copy)]
pub struct MemberConfig {
    /// Where its cryptography comes from.
    pub provider: &'static CryptoProvider,
    /// How messages 1 and 3 of a GROUPKEY-PULL are sent again.
    pub retransmit: RetransmitPolicy,
    /// Which private extensions it accepts. Default: all.
    pub extensions: Extensions,
}

impl MemberConfig {
    /// Takes the defaults.
    pub fn new(provider: &'static CryptoProvider) -> Self {
        Self { provider, retransmit: RetransmitPolicy::default(), extensions: Extensions::ALL }
    }
}
