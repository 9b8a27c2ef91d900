//! What a base exchange agrees on to protect an association.

use claviger_identity::HitSuite;

use crate::iana::{CipherId, DhGroup};

/// What protects an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Security {
    /// The cipher of ENCRYPTED parameters, and of the exchanges under a registration.
    pub cipher: CipherId,
    /// The Diffie-Hellman group.
    pub dh_group: DhGroup,
    /// The HIT suite of the HIP Responder, whose hash is behind every MAC and key.
    pub hit_suite: HitSuite,
    /// The HIT suite of the peer.
    pub peer_hit_suite: HitSuite,
}
