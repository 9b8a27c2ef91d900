//! A member, as a group keeps it.

use claviger_group::Role;
use claviger_keytree::Leaf;
use claviger_sansio::Time;

use super::sender_ids::HeldIds;

/// A completed PULL's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) leaf: Leaf,
    pub(crate) role: Role,
    /// Since when it is one, or has begun anew: it is given no TEK from before.
    pub(crate) since: Time,
    pub(crate) last_pull: Time,
    pub(crate) sender_ids: HeldIds,
    /// Whether it has registered anew since keys were last made for it.
    pub(crate) registered_anew: bool,
}
