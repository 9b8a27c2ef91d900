//! How a member is named, whatever it registers by.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use claviger_identity::{Hit, hit::ParseHitError};
use claviger_pki::Name;

/// The longest key id in octets; the one-octet lengths of several protocols allow no more.
pub const KEY_ID_LEN_MAX: usize = 255;

/// The longest domain name in characters: 255 octets as a message of DNS carries it (RFC 1035 section 2.3.4).
pub const DOMAIN_NAME_LEN_MAX: usize = 253;

/// The longest label of a domain name (RFC 1035 section 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;

/// The longest part of a user name before the `@` (RFC 5321 section 4.5.3.1.1).
pub const LOCAL_PART_LEN_MAX: usize = 64;

/// The longest certificate subject in octets. Those of real certificates have at most a few hundred.
pub const SUBJECT_LEN_MAX: usize = 1024;

/// The identity of a member, as its registration has proven it.
///
/// Its order is that of the kinds, then that of the octets. A HIT is held in place; what is longer is shared by the clones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberId {
    /// A host identity, by its HIT (RFC 7401).
    Hit(Hit),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// A fully qualified domain name.
    DomainName(DomainName),
    /// Octets that only the two sides know the meaning of.
    KeyId(KeyId),
    /// The subject of a certificate.
    Subject(Subject),
    /// A user at a domain.
    UserName(UserName),
}

/// A fully qualified domain name in lower case, without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

/// From 1 to 255 octets of any value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<[u8]>);

/// The DER octets of a distinguished name that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<[u8]>);

/// A user name, `@`, and a domain name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

/// The octets or the text do not name a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberIdError {
    /// What follows `addr:`, or the octets of an address, are none.
    Address,
    /// The text or octets are no fully qualified domain name.
    DomainName,
    /// The text has no prefix that names a kind, and is no HIT either.
    Hit(ParseHitError),
    /// A key id is empty, or has more than 255 octets, or is not written as it should be.
    KeyId,
    /// No kind of identity has this code.
    Kind(u8),
    /// The octets are no distinguished name in DER, or it is empty or too long.
    Subject,
    /// The text or octets are no user name at a domain.
    UserName,
}

impl MemberId {
    /// Takes the octets of a key id.
    pub fn key_id(octets: impl Into<Arc<[u8]>>) -> Result<Self, MemberIdError> {
        let octets = octets.into();
        let is_valid = (1..=KEY_ID_LEN_MAX).contains(&octets.len());
        if is_valid { Ok(Self::KeyId(KeyId(octets))) } else { Err(MemberIdError::KeyId) }
    }

    /// Takes a fully qualified domain name. Upper and lower case name the same (RFC 1035 section 2.3.3).
    pub fn domain_name(name: &str) -> Result<Self, MemberIdError> {
        if !is_domain_name(name) {
            return Err(MemberIdError::DomainName);
        }
        Ok(Self::DomainName(DomainName(name.to_ascii_lowercase().into())))
    }

    /// Takes `user@domain`. Case has a meaning in the user's part, and none in the domain's.
    pub fn user_name(name: &str) -> Result<Self, MemberIdError> {
        let (user, domain) = name.rsplit_once('@').ok_or(MemberIdError::UserName)?;
        let is_valid = (1..=LOCAL_PART_LEN_MAX).contains(&user.len())
            && user.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'@')
            && is_domain_name(domain);
        if !is_valid {
            return Err(MemberIdError::UserName);
        }
        Ok(Self::UserName(UserName(format!("{user}@{}", domain.to_ascii_lowercase()).into())))
    }

    /// Takes the DER octets of a certificate's subject. What is inside the SEQUENCE is not looked at.
    pub fn subject(der: impl Into<Arc<[u8]>>) -> Result<Self, MemberIdError> {
        let der = der.into();
        let is_valid = der.len() <= SUBJECT_LEN_MAX && is_sequence(&der);
        if is_valid { Ok(Self::Subject(Subject(der))) } else { Err(MemberIdError::Subject) }
    }

    /// Returns the code of the kind of identity: the ID Type of RFC 2407 section 4.6.2.1, and 0, which is reserved there,
    /// for a HIT.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hit(_) => kind::HIT,
            Self::Address(IpAddr::V4(_)) => kind::IPV4_ADDR,
            Self::Address(IpAddr::V6(_)) => kind::IPV6_ADDR,
            Self::DomainName(_) => kind::FQDN,
            Self::KeyId(_) => kind::KEY_ID,
            Self::Subject(_) => kind::DER_ASN1_DN,
            Self::UserName(_) => kind::USER_FQDN,
        }
    }

    /// Writes the identity's octets, which say who it is together with the kind.
    pub fn octets(&self) -> Vec<u8> {
        match self {
            Self::Hit(hit) => hit.octets().to_vec(),
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::DomainName(DomainName(name)) | Self::UserName(UserName(name)) => name.as_bytes().to_vec(),
            Self::KeyId(KeyId(octets)) | Self::Subject(Subject(octets)) => octets.to_vec(),
        }
    }

    /// Reads an identity of a kind from its octets.
    pub fn from_octets(kind: u8, octets: &[u8]) -> Result<Self, MemberIdError> {
        match kind {
            kind::HIT => {
                let octets = octets.try_into().map_err(|_| MemberIdError::Hit(ParseHitError))?;
                Ok(Self::Hit(Hit::new(octets)))
            }
            kind::IPV4_ADDR => {
                let octets: [u8; 4] = octets.try_into().map_err(|_| MemberIdError::Address)?;
                Ok(Self::Address(Ipv4Addr::from(octets).into()))
            }
            kind::IPV6_ADDR => {
                let octets: [u8; 16] = octets.try_into().map_err(|_| MemberIdError::Address)?;
                Ok(Self::Address(Ipv6Addr::from(octets).into()))
            }
            kind::FQDN => Self::domain_name(text(octets).ok_or(MemberIdError::DomainName)?),
            kind::USER_FQDN => Self::user_name(text(octets).ok_or(MemberIdError::UserName)?),
            kind::KEY_ID => Self::key_id(octets),
            kind::DER_ASN1_DN => Self::subject(octets),
            _ => Err(MemberIdError::Kind(kind)),
        }
    }
}

impl From<Hit> for MemberId {
    fn from(hit: Hit) -> Self {
        Self::Hit(hit)
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    /// Reads a HIT, or a prefix that names the kind and what it says: `addr:192.0.2.1`, `fqdn:host.example`,
    /// `user:kim@example.org`, `key-id:cell-7` or in hexadecimal `key-id:0x00ff`, `dn:CN=host-1,O=Example` as RFC 4514 writes
    /// names, or `dn:` and DER in hexadecimal.
    fn from_str(written: &str) -> Result<Self, MemberIdError> {
        // An IPv6 address has colons too, but nothing before its first one that is such a word.
        match written.split_once(':') {
            Some((prefix::ADDRESS, rest)) => {
                rest.parse().map(Self::Address).map_err(|_| MemberIdError::Address)
            }
            Some((prefix::DOMAIN_NAME, rest)) => Self::domain_name(rest),
            Some((prefix::KEY_ID, rest)) => Self::key_id(key_id_octets(rest).ok_or(MemberIdError::KeyId)?),
            Some((prefix::SUBJECT, rest)) => {
                Self::subject(subject_octets(rest).ok_or(MemberIdError::Subject)?)
            }
            Some((prefix::USER_NAME, rest)) => Self::user_name(rest),
            Some(_) | None => written.parse().map(Self::Hit).map_err(MemberIdError::Hit),
        }
    }
}

impl fmt::Display for MemberId {
    /// Writes what [`MemberId::from_str`] reads, in characters that can be seen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit(hit) => hit.fmt(f),
            Self::Address(address) => write!(f, "{}:{address}", prefix::ADDRESS),
            Self::DomainName(DomainName(name)) => write!(f, "{}:{name}", prefix::DOMAIN_NAME),
            Self::KeyId(KeyId(octets)) => match text(octets).filter(|text| is_plain_key_id(text)) {
                Some(text) => write!(f, "{}:{text}", prefix::KEY_ID),
                None => {
                    write!(f, "{}:{HEX}", prefix::KEY_ID)?;
                    write_hex(f, octets)
                }
            },
            Self::Subject(Subject(der)) => {
                write!(f, "{}:", prefix::SUBJECT)?;
                match subject_text(der) {
                    Some(text) => f.write_str(&text),
                    None => write_hex(f, der),
                }
            }
            Self::UserName(UserName(name)) => write!(f, "{}:{name}", prefix::USER_NAME),
        }
    }
}

impl fmt::Display for MemberIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("addr: is followed by an IPv4 or IPv6 address"),
            Self::DomainName => f.write_str(
                "a domain name has labels of at most 63 letters, digits and hyphens, and at most 253 characters",
            ),
            Self::Hit(error) => {
                write!(f, "{error}; other members are written addr:, fqdn:, user:, key-id: or dn: and their name")
            }
            Self::KeyId => f.write_str(
                "a key id has from 1 to 255 octets: visible ASCII characters, or 0x and pairs of hexadecimal digits",
            ),
            Self::Kind(kind) => write!(f, "no member has an identity of type {kind}"),
            Self::Subject => f.write_str(
                "dn: is followed by a distinguished name as in CN=host-1,O=Example, or by its DER in hexadecimal; not empty, and of at most 1024 octets of DER",
            ),
            Self::UserName => f.write_str("a user name is written USER@DOMAIN, USER with at most 64 characters"),
        }
    }
}

impl std::error::Error for MemberIdError {}

fn text(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}

/// Says whether a name has the preferred syntax of RFC 1035 section 2.3.1, with labels that may begin with a digit too
/// (RFC 1123 section 2.1).
fn is_domain_name(name: &str) -> bool {
    name.len() <= DOMAIN_NAME_LEN_MAX && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_LEN_MAX).contains(&label.len())
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Says whether the octets are one SEQUENCE of DER with something in it: the outermost tag and length.
fn is_sequence(der: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = der else { return false };
    let (length, content): (usize, _) = match (length, rest) {
        (1..=0x7f, content) => ((*length).into(), content),
        (0x81, [length @ 0x80..=0xff, content @ ..]) => ((*length).into(), content),
        (0x82, [high @ 1..=0xff, low, content @ ..]) => (u16::from_be_bytes([*high, *low]).into(), content),
        _ => return false,
    };
    content.len() == length
}

/// Says whether a key id can be shown as text: it is seen, and not taken for hexadecimal.
fn is_plain_key_id(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_graphic()) && !text.starts_with(HEX)
}

fn key_id_octets(written: &str) -> Option<Vec<u8>> {
    match written.strip_prefix(HEX) {
        Some(digits) => from_hex(digits),
        None => is_plain_key_id(written).then(|| written.as_bytes().to_vec()),
    }
}

/// Reads a subject as people write it: a name, which has an equals sign, or hexadecimal digits.
fn subject_octets(written: &str) -> Option<Vec<u8>> {
    if written.contains('=') {
        Name::from_rfc4514(written).ok().map(|name| name.der().to_vec())
    } else {
        from_hex(written)
    }
}

/// Writes a subject as RFC 4514 does, if that names the same octets and no others. A space stands as its octet, so that
/// the name is one word.
fn subject_text(der: &[u8]) -> Option<String> {
    let shown = Name::from_der(der).ok()?.to_string();
    let text = shown.replace("\\ ", " ").replace(' ', "\\20");
    let reads_back = subject_octets(&text).is_some_and(|octets| octets == der);
    (reads_back && text.bytes().all(|octet| octet.is_ascii_graphic())).then_some(text)
}

fn write_hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let octet = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(octet).collect()).flatten()
}

/// What a key id in hexadecimal begins with.
const HEX: &str = "0x";

/// The codes of the kinds of identities (RFC 2407 section 4.6.2.1); they are stored.
mod kind {
    /// RESERVED there.
    pub(super) const HIT: u8 = 0;
    /// ID_IPV4_ADDR.
    pub(super) const IPV4_ADDR: u8 = 1;
    /// ID_FQDN.
    pub(super) const FQDN: u8 = 2;
    /// ID_USER_FQDN.
    pub(super) const USER_FQDN: u8 = 3;
    /// ID_IPV6_ADDR.
    pub(super) const IPV6_ADDR: u8 = 5;
    /// ID_DER_ASN1_DN.
    pub(super) const DER_ASN1_DN: u8 = 9;
    /// ID_KEY_ID.
    pub(super) const KEY_ID: u8 = 11;
}

/// What the texts begin with, before a colon.
mod prefix {
    pub(super) const ADDRESS: &str = "addr";
    pub(super) const DOMAIN_NAME: &str = "fqdn";
    pub(super) const KEY_ID: &str = "key-id";
    pub(super) const SUBJECT: &str = "dn";
    pub(super) const USER_NAME: &str = "user";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (written, kind, octets) in [
            ("2001:22:1234::1", 0, &[0x20, 1, 0, 0x22, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..]),
            ("addr:192.0.2.1", 1, &[192, 0, 2, 1]),
            // The address of a host is no host identity, even if it looks like one.
            ("addr:2001:22::1", 5, &[0x20, 1, 0, 0x22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ("fqdn:gcks-1.example", 2, b"gcks-1.example"),
            ("user:Kim.Lee@example.org", 3, b"Kim.Lee@example.org"),
            ("dn:3003020101", 9, &[0x30, 3, 2, 1, 1]),
            ("key-id:cell:7", 11, b"cell:7"),
            ("dn:CN=h,C=NL", 9, b"\x30\x19\x31\x0b\x30\x09\x06\x03U\x04\x06\x13\x02NL\x31\x0a\x30\x08\x06\x03U\x04\x03\x0c\x01h"),
            ("key-id:0x00ff", 11, &[0, 0xff]),
        ] {
            let member: MemberId = written.parse().unwrap();
            assert_eq!((member.kind(), &member.octets()[..]), (kind, octets), "{written}");
            assert_eq!(member.to_string(), written);
            assert_eq!(MemberId::from_octets(kind, octets), Ok(member), "{written}");
        }
    }

    #[test]
    fn one_member_has_one_name() {
        for (written, name) in [
            ("fqdn:GCKS.Example", "fqdn:gcks.example"),
            ("user:Kim@Example.ORG", "user:Kim@example.org"),
            ("key-id:0x6162", "key-id:ab"),
            ("key-id:0x3078", "key-id:0x3078"),
            ("addr:2001:DB8:0::1", "addr:2001:db8::1"),
            ("dn:3003020A0B", "dn:3003020a0b"),
            ("dn:CN=Host 1", "dn:CN=Host\\201"),
            ("dn:CN=\\ h\\, x\\=y", "dn:CN=\\20h\\,\\20x\\=y"),
            // A C of another type of string than certificates have now is another name, and stands as octets.
            ("dn:300d310b3009060355040613024e4c", "dn:C=NL"),
            ("dn:300d310b300906035504060c024e4c", "dn:300d310b300906035504060c024e4c"),
        ] {
            assert_eq!(written.parse::<MemberId>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn refuses_what_names_no_member() {
        let long_label = format!("fqdn:{}.example", "x".repeat(64));
        let long_name = format!("fqdn:{}x", "x.".repeat(127));
        let long_user = format!("user:{}@example.org", "x".repeat(65));
        let long_key_id = format!("key-id:{}", "x".repeat(256));
        for (written, error) in [
            ("addr:192.0.2", MemberIdError::Address),
            ("fqdn:", MemberIdError::DomainName),
            ("fqdn:example.", MemberIdError::DomainName),
            ("fqdn:a..b", MemberIdError::DomainName),
            ("fqdn:-a.b", MemberIdError::DomainName),
            ("fqdn:a b", MemberIdError::DomainName),
            (&long_label, MemberIdError::DomainName),
            (&long_name, MemberIdError::DomainName),
            ("user:kim", MemberIdError::UserName),
            ("user:@example.org", MemberIdError::UserName),
            ("user:kim@", MemberIdError::UserName),
            ("user:kim@lee@example.org", MemberIdError::UserName),
            (&long_user, MemberIdError::UserName),
            ("key-id:", MemberIdError::KeyId),
            ("key-id:0x", MemberIdError::KeyId),
            ("key-id:0x123", MemberIdError::KeyId),
            ("key-id:two words", MemberIdError::KeyId),
            (&long_key_id, MemberIdError::KeyId),
            ("dn:3000", MemberIdError::Subject),
            ("dn:CN", MemberIdError::Subject),
            ("dn:=x", MemberIdError::Subject),
            ("dn:Name=x", MemberIdError::Subject),
            ("dn:CN=\\x", MemberIdError::Subject),
            ("dn:300302010", MemberIdError::Subject),
            ("dn:3004020101", MemberIdError::Subject),
            ("dn:3103020101", MemberIdError::Subject),
            ("dn:308103020101", MemberIdError::Subject),
            ("", MemberIdError::Hit(ParseHitError)),
            ("2001:db8::1", MemberIdError::Hit(ParseHitError)),
            ("hit:2001:22:1234::1", MemberIdError::Hit(ParseHitError)),
        ] {
            assert_eq!(written.parse::<MemberId>(), Err(error), "{written}");
        }
    }

    #[test]
    fn a_subject_ends_where_its_length_says_and_is_not_too_long() {
        let sequence = |length: &[u8], content: usize| [&[0x30], length, &vec![7; content]].concat();
        for (der, is_valid) in [
            (sequence(&[0x7f], 0x7f), true),
            (sequence(&[0x81, 0x80], 0x80), true),
            (sequence(&[0x82, 1, 0], 0x100), true),
            (sequence(&[0x82, 3, 0xfc], SUBJECT_LEN_MAX - 4), true),
            (sequence(&[0x82, 3, 0xfd], SUBJECT_LEN_MAX - 3), false),
            (sequence(&[0x80], 2), false),
            (sequence(&[0x82, 0, 0xff], 0xff), false),
            (sequence(&[0x81, 0x80], 0x81), false),
        ] {
            assert_eq!(MemberId::subject(der.clone()).is_ok(), is_valid, "{:02x?}", &der[..4]);
        }
    }

    #[test]
    fn refuses_octets_of_a_length_or_kind_that_is_none() {
        for (kind, octets, error) in [
            (0, &[0x20; 15][..], MemberIdError::Hit(ParseHitError)),
            (1, &[1; 5], MemberIdError::Address),
            (5, &[1; 4], MemberIdError::Address),
            (2, b"\xff", MemberIdError::DomainName),
            (3, b"kim\xff@example.org", MemberIdError::UserName),
            (4, &[1; 8], MemberIdError::Kind(4)),
        ] {
            assert_eq!(MemberId::from_octets(kind, octets), Err(error), "{kind}");
        }
    }

    #[test]
    fn a_hit_needs_no_memory_of_its_own() {
        assert!(size_of::<MemberId>() <= 24, "a key server holds it several times for each member");
    }
}
