//! The extensions of a certificate, as types (RFC 5280 section 4.2).

use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{
        ANY_EXTENDED_KEY_USAGE, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
        ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS,
        ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
    },
};
use der::Decode;
use x509_cert::ext::pkix;

use crate::{
    constraints::NameConstraints,
    distribution_point::{DistributionPoint, distribution_points},
    extension::Extension,
    general_name::GeneralName,
    oid::Oid,
    read_error::ReadError,
    rights::{GroupRights, RightsError},
    tbs_certificate::RawExtension,
};

/// Whether a certificate is that of a CA, and how many CAs may stand below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// It is that of a CA.
    pub ca: bool,
    /// So many CAs may stand in a chain between this one and the last certificate; those that a CA issues to itself
    /// do not count.
    pub path_length: Option<u8>,
}

/// What a key may be used for; only what is asked here is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// Signatures on messages.
    pub digital_signature: bool,
    /// Signatures on certificates.
    pub key_cert_sign: bool,
    /// Signatures on lists of revoked certificates.
    pub crl_sign: bool,
}

/// What a certificate says beside whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    pub(crate) authority_key_identifier: Option<Vec<u8>>,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) crl_distribution_points: Vec<DistributionPoint>,
    pub(crate) extended_key_usage: Option<Vec<ObjectIdentifier>>,
    pub(crate) group_rights: Option<GroupRights>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) subject_alternative_names: Vec<GeneralName>,
    pub(crate) subject_key_identifier: Option<Vec<u8>>,
    pub(crate) others: Vec<Extension>,
}

impl Extensions {
    pub(crate) fn read(
        extensions: &[RawExtension],
        issuer: &x509_cert::name::Name,
    ) -> Result<Self, ReadError> {
        let mut read = Self::default();
        for (i, extension) in extensions.iter().enumerate() {
            //= rfc5280#section-4.2
            //# A certificate MUST NOT include more
            //# than one instance of a particular extension.
            if extensions[..i].iter().any(|earlier| earlier.id == extension.id) {
                return Err(ReadError::Extension);
            }
            read.take(extension, issuer).map_err(|_| ReadError::Extension)?;
            if extension.id == GroupRights::OID {
                read.group_rights = Some(group_rights(extension).map_err(ReadError::GroupRights)?);
            }
        }
        Ok(read)
    }

    fn take(&mut self, extension: &RawExtension, issuer: &x509_cert::name::Name) -> der::Result<()> {
        let octets = extension.value.as_bytes();
        match extension.id.short() {
            Some(ID_CE_AUTHORITY_KEY_IDENTIFIER) => {
                let identifier = pkix::AuthorityKeyIdentifier::from_der(octets)?.key_identifier;
                self.authority_key_identifier = identifier.map(|octets| octets.as_bytes().to_vec());
            }
            Some(ID_CE_BASIC_CONSTRAINTS) => {
                let pkix::BasicConstraints { ca, path_len_constraint } =
                    pkix::BasicConstraints::from_der(octets)?;
                self.basic_constraints = Some(BasicConstraints { ca, path_length: path_len_constraint });
            }
            Some(ID_CE_CRL_DISTRIBUTION_POINTS) => {
                self.crl_distribution_points = distribution_points(octets, issuer)?;
            }
            Some(ID_CE_EXT_KEY_USAGE) => {
                self.extended_key_usage = Some(pkix::ExtendedKeyUsage::from_der(octets)?.0);
            }
            Some(ID_CE_KEY_USAGE) => {
                let usage = pkix::KeyUsage::from_der(octets)?;
                self.key_usage = Some(KeyUsage {
                    digital_signature: usage.digital_signature(),
                    key_cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
            }
            Some(ID_CE_NAME_CONSTRAINTS) => {
                let constraints = pkix::NameConstraints::from_der(octets)?;
                self.name_constraints = Some(NameConstraints::new(constraints)?);
            }
            Some(ID_CE_SUBJECT_ALT_NAME) => {
                let names = pkix::SubjectAltName::from_der(octets)?.0;
                self.subject_alternative_names =
                    names.into_iter().map(GeneralName::new).collect::<der::Result<_>>()?;
            }
            Some(ID_CE_SUBJECT_KEY_IDENTIFIER) => {
                let identifier = pkix::SubjectKeyIdentifier::from_der(octets)?.0;
                self.subject_key_identifier = Some(identifier.as_bytes().to_vec());
            }
            Some(_) | None => {
                let (id, value) = (extension.id.clone(), octets.to_vec());
                self.others.push(Extension { id, critical: extension.critical, value });
            }
        }
        Ok(())
    }

    /// Finds an extension that not everybody reads.
    pub fn other(&self, id: &Oid) -> Option<&Extension> {
        self.others.iter().find(|extension| extension.id == *id)
    }

    /// The names of the subject in other forms.
    pub fn subject_alternative_names(&self) -> &[GeneralName] {
        &self.subject_alternative_names
    }

    /// Whether this is the certificate of a CA.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.basic_constraints
    }

    /// What the subject may be in which groups; in the certificate of a CA, what it may say of that.
    ///
    /// Only who knows of them asks: for others they are an [`Extension`] that is critical.
    pub fn group_rights(&self) -> Option<&GroupRights> {
        self.group_rights.as_ref()
    }

    /// What the key may be used for.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// Says whether the extended key usage allows one of these purposes, as it does where there is none.
    pub(crate) fn allows_any_purpose(&self, purposes: &[ObjectIdentifier]) -> bool {
        self.extended_key_usage.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|id| *id == ANY_EXTENDED_KEY_USAGE || purposes.contains(id))
        })
    }
}

fn group_rights(extension: &RawExtension) -> Result<GroupRights, RightsError> {
    if !extension.critical {
        return Err(RightsError::NotCritical);
    }
    GroupRights::from_der(extension.value.as_bytes())
}
