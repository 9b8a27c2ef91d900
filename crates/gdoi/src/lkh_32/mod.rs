//! Trees with 32-bit node ids: a KEK management algorithm for private use.
//!
//! RFC 6407's update arrays lead from a key that a member holds up to the group KEK, so that they repeat the keys on
//! the upper levels, and their ids have 16 bits. Here each new key is sent once for each key that it is wrapped under
//! (AES key wrap, RFC 3394), in any order and over any number of messages; a node's id says where it stands; and keys
//! that only newcomers came under are advanced by everybody for himself, without any message.
//!
//! The names of nodes and keys, and how a member gathers new ones, are those of every key tree: `claviger-keypath`.
//! Here is what GDOI makes of them:
//!
//! | module | what |
//! |---|---|
//! | [`mod@kek`] | the group KEK out of the root's key, and what a path refuses, as GDOI names it |
//! | [`mod@pack`] | the key server's wrapped keys in as many messages as it takes |
//!
//! The keys' octets on the wire are in [`crate::wire::lkh_32`]. docs/hip-gdoi-binding.md section 7.5 specifies it.

pub mod kek;
pub mod pack;

pub use kek::kek_material;
pub use pack::{Wrap, pack};
