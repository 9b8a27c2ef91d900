//! Describes a multicast group: its identifier, addresses, policy, keys, and the registration that opens it.
//!
//! These are the words that every registration and every group-key protocol shares. A registration, whoever
//! made it, yields a [`RegistrationSa`]: a peer's proven identity and keying material. A group-key protocol
//! asks for that and never for HIP or IKE by name.
//!
//! | module | what |
//! |---|---|
//! | [`id`] | how a group is named |
//! | [`channel`] | the multicast address of a group, any-source or source-specific |
//! | [`member_id`] | how a member is named |
//! | [`role`] | receiver, sender |
//! | [`transform`] | which ESP algorithms protect the data |
//! | [`tek`] | one data security association |
//! | [`sender_id`] | how senders that share one are told apart |
//! | [`plane`] | what a member asks of its data plane, and hears from it |
//! | [`place`] | where members are |
//! | [`policy`] | everything that is decided about a group |
//! | [`rekey`] | how the keys of the tree travel |
//! | [`registration`] | what a registration yields |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod channel;
pub mod id;
pub mod member_id;
pub mod place;
pub mod plane;
pub mod policy;
pub mod registration;
pub mod rekey;
pub mod role;
pub mod sender_id;
pub mod tek;
pub mod transform;

pub use channel::Channel;
pub use id::GroupId;
pub use member_id::MemberId;
pub use place::{GroupPlace, Prefix};
pub use plane::{DataSa, Lease, PlaneCommand, PlaneEvent};
pub use policy::GroupPolicy;
pub use registration::{CookiePair, RegistrationSa};
pub use rekey::{KekManagement, PushAuthentication};
pub use role::Role;
pub use sender_id::SenderId;
pub use tek::{Encapsulation, Spi, Tek};
pub use transform::EspTransform;
