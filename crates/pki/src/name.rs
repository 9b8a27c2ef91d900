//! Distinguished names: how they compare (RFC 5280 section 7.1) and how they are shown (RFC 4514).

use std::{
    cmp::Ordering,
    fmt::{self, Write},
    hash::{Hash, Hasher},
};

use const_oid::{
    ObjectIdentifier,
    db::{
        rfc3280::EMAIL_ADDRESS,
        rfc4519::{C, CN, DC, L, O, OU, SERIAL_NUMBER, ST, STREET, UID},
    },
};
use der::{
    Encode, Tag, Tagged,
    asn1::{Any, BmpString},
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
    pub(crate) fn new(name: &x509_cert::name::Name) -> Self {
        let parts = name.iter_rdn().map(|part| {
            let mut attributes: Vec<_> =
                part.iter().map(|attribute| (attribute.oid, value(&attribute.value))).collect();
            attributes.sort();
            attributes
        });
        let mut shown = String::new();
        let parts_shown: Vec<_> = name.iter_rdn().collect();
        for (i, part) in parts_shown.into_iter().rev().enumerate() {
            for (k, attribute) in part.iter().enumerate() {
                shown.push_str(match (i, k) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                });
                show(&mut shown, attribute.oid, &attribute.value);
            }
        }
        Self { parts: parts.collect(), shown }
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
    match text(any) {
        Some(text) => Value::Text(text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")),
        None => Value::Other(any.to_der().unwrap_or_default()),
    }
}

/// Reads a string of any of the types that names have (RFC 5280 section 4.1.2.4).
fn text(any: &Any) -> Option<String> {
    let (octets, tag) = (any.value(), any.tag());
    if [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String].contains(&tag) {
        std::str::from_utf8(octets).ok().map(str::to_owned)
    } else if tag == Tag::TeletexString {
        // Taken for Latin-1, as who still writes it means that.
        Some(octets.iter().map(|&octet| char::from(octet)).collect())
    } else if tag == Tag::BmpString {
        BmpString::from_ucs2(octets).ok().map(|text| text.to_string())
    } else {
        None
    }
}

/// Writes an attribute as RFC 4514 section 2.3 does.
fn show(shown: &mut String, oid: ObjectIdentifier, any: &Any) {
    match KEYWORDS.iter().find(|(known, _)| *known == oid) {
        Some((_, keyword)) => shown.push_str(keyword),
        None => write!(shown, "{oid}").expect("a String takes everything"),
    }
    shown.push('=');
    let Some(text) = text(any) else {
        shown.push('#');
        hex(shown, &any.to_der().unwrap_or_default(), "");
        return;
    };
    let last = text.chars().count().saturating_sub(1);
    for (i, character) in text.chars().enumerate() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => shown.extend(['\\', character]),
            '#' if i == 0 => shown.push_str("\\#"),
            ' ' if i == 0 || i == last => shown.push_str("\\ "),
            ' '..='~' => shown.push(character),
            _ => hex(shown, character.encode_utf8(&mut [0; 4]).as_bytes(), "\\"),
        }
    }
}

fn hex(shown: &mut String, octets: &[u8], before: &str) {
    for octet in octets {
        write!(shown, "{before}{octet:02x}").expect("a String takes everything");
    }
}

/// How attributes are called (RFC 4514 section 3), and two more that certificates of hosts have.
const KEYWORDS: [(ObjectIdentifier, &str); 11] = [
    (C, "C"),
    (CN, "CN"),
    (DC, "DC"),
    (EMAIL_ADDRESS, "emailAddress"),
    (L, "L"),
    (O, "O"),
    (OU, "OU"),
    (SERIAL_NUMBER, "serialNumber"),
    (ST, "ST"),
    (STREET, "STREET"),
    (UID, "UID"),
];

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use der::Decode;
    use x509_cert::attr::AttributeTypeAndValue;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(&x509_cert::name::Name::from_str(text).unwrap())
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
        assert_eq!(Name::new(&odd).to_string(), "CN=a\\e2\\80\\aeb\\,c\\\"d\\ ");
        assert_eq!(Name::new(&x509_cert::name::Name::default()).to_string(), "nobody");
    }
}
