//! GROUPKEY-PUSH: sealing by the key server, opening by a member (RFC 6407 section 4).
//!
//! ```text
//! HDR*, SEQ, [D...,] [SA, KD,] SIG        * encrypted under the KEK
//! ```
//!
//! The signature is over "rekey" | HDR | the payloads before SIG. RFC 6407 leaves open which HDR: it is the one
//! that is sent, the Encryption flag set, but with the Length that the message has before the padding of
//! encryption; so other implementations do it too.
//!
//! A rekey SA whose SA KEK announces a batch form (private use) has one signature over the root of a Merkle tree for
//! many messages; each carries the branch that leads from it to the root ([`seal_batch`]). Its members take the
//! messages in any order, each number once.

mod batch;
mod control;
mod message;
mod open;
mod seal;
mod signature;
mod window;

pub use batch::BatchPlace;
pub use control::{control_room, seal_controls};
pub use message::{KekMaterial, Push, cookies};
pub use open::{RekeySa, VerifiedRekey};
pub use seal::{room, seal, seal_batch};
