//! What the two machines tell their callers.

use crate::ReceiverId;
#[cfg(doc)]
use crate::Sender;

/// What the sender tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderEvent {
    /// Everybody who reports was served, or given up, or the deadline passed. What the sender learned is in
    /// [`Sender::proactivity`].
    Ended,
    /// This receiver has reported after every attempt to serve it. It has to register again.
    GaveUp(ReceiverId),
    /// This receiver knows of the batch, but not what it misses. The caller, who knows its place in the tree, may
    /// [`Sender::serve`] it.
    Lost(ReceiverId),
}

/// What the receiver tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverEvent {
    /// All reports went unanswered. The member has to register again.
    GaveUp,
    /// Everything that is wanted is here, and the caller is not satisfied. The batch cannot help it.
    NothingMissing,
}
