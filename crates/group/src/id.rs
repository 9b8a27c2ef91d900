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

    /// Reads a name: `#1234` and `0x4d2` are four octets, anything else its UTF-8 octets; all are ID_KEY_ID. In a name
    /// `\xc3` stands for an octet, by two hexadecimal digits, and `\\` for a backslash.
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
            return Self::new(IdType::KEY_ID, unescaped(text.as_bytes()));
        };
        if digits.starts_with('+') {
            return Err(GroupIdError::Number);
        }
        let number = u32::from_str_radix(digits, radix).map_err(|_| GroupIdError::Number)?;
        Self::new(IdType::KEY_ID, number.to_be_bytes())
    }
}

impl fmt::Display for GroupId {
    /// Writes what [`GroupId::from_str`] reads, in characters that can be seen and that look like nothing else: graphic
    /// ASCII, and single spaces within. All other octets are written as `\xc3`, so that no name that a stranger
    /// made up turns a terminal's text around, hides in it or looks like another. Four octets that are no such text are a
    /// number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(number) = <[u8; 4]>::try_from(&*self.octets)
            && !is_plain(&self.octets)
        {
            return write!(f, "#{}", u32::from_be_bytes(number));
        }
        let is_number_like = self.octets.starts_with(b"#") || self.octets.starts_with(b"0x");
        for (index, octet) in self.octets.iter().enumerate() {
            match octet {
                b'\\' => f.write_str(r"\\")?,
                _ if index == 0 && is_number_like => write!(f, r"\x{octet:02x}")?,
                b' ' if is_single_space(&self.octets, index) => f.write_str(" ")?,
                _ if octet.is_ascii_graphic() => write!(f, "{}", char::from(*octet))?,
                _ => write!(f, r"\x{octet:02x}")?,
            }
        }
        Ok(())
    }
}

/// Says whether octets can be shown as they are, and read back.
fn is_plain(octets: &[u8]) -> bool {
    let is_shown = |(index, octet): (usize, &u8)| octet.is_ascii_graphic() || is_single_space(octets, index);
    octets.iter().enumerate().all(is_shown) && !octets.starts_with(b"#") && !octets.starts_with(b"0x")
}

/// Says whether a space stands between two characters that can be seen.
fn is_single_space(octets: &[u8], index: usize) -> bool {
    let is_graphic =
        |index: Option<usize>| index.and_then(|index| octets.get(index)).is_some_and(u8::is_ascii_graphic);
    octets[index] == b' ' && is_graphic(index.checked_sub(1)) && is_graphic(index.checked_add(1))
}

/// Reads `\xc3` as an octet and `\\` as a backslash. A backslash before anything else is one.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        let (octet, behind) = match rest {
            [b'x', high, low, behind @ ..] if first == b'\\' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => (first, rest),
            },
            [b'\\', behind @ ..] if first == b'\\' => (first, behind),
            _ => (first, rest),
        };
        octets.push(octet);
        text = behind;
    }
    octets
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| digit.try_into().ok())
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
