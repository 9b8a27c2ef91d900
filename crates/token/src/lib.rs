//! Signs with keys that stay in a PKCS #11 token: a smart card, a hardware security module, or SoftHSM.
//!
//! A key is named by a URI (RFC 7512), which also names the library that speaks with the token, and the file that holds
//! the PIN. Nothing of the private key leaves the token but signatures.
//!
//! | module | what |
//! |---|---|
//! | [`uri`] | the name of a key: token, object, library, file of the PIN |
//! | [`pin`] | a PIN, from a file that nobody else can read |
//! | [`key`] | a key that signs: `crypto`'s `Signer` |
//! | `session` | a session of a token, with the key found in it and tried |
//! | `module` | libraries, loaded once in a process |
//! | `public_key` | public keys, as tokens describe them |
//! | `mechanism` | which operation of a token makes which signature |
//! | [`error`] | why a key cannot be used |
//!
//! ```
//! use claviger_token::{TokenKey, TokenUri};
//!
//! let uri: TokenUri = "pkcs11:token=hosts;object=host-1?module-path=/usr/lib/none.so".parse()?;
//! assert_eq!(uri.object(), Some("host-1"));
//! let error = TokenKey::open(claviger_crypto::provider(), &uri).unwrap_err();
//! assert!(error.to_string().starts_with("the library /usr/lib/none.so cannot be used: "), "{error}");
//! # Ok::<(), claviger_token::UriError>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod error;
pub mod key;
mod mechanism;
mod module;
pub mod pin;
mod public_key;
mod session;
pub mod uri;

pub use error::{PinFault, TokenError};
pub use key::TokenKey;
pub use uri::{TokenUri, UriError};
