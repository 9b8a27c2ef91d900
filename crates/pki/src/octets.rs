//! The outermost SEQUENCE of a signed object: what was signed, how, and the signature.

use der::{
    Decode, Reader, SliceReader, Tag, Tagged,
    asn1::{AnyRef, BitString},
};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::read_error::ReadError;

/// SEQUENCE { toBeSigned, signatureAlgorithm, signatureValue }, as certificates and lists of revoked ones have it.
pub(crate) struct Signed<'a> {
    /// The octets that the signature is over, as they came.
    pub(crate) to_be_signed: &'a [u8],
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    pub(crate) fn read(octets: &'a [u8]) -> Result<Self, ReadError> {
        let read = || -> der::Result<Self> {
            let outer = AnyRef::from_der(octets)?;
            if outer.tag() != Tag::Sequence {
                return Err(Tag::Sequence.value_error().into());
            }
            let mut reader = SliceReader::new(outer.value())?;
            let to_be_signed = reader.tlv_bytes()?;
            let algorithm = AlgorithmIdentifierOwned::decode(&mut reader)?;
            let signature = BitString::decode(&mut reader)?;
            reader.finish()?;
            // One that is not of whole octets is by no key.
            let signature = signature.as_bytes().unwrap_or_default().to_vec();
            Ok(Self { to_be_signed, algorithm, signature })
        };
        read().map_err(|_| ReadError::Der)
    }
}
