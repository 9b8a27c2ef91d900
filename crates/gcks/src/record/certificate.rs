//! Certificates: the chain that a grant rests on.

use claviger_pki::Certificate;
use claviger_wire::{DecodeError, Reader, Writer};

/// How many certificates one record has at most: roots of an owner.
const CERTIFICATES_MAX: usize = u8::MAX as usize;

pub(crate) fn encode(chain: &[Vec<u8>]) -> Vec<u8> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    super::encode(|w| write_certificates(w, &chain))
}

pub(crate) fn decode(octets: &[u8]) -> Result<Vec<Certificate>, DecodeError> {
    super::decode(octets, read_certificates)
}

/// Says whether so many certificates can be written.
pub(crate) fn fits(count: usize) -> bool {
    (1..=CERTIFICATES_MAX).contains(&count)
}

pub(super) fn write_certificates(w: &mut Writer, certificates: &[&[u8]]) {
    // Who adds an owner is asked whether they fit.
    w.u8(certificates.len() as u8);
    for octets in certificates {
        w.nested_u16(|w| w.slice(octets));
    }
}

pub(super) fn read_certificates(r: &mut Reader<'_>) -> Result<Vec<Certificate>, DecodeError> {
    let count = r.u8("certificate count")?;
    if count == 0 {
        return Err(DecodeError::Missing { what: "certificate" });
    }
    let mut certificate = || {
        let length = r.u16("certificate length")?;
        let octets = r.slice(length.into(), "certificate")?;
        Certificate::from_der(octets).map_err(|_| DecodeError::Value { field: "certificate", value: 0 })
    };
    (0..count).map(|_| certificate()).collect()
}
