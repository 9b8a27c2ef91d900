//! Lists of revoked certificates (RFC 5280 section 5).

use std::{collections::BTreeMap, sync::Arc};

use claviger_crypto::{CryptoProvider, sign::CertificateSignature};
use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS, ID_CE_INVALIDITY_DATE,
    ID_CE_ISSUING_DISTRIBUTION_POINT,
};
use der::{Decode, DecodePem, Encode};
use x509_cert::{
    crl::{CertificateList, TbsCertList},
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, CrlNumber, crl::dp::IssuingDistributionPoint},
    },
};

use crate::{
    algorithm,
    certificate::{Certificate, pem},
    distribution_point,
    general_name::GeneralName,
    limits::CRL_LEN_MAX,
    name::Name,
    octets::Signed,
    read_error::ReadError,
};

const PEM_BEGIN: &str = "-----BEGIN X509 CRL-----";
const PEM_END: &str = "-----END X509 CRL-----";

/// Which certificates of its issuer a list is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Scope {
    point: Vec<GeneralName>,
    only_users: bool,
    only_authorities: bool,
}

/// A list of revoked certificates. Its clones share what is long in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    to_be_signed: Arc<[u8]>,
    pub(crate) signature_algorithm: Option<CertificateSignature>,
    pub(crate) signature: Vec<u8>,
    issuer: Name,
    this_update: u64,
    next_update: Option<u64>,
    number: Option<u64>,
    pub(crate) authority_key_identifier: Option<Vec<u8>>,
    /// `None` if it is a list of a form that is not used here.
    scope: Option<Scope>,
    /// The serial numbers and when each was revoked, in seconds since 1970.
    revoked: Arc<BTreeMap<Vec<u8>, u64>>,
}

impl Crl {
    /// Reads a list from its DER.
    ///
    /// # Errors
    ///
    /// [`ReadError`], by what is wrong with the octets. Unknown algorithms and critical extensions are no errors here:
    /// such a list says nothing of any certificate.
    pub fn from_der(octets: &[u8]) -> Result<Self, ReadError> {
        if octets.len() > CRL_LEN_MAX {
            return Err(ReadError::Length);
        }
        let signed = Signed::read(octets)?;
        let list: TbsCertList = Decode::from_der(signed.to_be_signed).map_err(|_| ReadError::Der)?;
        if list.signature != signed.algorithm {
            return Err(ReadError::SignatureAlgorithm);
        }
        let revoked = list.revoked_certificates.unwrap_or_default();
        let extensions = list.crl_extensions.unwrap_or_default();
        let entries_known =
            revoked.iter().flat_map(|entry| entry.crl_entry_extensions.iter().flatten()).all(|e| {
                //= rfc5280#section-5.3
                //# If a CRL contains a critical CRL entry extension that the application
                //# cannot process, then the application MUST NOT use that CRL to determine
                //# the status of any certificates.
                !e.critical || matches!(e.extn_id, ID_CE_CRL_REASONS | ID_CE_INVALIDITY_DATE)
            });
        let mut authority_key_identifier = None;
        let mut number = None;
        for extension in &extensions {
            if extension.extn_id == ID_CE_AUTHORITY_KEY_IDENTIFIER {
                let read = AuthorityKeyIdentifier::from_der(extension.extn_value.as_bytes());
                let read = read.map_err(|_| ReadError::Extension)?.key_identifier;
                authority_key_identifier = read.map(|octets| octets.as_bytes().to_vec());
            }
            if extension.extn_id == ID_CE_CRL_NUMBER {
                let read = CrlNumber::from_der(extension.extn_value.as_bytes());
                number = small(read.map_err(|_| ReadError::Extension)?.0.as_bytes());
            }
        }
        Ok(Self {
            to_be_signed: signed.to_be_signed.into(),
            signature_algorithm: algorithm::signature(&signed.algorithm),
            signature: signed.signature,
            issuer: Name::new(&list.issuer).map_err(|_| ReadError::Der)?,
            this_update: list.this_update.to_unix_duration().as_secs(),
            next_update: list.next_update.map(|time| time.to_unix_duration().as_secs()),
            number,
            authority_key_identifier,
            scope: if entries_known { scope(&extensions, &list.issuer)? } else { None },
            revoked: Arc::new(
                revoked
                    .into_iter()
                    .map(|entry| {
                        let since = entry.revocation_date.to_unix_duration().as_secs();
                        (entry.serial_number.as_bytes().to_vec(), since)
                    })
                    .collect(),
            ),
        })
    }

    /// Reads a list from a PEM file.
    ///
    /// # Errors
    ///
    /// As [`Crl::from_der`].
    pub fn from_pem(octets: &[u8]) -> Result<Self, ReadError> {
        let list: CertificateList = DecodePem::from_pem(octets).map_err(|_| ReadError::Der)?;
        Self::from_der(&list.to_der().map_err(|_| ReadError::Der)?)
    }

    /// Reads the lists of a file: one in DER, or any number in PEM, whatever else stands between them.
    ///
    /// # Errors
    ///
    /// As [`Crl::from_der`], also if there is none.
    pub fn all_of_file(octets: &[u8]) -> Result<Vec<Self>, ReadError> {
        let unread = match Self::from_der(octets) {
            Ok(list) => return Ok(vec![list]),
            Err(error) => error,
        };
        let text = std::str::from_utf8(octets).unwrap_or_default();
        if !text.contains(PEM_BEGIN) {
            return Err(unread);
        }
        let one = |after: &str| {
            let (inside, _) = after.split_once(PEM_END).ok_or(ReadError::Der)?;
            Self::from_pem([PEM_BEGIN, inside, PEM_END, "\n"].concat().as_bytes())
        };
        text.split(PEM_BEGIN).skip(1).map(one).collect()
    }

    /// Shows the octets that its signature is over.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// Says whose list it is.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Says when it was issued, in seconds since 1970.
    pub fn this_update(&self) -> u64 {
        self.this_update
    }

    /// Says when the next one is due at the latest, in seconds since 1970.
    pub fn next_update(&self) -> Option<u64> {
        self.next_update
    }

    /// Says whether a certificate stands here, by issuer and number alone. Neither the signature nor the time of the list
    /// is looked at: this says which certificates are to be judged anew.
    pub fn names(&self, certificate: &Certificate) -> bool {
        self.issuer == *certificate.issuer() && self.has(certificate)
    }

    /// Says whether a certificate with this number stands here. As with [`Crl::names`], nothing else is looked at.
    pub fn has_serial_number(&self, serial_number: &[u8]) -> bool {
        self.revoked.contains_key(serial_number)
    }

    /// Says that a certificate stands here, which the list is about, and that the list holds at a time, in seconds since
    /// 1970. The signature is not looked at.
    pub fn revokes(&self, certificate: &Certificate, now: u64) -> bool {
        self.is_about(certificate) && self.is_current(now) && self.has(certificate)
    }

    /// Says whether who a certificate is about has signed the list, and may.
    pub fn is_signed_by(&self, provider: &CryptoProvider, issuer: &Certificate) -> bool {
        let may_sign = issuer.extensions().key_usage().is_none_or(|usage| usage.crl_sign);
        let (Some(algorithm), Some(key)) = (self.signature_algorithm, issuer.key()) else { return false };
        may_sign && provider.certificates.verify(key, algorithm, &self.to_be_signed, &self.signature).is_ok()
    }

    /// Shows its number among the lists of its issuer (RFC 5280 section 5.2.3); `None` if it has none, or one of more
    /// than 64 bits.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Lists the serial numbers that stand here, and when each was revoked, in seconds since 1970.
    pub fn revoked(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.revoked.iter().map(|(serial_number, since)| (serial_number.as_slice(), *since))
    }

    /// Says that it holds at a time. A list without an end is none (RFC 5280 section 5.1.2.5 has one in each).
    pub(crate) fn is_current(&self, now: u64) -> bool {
        self.this_update <= now && self.next_update.is_some_and(|next| now <= next)
    }

    /// Says that a certificate would stand here, if it were revoked (RFC 5280 section 6.3.3 b).
    pub(crate) fn is_about(&self, certificate: &Certificate) -> bool {
        let Some(scope) = &self.scope else {
            return false;
        };
        let is_authority = certificate.extensions().basic_constraints().is_some_and(|basic| basic.ca);
        self.issuer == *certificate.issuer()
            && (!scope.only_users || !is_authority)
            && (!scope.only_authorities || is_authority)
            && (scope.point.is_empty()
                || certificate
                    .extensions()
                    .crl_distribution_points
                    .iter()
                    .any(|point| point.has_any_of(&scope.point)))
    }

    /// Says whether a certificate stands here.
    pub(crate) fn has(&self, certificate: &Certificate) -> bool {
        self.revoked.contains_key(certificate.serial_number())
    }
}

/// Reads a number of at most 64 bits, big-endian.
fn small(octets: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    let room = number.len().checked_sub(octets.len())?;
    number[room..].copy_from_slice(octets);
    Some(u64::from_be_bytes(number))
}

/// Writes the DER of a list as PEM (RFC 7468).
pub fn to_pem(octets: &[u8]) -> String {
    pem("X509 CRL", octets)
}

/// Reads what a list is about; nothing if it has a critical extension that is not known, or is of a form that is not
/// used here.
fn scope(extensions: &[Extension], issuer: &x509_cert::name::Name) -> Result<Option<Scope>, ReadError> {
    let mut scope = Scope::default();
    for extension in extensions {
        match extension.extn_id {
            ID_CE_AUTHORITY_KEY_IDENTIFIER | ID_CE_CRL_NUMBER => {}
            ID_CE_ISSUING_DISTRIBUTION_POINT => {
                let point = IssuingDistributionPoint::from_der(extension.extn_value.as_bytes());
                let point = point.map_err(|_| ReadError::Extension)?;
                if point.indirect_crl
                    || point.only_some_reasons.is_some()
                    || point.only_contains_attribute_certs
                {
                    return Ok(None);
                }
                scope.only_users = point.only_contains_user_certs;
                scope.only_authorities = point.only_contains_ca_certs;
                let names = distribution_point::names(point.distribution_point, issuer);
                scope.point = names.map_err(|_| ReadError::Extension)?;
            }
            _ if extension.critical => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(scope))
}
