//! In which exchange a payload stands.

/// In which exchange an SA and a KD stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// GROUPKEY-PULL: to one member.
    Pull,
    /// GROUPKEY-PUSH: to the whole group.
    Push,
}
