//! A certificate, judged under a root that did not sign it.

use std::sync::LazyLock;

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Purpose, Revocation};

use crate::owner;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let lists = Revocation::Lists(vec![owner::list()]);
    Authority::new(provider(), vec![owner::root()], lists)
});

/// Feeds one input. Octets that are no certificate of the owner's are never one that holds.
pub(super) fn feed(input: &[u8]) {
    let Ok(certificate) = Certificate::from_der(input) else {
        return;
    };
    assert_eq!(certificate.der(), input);
    let others = [certificate.clone(), owner::ca()];
    let verdict = AUTHORITY.judge(&certificate, &others, &Purpose::default(), owner::NOW);
    let is_owners = [owner::host(), owner::ca()].contains(&certificate);
    assert!(verdict.is_err() || is_owners, "a certificate that nobody signed holds");
}
