//! Trees with 32-bit node ids: a KEK management algorithm for private use.
//!
//! RFC 6407's update arrays lead from a key that a member holds up to the group KEK, so that they repeat the keys on
//! the upper levels, and their ids have 16 bits. Here each new key is sent once for each key that it is wrapped under
//! (AES key wrap, RFC 3394), in any order and over any number of messages; a node's id says where it stands; and keys
//! that only newcomers came under are advanced by everybody for himself, without any message.
//!
//! | module | what |
//! |---|---|
//! | [`name`] | ids of nodes, handles of keys |
//! | [`path`] | the member's keys, and how new ones are gathered |
//! | [`mod@pack`] | the key server's wrapped keys in as many messages as it takes |
//! | [`mod@audience`] | which members a message is for |
//!
//! The keys' octets on the wire are in [`crate::wire::lkh_32`]. docs/hip-gdoi-binding.md section 7.5 specifies it.

pub mod audience;
pub mod name;
pub mod pack;
pub mod path;

pub use audience::audience;
pub use name::{Degree, Handle, NodeId};
pub use pack::{Wrap, pack};
pub use path::{Gathering, HeldKey, KeyPath, StagedPath, kek_material};
