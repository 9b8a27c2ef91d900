//! Floods of packets that were prepared beforehand, from any source address, at a rate that is kept or known to be missed.
//!
//! | module | what |
//! |---|---|
//! | [`frame`] | Ethernet frames with UDP over IPv4, as anybody on the network can forge them |
//! | [`generator`] | sends frames at a rate, and says which rate it reached |
//! | [`toll`] | what a flood costs those whom it meets: CPU time, datagrams, octets |

pub mod frame;
pub mod generator;
pub mod toll;

pub use frame::{Link, sources};
pub use generator::{Flood, Sent};
pub use toll::Traffic;
