//! How much of what a peer shows is looked at.

/// The octets of a certificate at most. A key of 8,192 bits and a signature by one need 2,100.
pub const CERTIFICATE_LEN_MAX: usize = 16 * 1024;

/// The octets of a list of revoked certificates at most: some 400,000 entries.
pub const CRL_LEN_MAX: usize = 16 * 1024 * 1024;

/// The certificates of a chain at most, the root among them.
pub const CHAIN_LEN_MAX: usize = 8;

/// The certificates beside the one to be judged from which a chain is made, at most.
pub const OTHERS_MAX: usize = 16;

/// The signatures that one judgement verifies at most. Without this, certificates that all bear the same name make
/// the number of chains exponential.
pub const SIGNATURES_MAX: usize = 64;

/// How deep lists that are signed by keys of their own lead from one to the next.
pub const CRL_SIGNERS_DEPTH_MAX: usize = 2;

/// The groups in which one certificate can give rights, at most.
pub const GROUP_RIGHTS_MAX: usize = 64;
