//! How a group is named.

use std::{fmt, str::FromStr, sync::Arc};

/// The ID Types of the ISAKMP ID payload that name groups (RFC 2407 section 4.6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdType(pub u8);

impl IdType {
    /// ID_IPV4_ADDR.
    pub const IPV4_ADDR: Self = Self(1);
    /// ID_IPV6_ADDR.
    pub const IPV6_ADDR: Self = Self(5);
    /// ID_KEY_ID: opaque octets; four of them must be supported (RFC 6407 section 5.1).
    pub const KEY_ID: Self = Self(11);
}

/// The longest group identifier in octets; the one-octet lengths of several protocols allow no more.
pub const GROUP_ID_LEN_MAX: usize = 255;

/// The identifier of a group, as an ID payload carries it: 1 to 255 octets of a given type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    id_type: IdType,
    /// Shared by the clones: a key server names the group at each of its members.
    octets: Arc<[u8]>,
}

/// The octets or the text cannot name a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupIdError {
    /// The text holds a control character: it could not be shown so that it reads back.
    Control,
    /// No octets at all.
    Empty,
    /// More than 255 octets.
    TooLong,
    /// `#` or `0x` is not followed by a number of at most 32 bits.
    Number,
}

impl fmt::Display for GroupIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "a group name must not hold control characters",
            Self::Empty => "a group name must not be empty",
            Self::TooLong => "a group name has at most 255 octets",
            Self::Number => {
                "a group number is # and a decimal, or 0x and a hexadecimal number, of at most 32 bits"
            }
        })
    }
}

impl std::error::Error for GroupIdError {}

impl GroupId {
    /// Takes the octets of an ID payload.
    pub fn new(id_type: IdType, octets: impl Into<Arc<[u8]>>) -> Result<Self, GroupIdError> {
        let octets = octets.into();
        match octets.len() {
            0 => Err(GroupIdError::Empty),
            1..=GROUP_ID_LEN_MAX => Ok(Self { id_type, octets }),
            _ => Err(GroupIdError::TooLong),
        }
    }

    /// Says of which type the identifier is.
    pub fn id_type(&self) -> IdType {
        self.id_type
    }

    /// Shows the octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl FromStr for GroupId {
    type Err = GroupIdError;

    /// Reads a name: `#1234` and `0x4d2` are four octets, anything else its UTF-8 octets; all are ID_KEY_ID.
    fn from_str(text: &str) -> Result<Self, GroupIdError> {
        let number = match (text.strip_prefix('#'), text.strip_prefix("0x")) {
            (Some(digits), _) => Some((digits, 10)),
            (_, Some(digits)) => Some((digits, 16)),
            _ => None,
        };
        let Some((digits, radix)) = number else {
            if text.contains(char::is_control) {
                return Err(GroupIdError::Control);
            }
            return Self::new(IdType::KEY_ID, text.as_bytes());
        };
        if digits.starts_with('+') {
            return Err(GroupIdError::Number);
        }
        let number = u32::from_str_radix(digits, radix).map_err(|_| GroupIdError::Number)?;
        Self::new(IdType::KEY_ID, number.to_be_bytes())
    }
}

impl fmt::Display for GroupId {
    /// Writes what [`GroupId::from_str`] reads; octets that are neither a number nor printable text as `0x…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::str::from_utf8(&self.octets).ok();
        let printable =
            text.filter(|t| !t.starts_with('#') && !t.starts_with("0x") && !t.contains(char::is_control));
        match (printable, <[u8; 4]>::try_from(&self.octets[..])) {
            (Some(text), _) => f.write_str(text),
            (None, Ok(number)) => write!(f, "#{}", u32::from_be_bytes(number)),
            (None, Err(_)) => {
                f.write_str("0x")?;
                self.octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({}, {self})", self.id_type.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_become_octets() {
        for (text, octets) in [
            ("#1234", &[0, 0, 4, 0xd2][..]),
            ("0x4d2", &[0, 0, 4, 0xd2]),
            ("0xffffffff", &[0xff; 4]),
            ("market", b"market"),
            ("caf\u{e9}", "caf\u{e9}".as_bytes()),
        ] {
            let id: GroupId = text.parse().unwrap();
            assert_eq!((id.id_type(), id.octets()), (IdType::KEY_ID, octets), "{text}");
            assert_eq!(id.to_string().parse::<GroupId>().unwrap(), id, "{text}");
        }
    }

    #[test]
    fn refuses_what_names_no_group() {
        for (text, error) in [
            ("", GroupIdError::Empty),
            ("mar\u{7f}ket", GroupIdError::Control),
            ("#", GroupIdError::Number),
            ("#+1", GroupIdError::Number),
            ("#4294967296", GroupIdError::Number),
            ("0xg", GroupIdError::Number),
            (&"x".repeat(256), GroupIdError::TooLong),
        ] {
            assert_eq!(text.parse::<GroupId>(), Err(error), "{text}");
        }
    }
}
