//! The owner of a group.

use claviger_group::GroupId;
use claviger_pki::Certificate;
use claviger_sansio::durable::RecordKey;
use claviger_wire::DecodeError;

use super::{
    certificate::{read_certificates, write_certificates},
    field::read_coded,
};
use crate::admission::owner::{Admits, Owner, RevocationPolicy};

/// Names the record: a group has one owner.
pub(crate) fn key(group: &GroupId) -> RecordKey {
    RecordKey::new(super::scope(group), Vec::new())
}

pub(crate) fn encode(owner: &Owner) -> Vec<u8> {
    let Owner { roots, admits, revocation } = owner;
    let roots: Vec<&[u8]> = roots.iter().map(Certificate::der).collect();
    super::encode(|w| {
        w.u8(admits_code(*admits));
        w.u8(revocation_code(*revocation));
        write_certificates(w, &roots);
    })
}

pub(crate) fn decode(octets: &[u8]) -> Result<Owner, DecodeError> {
    super::decode(octets, |r| {
        let admits =
            read_coded(r, "admits", [Admits::ListAndCertificate, Admits::ListOrCertificate], admits_code)?;
        let policies = [RevocationPolicy::NotChecked, RevocationPolicy::Required];
        let revocation = read_coded(r, "revocation policy", policies, revocation_code)?;
        Ok(Owner { roots: read_certificates(r)?, admits, revocation })
    })
}

fn admits_code(admits: Admits) -> u8 {
    match admits {
        Admits::ListOrCertificate => 1,
        Admits::ListAndCertificate => 2,
    }
}

fn revocation_code(policy: RevocationPolicy) -> u8 {
    match policy {
        RevocationPolicy::NotChecked => 0,
        RevocationPolicy::Required => 1,
    }
}
