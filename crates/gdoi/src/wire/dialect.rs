//! What is tolerated of other implementations.

/// Which departures from RFC 6407 a reader tolerates. The default tolerates none.
///
/// Peculiarities of implementations that were met in captures are listed here by name, so that nothing is
/// tolerated silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// The addresses of an SA TEK stand with their last octet first.
    pub tek_addresses_reversed: bool,
    /// A Key Length of zero stands beside AES-CBC, for its default of 128 bits (RFC 3602 section 2.3).
    pub key_length_zero: bool,
    /// Key packets may name SPIs that the SA payload of the message does not assert, and lack keys that it needs.
    pub keys_do_not_fit_policy: bool,
}

impl Dialect {
    /// What RFC 6407 says.
    pub const RFC: Self =
        Self { tek_addresses_reversed: false, key_length_zero: false, keys_do_not_fit_policy: false };
}
