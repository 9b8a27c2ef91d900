//! A list of revoked certificates, asked about a certificate that is on none.

use std::sync::LazyLock;

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Crl, Purpose, Revocation};

use crate::owner;

static DIRECT: LazyLock<[Certificate; 2]> = LazyLock::new(|| [owner::direct(), owner::root()]);
static LIST: LazyLock<Crl> = LazyLock::new(owner::list);

/// Feeds one input. What is no list of the owner's vouches for nobody.
pub(super) fn feed(input: &[u8]) {
    let Ok(list) = Crl::from_der(input) else {
        return;
    };
    let [host, root] = &*DIRECT;
    let (is_owners, names) = (list == *LIST, list.names(host));
    let authority = Authority::new(provider(), vec![root.clone()], Revocation::Lists(vec![list]));
    let purpose = Purpose { extensions: vec![claviger_pki::GroupRights::OID], ..Purpose::default() };
    let verdict = authority.judge(host, &[], &purpose, owner::NOW);
    assert_eq!(verdict.is_ok(), is_owners, "a list that nobody signed vouches, or the owner's does not");
    assert!(verdict.is_err() || !names, "a certificate holds that a list names");
}
