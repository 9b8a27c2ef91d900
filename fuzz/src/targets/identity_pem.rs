//! A host identity's file.

use claviger_crypto::provider;
use claviger_identity::{HostIdentity, pem};

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Ok(pkcs8) = pem::decode(input) {
        let again = pem::decode(pem::encode(&pkcs8).expose()).expect("what is written is read");
        assert_eq!(again, pkcs8);
    }
    if let Ok(identity) = HostIdentity::from_pem(provider(), input) {
        let again =
            HostIdentity::from_pem(provider(), identity.to_pem().expect("the key is in memory").expose())
                .expect("what is written is read");
        assert_eq!(again.hit(), identity.hit());
    }
}
