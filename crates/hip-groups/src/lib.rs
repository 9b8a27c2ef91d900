//! Registers to key servers of groups by HIP (docs/hip-gdoi-binding.md, sections 2 to 4): groups are asked for by name,
//! granted for a time, renewed and given up, and keys hang on what is granted.
//!
//! Each way of keying is a service with a Reg Type of its own ([`iana`]), and has keys of its own from one association.
//! HIP carries the groups inside ENCRYPTED as the [`Item`](claviger_hip::Item)s of these services; what they mean is here.
//!
//! | module | what |
//! |---|---|
//! | [`iana`] | Reg Types, the parameter's type, statuses |
//! | [`wire`] | MCAST_CHANNEL |
//! | [`withdrawal`] | why a key server withdraws groups |
//! | [`keys`] | which associations protect keys, and the keys of a registration |
//! | [`renewal`] | how its SAs follow one another when the keys of its association are renewed |
//! | [`host`] | what a [`Host`] does besides: it withdraws groups, and yields registration SAs |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod host;
pub mod iana;
pub mod keys;
pub mod renewal;
pub mod wire;
pub mod withdrawal;

mod item;

pub use host::{Event, GroupHost, Host, RegistrationAnswer, RegistrationRequest};
pub use renewal::Renewal;
pub use wire::McastChannel;
pub use withdrawal::Withdrawal;
