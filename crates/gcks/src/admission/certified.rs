//! What a grant rests on that was given by a certificate.

use std::{collections::BTreeSet, sync::Arc};

use claviger_group::Role;
use claviger_pki::{Certificate, Name, ReadError};
use claviger_sansio::Time;

/// What a certificate gives a host in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certified {
    /// The role; none where the certificate says only who the host is, and the list names that subject.
    pub(crate) role: Option<Role>,
    /// From this instant on a certificate of the chain is over.
    pub(crate) until: Time,
    pub(crate) chain: Arc<KeptChain>,
}

/// A chain that held, from the host's own certificate to the one that a root issued.
///
/// Of the certificates it has in memory what is looked for in lists of revoked ones: they are read again when one is to be
/// judged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeptChain {
    octets: Vec<Vec<u8>>,
    subject: Name,
    numbers: Vec<(Arc<Name>, Vec<u8>)>,
}

/// The names of issuers, each once: very many certificates have the same.
#[derive(Default)]
pub(crate) struct Issuers(BTreeSet<Arc<Name>>);

impl KeptChain {
    /// Keeps a chain, the host's own certificate first.
    pub(crate) fn new(certificates: &[Certificate], issuers: &mut Issuers) -> Self {
        let number = |certificate: &Certificate| {
            (issuers.share(certificate.issuer()), certificate.serial_number().to_vec())
        };
        Self {
            octets: certificates.iter().map(|certificate| certificate.der().to_vec()).collect(),
            subject: certificates.first().expect("a chain has the host's own certificate").subject().clone(),
            numbers: certificates.iter().map(number).collect(),
        }
    }

    /// Shows the octets of each certificate.
    pub(crate) fn octets(&self) -> &[Vec<u8>] {
        &self.octets
    }

    /// Says whom the first certificate is about.
    pub(crate) fn subject(&self) -> &Name {
        &self.subject
    }

    /// Goes through the certificates by issuer and number.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.numbers.iter().map(|(issuer, number)| (&**issuer, &number[..]))
    }

    /// Reads the certificates again.
    pub(crate) fn certificates(&self) -> Result<Vec<Certificate>, ReadError> {
        self.octets.iter().map(|octets| Certificate::from_der(octets)).collect()
    }
}

impl Issuers {
    fn share(&mut self, name: &Name) -> Arc<Name> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let shared = Arc::new(name.clone());
        self.0.insert(Arc::clone(&shared));
        shared
    }

    /// Forgets the names that no chain has any more.
    pub(crate) fn forget_unused(&mut self) {
        self.0.retain(|name| Arc::strong_count(name) > 1);
    }
}
