//! A hundred thousand changes of groups, judged after every one: each present member derives the group's key from
//! what was sent to it, and nobody outside reaches any key of the tree, whatever the outsiders pool.
//!
//! The tree's labels are not believed. Every ciphertext is unwrapped by aws-lc, by the fastest engine of this CPU
//! and by the portable one; members and outsiders follow the octets that come out. What outsiders reach is kept as
//! a fixpoint that grows with each change, so that the whole history is judged at the price of what is new in it.
//!
//! | module | what |
//! |---|---|
//! | `change` | one change as the members see it, and how a faulty tree would have made it |
//! | `engines` | unwraps and advances by every implementation, which must agree |
//! | `knowledge` | every key that ever was, and who outside the group reaches it |
//! | `group` | a tree with members that follow what is sent to them |
//! | `history` | seeded joins, departures, moves, batches and refreshes |
//! | `faults` | the judgement fails on faulty trees |

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod change;
mod engines;
mod faults;
mod group;
mod history;
mod knowledge;
