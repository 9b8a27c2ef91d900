//! What daemons and commands run by: plain, validated values with their defaults.
//!
//! Nothing here knows the command line or the configuration file. `cli` and `config_file` fill these types, and whatever
//! does something takes them.
//!
//! | module | what |
//! |---|---|
//! | `server` | the key server |
//! | `member` | a member: a daemon, or one inside `send` and `recv` |
//! | `stream` | `send` and `recv` |
//! | `demo` | the demonstration and its processes |
//! | [`difficulty`], [`hip`], [`association_rekey`] | the puzzle of HIP, the algorithms that HIP offers, and how long keys live |
//! | `files` | one file or several |
//! | `identity` | which of a host's identities is used |
//! | `new_key` | the key that an identity or an owner is made with |
//! | `log` | what is logged |
//! | `paths`, `ports`, `server_address` | where state and sockets are, and where a key server is reached |

pub mod association_rekey;
pub(crate) mod demo;
pub mod difficulty;
pub(crate) mod files;
pub mod hip;
pub(crate) mod identity;
pub(crate) mod log;
pub(crate) mod member;
pub(crate) mod new_key;
pub(crate) mod paths;
pub(crate) mod ports;
pub(crate) mod server;
pub(crate) mod server_address;
pub(crate) mod stream;
