//! What is counted of datagrams that no machine reads. What a machine drops, it counts itself.

use claviger_sansio::counters;

use crate::route::Unread;

counters! {
    /// Why a datagram was dropped before any machine was asked.
    pub enum Counter of "isakmp" {
        /// A message of IKEv2, which nothing here speaks.
        Ikev2 => "ikev2": Drop, Messages;
        /// A message behind the non-ESP marker of UDP port 4500 (RFC 3948 section 2.2), on a port without ESP.
        Marked => "non_esp_marker": Drop, Messages;
        /// A message of IKEv1 Phase 1, which nothing here speaks.
        Phase1 => "phase_1": Drop, Messages;
    }
}

impl From<Unread> for Counter {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Ikev2 => Self::Ikev2,
            Unread::Marked => Self::Marked,
            Unread::Phase1 => Self::Phase1,
        }
    }
}
