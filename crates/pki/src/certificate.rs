//! A certificate, read once.

use claviger_crypto::sign::{CertificateKey, CertificateSignature};
use der::{Decode, Encode};
use x509_cert::certificate::{Rfc5280, TbsCertificateInner, Version};

use crate::{
    algorithm, error::ReadError, extensions::Extensions, limits::CERTIFICATE_LEN_MAX, name::Name,
    octets::Signed,
};

/// An X.509 certificate, version 1 to 3. It keeps the octets that were signed, and the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    to_be_signed: Vec<u8>,
    pub(crate) signature_algorithm: Option<CertificateSignature>,
    pub(crate) signature: Vec<u8>,
    serial_number: Vec<u8>,
    issuer: Name,
    subject: Name,
    subject_der: Vec<u8>,
    not_before: u64,
    not_after: u64,
    key: Option<CertificateKey>,
    key_info: Vec<u8>,
    extensions: Extensions,
}

impl Certificate {
    /// Reads a certificate from its DER.
    ///
    /// # Errors
    ///
    /// [`ReadError`], by what is wrong with the octets. Unknown algorithms and extensions are no errors here.
    pub fn from_der(octets: &[u8]) -> Result<Self, ReadError> {
        if octets.len() > CERTIFICATE_LEN_MAX {
            return Err(ReadError::Length);
        }
        let signed = Signed::read(octets)?;
        let to_be_signed: TbsCertificateInner<Rfc5280> =
            Decode::from_der(signed.to_be_signed).map_err(|_| ReadError::Der)?;
        if *to_be_signed.signature() != signed.algorithm {
            return Err(ReadError::SignatureAlgorithm);
        }
        let extensions = to_be_signed.extensions();
        //= rfc5280#section-4.1.2.9
        //# This field MUST only appear if the version is 3
        if extensions.is_some() && to_be_signed.version() != Version::V3 {
            return Err(ReadError::Version);
        }
        let key_info = to_be_signed.subject_public_key_info();
        Ok(Self {
            der: octets.to_vec(),
            to_be_signed: signed.to_be_signed.to_vec(),
            signature_algorithm: algorithm::signature(&signed.algorithm),
            signature: signed.signature,
            serial_number: to_be_signed.serial_number().as_bytes().to_vec(),
            issuer: Name::new(to_be_signed.issuer()),
            subject: Name::new(to_be_signed.subject()),
            subject_der: to_be_signed.subject().to_der().map_err(|_| ReadError::Der)?,
            not_before: to_be_signed.validity().not_before.to_unix_duration().as_secs(),
            not_after: to_be_signed.validity().not_after.to_unix_duration().as_secs(),
            key: algorithm::key(key_info),
            key_info: key_info.to_der().map_err(|_| ReadError::Der)?,
            extensions: Extensions::read(extensions.map_or(&[], Vec::as_slice), to_be_signed.issuer())?,
        })
    }

    /// Reads all certificates of a PEM file.
    ///
    /// # Errors
    ///
    /// [`ReadError`], also if there is none.
    pub fn from_pem(octets: &[u8]) -> Result<Vec<Self>, ReadError> {
        let certificates = x509_cert::Certificate::load_pem_chain(octets).map_err(|_| ReadError::Der)?;
        if certificates.is_empty() {
            return Err(ReadError::Der);
        }
        let read = |certificate: x509_cert::Certificate| {
            Self::from_der(&certificate.to_der().map_err(|_| ReadError::Der)?)
        };
        certificates.into_iter().map(read).collect()
    }

    /// Writes the certificate as PEM (RFC 7468).
    pub fn to_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Shows the octets.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Shows the octets that its signature is over.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// Shows its number among those of its issuer, big-endian.
    pub fn serial_number(&self) -> &[u8] {
        &self.serial_number
    }

    /// Says who issued it.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Says whom it is about.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Shows whom it is about, in DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Says from when on it is valid, in seconds since 1970.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Says until when it is valid, in seconds since 1970. That second still belongs to it.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Shows the key that it is about; `None` if that is of an unknown kind.
    pub fn key(&self) -> Option<&CertificateKey> {
        self.key.as_ref()
    }

    /// Shows the extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Says that subject and issuer are one: a CA that gives itself a new key.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Says that two certificates are of the same subject and the same key.
    pub(crate) fn is_same_holder(&self, other: &Self) -> bool {
        self.subject == other.subject && self.key_info == other.key_info
    }
}

/// Writes octets as PEM, with line feeds.
pub(crate) fn pem(label: &'static str, octets: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, octets).expect("the label is in order")
}
