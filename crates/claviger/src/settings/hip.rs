//! Which algorithms HIP offers, as people write them.

use std::str::FromStr;

use claviger_hip::{
    HostConfig,
    iana::{CipherId, DhGroup},
};
use serde::Deserialize;

/// The Diffie-Hellman groups that can be chosen (RFC 7401 section 5.2.7). Group 3 is weak: it is used only where it is
/// named, and never opens a group's keys.
const DH_GROUPS: [DhGroup; 5] =
    [DhGroup::MODP_1536, DhGroup::MODP_3072, DhGroup::NIST_P256, DhGroup::NIST_P384, DhGroup::NIST_P521];

/// The ciphers that can be chosen (RFC 7401 section 5.2.8). `null` never opens a group's keys.
const CIPHERS: [(&str, CipherId); 3] = [
    ("aes-256-cbc", CipherId::AES_256_CBC),
    ("aes-128-cbc", CipherId::AES_128_CBC),
    ("null", CipherId::NULL_ENCRYPT),
];

/// A list of Diffie-Hellman groups, most preferred first; empty is HIP's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Vec<u8>")]
pub struct DhGroups(pub Vec<DhGroup>);

impl TryFrom<Vec<u8>> for DhGroups {
    type Error = String;

    fn try_from(numbers: Vec<u8>) -> Result<Self, String> {
        let known = |number: u8| {
            DH_GROUPS.into_iter().find(|group| group.0 == number).ok_or_else(|| {
                format!("a Diffie-Hellman group is 3, 4, 7, 8 or 9 (RFC 7401 section 5.2.7), not {number}")
            })
        };
        Ok(Self(numbers.into_iter().map(known).collect::<Result<_, _>>()?))
    }
}

impl FromStr for DhGroups {
    type Err = String;

    /// Reads numbers with commas between them: `8,9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |part: &str| part.trim().parse::<u8>().map_err(|_| format!("{part} is no number of a group"));
        Self::try_from(text.split(',').map(number).collect::<Result<Vec<_>, _>>()?)
    }
}

/// A list of ciphers, most preferred first; empty is HIP's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Ciphers(pub Vec<CipherId>);

impl TryFrom<Vec<String>> for Ciphers {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let known = |name: &String| {
            let cipher = CIPHERS.iter().find(|(known, _)| known == name).map(|(_, cipher)| *cipher);
            cipher.ok_or_else(|| format!("a cipher is aes-256-cbc, aes-128-cbc or null, not {name}"))
        };
        Ok(Self(names.iter().map(known).collect::<Result<_, _>>()?))
    }
}

/// Puts what was chosen in the place of HIP's defaults.
pub(crate) fn choose(hip: &mut HostConfig, dh_groups: &DhGroups, ciphers: &Ciphers) {
    if !dh_groups.0.is_empty() {
        hip.dh_groups.clone_from(&dh_groups.0);
    }
    if !ciphers.0.is_empty() {
        hip.ciphers.clone_from(&ciphers.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_names() {
        assert_eq!("8, 9".parse(), Ok(DhGroups(vec![DhGroup::NIST_P384, DhGroup::NIST_P521])));
        assert_eq!(Ciphers::try_from(vec!["null".to_owned()]), Ok(Ciphers(vec![CipherId::NULL_ENCRYPT])));
    }

    #[test]
    fn says_what_is_no_choice() {
        assert!("2".parse::<DhGroups>().unwrap_err().contains("not 2"));
        assert_eq!("x".parse::<DhGroups>(), Err("x is no number of a group".to_owned()));
        assert!(Ciphers::try_from(vec!["des".to_owned()]).unwrap_err().contains("not des"));
    }
}
