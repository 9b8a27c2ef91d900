//! Puts a member's data SAs to use: whatever protects the packets, behind one type.
//!
//! A member says what is to happen with its keys ([`PlaneCommand`](claviger_group::PlaneCommand)) and hears what it has to
//! know ([`PlaneEvent`](claviger_group::PlaneEvent)); its program carries both between the member and a [`DataPlane`].
//!
//! | module | what |
//! |---|---|
//! | [`plane`] | the data planes that there are |
//! | [`userspace`] | ESP in this process |
//! | [`error`] | why a packet was dropped |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod error;
pub mod plane;
pub mod userspace;

pub use error::Error;
pub use plane::DataPlane;
