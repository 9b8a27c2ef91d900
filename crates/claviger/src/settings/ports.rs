//! The UDP ports that are used where nobody chose.

/// HIP's port behind NATs and without privilege (RFC 9028 section 8).
pub(crate) const HIP_PORT: u16 = 10_500;

/// GDOI's port (RFC 6407 section 2).
pub(crate) const GDOI_PORT: u16 = 848;

/// The UDP destination port inside, for a group whose policy names none and a command that names none either.
pub(crate) const APPLICATION_PORT: u16 = 5000;
