//! Protects a group's packets with ESP (RFC 4303) under keys that many senders share.
//!
//! One security association serves all senders of a group (RFC 5374, RFC 6054), so what RFC 4303 ties to the
//! association is here tied to the sender: initialization vectors start with the sender's id, and each sender has
//! a replay window of its own.
//!
//! | module | what |
//! |---|---|
//! | [`plane`] | everything that one member needs: old and new associations side by side, rollover, expiry |
//! | [`outbound`], [`inbound`] | one association in one direction |
//! | [`sender`] | how senders are told apart |
//! | `senders`, `window` | which senders were heard, and which of their numbers |
//! | [`packet`] | IP, UDP and ESP-in-UDP around the protected octets |
//! | [`layout`] | where the fields of an ESP packet stand, and how long it is |
//! | [`error`] | why a packet was dropped |
//! | [`counter`] | what is counted: packets that passed, and those that were dropped, by reason |
//!
//! Extended sequence numbers are off: the 32-bit number in the packet is all there is, and a sender that has
//! spent it stops (RFC 4303 section 3.3.3).
//!
//! What replay protection rests on differs. In counter mode the sender's id is part of the nonce and so
//! authenticated. With AES-CBC a sender is its source address, which transport-mode ESP does not authenticate:
//! who replays a packet under another source address meets a fresh window. A group for which that matters uses
//! counter mode (the default), one source (an SSM channel, where any other source is dropped), or tunnel mode,
//! where [`packet::unwrap`] compares the addresses outside with those inside. A packet counts as heard only when all
//! of it fits: [`Plane::open_checked`] asks the caller for that comparison before it tells a window.
//!
//! One packet moves no window out of its sender's reach, and so silences nobody: what is further ahead than a window
//! reaches back is delivered from the third such packet on, which is also how a receiver that was cut off goes on. Who
//! has the key and sends three can still do it, as he can speak as any other member. Where a sender's name is
//! authenticated, nothing delivered is forgotten as long as the association is: once 4,096 senders were heard, which
//! takes a member who makes them up, further ones are refused. Elsewhere the sender that was heard least makes room,
//! so that who replays a packet under made-up addresses keeps no new sender out, and of those heard before only
//! who was heard once.
//!
//! ```
//! use std::time::Duration;
//! use claviger_crypto::{SeededRandom, provider};
//! use claviger_esp::{Plane, PlaneConfig, SenderId};
//! use claviger_group::{Channel, Encapsulation, EspTransform, Role, Spi, Tek, tek::TekKeys};
//! use claviger_sansio::Time;
//!
//! let now = Time::from_secs(1_000_000);
//! let mut random = SeededRandom::new(1);
//! let tek = Tek {
//!     spi: Spi::random(&mut random),
//!     transform: EspTransform::Aes128Gcm16,
//!     keys: TekKeys::generate(EspTransform::Aes128Gcm16, &mut random),
//!     channel: Channel::new("239.192.0.1".parse()?, None)?,
//!     encapsulation: Encapsulation::UdpTransport,
//!     encapsulation_port: 4500,
//!     application_port: 0,
//!     lifetime: Duration::from_secs(3600),
//! };
//! let mut sender = Plane::new(provider(), PlaneConfig::new(Role::Sender, 16), Box::new(SeededRandom::new(2)));
//! let mut receiver = Plane::new(provider(), PlaneConfig::new(Role::Receiver, 16), Box::new(SeededRandom::new(3)));
//! sender.install(now, tek.clone(), now, &[SenderId::new(16, 7).expect("7 fits 16 bits")])?;
//! receiver.install(now, tek, now, &[])?;
//!
//! let esp = sender.seal(now, 17, b"a UDP header and data")?;
//! let opened = receiver.open(now, "192.0.2.1".parse()?, &esp)?;
//! assert_eq!((opened.next_header, &opened.payload[..]), (17, &b"a UDP header and data"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod counter;
pub mod error;
pub mod inbound;
pub mod layout;
pub mod outbound;
pub mod packet;
pub mod plane;
pub mod sender;

mod protection;
mod senders;
mod trailer;
mod window;

pub use counter::Counter;
pub use error::Error;
pub use inbound::{InboundSa, Opened};
pub use outbound::OutboundSa;
pub use plane::{Event, Plane, PlaneConfig, SaStatus, Stage};
pub use sender::{SenderId, SenderKey};
