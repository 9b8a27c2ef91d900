//! A member, as a group keeps it.

use claviger_group::Role;
use claviger_keytree::Leaf;
use claviger_sansio::Time;

/// A completed PULL's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) leaf: Leaf,
    pub(crate) role: Role,
    pub(crate) since: Time,
    pub(crate) last_pull: Time,
    /// The sender ids of its last PULL.
    pub(crate) sender_ids: Vec<u32>,
}
