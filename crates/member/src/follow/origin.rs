//! Where a rekey message came from, as far as its source says.
//!
//! A source address is no proof, but not everybody on a network can forge one. So what is limited because anybody can send it
//! is limited for each origin apart: who cannot send from the key server's address takes nothing away from what does come from
//! there.

/// Whose message it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It came from where the key server is, or from where the group's policy says that rekey messages come from.
    KeyServer,
    /// It came from anywhere else.
    Elsewhere,
    /// It did not come from the network just now: repair brought it, or it was kept until its KEK came, and few are.
    Kept,
}
