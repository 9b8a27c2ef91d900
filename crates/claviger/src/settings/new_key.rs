//! Where a key is that an identity or an owner is made with.

use claviger_crypto::sign::KeyAlgorithm;

/// What names of keys in PKCS #11 tokens begin with.
pub(crate) const TOKEN_SCHEME: &str = "pkcs11:";

/// A key that an identity or an owner is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewKey {
    /// It is made, and kept in a file.
    Made(KeyAlgorithm),
    /// It is in a token, by this URI.
    Token(String),
}

impl NewKey {
    /// Takes the key that a URI names, or makes one of a kind.
    pub(crate) fn of(uri: Option<String>, algorithm: KeyAlgorithm) -> Self {
        uri.map_or(Self::Made(algorithm), Self::Token)
    }
}

/// Says whether a text is meant as the name of a key in a token.
pub(crate) fn is_in_token(text: &str) -> bool {
    text.get(..TOKEN_SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(TOKEN_SCHEME))
}
