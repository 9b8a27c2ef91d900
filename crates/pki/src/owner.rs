//! A group owner: whom it lets do what in its groups.

use std::{fmt, net::Ipv6Addr};

use claviger_crypto::{CryptoProvider, sign::PublicKey};

use crate::{
    authority::{Authority, Purpose, Revocation},
    certificate::Certificate,
    error::Error,
    general_name::GeneralName,
    name::Name,
    rights::{self, GroupRight, GroupRights, Roles},
};

/// The CAs by whose word hosts are members of groups, or key servers of them.
pub struct GroupOwner {
    authority: Authority,
}

/// What a group owner says of a host: a chain from the host's certificate to a root, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    chain: Vec<Certificate>,
    rights: Vec<GroupRight>,
    not_after: u64,
}

/// Why certificates that a host shows are no warrant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerError {
    /// No chain to a root holds.
    Certificate(Error),
    /// The certificate names a HIT, and it is another host's.
    Hit,
    /// The certificate is about another key than the host's.
    KeyMismatch,
    /// There is no certificate.
    NoCertificate,
}

impl OwnerError {
    /// Says that the certificate is the owner's: its signatures lead to one of its roots, though it is no warrant.
    pub fn leads_to_root(&self) -> bool {
        match self {
            Self::Certificate(error) => error.leads_to_root,
            Self::Hit | Self::KeyMismatch => true,
            Self::NoCertificate => false,
        }
    }
}

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => error.fmt(f),
            Self::Hit => f.write_str("the certificate names another host identity tag"),
            Self::KeyMismatch => f.write_str("the certificate is about another key than the host's"),
            Self::NoCertificate => f.write_str("there is no certificate"),
        }
    }
}

impl std::error::Error for OwnerError {}

impl GroupOwner {
    /// Pins the roots of an owner.
    pub fn new(provider: &'static CryptoProvider, roots: Vec<Certificate>, revocation: Revocation) -> Self {
        Self { authority: Authority::new(provider, roots, revocation) }
    }

    /// Takes other lists of revoked certificates in place of those so far.
    pub fn set_revocation(&mut self, revocation: Revocation) {
        self.authority.set_revocation(revocation);
    }

    /// Shows the pinned roots.
    pub fn roots(&self) -> &[Certificate] {
        self.authority.roots()
    }

    /// Judges what a host shows: its own certificate first, then others in any order.
    ///
    /// `holder` is the key that the host has proven, `address` its HIT, where it has one: a certificate that names HITs
    /// (RFC 8002 section 3) must name this one. `now` is in seconds since 1970. The chain is judged first, so that
    /// [`OwnerError::Hit`] and [`OwnerError::KeyMismatch`] are about certificates that hold.
    ///
    /// # Errors
    ///
    /// [`OwnerError`], by why it is no warrant.
    pub fn judge(
        &self,
        chain: &[Certificate],
        holder: &PublicKey,
        address: Option<Ipv6Addr>,
        now: u64,
    ) -> Result<Warrant, OwnerError> {
        let (own, others) = chain.split_first().ok_or(OwnerError::NoCertificate)?;
        let purpose = Purpose {
            extensions: vec![GroupRights::OID],
            ca_extensions: vec![GroupRights::OID],
            ..Purpose::default()
        };
        let chain = self.authority.judge(own, others, &purpose, now).map_err(OwnerError::Certificate)?;
        if own.signing_key() != Some(holder) {
            return Err(OwnerError::KeyMismatch);
        }
        if let Some(hit) = address
            && !may_name(own, hit)
        {
            return Err(OwnerError::Hit);
        }
        Ok(Warrant::new(chain.into_iter().cloned().collect()))
    }
}

/// Says that a certificate names this HIT, or none at all.
fn may_name(certificate: &Certificate, hit: Ipv6Addr) -> bool {
    let names = certificate.extensions().subject_alternative_names().iter();
    let mut hits = names.filter_map(|name| match name {
        GeneralName::Ip(std::net::IpAddr::V6(address)) if is_orchid(*address) => Some(*address),
        GeneralName::Directory(_)
        | GeneralName::Dns(_)
        | GeneralName::Ip(_)
        | GeneralName::Mail(_)
        | GeneralName::Other(_)
        | GeneralName::Uri(_) => None,
    });
    let first = hits.next();
    first.is_none() || first == Some(hit) || hits.any(|other| other == hit)
}

/// Says that an address is no address but a hash: 2001:20::/28 (RFC 7343 section 2).
fn is_orchid(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first == 0x2001 && second & 0xfff0 == 0x20
}

impl Warrant {
    /// Takes a chain that holds, the host's own certificate first and the root last.
    fn new(chain: Vec<Certificate>) -> Self {
        let not_after = chain.iter().map(Certificate::not_after).min().unwrap_or(0);
        let rights = bounded_rights(&chain);
        Self { chain, rights, not_after }
    }

    /// Shows the chain, from the host's own certificate to the root.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Shows the host's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// Says whom the certificate is about.
    pub fn subject(&self) -> &Name {
        self.certificate().subject()
    }

    /// Says until when all certificates of the chain are valid, in seconds since 1970. That second still belongs to it.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Shows what the host may be, in each group where it may be something: what its own certificate says, as far as
    /// those of all CAs above it allow.
    pub fn rights(&self) -> &[GroupRight] {
        &self.rights
    }

    /// Says what the host may be in a group.
    pub fn roles_for(&self, id_type: u8, group_id: &[u8]) -> Roles {
        rights::roles_for(&self.rights, id_type, group_id)
    }
}

/// What the first certificate of a chain gives, within what the others allow.
fn bounded_rights(chain: &[Certificate]) -> Vec<GroupRight> {
    let own = chain[0].extensions().group_rights().map_or(&[][..], GroupRights::rights);
    let bound = |right: &GroupRight| {
        let bounds = chain[1..].iter().filter_map(|ca| ca.extensions().group_rights());
        let roles = bounds.fold(right.roles, |roles, bound| {
            roles.intersection(bound.roles_for(right.id_type, &right.group_id))
        });
        GroupRight { roles, ..right.clone() }
    };
    own.iter().map(bound).filter(|right| !right.roles.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orchid_is_told_by_its_first_28_bits() {
        for (address, is_one) in [
            ("2001:20::1", true),
            ("2001:2f:ffff::", true),
            ("2001:1f::1", false),
            ("2001:30::1", false),
            ("2002:20::1", false),
        ] {
            assert_eq!(is_orchid(address.parse().unwrap()), is_one, "{address}");
        }
    }
}
