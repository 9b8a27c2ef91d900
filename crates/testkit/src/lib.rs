//! Connects protocol machines in memory for tests: pairs, time, loss, adversaries; and builds networks for programs.
//!
//! | module | what |
//! |---|---|
//! | [`lab`] | a laboratory: hosts on a snooping switch, each in its own network namespace |
//! | [`netns`] | network namespaces that vanish with their process |
//! | [`process`] | programs whose output is kept, and that do not outlive their test |
//! | [`capture`] | what passes an interface |
//! | [`flood`] | packets at a rate, from any address, and what they cost |
//! | [`tshark`] | what tshark thinks of it |
//! | [`judge`] | whether a history of that network kept what a key server promises |
//! | [`extent`] | how much of a long test this run does |
//! | [`network`] | a key server and its members in memory |
//! | [`owner`] | CAs of group owners, and hosts that they certify |
//! | [`pcap`] | capture files of other implementations |
//! | [`vector`] | files of test vectors |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod capture;
pub mod extent;
pub mod flood;
pub mod judge;
pub mod lab;
pub mod netns;
pub mod network;
pub mod owner;
pub mod pcap;
pub mod process;
pub mod tshark;
pub mod vector;
