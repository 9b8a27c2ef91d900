//! Distinguished names as text (RFC 4514), written and read.

use std::fmt::{self, Write};

use const_oid::{
    ObjectIdentifier,
    db::{
        rfc3280::EMAIL_ADDRESS,
        rfc4519::{C, CN, DC, L, O, OU, SERIAL_NUMBER, ST, STREET, UID},
    },
};
use der::{
    Decode, Encode, Tag, Tagged,
    asn1::{Any, BmpString},
};
use x509_cert::{
    attr::AttributeTypeAndValue,
    name::{RdnSequence, RelativeDistinguishedName},
};

/// Why text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// An attribute is not known: it has neither one of the usual keywords nor an object identifier.
    Attribute,
    /// A backslash stands before what cannot be escaped.
    Escape,
    /// There are no attributes with equals signs, parted by commas.
    Syntax,
    /// A value is empty, or has characters that its attribute does not allow.
    Value,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attribute => "the name has an unknown attribute",
            Self::Escape => "the name has a backslash before what cannot be escaped",
            Self::Syntax => "the name is not of the form CN=host,O=organisation",
            Self::Value => "the name has an attribute with an invalid value",
        })
    }
}

impl std::error::Error for NameError {}

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

/// Reads a name: its last part stands first.
pub(crate) fn read(text: &str) -> Result<x509_cert::name::Name, NameError> {
    let mut rest = Text { rest: text };
    let mut parts: Vec<RelativeDistinguishedName> = Vec::new();
    loop {
        let (part, is_last) = rest.part()?;
        parts.push(part);
        if is_last {
            break;
        }
    }
    let mut sequence = RdnSequence::default();
    parts.into_iter().rev().for_each(|part| sequence.push(part));
    let octets = sequence.to_der().map_err(|_| NameError::Value)?;
    x509_cert::name::Name::from_der(&octets).map_err(|_| NameError::Value)
}

/// What of a name is not read yet.
struct Text<'a> {
    rest: &'a str,
}

/// What ends an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Comma,
    Name,
    Plus,
}

impl Text<'_> {
    /// Reads attributes up to a comma or the end of the name, and says which.
    fn part(&mut self) -> Result<(RelativeDistinguishedName, bool), NameError> {
        let mut attributes: Vec<AttributeTypeAndValue> = Vec::new();
        loop {
            let (attribute, end) = self.attribute()?;
            // One part has an attribute once (X.501 section 9.3).
            if attributes.iter().any(|earlier| earlier.oid == attribute.oid) {
                return Err(NameError::Value);
            }
            attributes.push(attribute);
            if end != End::Plus {
                let part = attributes.try_into().map_err(|_| NameError::Value)?;
                return Ok((part, end == End::Name));
            }
        }
    }

    fn attribute(&mut self) -> Result<(AttributeTypeAndValue, End), NameError> {
        let (keyword, rest) = self.rest.split_once('=').ok_or(NameError::Syntax)?;
        let oid = attribute_type(keyword.trim_matches(' '))?;
        self.rest = rest.trim_start_matches(' ');
        let is_encoded = self.rest.starts_with('#');
        let (octets, end) = self.value()?;
        let value = if is_encoded {
            let text = std::str::from_utf8(&octets[1..]).map_err(|_| NameError::Value)?;
            Any::from_der(&from_hex(text)?).map_err(|_| NameError::Value)?
        } else {
            string(oid, &octets)?
        };
        Ok((AttributeTypeAndValue { oid, value }, end))
    }

    /// Reads a value without its escapes, and without spaces at its end that have none.
    fn value(&mut self) -> Result<(Vec<u8>, End), NameError> {
        let mut octets = Vec::new();
        // So many octets are there to stay, though they may be spaces.
        let mut kept = 0;
        let mut characters = self.rest.chars();
        let end = loop {
            match characters.next() {
                None => break End::Name,
                Some(',') => break End::Comma,
                Some('+') => break End::Plus,
                Some('\\') => {
                    octets.push(escaped(&mut characters)?);
                    kept = octets.len();
                }
                // The semicolon parted names in RFC 2253, and quotes held them together.
                Some('"' | ';' | '<' | '>' | '\0') => return Err(NameError::Syntax),
                Some(' ') => octets.push(b' '),
                Some(character) => {
                    octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    kept = octets.len();
                }
            }
        };
        self.rest = characters.as_str();
        octets.truncate(kept);
        Ok((octets, end))
    }
}

/// Reads what stands behind a backslash: a special character, or two hexadecimal digits.
fn escaped(characters: &mut std::str::Chars<'_>) -> Result<u8, NameError> {
    let first = characters.next().ok_or(NameError::Escape)?;
    if let ' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\' = first {
        return Ok(first as u8);
    }
    let second = characters.next().ok_or(NameError::Escape)?;
    let digit = |character: char| character.to_digit(16).ok_or(NameError::Escape);
    Ok((digit(first)? << 4 | digit(second)?) as u8)
}

fn attribute_type(keyword: &str) -> Result<ObjectIdentifier, NameError> {
    match KEYWORDS.iter().find(|(_, known)| known.eq_ignore_ascii_case(keyword)) {
        Some((oid, _)) => Ok(*oid),
        None => ObjectIdentifier::new(keyword).map_err(|_| NameError::Attribute),
    }
}

/// Takes octets as the type of string that an attribute has (RFC 5280 appendix A.1).
fn string(oid: ObjectIdentifier, octets: &[u8]) -> Result<Any, NameError> {
    let tag = match oid {
        C | SERIAL_NUMBER => Tag::PrintableString,
        DC | EMAIL_ADDRESS => Tag::Ia5String,
        _ => Tag::Utf8String,
    };
    let is_in_order = if tag == Tag::PrintableString {
        octets.iter().all(|octet| is_printable(*octet))
    } else if tag == Tag::Ia5String {
        octets.is_ascii()
    } else {
        std::str::from_utf8(octets).is_ok()
    };
    if octets.is_empty() || !is_in_order {
        return Err(NameError::Value);
    }
    Any::new(tag, octets).map_err(|_| NameError::Value)
}

/// Says that an octet may stand in a PrintableString (X.680 section 41.4).
fn is_printable(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

fn from_hex(digits: &str) -> Result<Vec<u8>, NameError> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(NameError::Value);
    }
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| NameError::Value);
    (0..digits.len()).step_by(2).map(octet).collect()
}

/// Reads a string of any of the types that names have (RFC 5280 section 4.1.2.4).
pub(crate) fn text(any: &Any) -> Option<String> {
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

/// Writes a name, the last part first (RFC 4514 section 2.1).
pub(crate) fn write(name: &x509_cert::name::Name) -> String {
    let mut shown = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (i, part) in parts.into_iter().rev().enumerate() {
        for (k, attribute) in part.iter().enumerate() {
            shown.push_str(match (i, k) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            show(&mut shown, attribute.oid, &attribute.value);
        }
    }
    shown
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

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        write(&read(text).unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[test]
    fn a_name_is_written_as_it_was_read() {
        for text in [
            "CN=host-1,O=Example",
            "CN=a+UID=b,O=Example,C=NL",
            "CN=James \\\"Jim\\\" Smith\\, III,DC=example,DC=net",
            "CN=\\ a\\\\\\,b\\ ,emailAddress=a@example.com",
            "CN=\\#4,L=c\\=d,serialNumber=17,ST=a,STREET=b",
            "CN=a\\c3\\a9\\00",
            "1.3.6.1.4.1.1466.0=#04024869",
            "OU=a  b",
        ] {
            assert_eq!(round_trip(text), text);
        }
    }

    #[test]
    fn spaces_around_values_keywords_in_any_case_and_plain_octets_are_read() {
        assert_eq!(round_trip("cn = a , o= b c "), "CN=a,O=b c");
        assert_eq!(round_trip("2.5.4.3=a"), "CN=a");
        assert_eq!(round_trip("CN=\u{e9}=\\41"), "CN=\\c3\\a9\\=A");
        assert_eq!(round_trip("CN=a\\ "), "CN=a\\ ");
    }

    #[test]
    fn text_that_is_no_name_is_refused_by_name() {
        for (text, error) in [
            ("", NameError::Syntax),
            ("host", NameError::Syntax),
            ("CN=a,", NameError::Syntax),
            ("CN=a;O=b", NameError::Syntax),
            ("CN=\"a\"", NameError::Syntax),
            ("CN=", NameError::Value),
            ("CN=  ", NameError::Value),
            ("XY=a", NameError::Attribute),
            ("=a", NameError::Attribute),
            ("CN=a\\", NameError::Escape),
            ("CN=a\\g0", NameError::Escape),
            ("CN=a\\4", NameError::Escape),
            ("CN=\\ff", NameError::Value),
            ("DC=\u{e9}", NameError::Value),
            ("C=a@b", NameError::Value),
            ("CN=#", NameError::Value),
            ("CN=#0c0161ff", NameError::Value),
            ("CN=#0c016", NameError::Value),
            ("CN=a+CN=b", NameError::Value),
        ] {
            assert_eq!(read(text).err(), Some(error), "{text}");
        }
    }
}
