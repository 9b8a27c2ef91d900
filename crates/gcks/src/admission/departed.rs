//! That a host departed, as it is remembered.

use claviger_sansio::Time;

use crate::event::Departure;

/// How a host came to be out of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) why: Departure,
    /// Whether it held keys.
    pub(crate) was_member: bool,
    /// When that was decided.
    pub(crate) at: Time,
    /// From when on it reads nothing that is sent; none while messages of the rekey are to leave.
    pub(crate) unreadable_from: Option<Time>,
}
