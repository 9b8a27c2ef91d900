//! Which certificate breaks which rule.

use std::fmt;

use crate::name::Name;

/// What a certificate is called in an error: subject and serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Whom it is about.
    pub subject: Name,
    /// Its number, big-endian.
    pub serial_number: Vec<u8>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, number ", self.subject)?;
        self.serial_number.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// What a certificate must be so that a chain holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Who issues certificates says that it is a CA (RFC 5280 section 4.2.1.9).
    CertificateAuthority,
    /// A chain has so many certificates at most.
    ChainLength,
    /// No critical extension is unknown (RFC 5280 section 4.2).
    CriticalExtension,
    /// The extended key usage, if there is one, names this purpose (RFC 5280 section 4.2.1.12).
    ExtendedKeyUsage,
    /// A pinned root, or who was issued by one, issued it.
    Issuer,
    /// The key is of a known kind.
    Key,
    /// The key usage, if there is one, allows this use (RFC 5280 section 4.2.1.3).
    KeyUsage,
    /// The names of the subject are among those that its issuers permit (RFC 5280 section 4.2.1.10).
    NameConstraints,
    /// Below an issuer stand no more CAs than it allows (RFC 5280 section 4.2.1.9).
    PathLength,
    /// No list of its issuer has it.
    Revoked,
    /// There is a current list of its issuer on which it would stand.
    RevocationUnknown,
    /// Its issuer's key made the signature.
    Signature,
    /// The signature is of a known kind.
    SignatureAlgorithm,
    /// No more signatures than [`limits::SIGNATURES_MAX`](crate::limits::SIGNATURES_MAX) have to be verified.
    SignatureCount,
    /// It is not over.
    ValidityEnd,
    /// It has begun.
    ValidityStart,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateAuthority => "is not that of a CA",
            Self::ChainLength => "stands in a chain that is too long",
            Self::CriticalExtension => "has a critical extension that is not known",
            Self::ExtendedKeyUsage => "is for other purposes, by its extended key usage",
            Self::Issuer => "does not lead to a pinned root",
            Self::Key => "has a key of an unknown kind",
            Self::KeyUsage => "may not be used so, by its key usage",
            Self::NameConstraints => "has a name that an issuer does not permit",
            Self::PathLength => "has more CAs above it than one of these permits",
            Self::Revoked => "is revoked",
            Self::RevocationUnknown => "is on no current list of revoked certificates that could name it",
            Self::Signature => "was not signed by its issuer's key",
            Self::SignatureAlgorithm => "is signed in an unknown way",
            Self::SignatureCount => "needs too many signatures to be verified",
            Self::ValidityEnd => "has expired",
            Self::ValidityStart => "is not valid yet",
        })
    }
}

/// A certificate that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The certificate.
    pub certificate: Named,
    /// The rule.
    pub rule: Rule,
    /// There is a chain to a root all of whose signatures are right: who is judged has a certificate by its word, though
    /// it does not hold.
    pub leads_to_root: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate of {} {}", self.certificate, self.rule)
    }
}

impl std::error::Error for Error {}
