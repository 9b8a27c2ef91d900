//! What netlink messages consist of: attributes, each with a length, a kind, and a value that may be attributes again.

/// Octets of an attribute's length and kind.
const HEADER: usize = 4;
/// The bits of the kind that are not flags (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;
/// The flag of a kind whose value is attributes (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;

/// An attribute of a message that is to be sent, or that is looked for in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// Attributes in an attribute.
    Nest(u16, Vec<Attribute>),
    /// Octets.
    Value(u16, Vec<u8>),
}

impl Attribute {
    /// Makes one of a number in network order, as nf_tables has them.
    pub(super) fn number(kind: u16, number: u32) -> Self {
        Self::Value(kind, number.to_be_bytes().into())
    }

    /// Makes one of a text, which ends with a zero.
    pub(super) fn text(kind: u16, text: &str) -> Self {
        Self::Value(kind, [text.as_bytes(), &[0]].concat())
    }

    /// Appends attributes to the body of a message.
    pub(super) fn put_all(attributes: &[Self], body: &mut Vec<u8>) {
        for attribute in attributes {
            match attribute {
                Self::Value(kind, value) => put_attribute(body, *kind, value),
                Self::Nest(kind, inside) => {
                    let mut value = Vec::new();
                    Self::put_all(inside, &mut value);
                    put_attribute(body, kind | NESTED, &value);
                }
            }
        }
    }

    /// Says whether attributes are all among others, which are octets; what else is there may be, but no more of a kind
    /// than are looked for.
    pub(super) fn are_in(attributes: &[Self], others: &[u8]) -> bool {
        attributes.iter().enumerate().all(|(position, attribute)| {
            let kind = attribute.kind();
            let before = attributes[..position].iter().filter(|earlier| earlier.kind() == kind).count();
            let all = attributes.iter().filter(|each| each.kind() == kind).count();
            let found: Vec<_> =
                iterate(others).filter(|(other, _)| *other == kind).map(|(_, value)| value).collect();
            found.len() == all && attribute.has_value(found[before])
        })
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Nest(kind, _) | Self::Value(kind, _) => *kind,
        }
    }

    fn has_value(&self, value: &[u8]) -> bool {
        match self {
            Self::Nest(_, inside) => Self::are_in(inside, value),
            Self::Value(_, wanted) => wanted == value,
        }
    }
}

/// Appends an attribute: length, kind, value, and octets up to a multiple of four.
pub(super) fn put_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(HEADER + value.len()).expect("attributes are short");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Goes through attributes, without the flags of their kinds, up to the end or to the first that is cut short.
pub(super) fn iterate(attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = attributes;
    std::iter::from_fn(move || {
        let length = usize::from(read_u16(rest, 0)?);
        let kind = read_u16(rest, 2)? & KIND;
        let value = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Finds the first attribute of a kind.
pub(super) fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    iterate(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Finds an attribute that holds one 32-bit number in the host's order.
pub(super) fn attribute_u32(attributes: &[u8], wanted: u16) -> Option<u32> {
    read_u32(attribute(attributes, wanted)?, 0)
}

/// Finds an attribute that holds a text.
pub(super) fn attribute_text(attributes: &[u8], wanted: u16) -> Option<String> {
    let value = attribute(attributes, wanted)?;
    let text = value.split(|octet| *octet == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

pub(super) fn read_u16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

pub(super) fn read_u32(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_attribute_among_others_and_survives_every_cut() {
        let mut attributes = vec![];
        put_attribute(&mut attributes, 1, b"odd");
        put_attribute(&mut attributes, 4, &7u32.to_ne_bytes());
        put_attribute(&mut attributes, 9, &[]);
        assert_eq!(attribute_u32(&attributes, 4), Some(7));
        assert_eq!(attribute_u32(&attributes, 9), None, "an empty one holds no number");
        assert_eq!(attribute_u32(&attributes, 5), None);
        assert_eq!(attribute_text(&attributes, 1).as_deref(), Some("odd"));
        for length in 0..attributes.len() {
            let found = attribute_u32(&attributes[..length], 4);
            assert_eq!(found, (length >= 16).then_some(7), "cut at {length}");
        }
        assert_eq!(attribute_u32(&[0; 64], 4), None, "a length of zero does not loop");
    }

    #[test]
    fn attributes_are_found_in_what_has_more_kinds_but_not_in_more_or_less_of_a_kind() {
        let element = |value: &str| Attribute::Nest(1, vec![Attribute::text(1, value)]);
        let octets = |attributes: &[Attribute]| {
            let mut octets = Vec::new();
            Attribute::put_all(attributes, &mut octets);
            octets
        };
        let wanted = [element("a"), element("b")];
        assert!(Attribute::are_in(&wanted, &octets(&wanted)));
        assert!(Attribute::are_in(&wanted, &octets(&[element("a"), Attribute::number(7, 7), element("b")])));
        for other in [
            &[element("b"), element("a")][..],
            &[element("a")],
            &[element("a"), element("b"), element("c")],
            &[element("a"), Attribute::Nest(1, vec![])],
            &[],
        ] {
            assert!(!Attribute::are_in(&wanted, &octets(other)), "{other:?}");
        }
    }
}
