//! What a group knows of how its keys travel: by which protocol, and what a request is called there.

/// By which protocol the keys of a group travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// GDOI (RFC 6407).
    Gdoi,
}

/// Names what a host that is to join is answered under. What it stands for is known to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) u64);
