//! The certificates that a host shows and is shown (RFC 8002). What they are worth is for the program to judge: here is only
//! what stands in packets.
//!
//! A chain is a CERT group of its own. Groups that go on in a later packet are not put together, and what is only named (a
//! hash and a URL, an LDAP URL, a distinguished name) is not fetched.

use std::collections::BTreeMap;

use claviger_wire::DecodeError;

use crate::{
    iana::CertType,
    rules::CERTS_MAX,
    wire::{Cert, ParameterBlock},
};

/// The octets that a host's own certificates leave in a packet, at least, for what services say: a group with a long name.
pub const ITEMS_ROOM_MIN: usize = 256;

/// X.509 v3 certificates in DER, each issued under the key of the next: the host's own stands first, and the root, which who
/// judges has, is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateChain(pub Vec<Vec<u8>>);

/// What certificates a packet showed, inside ENCRYPTED and open alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// There was none.
    None,
    /// Each CERT group, in ascending order of its number, with its certificates in the order of their CERT IDs.
    Chains(Vec<CertificateChain>),
    /// There were some, of which none is taken.
    Refused(CertRefusal),
}

/// Why the certificates of a packet are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertRefusal {
    /// One is of a type that is not taken. Nothing is fetched.
    Unsupported(CertType),
    /// A CERT group lacks a certificate, has one twice, or contradicts itself about how many it has.
    Incomplete,
}

impl Certificates {
    /// Sorts the CERTs of a packet into chains.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooMany`] beyond [`CERTS_MAX`] in one packet.
    pub(crate) fn read(certs: Vec<Cert>) -> Result<Self, DecodeError> {
        if certs.len() > CERTS_MAX {
            return Err(DecodeError::TooMany { what: "CERT", limit: CERTS_MAX });
        }
        if certs.is_empty() {
            return Ok(Self::None);
        }
        if let Some(other) = certs.iter().find(|cert| cert.cert_type != CertType::X509_V3) {
            return Ok(Self::Refused(CertRefusal::Unsupported(other.cert_type)));
        }
        let mut groups: BTreeMap<u8, Group> = BTreeMap::new();
        for cert in certs {
            let group = groups.entry(cert.group).or_insert_with(|| Group::of(cert.count));
            if !group.take(cert) {
                return Ok(Self::Refused(CertRefusal::Incomplete));
            }
        }
        let chains = groups.into_values().map(Group::complete).collect::<Option<Vec<_>>>();
        Ok(chains.map_or(Self::Refused(CertRefusal::Incomplete), Self::Chains))
    }
}

/// A CERT group as far as it was read.
struct Group {
    count: u8,
    certificates: BTreeMap<u8, Vec<u8>>,
}

impl Group {
    fn of(count: u8) -> Self {
        Self { count, certificates: BTreeMap::new() }
    }

    /// Takes one more certificate; returns whether it agrees with those before.
    fn take(&mut self, cert: Cert) -> bool {
        cert.count == self.count && self.certificates.insert(cert.id, cert.certificate).is_none()
    }

    /// Returns the chain, if none of its certificates is missing.
    fn complete(self) -> Option<CertificateChain> {
        // Each CERT ID was from 1 to the count, and stood there once.
        let complete = self.certificates.len() == usize::from(self.count);
        complete.then(|| CertificateChain(self.certificates.into_values().collect()))
    }
}

/// Says whether a host can show these chains: none is empty, and together they have no more certificates than a packet may.
pub(crate) fn can_be_shown(chains: &[CertificateChain]) -> bool {
    let count: usize = chains.iter().map(|chain| chain.0.len()).sum();
    count <= CERTS_MAX && chains.iter().all(|chain| !chain.0.is_empty() && !chain.0.iter().any(Vec::is_empty))
}

/// Adds the CERTs of a host's chains: a group for each, from 1 on.
pub(crate) fn add(block: &mut ParameterBlock, chains: &[CertificateChain]) {
    for (group, chain) in (1..).zip(chains) {
        // Both are at most CERTS_MAX in what can be shown.
        let count = chain.0.len() as u8;
        for (id, certificate) in (1..).zip(&chain.0) {
            let certificate = certificate.clone();
            block.add(&Cert { group, count, id, cert_type: CertType::X509_V3, certificate });
        }
    }
}

/// Says how many octets the CERTs of a host's chains fill.
pub(crate) fn len(chains: &[CertificateChain]) -> usize {
    chains.iter().flat_map(|chain| &chain.0).map(|certificate| Cert::filled_len(certificate.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert(group: u8, count: u8, id: u8) -> Cert {
        Cert { group, count, id, cert_type: CertType::X509_V3, certificate: vec![group, id] }
    }

    fn chain(group: u8, ids: &[u8]) -> CertificateChain {
        CertificateChain(ids.iter().map(|id| vec![group, *id]).collect())
    }

    #[test]
    fn chains_are_read_as_they_were_written() {
        let chains = [chain(1, &[1, 2, 3]), chain(2, &[1])];
        let mut block = ParameterBlock::new();
        add(&mut block, &chains);
        assert_eq!(block.octets().unwrap().len(), len(&chains));
        let parameters = crate::wire::Parameters::parse(block.octets().unwrap()).unwrap();
        assert_eq!(Certificates::read(parameters.all().unwrap()), Ok(Certificates::Chains(chains.to_vec())));
    }

    #[test]
    fn a_group_is_sorted_by_cert_id_and_groups_by_their_number() {
        let read = Certificates::read(vec![cert(9, 1, 1), cert(2, 3, 3), cert(2, 3, 1), cert(2, 3, 2)]);
        assert_eq!(read, Ok(Certificates::Chains(vec![chain(2, &[1, 2, 3]), chain(9, &[1])])));
    }

    #[test]
    fn a_group_that_lacks_or_doubles_or_miscounts_a_certificate_is_incomplete() {
        for certs in [
            vec![cert(1, 2, 1)],
            vec![cert(1, 2, 2)],
            vec![cert(1, 255, 255)],
            vec![cert(1, 3, 1), cert(1, 3, 3)],
            vec![cert(1, 2, 1), cert(1, 2, 1)],
            vec![cert(1, 2, 1), cert(1, 3, 2)],
            vec![cert(1, 1, 1), cert(1, 1, 1)],
            vec![cert(1, 1, 1), cert(2, 2, 1)],
        ] {
            let read = Certificates::read(certs.clone());
            assert_eq!(read, Ok(Certificates::Refused(CertRefusal::Incomplete)), "{certs:?}");
        }
    }

    #[test]
    fn certificates_of_other_types_are_refused_by_name() {
        for cert_type in [0, 2, 3, 4, 5, 6, 7, 8, 255].map(CertType) {
            let other = Cert { cert_type, ..cert(2, 1, 1) };
            let read = Certificates::read(vec![cert(1, 2, 1), other]);
            assert_eq!(read, Ok(Certificates::Refused(CertRefusal::Unsupported(cert_type))));
        }
    }

    #[test]
    fn no_certificates_are_none_and_more_than_four_are_too_many() {
        assert_eq!(Certificates::read(vec![]), Ok(Certificates::None));
        let certs = (1..=5).map(|group| cert(group, 1, 1)).collect();
        let too_many = DecodeError::TooMany { what: "CERT", limit: CERTS_MAX };
        assert_eq!(Certificates::read(certs), Err(too_many));
    }

    #[test]
    fn no_chain_is_empty_and_no_certificate() {
        assert!(can_be_shown(&[]));
        assert!(can_be_shown(&[chain(1, &[1, 2]), chain(2, &[1, 2])]));
        assert!(!can_be_shown(&[chain(1, &[1, 2, 3]), chain(2, &[1, 2])]), "five in all");
        assert!(!can_be_shown(&[chain(1, &[1]), chain(2, &[])]), "an empty chain");
        assert!(!can_be_shown(&[CertificateChain(vec![vec![]])]), "an empty certificate");
    }
}
