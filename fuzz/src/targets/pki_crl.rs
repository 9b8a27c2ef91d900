//! A list of revoked certificates, asked about a certificate that is on none.

use claviger_crypto::provider;
use claviger_pki::{Authority, Crl, Purpose, Revocation};

use crate::owner;

/// Feeds one input. What is no list of the owner's vouches for nobody.
pub(super) fn feed(input: &[u8]) {
    let Ok(list) = Crl::from_der(input) else {
        return;
    };
    let is_owners = list == owner::list();
    let authority = Authority::new(provider(), vec![owner::root()], Revocation::Lists(vec![list]));
    let host = owner::direct();
    let verdict = authority.judge(&host, &[], &Purpose::default(), owner::NOW);
    assert!(verdict.is_err() || is_owners, "a list that nobody signed vouches");
}
