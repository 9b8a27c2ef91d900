//! A certificate, read once.

use claviger_crypto::sign::{CertificateKey, CertificateSignature, PublicKey};
use der::{Decode, Encode};
use x509_cert::certificate::Version;

use crate::{
    algorithm, error::Named, extensions::Extensions, limits::CERTIFICATE_LEN_MAX, name::Name, octets::Signed,
    read_error::ReadError, tbs_certificate::TbsCertificate,
};

const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const PEM_END: &str = "-----END CERTIFICATE-----";

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
        let to_be_signed = TbsCertificate::from_der(signed.to_be_signed).map_err(|_| ReadError::Der)?;
        if to_be_signed.signature != signed.algorithm {
            return Err(ReadError::SignatureAlgorithm);
        }
        let extensions = to_be_signed.extensions.as_deref();
        //= rfc5280#section-4.1.2.9
        //# This field MUST only appear if the version is 3
        if extensions.is_some() && to_be_signed.version != Version::V3 {
            return Err(ReadError::Version);
        }
        let (key_info, validity) = (&to_be_signed.key, &to_be_signed.validity);
        Ok(Self {
            der: octets.to_vec(),
            to_be_signed: signed.to_be_signed.to_vec(),
            signature_algorithm: algorithm::signature(&signed.algorithm),
            signature: signed.signature,
            serial_number: to_be_signed.serial_number.as_bytes().to_vec(),
            issuer: Name::new(&to_be_signed.issuer).map_err(|_| ReadError::Der)?,
            subject: Name::new(&to_be_signed.subject).map_err(|_| ReadError::Der)?,
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            key: algorithm::key(key_info),
            key_info: key_info.to_der().map_err(|_| ReadError::Der)?,
            extensions: Extensions::read(extensions.unwrap_or_default(), &to_be_signed.issuer)?,
        })
    }

    /// Reads all certificates of a PEM file, whatever else stands between them.
    ///
    /// # Errors
    ///
    /// [`ReadError`], also if there is none.
    pub fn from_pem(octets: &[u8]) -> Result<Vec<Self>, ReadError> {
        let text = std::str::from_utf8(octets).map_err(|_| ReadError::Der)?;
        let mut certificates = Vec::new();
        for after in text.split(PEM_BEGIN).skip(1) {
            let (inside, _) = after.split_once(PEM_END).ok_or(ReadError::Der)?;
            let one = [PEM_BEGIN, inside, PEM_END, "\n"].concat();
            let (_, der) = der::pem::decode_vec(one.as_bytes()).map_err(|_| ReadError::Der)?;
            certificates.push(Self::from_der(&der)?);
        }
        if certificates.is_empty() { Err(ReadError::Der) } else { Ok(certificates) }
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
        self.subject.der()
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

    /// Shows the key that it is about, if that is of a kind that hosts have.
    pub fn signing_key(&self) -> Option<&PublicKey> {
        self.key().and_then(CertificateKey::signing)
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

impl From<&Certificate> for Named {
    fn from(certificate: &Certificate) -> Self {
        Self { subject: certificate.subject().clone(), serial_number: certificate.serial_number().to_vec() }
    }
}

/// Writes octets as PEM, with line feeds.
pub(crate) fn pem(label: &'static str, octets: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, octets).expect("the label is in order")
}
