//! Brings the datagrams of one rekey to very many receivers, of whom each needs a few of them: rounds of RaptorQ
//! repair (RFC 6330) that follow the loss reported, then unicast for the last few.
//!
//! ```text
//!           Sender                                                      Receiver (one of 100,000)
//!   directory: what is whose  ── multicast ─────────────────────────►  knows what it needs
//!   datagrams, some repair    ── multicast ─────────────────────────►  handle_datagram / handle_control
//!   announcement              ── multicast ─────────────────────────►  draws a delay; reports unless others did
//!   handle_report             ◄──────────────── unicast, suppressed ──  poll_report
//!   more repair               ── multicast ─────────────────────────►  poll_recovered
//!   announcement, LAST        ── multicast ─────────────────────────►  whoever still misses something
//!   handle_report             ◄──────────────────────────── unicast ──  poll_report
//!   just those datagrams      ── unicast ───────────────────────────►  handle_datagram
//! ```
//!
//! The design follows Yang, Li, Zhang and Lam ("Reliable group rekeying: a performance analysis", SIGCOMM 2001) and
//! Zhang, Lam, Lee and Yang ("Protocol design for scalable and reliable group rekeying"): forward error correction
//! over blocks of neighbouring datagrams, some of it sent unasked ([`Proactivity`]), rounds that answer the worst
//! need that three receivers report, an early change to unicast. As their packets name the users whom they are for, directories here name
//! the part of the group that each datagram is for. The code is RaptorQ, so there is no limit on repair symbols, and
//! reports are suppressed by timers and by what the sender announces, as in NORM (RFC 5401).
//!
//! A receiver that hears nothing at all of a batch does not know of it. What tells it is the layer above: a gap in the
//! sequence numbers of the next batch, or traffic under a key that it does not have. It asks by a report without
//! entries, or registers again.
//!
//! Both ends are machines without socket, clock or randomness of their own. Neither proves where octets come
//! from: see [`seal`].
//!
//! | module | what |
//! |---|---|
//! | [`batch`] | what a batch is called, and how it is divided into blocks |
//! | [`sender`], [`receiver`] | the two machines |
//! | [`config`], [`event`] | how they behave, what they tell |
//! | [`proactivity`] | how much repair goes out before anybody asks |
//! | [`backoff`] | when a receiver reports |
//! | [`code`] | datagrams as symbols of the erasure code |
//! | [`wire`] | repair, announcement, directory, report |
//! | [`seal`] | the seam to the layer that authenticates |
//! | [`limits`], [`error`] | what is refused, and why |
//! | [`counter`] | what is counted |
//!
//! ```
//! use claviger_crypto::SeededRandom;
//! use claviger_delivery::{
//!     Batch, BatchId, Outgoing, Proactivity, Receiver, ReceiverConfig, Sender, SenderConfig, seal::Authentic,
//! };
//! use claviger_sansio::Time;
//!
//! let (mut now, random) = (Time::from_secs(1), &mut SeededRandom::new(1));
//! let id = BatchId { spi: [7; 16], first_sequence: 100 };
//! let datagrams: Vec<Vec<u8>> = (1..=40).map(|octet| vec![octet; 1000]).collect();
//! let batch = Batch { id, datagrams: datagrams.clone(), audience: Vec::new(), labels: Vec::new(), receivers: 1 };
//! let unsealed = &mut |payloads| payloads;
//! let mut sender =
//!     Sender::new(SenderConfig::default(), batch, Proactivity::uniform(100), now, unsealed)?;
//! let mut receiver = Receiver::new(ReceiverConfig::default(), id, now);
//!
//! // The datagram at index 3 is lost; a repair symbol of its block brings it back.
//! let mut recovered = None;
//! while recovered.is_none() {
//!     match sender.poll_transmit(now) {
//!         Some(Outgoing::Datagram { index: 3 }) => {}
//!         Some(Outgoing::Datagram { index }) => {
//!             receiver.handle_datagram(now, index, 40, &datagrams[usize::from(index)])?;
//!         }
//!         Some(Outgoing::Sealed(octets)) => {
//!             let _ = receiver.handle_control(now, Authentic::verified(&octets), random);
//!         }
//!         Some(Outgoing::Unicast { .. }) => unreachable!("nobody has reported"),
//!         None => {
//!             now = sender.poll_timeout().expect("the sender has not ended");
//!             sender.handle_timeout(now, unsealed);
//!         }
//!     }
//!     recovered = receiver.poll_recovered();
//! }
//! assert_eq!(recovered.map(|datagram| datagram.octets), Some(datagrams[3].clone()));
//! receiver.satisfied();
//! # Ok::<(), claviger_delivery::Error>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod backoff;
pub mod batch;
pub mod code;
pub mod config;
pub mod counter;
pub mod error;
pub mod event;
pub mod limits;
pub mod proactivity;
pub mod receiver;
pub mod seal;
pub mod sender;
pub mod wire;

pub use batch::{Batch, BatchId, ReceiverId, Shape};
pub use config::{ReceiverConfig, SenderConfig};
pub use counter::Counter;
pub use error::Error;
pub use event::{ReceiverEvent, SenderEvent};
pub use proactivity::Proactivity;
pub use receiver::{Receiver, Recovered};
pub use sender::{Outgoing, Sender, Traffic};
