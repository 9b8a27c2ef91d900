//! Which private extensions a member accepts.
//!
//! They are of private use in RFC 6407's registries: a member that lacks one, or is told to refuse it, ends the
//! GROUPKEY-PULL that offers it with ATTRIBUTES-NOT-SUPPORTED, before it asks for any key.

/// The private extensions that a member accepts when a key server offers them; all, unless it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extensions {
    /// Messages that share a signature.
    pub batch_signatures: bool,
    /// Trees with 32-bit node ids.
    pub lkh_32: bool,
    /// Messages that go to one place only.
    pub places: bool,
    /// Leases, without which members stop.
    pub leases: bool,
}

/// One private extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// Messages that share a signature.
    BatchSignatures,
    /// Trees with 32-bit node ids.
    Lkh32,
    /// Messages that go to one place only.
    Places,
    /// Leases, without which members stop.
    Leases,
}

impl Extensions {
    /// All that are implemented.
    pub const ALL: Self = Self { batch_signatures: true, lkh_32: true, places: true, leases: true };

    /// RFC 6407 as it stands.
    pub const NONE: Self = Self { batch_signatures: false, lkh_32: false, places: false, leases: false };
}

impl Default for Extensions {
    fn default() -> Self {
        Self::ALL
    }
}
