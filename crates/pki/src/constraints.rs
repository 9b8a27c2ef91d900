//! Which names a CA permits below it (RFC 5280 section 4.2.1.10).

use std::net::IpAddr;

use x509_cert::ext::pkix::{self, name::GeneralName as Base};

use crate::{
    general_name::{GeneralName, OtherForm},
    name::Name,
};

/// The name constraints of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

/// Names of one form that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subtree {
    Directory(Name),
    /// A domain, and all below it.
    Dns(String),
    Ip(Network),
    /// A mailbox, a host, or with a dot in front the hosts below a domain.
    Mail(String),
    /// Names of a form that is not understood: all that can be said is that a name is of it.
    Other(OtherForm),
    /// A host, or with a dot in front the hosts below a domain.
    Uri(String),
}

/// Addresses: what is left of each under a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    address: Vec<u8>,
    mask: Vec<u8>,
}

impl NameConstraints {
    pub(crate) fn new(constraints: pkix::NameConstraints) -> der::Result<Self> {
        let subtrees = |subtrees: Option<pkix::constraints::name::GeneralSubtrees>| {
            subtrees.unwrap_or_default().into_iter().map(Subtree::new).collect::<der::Result<Vec<_>>>()
        };
        Ok(Self {
            permitted: subtrees(constraints.permitted_subtrees)?,
            excluded: subtrees(constraints.excluded_subtrees)?,
        })
    }

    /// Says whether all names of a certificate are permitted: that of its subject, and the alternative ones.
    pub(crate) fn permits(&self, subject: &Name, alternatives: &[GeneralName]) -> bool {
        let has_mail = alternatives.iter().any(|name| matches!(name, GeneralName::Mail(_)));
        let directory = (!subject.is_empty()).then(|| GeneralName::Directory(subject.clone()));
        // Where no alternative name is an address, those in the subject's name count (RFC 5280 section 4.2.1.10).
        let addresses = subject.mail_addresses().filter(|_| !has_mail);
        let addresses = addresses.map(|address| GeneralName::Mail(address.to_owned()));
        let names: Vec<_> =
            directory.into_iter().chain(addresses).chain(alternatives.iter().cloned()).collect();
        names.iter().all(|name| self.permits_name(name))
    }

    fn permits_name(&self, name: &GeneralName) -> bool {
        let mut of_this_form = self.permitted.iter().filter(|subtree| subtree.is_of_form(name)).peekable();
        let permitted = of_this_form.peek().is_none() || of_this_form.any(|subtree| subtree.has(name));
        permitted && !self.excluded.iter().any(|subtree| subtree.is_of_form(name) && subtree.may_have(name))
    }
}

impl Subtree {
    fn new(subtree: pkix::constraints::name::GeneralSubtree) -> der::Result<Self> {
        // Within this profile the minimum and maximum fields are not used (RFC 5280 section 4.2.1.10).
        if subtree.minimum != 0 || subtree.maximum.is_some() {
            return Err(der::Tag::Sequence.value_error().into());
        }
        if let Base::IpAddress(octets) = &subtree.base {
            return Network::new(octets.as_bytes()).map(Self::Ip);
        }
        Ok(match GeneralName::new(subtree.base)? {
            GeneralName::Directory(name) => Self::Directory(name),
            GeneralName::Dns(domain) => Self::Dns(domain),
            GeneralName::Ip(_) => return Err(der::Tag::OctetString.length_error().into()),
            GeneralName::Mail(base) => Self::Mail(base),
            GeneralName::Other(form) => Self::Other(form),
            GeneralName::Uri(base) => Self::Uri(base),
        })
    }

    fn is_of_form(&self, name: &GeneralName) -> bool {
        match (self, name) {
            (Self::Directory(_), GeneralName::Directory(_))
            | (Self::Dns(_), GeneralName::Dns(_))
            | (Self::Ip(_), GeneralName::Ip(_))
            | (Self::Mail(_), GeneralName::Mail(_))
            | (Self::Uri(_), GeneralName::Uri(_)) => true,
            (Self::Other(form), GeneralName::Other(other)) => form == other,
            (
                Self::Directory(_)
                | Self::Dns(_)
                | Self::Ip(_)
                | Self::Mail(_)
                | Self::Other(_)
                | Self::Uri(_),
                _,
            ) => false,
        }
    }

    /// Says that a name of this form is surely in the subtree.
    fn has(&self, name: &GeneralName) -> bool {
        match (self, name) {
            (Self::Directory(base), GeneralName::Directory(name)) => name.is_within(base),
            (Self::Dns(base), GeneralName::Dns(name)) => is_domain_within(name, base),
            (Self::Ip(network), GeneralName::Ip(address)) => network.has(*address),
            (Self::Mail(base), GeneralName::Mail(address)) => has_mail_address(base, address),
            (Self::Uri(base), GeneralName::Uri(uri)) => {
                uri_host(uri).is_some_and(|host| is_host_of(host, base))
            }
            (
                Self::Directory(_)
                | Self::Dns(_)
                | Self::Ip(_)
                | Self::Mail(_)
                | Self::Other(_)
                | Self::Uri(_),
                _,
            ) => false,
        }
    }

    /// Says that a name of this form is in the subtree, or that this cannot be ruled out.
    fn may_have(&self, name: &GeneralName) -> bool {
        match (self, name) {
            (Self::Other(_), _) => true,
            (Self::Uri(_), GeneralName::Uri(uri)) if uri_host(uri).is_none() => true,
            (Self::Directory(_) | Self::Dns(_) | Self::Ip(_) | Self::Mail(_) | Self::Uri(_), _) => {
                self.has(name)
            }
        }
    }
}

impl Network {
    /// Reads an address and a mask of the same length: 8 octets, or 32.
    fn new(octets: &[u8]) -> der::Result<Self> {
        if !matches!(octets.len(), 8 | 32) {
            return Err(der::Tag::OctetString.length_error().into());
        }
        let (address, mask) = octets.split_at(octets.len() / 2);
        Ok(Self { address: address.to_vec(), mask: mask.to_vec() })
    }

    fn has(&self, address: IpAddr) -> bool {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        octets.len() == self.address.len()
            && octets.iter().zip(&self.address).zip(&self.mask).all(|((a, b), mask)| (a ^ b) & mask == 0)
    }
}

/// Any name that is made by adding labels on the left satisfies a constraint (RFC 5280 section 4.2.1.10).
fn is_domain_within(name: &str, base: &str) -> bool {
    let base = base.strip_prefix('.').unwrap_or(base);
    base.is_empty()
        || name.eq_ignore_ascii_case(base)
        || name.len() > base.len()
            && name.is_char_boundary(name.len() - base.len())
            && name[name.len() - base.len()..].eq_ignore_ascii_case(base)
            && name[..name.len() - base.len()].ends_with('.')
}

/// A host by its whole name, or with a dot in front of the base the hosts below it, and not itself.
fn is_host_of(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(domain) => !host.eq_ignore_ascii_case(domain) && is_domain_within(host, domain),
        None => host.eq_ignore_ascii_case(base),
    }
}

fn has_mail_address(base: &str, address: &str) -> bool {
    let Some((local, host)) = address.rsplit_once('@') else {
        return false;
    };
    match base.rsplit_once('@') {
        // The local part is compared with regard to case, the host without (RFC 5280 section 7.5). Addresses in a
        // subject's name came in lower case, and are compared so.
        Some((base_local, base_host)) => {
            (local == base_local || local == base_local.to_lowercase())
                && host.eq_ignore_ascii_case(base_host)
        }
        None => is_host_of(host, base),
    }
}

/// The host of a uniform resource identifier, if it has one that is a name (RFC 3986 section 3.2).
fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let is_name = !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
    is_name.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_itself_and_what_is_below_it() {
        for (name, base, within) in [
            ("example.com", "example.com", true),
            ("a.example.com", "example.com", true),
            ("A.EXAMPLE.com", ".example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com", "a.example.com", false),
            ("a", "", true),
        ] {
            assert_eq!(is_domain_within(name, base), within, "{name} {base}");
        }
    }

    #[test]
    fn mail_addresses_are_had_by_mailbox_host_and_domain() {
        for (base, address, has) in [
            ("a@example.com", "a@EXAMPLE.com", true),
            ("a@example.com", "A@example.com", false),
            ("example.com", "a@example.com", true),
            ("example.com", "a@b.example.com", false),
            (".example.com", "a@b.example.com", true),
            (".example.com", "a@example.com", false),
            ("example.com", "no address", false),
        ] {
            assert_eq!(has_mail_address(base, address), has, "{base} {address}");
        }
    }

    #[test]
    fn the_host_of_an_identifier_is_read_without_user_and_port() {
        assert_eq!(uri_host("http://a@host.example:80/path"), Some("host.example"));
        assert_eq!(uri_host("http://[::1]/"), None);
        assert_eq!(uri_host("http://10.0.0.1/"), None);
        assert_eq!(uri_host("urn:a:b"), None);
    }

    #[test]
    fn a_network_has_the_addresses_that_agree_under_its_mask() {
        let network = Network::new(&[10, 1, 0, 0, 255, 255, 0, 0]).unwrap();
        assert!(network.has([10, 1, 2, 3].into()));
        assert!(!network.has([10, 2, 2, 3].into()));
        assert!(!network.has([0_u8; 16].into()));
        assert!(Network::new(&[10, 1, 0, 0]).is_err());
    }
}
