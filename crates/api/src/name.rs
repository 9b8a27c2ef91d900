//! The names of choices, the same in JSON, on the command line and in tables.

use std::fmt;

use claviger_crypto::{cipher::CipherAlgorithm, sign::KeyAlgorithm};
use claviger_group::{Encapsulation, EspTransform, KekManagement, PushAuthentication, Role};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// A choice whose every value has a name.
pub trait Name: Copy + PartialEq + Sized + 'static {
    /// What is chosen, for sentences: "a role".
    const WHAT: &'static str;

    /// The names and their values. The first name of a value is the one that is written; others are read only.
    const NAMES: &'static [(&'static str, Self)];

    /// Shows the value's name.
    fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, value)| *value == self);
        named.map_or("unknown", |(name, _)| name)
    }

    /// Finds the value of a name.
    ///
    /// # Errors
    ///
    /// [`UnknownName`], whose sentence lists the names that there are.
    fn from_name(text: &str) -> Result<Self, UnknownName> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text);
        named.map(|(_, value)| *value).ok_or_else(|| UnknownName {
            what: Self::WHAT,
            names: Self::NAMES.iter().map(|(name, _)| *name).collect(),
        })
    }
}

/// The text is none of the names of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    what: &'static str,
    names: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is one of {}", self.what, self.names.join(", "))
    }
}

impl std::error::Error for UnknownName {}

impl Name for Role {
    const WHAT: &'static str = "a role";
    const NAMES: &'static [(&'static str, Self)] =
        &[("receiver", Self::Receiver), ("sender", Self::Sender), ("both", Self::Both)];
}

impl Name for Encapsulation {
    const WHAT: &'static str = "an encapsulation";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("udp-transport", Self::UdpTransport),
        ("udp-tunnel", Self::UdpTunnel),
        ("transport", Self::Transport),
        ("tunnel", Self::Tunnel),
    ];
}

impl Name for EspTransform {
    const WHAT: &'static str = "a transform";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("aes128-gcm", Self::Aes128Gcm16),
        ("aes256-gcm", Self::Aes256Gcm16),
        ("aes128-cbc-sha256", Self::Aes128CbcHmacSha256),
        ("aes256-cbc-sha256", Self::Aes256CbcHmacSha256),
    ];
}

impl Name for KekManagement {
    const WHAT: &'static str = "a KEK management";
    const NAMES: &'static [(&'static str, Self)] = &[("lkh", Self::Lkh), ("lkh-32", Self::Lkh32)];
}

impl Name for PushAuthentication {
    const WHAT: &'static str = "what is signed";
    const NAMES: &'static [(&'static str, Self)] = &[("message", Self::Message), ("batch", Self::Batch)];
}

impl Name for CipherAlgorithm {
    const WHAT: &'static str = "a cipher";
    const NAMES: &'static [(&'static str, Self)] =
        &[("aes128-cbc", Self::Aes128Cbc), ("aes256-cbc", Self::Aes256Cbc)];
}

impl Name for KeyAlgorithm {
    const WHAT: &'static str = "a key algorithm";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("ecdsa-p256", Self::EcdsaP256),
        ("ecdsa-p384", Self::EcdsaP384),
        ("eddsa", Self::Ed25519),
        ("rsa", Self::Rsa),
        ("ecdsa", Self::EcdsaP256),
    ];
}

/// Writes a choice as its name.
pub fn serialize<T: Name, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}

/// Reads a choice from its name.
pub fn deserialize<'de, T: Name, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::from_name(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Choices that may be absent: `null`.
pub mod option {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Name;

    /// Writes a choice as its name, or null.
    pub fn serialize<T: Name, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(value.name()),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a choice from its name, or null.
    pub fn deserialize<'de, T: Name, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        name.map(|name| T::from_name(&name)).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_name_is_its_values<T: Name + fmt::Debug>(values: &[T]) {
        for value in values {
            assert_eq!(T::from_name(value.name()).as_ref(), Ok(value));
        }
    }

    #[test]
    fn every_choice_has_a_name() {
        every_name_is_its_values(&[Role::Receiver, Role::Sender, Role::Both]);
        every_name_is_its_values(&EspTransform::ALL);
        every_name_is_its_values(&(1..=4).filter_map(Encapsulation::from_value).collect::<Vec<_>>());
        every_name_is_its_values(&[CipherAlgorithm::Aes128Cbc, CipherAlgorithm::Aes256Cbc]);
        every_name_is_its_values(&[
            KeyAlgorithm::EcdsaP256,
            KeyAlgorithm::EcdsaP384,
            KeyAlgorithm::Ed25519,
            KeyAlgorithm::Rsa,
        ]);
    }

    #[test]
    fn the_names_are_those_that_the_types_print() {
        for transform in EspTransform::ALL {
            assert_eq!(transform.name(), transform.to_string());
        }
        for encapsulation in (1..=4).filter_map(Encapsulation::from_value) {
            assert_eq!(encapsulation.name(), encapsulation.to_string());
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Role::from_name("owner").unwrap_err();
        assert_eq!(error.to_string(), "a role is one of receiver, sender, both");
        assert_eq!(KeyAlgorithm::from_name("ecdsa"), Ok(KeyAlgorithm::EcdsaP256));
    }
}
