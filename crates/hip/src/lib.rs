//! Speaks the Host Identity Protocol (RFC 7401) and its registration extension (RFC 8003).
//!
//! | module | what |
//! |---|---|
//! | [`iana`] | code points |
//! | [`wire`] | packets and parameters; [`wire::Packet::parse`] is where received octets enter |
//! | [`rules`] | which parameter may stand in which packet, and how often |
//! | [`keys`] | KEYMAT, and the keys of a registration that hang on it |
//! | [`puzzle`] | solving and verifying puzzles |

pub mod iana;
pub mod keys;
pub mod puzzle;
pub mod rules;
pub mod wire;
