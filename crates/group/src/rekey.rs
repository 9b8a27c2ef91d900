//! How the keys of a group's tree travel, and how members know that they are genuine.

/// How the keys of the tree are named and replaced: KEK_MANAGEMENT_ALGORITHM (RFC 6407 section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum KekManagement {
    /// LKH as RFC 6407 sends it: ids of 16 bits, arrays that lead to the root. Every implementation knows it.
    #[default]
    Lkh,
    /// LKH with ids of 32 bits, no key sent twice, and joins by one-way advance: a private extension, for groups that
    /// 16 bits cannot number.
    Lkh32,
}

/// What a signature of GROUPKEY-PUSH messages is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PushAuthentication {
    /// Each message has a signature of its own (RFC 6407 section 4).
    #[default]
    Message,
    /// The messages of one rekey share a signature over the root of a hash tree: a private extension, for rekeys of
    /// many messages.
    Batch,
}
