//! Owners of groups, and certificates by which hosts are let in.

use claviger_group::Role;
use claviger_sansio::Time;
use serde::{Deserialize, Serialize};

use crate::micros;

/// Chooses a group's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerOptions {
    /// The certificates of the CAs that hosts' certificates lead to, in PEM.
    pub roots: String,
    /// Whether a host must be on the group's list as well.
    #[serde(default)]
    pub require_list: bool,
    /// Whether certificates hold until they expire, whatever was revoked.
    #[serde(default)]
    pub without_revocation: bool,
}

/// A group's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerView {
    /// The CAs that hosts' certificates lead to.
    pub roots: Vec<CertifiedView>,
    /// Whether a host must be on the group's list as well.
    pub require_list: bool,
    /// Whether certificates hold until they expire, whatever was revoked.
    pub without_revocation: bool,
}

/// What a certificate is about, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedView {
    /// Whom it is about, as RFC 4514 writes names.
    pub subject: String,
    /// When it is over.
    #[serde(with = "micros")]
    pub until_us: Time,
}

/// A certificate that a grant rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedByView {
    /// Whom it is about, as RFC 4514 writes names.
    pub subject: String,
    /// What it gives in the group; null where only the list says what this subject may do.
    #[serde(with = "crate::name::option")]
    pub role: Option<Role>,
    /// When it, or that of a CA above it, is over; the grant ends then at the latest.
    #[serde(with = "micros")]
    pub until_us: Time,
    /// Whether the grant rests on the list as well.
    pub with_list: bool,
}
