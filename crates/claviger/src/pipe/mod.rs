//! `send` and `recv`: netcat for a protected group.
//!
//! They go through the running member daemon's socket, or, told a server, register in their own process. Neither
//! promises reliability; what is missing is counted on standard error.

pub(crate) mod recv;
pub(crate) mod send;
