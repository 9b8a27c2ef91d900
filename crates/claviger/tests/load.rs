//! Floods against the program that runs, at hosts of a laboratory: what a packet of a flood costs, and who joins meanwhile.
//!
//! Asserted are CPU time, counters and octets, and the ratio to junk of the same length at the same rate; seconds are
//! printed. A flood that misses its rate is said to be NOT RUN. `./test` floods for 3 seconds each, `./test --all` for 13.
//!
//! | module | what |
//! |---|---|
//! | [`ground`] | the hosts, and what is done there |
//! | [`toll`] | what a flood cost, and what it may cost |
//! | [`recorded`] | what was recorded of the wire |
//! | [`hip`] | packets of HIP as strangers forge them |
//! | [`callers`] | strangers who have solved puzzles beforehand |
//! | [`calls`] | floods of those who call: I1, I2, and what answers them |
//! | [`associated`] | floods in the name of a host that has an association |
//! | [`registered`] | floods of GDOI: PULLs and rekey messages |

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

#[path = "load/associated.rs"]
mod associated;
#[path = "load/callers.rs"]
mod callers;
#[path = "load/calls.rs"]
mod calls;
#[path = "load/ground.rs"]
mod ground;
#[path = "load/hip.rs"]
mod hip;
#[path = "load/recorded.rs"]
mod recorded;
#[path = "load/registered.rs"]
mod registered;
mod support;
#[path = "load/toll.rs"]
mod toll;
