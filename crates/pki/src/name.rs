//! Distinguished names: how they compare (RFC 5280 section 7.1), and how they are shown and read (RFC 4514).

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use const_oid::{ObjectIdentifier, db::rfc3280::EMAIL_ADDRESS};
use der::{Decode, Encode, Tag, asn1::Any};

use crate::{
    oid,
    read_error::ReadError,
    rfc4514::{self, NameError},
};

/// The name of a subject or an issuer: relative distinguished names, from the root of the directory down.
///
/// Two names are equal if they compare so by RFC 5280 section 7.1: without regard to case, to spaces at both ends, to
/// how many stand in between, and to the type of string. Shown is what RFC 4514 writes, the last part first; all that
/// is not graphic ASCII stands as octets, so that a name cannot look like another.
#[derive(Clone)]
pub struct Name {
    parts: Vec<Vec<(ObjectIdentifier, Value)>>,
    shown: String,
    der: Vec<u8>,
}

/// The value of an attribute, as it is compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Value {
    /// A string: in lower case, without spaces at its ends, and one where there are several.
    Text(String),
    /// The encoding of what is no string.
    Other(Vec<u8>),
}

impl Name {
    /// Takes a name. One with an object identifier that is not DER is none: it would be shown as another is.
    pub(crate) fn new(name: &x509_cert::name::Name) -> der::Result<Self> {
        if !name.iter().all(|attribute| oid::is_in_order(attribute.oid.as_bytes())) {
            return Err(Tag::ObjectIdentifier.value_error().into());
        }
        let parts = name.iter_rdn().map(|part| {
            let mut attributes: Vec<_> =
                part.iter().map(|attribute| (attribute.oid, value(&attribute.value))).collect();
            attributes.sort();
            attributes
        });
        Ok(Self { parts: parts.collect(), shown: rfc4514::write(name), der: name.to_der()? })
    }

    /// Reads a name as RFC 4514 writes it, with at least one attribute. Spaces around commas and values are left out.
    ///
    /// # Errors
    ///
    /// [`NameError`], by what is wrong with the text.
    pub fn from_rfc4514(text: &str) -> Result<Self, NameError> {
        rfc4514::read(text).and_then(|name| Self::new(&name).map_err(|_| NameError::Value))
    }

    /// Reads a name from its DER; the empty one too.
    ///
    /// # Errors
    ///
    /// [`ReadError::Der`], if it is none.
    pub fn from_der(octets: &[u8]) -> Result<Self, ReadError> {
        let name = x509_cert::name::Name::from_der(octets).map_err(|_| ReadError::Der)?;
        Self::new(&name).map_err(|_| ReadError::Der)
    }

    /// Shows the DER. That of two equal names can differ.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Says that there is nothing in the name.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Says that this name is the other one, or below it in the directory.
    pub fn is_within(&self, other: &Self) -> bool {
        self.parts.starts_with(&other.parts)
    }

    /// The electronic mail addresses that stand in the name, in lower case.
    pub(crate) fn mail_addresses(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flatten().filter_map(|(oid, value)| match value {
            Value::Text(text) if *oid == EMAIL_ADDRESS => Some(text.as_str()),
            Value::Text(_) | Value::Other(_) => None,
        })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts.hash(state);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.shown.is_empty() { "nobody" } else { &self.shown })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.shown)
    }
}

fn value(any: &Any) -> Value {
    match rfc4514::text(any) {
        Some(text) => Value::Text(text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")),
        None => Value::Other(any.to_der().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use const_oid::db::rfc4519::CN;
    use x509_cert::attr::AttributeTypeAndValue;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_rfc4514(text).unwrap()
    }

    #[test]
    fn a_name_survives_its_der_and_its_text() {
        let one = name("CN=host-1,O=Example");
        assert_eq!(Name::from_der(one.der()).unwrap().der(), one.der());
        assert_eq!(name(&one.to_string()).der(), one.der());
        assert_eq!(Name::from_der(&[0x30, 1]), Err(ReadError::Der));
        assert!(Name::from_der(&[0x30, 0]).unwrap().is_empty());
    }

    #[test]
    fn names_are_equal_without_regard_to_case_and_spaces() {
        assert_eq!(name("CN=Group  Owner,O=Grid"), name("CN=group owner,O=GRID"));
        assert_ne!(name("CN=Group Owner,O=Grid"), name("CN=GroupOwner,O=Grid"));
        assert_ne!(name("CN=Owner,O=Grid"), name("O=Grid"));
    }

    #[test]
    fn a_name_is_within_those_above_it() {
        let above = name("O=Grid,C=NL");
        assert!(name("CN=Owner,O=Grid,C=NL").is_within(&above));
        assert!(above.is_within(&above));
        assert!(!name("CN=Owner,O=Other,C=NL").is_within(&above));
        assert!(!above.is_within(&name("CN=Owner,O=Grid,C=NL")));
    }

    #[test]
    fn odd_octets_are_shown_as_octets_and_specials_escaped() {
        let value = Any::new(Tag::Utf8String, "a\u{202e}b,c\"d ".as_bytes()).unwrap();
        let attribute = AttributeTypeAndValue { oid: CN, value };
        let mut parts = x509_cert::name::RdnSequence::default();
        parts.push(vec![attribute].try_into().unwrap());
        let odd = x509_cert::name::Name::from_der(&parts.to_der().unwrap()).unwrap();
        assert_eq!(Name::new(&odd).unwrap().to_string(), "CN=a\\e2\\80\\aeb\\,c\\\"d\\ ");
        assert_eq!(Name::new(&x509_cert::name::Name::default()).unwrap().to_string(), "nobody");
    }
    #[test]
    fn a_name_with_an_object_identifier_that_is_not_der_is_none() {
        let with = |oid: &[u8]| {
            let attribute = [&[6, oid.len() as u8], oid, &[0x0c, 1, b'a']].concat();
            let set =
                [&[0x31, attribute.len() as u8 + 2, 0x30, attribute.len() as u8], &attribute[..]].concat();
            Name::from_der(&[&[0x30, set.len() as u8], &set[..]].concat())
        };
        assert_eq!(with(&[0x55, 4, 3]).unwrap(), name("CN=a"));
        // A zero in front of the last number.
        assert_eq!(with(&[0x55, 4, 0x80, 3]), Err(ReadError::Der));
    }
}
