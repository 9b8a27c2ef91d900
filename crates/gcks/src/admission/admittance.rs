//! What a group's list lets a host do.

use claviger_group::Role;

/// What a group's list lets a host do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admittance {
    /// The role that it may have.
    pub role: Role,
    /// Whether it may send without a lease, as members of other makers must that know none.
    pub without_lease: bool,
}

impl Admittance {
    /// Says whether it contradicts itself: a host that may not send needs no leave to send without a lease.
    pub(crate) const fn is_coherent(self) -> bool {
        self.role.sends() || !self.without_lease
    }
}

impl From<Role> for Admittance {
    /// Lets a host have a role, and send under a lease where the group has them.
    fn from(role: Role) -> Self {
        Self { role, without_lease: false }
    }
}
