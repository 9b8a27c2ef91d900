//! What fuzz targets share: claims about codecs, and peers that seal what the fuzzer makes up.
//!
//! Octets that the fuzzer makes up never carry a valid MAC, so an endpoint fed with them directly shows its door
//! only. The peers here hold the real keys and protect the made-up content genuinely: the endpoint then sees what a
//! malicious peer could send.
//!
//! | module | what |
//! |---|---|
//! | [`claim`] | decode and encode undo each other |
//! | [`script`] | an input cut into pieces |
//! | [`group`] | one group: its policy, keys and addresses |
//! | [`hip`] | a HIP host with real keys and no manners |
//! | [`owner`] | a group owner's CA |
//! | [`isakmp`] | the other side of a GROUPKEY-PULL; a key server that pushes |
//! | [`targets`] | what is fuzzed |

pub mod claim;
pub mod group;
pub mod hip;
pub mod isakmp;
pub mod owner;
pub mod script;
pub mod targets;
