//! The parameter of group keying, octet by octet.

pub mod mcast_channel;

pub use mcast_channel::McastChannel;
