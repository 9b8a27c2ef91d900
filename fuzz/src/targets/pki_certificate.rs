//! A certificate that a host shows, judged by a group owner that did not sign it.

use std::sync::LazyLock;

use claviger_crypto::{provider, sign::PublicKey};
use claviger_pki::{Certificate, GroupOwner, Revocation};

use crate::owner;

/// The owner, and what does hold.
struct Known {
    owner: GroupOwner,
    ca: Certificate,
    host: Certificate,
    key: PublicKey,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known {
    owner: GroupOwner::new(provider(), vec![owner::root()], Revocation::NotChecked),
    ca: owner::ca(),
    host: owner::host(),
    key: owner::host_key(),
});

/// Feeds one input: as the host's own certificate, and as a CA's. Octets that are no certificate of the owner's are never
/// one that holds.
pub(super) fn feed(input: &[u8]) {
    let Ok(certificate) = Certificate::from_der(input) else {
        return;
    };
    assert_eq!(certificate.der(), input);
    let Known { owner, ca, host, key } = &*KNOWN;
    let verdict = owner.judge(&[certificate.clone(), ca.clone(), certificate.clone()], key, None, owner::NOW);
    assert!(verdict.is_err() || certificate == *host, "a certificate that nobody signed holds");
    let verdict = owner.judge(&[host.clone(), certificate.clone()], key, None, owner::NOW);
    assert!(verdict.is_err() || certificate == *ca, "a CA that nobody certified certifies");
}
