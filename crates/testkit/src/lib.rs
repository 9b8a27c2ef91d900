//! Connects protocol machines in memory for tests: pairs, time, loss, adversaries.
//!
//! | module | what |
//! |---|---|
//! | [`pcap`] | capture files of other implementations |

pub mod pcap;
