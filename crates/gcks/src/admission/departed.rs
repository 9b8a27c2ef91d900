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
    /// From when on it reads nothing that is sent by those who heard the rekey; none while messages of it are to leave.
    pub(crate) unreadable_from: Option<Time>,
    /// From when on nothing at all that is sent is readable to it, whoever missed the rekey; none where that was not noted.
    pub(crate) silent_from: Option<Time>,
}
