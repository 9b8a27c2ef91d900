//! One file for each payload: its diagram, its struct, its decoder and encoder.
//!
//! | module | payload |
//! |---|---|
//! | [`identification`] | ID: the group |
//! | [`nonce`] | Nonce |
//! | [`security_association`] | SA, which holds the next three |
//! | [`sa_kek`] | SAK: the policy of the rekey SA |
//! | [`group_associated_policy`] | GAP: delays, and the request for sender ids |
//! | [`sa_tek`] | SAT: the policy of one data security SA |
//! | [`sequence_number`] | SEQ |
//! | [`lease`] | LEASE: what is asked and answered about leases |
//! | [`key_download`] | KD: the keys |
//! | [`lkh`] | the arrays of LKH keys inside a KD |
//! | [`lkh_32`] | the same for trees with 32-bit node ids |
//! | [`batch_signature`] | SIG of a message that shares its signature |
//! | [`public_key`] | the group's verification key inside a KD |
//! | [`delete`] | D |
//! | [`notification`] | N |
//!
//! Two things decide how some of them are read: in which [`exchange`] they stand, and which [`dialect`] is tolerated.
//!
//! The header, the chain of payloads and attributes are ISAKMP's ([`claviger_isakmp::wire`]), and so is the form of ID, N
//! and D; what GDOI means by them is here. HASH and SIG are octets and need no struct. Decoders of payloads that assert something return
//! [`Error::PeerIncompatible`](crate::error::Error::PeerIncompatible) for what they do not know, as RFC 6407 demands an abort.

#[cfg(test)]
use {crate::error::Error, claviger_wire::Writer};

pub mod batch_signature;
pub mod delete;
pub mod dialect;
pub mod exchange;
pub mod group_associated_policy;
pub mod identification;
pub mod key_download;
pub mod lease;
pub mod lkh;
pub mod lkh_32;
pub mod nonce;
pub mod notification;
pub mod public_key;
pub mod sa_kek;
pub mod sa_tek;
pub mod security_association;
pub mod sequence_number;

pub use delete::{Delete, Deletes};
pub use dialect::Dialect;
pub use exchange::Exchange;
pub use group_associated_policy::Gap;
pub use identification::Identification;
pub use key_download::{KekDownload, KeyDownload, LkhDownload, SenderIds};
pub use lease::{InForce, LeaseAnswer, LeaseNonce, LeaseQuestion, LeaseRequest, LeaseVerdict};
pub use lkh::{LkhDownloadArray, LkhKey, LkhUpdateArray};
pub use lkh_32::Lkh32;
pub use nonce::Nonce;
pub use notification::Notification;
pub use public_key::SubjectPublicKeyInfo;
pub use sa_kek::SaKek;
pub use sa_tek::{AddressPreservation, SaDirection, SaTek};
pub use security_association::SaPayload;
pub use sequence_number::SequenceNumber;

/// Writes a part and returns its octets.
#[cfg(test)]
pub(crate) fn octets_of(part: impl FnOnce(&mut Writer) -> Result<(), Error>) -> Vec<u8> {
    let mut w = Writer::new();
    part(&mut w).unwrap();
    w.into_octets()
}

/// Asserts that `decode` accepts `sample` and refuses each of its true prefixes, and `sample` with one octet more.
#[cfg(test)]
pub(crate) fn refuses_every_cut<T: std::fmt::Debug>(
    sample: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, Error>,
) -> T {
    for length in 0..sample.len() {
        assert!(decode(&sample[..length]).is_err(), "cut at {length} of {}", sample.len());
    }
    assert!(decode(&[sample, &[0]].concat()).is_err(), "one octet more");
    decode(sample).unwrap()
}
