//! Certificates and lists of revoked ones, made and signed.

use std::{fmt, net::IpAddr, time::Duration};

use claviger_crypto::{
    CryptoError, CryptoProvider, Random,
    hash::HashAlgorithm,
    sign::{PublicKey, Signer},
};
use const_oid::AssociatedOid;
use der::{
    Decode, Encode, Sequence,
    asn1::{BitString, GeneralizedTime, OctetString, UtcTime},
};
use x509_cert::{
    certificate::Version,
    crl::RevokedCert,
    ext::pkix::{self, KeyUsages, name::GeneralName},
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

use crate::{
    algorithm,
    certificate::Certificate,
    extension::Extension,
    extensions::BasicConstraints,
    rfc4514,
    tbs_certificate::{RawExtension, TbsCertificate},
};

/// The octets of a serial number: as many as make guessing and accidents impossible, and RFC 5280 allows 20.
const SERIAL_NUMBER_LEN: usize = 16;

/// The octets of a key identifier: the leftmost 160 bits of a SHA-256 (RFC 7093 section 2).
const KEY_IDENTIFIER_LEN: usize = 20;

/// The last second that is written as UTCTime: 2049 ends with it (RFC 5280 section 4.1.2.5).
const UTC_TIME_MAX: u64 = 2_524_607_999;

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom it is about, as RFC 4514 writes names; may be empty if there are alternative names.
    pub subject: String,
    /// The key that it is about.
    pub key: PublicKey,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: u64,
    /// Until when it is valid, that second included, in seconds since 1970.
    pub not_after: u64,
    /// Whether it is that of a CA.
    pub basic_constraints: BasicConstraints,
    /// Addresses of the subject: for hosts their HIT (RFC 8002 section 3).
    pub addresses: Vec<IpAddr>,
    /// Extensions that this crate does not know.
    pub extensions: Vec<Extension>,
}

/// A CA with its key.
pub struct Issuer<'a> {
    /// Where digests and such come from.
    pub provider: &'static CryptoProvider,
    /// Its key.
    pub signer: &'a dyn Signer,
    /// Its certificate; `None` while that is being made.
    pub certificate: Option<&'a Certificate>,
}

/// Why a certificate or a list was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueError {
    /// The key cannot sign.
    Crypto(CryptoError),
    /// What is asked for is no certificate: a time after the year 9999, a name that RFC 4514 does not know, a malformed
    /// extension, or more than [`CERTIFICATE_LEN_MAX`](crate::limits::CERTIFICATE_LEN_MAX) octets.
    Request,
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto(error) => write!(f, "the certificate cannot be signed: {error}"),
            Self::Request => {
                f.write_str("the name, a time or an extension of the certificate cannot be written")
            }
        }
    }
}

impl std::error::Error for IssueError {}

impl From<CryptoError> for IssueError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

impl From<der::Error> for IssueError {
    fn from(_: der::Error) -> Self {
        Self::Request
    }
}

/// Certificate and CertificateList (RFC 5280 sections 4.1 and 5.1): what is signed stands in it as it was signed.
#[derive(Sequence)]
struct Signed<'a> {
    to_be_signed: der::asn1::AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

impl Issuer<'_> {
    /// Makes a certificate with a serial number from `random`. Without a certificate of its own the issuer makes that
    /// one: subject and issuer are the same.
    ///
    /// # Errors
    ///
    /// [`IssueError`], by whose fault it is.
    pub fn issue(&self, request: &Request, random: &mut dyn Random) -> Result<Certificate, IssueError> {
        let subject = match request.subject.as_str() {
            "" => x509_cert::name::Name::default(),
            subject => rfc4514::read(subject).map_err(|_| IssueError::Request)?,
        };
        let issuer = match self.certificate {
            Some(certificate) => Decode::from_der(certificate.subject_der())?,
            None => subject.clone(),
        };
        let mut serial_number = [0; SERIAL_NUMBER_LEN];
        random.fill(&mut serial_number);
        // Positive, and of full length.
        serial_number[0] = serial_number[0] & 0x7f | 0x40;
        let key = algorithm::key_info(&request.key)?;
        let to_be_signed = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&serial_number)?,
            signature: algorithm::signing(self.signer.public().algorithm()).1,
            issuer,
            validity: Validity::new(time(request.not_before)?, time(request.not_after)?),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions(request, &key, subject.is_empty())?),
            subject,
            key,
        };
        let octets = self.sign(&to_be_signed.to_der()?)?;
        Certificate::from_der(&octets).map_err(|_| IssueError::Request)
    }

    /// Makes a list of the certificates that it revoked: serial number and when, in seconds since 1970.
    ///
    /// `number` grows with each list. The list is replaced by another before `next_update`.
    ///
    /// # Errors
    ///
    /// [`IssueError`], by whose fault it is; [`IssueError::Request`] without a certificate of its own.
    pub fn revoke(
        &self,
        revoked: &[(Vec<u8>, u64)],
        number: u64,
        this_update: u64,
        next_update: u64,
    ) -> Result<Vec<u8>, IssueError> {
        let certificate = self.certificate.ok_or(IssueError::Request)?;
        let entry = |(serial_number, since): &(Vec<u8>, u64)| {
            Ok(RevokedCert {
                serial_number: SerialNumber::new(serial_number)?,
                revocation_date: time(*since)?,
                crl_entry_extensions: None,
            })
        };
        let revoked = revoked.iter().map(entry).collect::<der::Result<Vec<_>>>()?;
        let number = pkix::CrlNumber(der::asn1::Uint::new(&number.to_be_bytes())?);
        let mut extensions = vec![extension(false, &number)?];
        extensions.extend(self.authority_key_identifier()?);
        let extensions = extensions.into_iter().map(|extension| x509_cert::ext::Extension {
            extn_id: extension.id.short().expect("the identifiers of these are short"),
            critical: extension.critical,
            extn_value: extension.value,
        });
        let list = x509_cert::crl::TbsCertList::<x509_cert::certificate::Rfc5280> {
            version: Version::V2,
            signature: algorithm::signing(self.signer.public().algorithm()).1,
            issuer: Decode::from_der(certificate.subject_der())?,
            this_update: time(this_update)?,
            next_update: Some(time(next_update)?),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(extensions.collect()),
        };
        self.sign(&list.to_der()?)
    }

    fn sign(&self, to_be_signed: &[u8]) -> Result<Vec<u8>, IssueError> {
        let kind = self.signer.public().algorithm();
        let (how, algorithm) = algorithm::signing(kind);
        let signature = algorithm::signature_value(kind, self.signer.sign(how, to_be_signed)?)?;
        let signature = BitString::from_bytes(&signature)?;
        let to_be_signed = Decode::from_der(to_be_signed)?;
        Ok(Signed { to_be_signed, algorithm, signature }.to_der()?)
    }

    fn extensions(
        &self,
        request: &Request,
        key: &SubjectPublicKeyInfoOwned,
        is_nameless: bool,
    ) -> der::Result<Vec<RawExtension>> {
        let BasicConstraints { ca, path_length } = request.basic_constraints;
        let usage =
            if ca { KeyUsages::KeyCertSign | KeyUsages::CRLSign } else { KeyUsages::DigitalSignature.into() };
        let mut extensions = vec![
            extension(true, &pkix::BasicConstraints { ca, path_len_constraint: path_length.filter(|_| ca) })?,
            extension(true, &pkix::KeyUsage(usage))?,
            extension(false, &pkix::SubjectKeyIdentifier(self.key_identifier(key)?))?,
        ];
        extensions.extend(self.authority_key_identifier()?);
        if !request.addresses.is_empty() {
            let names = request.addresses.iter().copied().map(GeneralName::from).collect();
            // Where there is no other name, this one is critical (RFC 5280 section 4.2.1.6).
            extensions.push(extension(is_nameless, &pkix::SubjectAltName(names))?);
        }
        for Extension { id, critical, value } in &request.extensions {
            let (id, value) = (id.clone(), OctetString::new(&value[..])?);
            extensions.push(RawExtension { id, critical: *critical, value });
        }
        Ok(extensions)
    }

    /// Names the key of the issuer, as its own certificate does.
    fn authority_key_identifier(&self) -> der::Result<Option<RawExtension>> {
        let Some(identifier) = self
            .certificate
            .and_then(|certificate| certificate.extensions().subject_key_identifier.as_deref())
        else {
            return Ok(None);
        };
        let key_identifier = Some(OctetString::new(identifier)?);
        let identifier = pkix::AuthorityKeyIdentifier { key_identifier, ..Default::default() };
        extension(false, &identifier).map(Some)
    }

    fn key_identifier(&self, key: &SubjectPublicKeyInfoOwned) -> der::Result<OctetString> {
        let hash = self.provider.hash(HashAlgorithm::Sha256).map_err(|_| der::ErrorKind::Failed)?;
        let digest = hash.digest(&[key.subject_public_key.as_bytes().unwrap_or_default()]);
        OctetString::new(&digest[..KEY_IDENTIFIER_LEN])
    }
}

fn extension<T: AssociatedOid + Encode>(critical: bool, value: &T) -> der::Result<RawExtension> {
    Ok(RawExtension { id: T::OID.into(), critical, value: OctetString::new(value.to_der()?)? })
}

fn time(seconds: u64) -> der::Result<Time> {
    let since_1970 = Duration::from_secs(seconds);
    if seconds <= UTC_TIME_MAX {
        UtcTime::from_unix_duration(since_1970).map(Time::from)
    } else {
        GeneralizedTime::from_unix_duration(since_1970).map(Time::from)
    }
}
