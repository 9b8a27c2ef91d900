//! Which policy of a key server the member follows.
//!
//! A member treats its key server's payloads as hostile too: what it cannot or will not do is refused before
//! message 3, with a reason that a user can act on.

use claviger_crypto::cipher::CipherAlgorithm;
use claviger_gdoi::wire::SaPayload;

use crate::{
    admission::Strength,
    config::PlaneKind,
    event::{PolicyFault, Refusal},
};

/// The most data SAs of one group: two epochs of a rollover, and room for a server that keeps more.
const TEKS_MAX: usize = 16;

/// Says why the member does not follow a policy, if it does not.
pub(crate) fn check(sa: &SaPayload, plane: PlaneKind, strength: Strength) -> Result<(), Refusal> {
    if let Some(kek) = &sa.kek {
        if !kek.destination.0.is_multicast() {
            return Err(Refusal::Policy(PolicyFault::PushAddress));
        }
        if kek.destination.1 == 0 {
            return Err(Refusal::Policy(PolicyFault::PushPort));
        }
        if let Some((address, port)) = kek.place {
            if !address.is_multicast() || address.is_ipv4() != kek.destination.0.is_ipv4() {
                return Err(Refusal::Policy(PolicyFault::PlaceAddress));
            }
            if port == 0 {
                return Err(Refusal::Policy(PolicyFault::PlacePort));
            }
        }
        if kek.spi.has_zero() {
            return Err(Refusal::Policy(PolicyFault::ZeroCookie));
        }
        if kek.cipher == CipherAlgorithm::Aes256Cbc && !strength.bits_256 {
            return Err(Refusal::Policy(PolicyFault::WeakRegistration));
        }
    }
    if sa.teks.len() > TEKS_MAX {
        return Err(Refusal::Policy(PolicyFault::TooManyTeks));
    }
    for tek in &sa.teks {
        if !plane.carries(tek.encapsulation) {
            return Err(Refusal::Encapsulation(tek.encapsulation));
        }
        if tek.channel != sa.teks[0].channel {
            return Err(Refusal::Policy(PolicyFault::TekAddresses));
        }
        if tek.transform.key_bits() > 128 && !strength.bits_256 {
            return Err(Refusal::Policy(PolicyFault::WeakRegistration));
        }
        let weak_kek =
            sa.kek.as_ref().is_some_and(|kek| kek.cipher.key_len() * 8 < tek.transform.key_bits().into());
        if weak_kek {
            return Err(Refusal::Policy(PolicyFault::KekWeaker));
        }
    }
    Ok(())
}
