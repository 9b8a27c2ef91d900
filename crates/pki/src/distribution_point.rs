//! Where lists of revoked certificates are to be found (RFC 5280 section 4.2.1.13). Only names are compared; nothing is fetched.

use der::{Decode, Encode};
use x509_cert::{
    ext::pkix::{CrlDistributionPoints, name},
    name::RdnSequence,
};

use crate::{general_name::GeneralName, name::Name};

/// Where a list is to be found, by the names that certificates and lists have for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DistributionPoint {
    /// Empty if it has none.
    names: Vec<GeneralName>,
    /// Somebody else than the issuer makes the list, or it is for some reasons only.
    is_partial: bool,
}

impl DistributionPoint {
    /// Says that a whole list is there which has one of these names.
    pub(crate) fn has_any_of(&self, names: &[GeneralName]) -> bool {
        !self.is_partial && self.names.iter().any(|name| names.contains(name))
    }
}

/// Reads the extension of a certificate that says where lists are.
pub(crate) fn distribution_points(
    octets: &[u8],
    issuer: &x509_cert::name::Name,
) -> der::Result<Vec<DistributionPoint>> {
    let points = CrlDistributionPoints::from_der(octets)?.0;
    let read = |point: x509_cert::ext::pkix::crl::dp::DistributionPoint| {
        let is_partial = point.crl_issuer.is_some() || point.reasons.is_some();
        Ok(DistributionPoint { names: names(point.distribution_point, issuer)?, is_partial })
    };
    points.into_iter().map(read).collect()
}

pub(crate) fn names(
    point: Option<name::DistributionPointName>,
    issuer: &x509_cert::name::Name,
) -> der::Result<Vec<GeneralName>> {
    match point {
        None => Ok(Vec::new()),
        Some(name::DistributionPointName::FullName(names)) => {
            names.into_iter().map(GeneralName::new).collect()
        }
        // The part comes behind the issuer's name (RFC 5280 section 4.2.1.13).
        Some(name::DistributionPointName::NameRelativeToCRLIssuer(part)) => {
            let mut parts = RdnSequence::from(issuer.clone());
            parts.push(part);
            let name = x509_cert::name::Name::from_der(&parts.to_der()?)?;
            Ok(vec![GeneralName::Directory(Name::new(&name)?)])
        }
    }
}
