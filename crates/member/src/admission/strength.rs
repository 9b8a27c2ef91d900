//! How strong a registration is.

/// What is known of the registration that the keys would travel under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strength {
    /// Whether its cipher and DH group are fit for 256-bit keys (binding section 4).
    pub(crate) bits_256: bool,
}
