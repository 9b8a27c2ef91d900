//! Every engine that this CPU can run, beside aws-lc and beside each other, on random input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agree;
mod misuse;
mod reference;
mod refuse;
mod sample;
mod vectors;
