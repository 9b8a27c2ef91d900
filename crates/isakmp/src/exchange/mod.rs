//! What exchanges under a security association have in common.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | sealing and authenticating one message |
//! | [`registration`] | a registration SA and what is remembered about its message ids |
//! | [`registrations`] | those of an endpoint |

pub mod message;
pub mod registration;
pub mod registrations;

pub use message::{Authentic, Context};
pub use registration::Registration;
pub use registrations::Registrations;

#[cfg(test)]
pub(crate) mod tests {
    use claviger_crypto::{
        Random, SecretBytes, SeededRandom, cipher::CipherAlgorithm, hash::HashAlgorithm, provider,
    };
    use claviger_group::{CookiePair, MemberId, RegistrationSa};
    use claviger_identity::Hit;

    use crate::keys::ExchangeKeys;

    /// What both sides of a registration hold.
    pub(crate) fn sa() -> RegistrationSa {
        RegistrationSa {
            peer: MemberId::Hit(Hit::new([0x20; 16])),
            cookies: CookiePair([0xc1; 16]),
            skeyid_d: SecretBytes::new(vec![1; 32]),
            skeyid_a: SecretBytes::new(vec![2; 32]),
            skeyid_e: SecretBytes::new(vec![3; 32]),
            phase1_iv: [4; 16],
            hash: HashAlgorithm::Sha256,
            cipher: CipherAlgorithm::Aes128Cbc,
        }
    }

    pub(crate) fn keys() -> ExchangeKeys {
        ExchangeKeys::new(provider(), &sa()).unwrap()
    }

    pub(crate) fn random() -> Box<dyn Random> {
        Box::new(SeededRandom::new(1))
    }
}
