//! Certificates and lists by who wishes ill, and limits.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod algorithms;
mod chains;
mod issuing;
mod lists;
mod names;
mod octets;
mod owner;
