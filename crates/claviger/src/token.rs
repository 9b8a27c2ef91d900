//! Keys in PKCS #11 tokens, where the program is built with them.

use claviger_crypto::sign::Signer;

use crate::exit::Outcome;
#[cfg(not(feature = "pkcs11"))]
use crate::exit::{Exit, Failure};

/// Opens the key that a URI names. The URI itself is not shown before it was read: there may be a PIN in it.
#[cfg(feature = "pkcs11")]
pub(crate) fn open(uri: &str) -> Outcome<Box<dyn Signer>> {
    use claviger_crypto::provider;
    use claviger_token::{TokenKey, TokenUri};

    use crate::exit::{Exit, Failure};

    let uri: TokenUri = uri.parse().map_err(|error| {
        let message = format!("the URI of a key in a token is refused: {error}");
        Failure::new(Exit::Configuration, message).hint("docs/tokens.md says what such a URI has")
    })?;
    match TokenKey::open(provider(), &uri) {
        Ok(key) => Ok(Box::new(key)),
        Err(error) => {
            Err(Failure::new(Exit::Configuration, format!("the key {uri} cannot be used: {error}")))
        }
    }
}

/// Says that this program knows no tokens.
#[cfg(not(feature = "pkcs11"))]
pub(crate) fn open(_: &str) -> Outcome<Box<dyn Signer>> {
    let message = "the key is in a PKCS #11 token, and this claviger was built without those";
    Err(Failure::new(Exit::Configuration, message)
        .hint("build it with: cargo build --release --locked --features pkcs11"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "pkcs11"))]
    fn a_key_in_a_token_is_refused_with_how_to_build_it() {
        let failure = open("pkcs11:token=hosts?module-path=/x.so&pin-value=471100").map(drop).unwrap_err();
        assert_eq!(failure.exit, Exit::Configuration);
        assert_eq!(
            failure.to_string(),
            "claviger: the key is in a PKCS #11 token, and this claviger was built without those\n  \
             try: build it with: cargo build --release --locked --features pkcs11"
        );
    }

    #[test]
    #[cfg(feature = "pkcs11")]
    fn a_uri_that_is_refused_is_not_shown() {
        let failure = open("pkcs11:token=hosts?module-path=/x.so&pin-value=471100").map(drop).unwrap_err();
        let shown = failure.to_string();
        assert!(shown.contains("the URI of a key in a token is refused: pin-value is refused: "), "{shown}");
        assert!(!shown.contains("471100"), "{shown}");
        let failure = open("pkcs11:token=hosts?module-path=/nowhere/x.so").map(drop).unwrap_err();
        assert!(
            failure.message.starts_with(
                "the key pkcs11:token=hosts?module-path=/nowhere/x.so cannot be used: the library /nowhere/x.so"
            ),
            "{}",
            failure.message
        );
    }
}
