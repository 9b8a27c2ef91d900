//! What of a certificate is signed (RFC 5280 section 4.1), with object identifiers of extensions of any length.

use der::{
    Sequence,
    asn1::{BitString, OctetString},
};
use x509_cert::{
    certificate::Version,
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::Validity,
};

use crate::oid::Oid;

/// TBSCertificate.
#[derive(Sequence)]
pub(crate) struct TbsCertificate {
    #[asn1(context_specific = "0", default = "Default::default")]
    pub(crate) version: Version,
    pub(crate) serial_number: SerialNumber,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Name,
    pub(crate) validity: Validity,
    pub(crate) subject: Name,
    pub(crate) key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) issuer_unique_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) subject_unique_id: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Vec<RawExtension>>,
}

/// Extension (RFC 5280 section 4.1.2.9).
#[derive(Sequence)]
pub(crate) struct RawExtension {
    pub(crate) id: Oid,
    #[asn1(default = "Default::default")]
    pub(crate) critical: bool,
    pub(crate) value: OctetString,
}
