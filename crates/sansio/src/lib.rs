//! Holds what every protocol machine shares: time, datagrams, timers, retransmission, replay windows, counters.
//!
//! A protocol machine owns no socket, clock, thread or lock. It is fed with [`Datagram`]s and [`Time`], and
//! drained of [`Transmit`]s, events and the time of its next timer:
//!
//! ```text
//! handle_datagram(now, datagram)   handle_timeout(now)        input
//! poll_transmit()  poll_event()  poll_timeout()               output, drained after each input
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`time`] | seconds that can be stored: time as an argument |
//! | [`datagram`] | what arrives and what leaves, and by which socket |
//! | [`multicast`] | what a multicast address says by itself |
//! | [`retransmit`] | when to send the same octets again, and when to give up |
//! | [`durable`] | what must be written before anything is sent |
//! | [`replay`] | which sequence numbers were seen |
//! | [`counter`] | what a machine counts, each counter with its help |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod counter;
pub mod datagram;
pub mod durable;
pub mod multicast;
pub mod replay;
pub mod retransmit;
pub mod time;

pub use counter::{Counted, Counts};
pub use datagram::{Datagram, NotSent, Socket, Transmit};
pub use replay::ReplayWindow;
pub use retransmit::{Retransmit, RetransmitPolicy};
pub use time::Time;
