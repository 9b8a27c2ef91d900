//! Names of subjects in other forms than distinguished names (RFC 5280 section 4.2.1.6).

use std::net::IpAddr;

use const_oid::ObjectIdentifier;

use crate::name::Name;

/// A name of a subject in a form other than a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GeneralName {
    /// A distinguished name.
    Directory(Name),
    /// A domain name, in lower case.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An electronic mail address.
    Mail(String),
    /// One of a form that is not known here.
    Other(OtherForm),
    /// A uniform resource identifier.
    Uri(String),
}

/// The forms of names that are told apart, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherForm {
    /// ediPartyName.
    EdiParty,
    /// otherName, of this type.
    OtherName(ObjectIdentifier),
    /// registeredID.
    RegisteredId,
}

impl GeneralName {
    pub(crate) fn new(name: x509_cert::ext::pkix::name::GeneralName) -> der::Result<Self> {
        use x509_cert::ext::pkix::name::GeneralName as G;
        Ok(match name {
            G::OtherName(name) => Self::Other(OtherForm::OtherName(name.type_id)),
            G::Rfc822Name(name) => Self::Mail(name.as_str().to_owned()),
            G::DnsName(name) => Self::Dns(name.as_str().to_ascii_lowercase()),
            G::DirectoryName(name) => Self::Directory(Name::new(&name)?),
            G::EdiPartyName(_) => Self::Other(OtherForm::EdiParty),
            G::UniformResourceIdentifier(name) => Self::Uri(name.as_str().to_owned()),
            G::IpAddress(octets) => Self::Ip(address(octets.as_bytes())?),
            G::RegisteredId(_) => Self::Other(OtherForm::RegisteredId),
        })
    }
}

fn address(octets: &[u8]) -> der::Result<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(octets.into());
    }
    let octets: [u8; 16] = octets.try_into().map_err(|_| der::Tag::OctetString.length_error())?;
    Ok(octets.into())
}
