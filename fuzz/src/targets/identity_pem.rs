//! A host identity's file.

use claviger_identity::{HostIdentity, pem};

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Ok(pkcs8) = pem::decode(input) {
        let again = pem::decode(pem::encode(&pkcs8).expose()).expect("what is written is read");
        assert_eq!(again, pkcs8);
    }
    if let Ok(identity) = HostIdentity::from_pem(input) {
        let again = HostIdentity::from_pem(identity.to_pem().expose()).expect("what is written is read");
        assert_eq!(again.hit(), identity.hit());
    }
}
