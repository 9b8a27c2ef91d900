//! Which of a host's identities is used.

use std::{fmt, str::FromStr};

use super::new_key::is_in_token;

/// The longest name of an identity: it stands in names of files.
const NAME_LEN_MAX: usize = 32;

/// One of the identities of a state directory: the host's first, or another by its name. A host may have several (RFC 7401
/// section 7), and nobody who sees two of them can tell that they are of one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct IdentityName(Option<String>);

impl IdentityName {
    /// The identity that a host has without asking for another.
    pub(crate) const FIRST: Self = Self(None);

    /// Shows the name; `None` for the first.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Names the identity's files, but for their ending.
    pub(crate) fn file_stem(&self) -> String {
        match &self.0 {
            None => STEM.to_owned(),
            Some(name) => format!("{STEM}-{name}"),
        }
    }

    /// Reads the name from that of a file without its ending; `None` if it is no identity's.
    pub(crate) fn of_file_stem(stem: &str) -> Option<Self> {
        match stem.strip_prefix(STEM)? {
            "" => Some(Self::FIRST),
            rest => rest.strip_prefix('-')?.parse().ok(),
        }
    }

    /// Writes the option that chooses the identity, for a hint behind a command.
    pub(crate) fn option(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |name| format!(" --name {name}"))
    }
}

/// How the names of identities' files begin.
const STEM: &str = "identity";

impl FromStr for IdentityName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !text.is_empty() && text.len() <= NAME_LEN_MAX && text.chars().all(is_plain) {
            return Ok(Self(Some(text.to_owned())));
        }
        if is_in_token(text) {
            return Err(
                "a key in a token is first given a name: claviger identity new --name NAME --key URI".into(),
            );
        }
        Err(format!("an identity's name has 1 to {NAME_LEN_MAX} ASCII letters, digits, - and _"))
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_files_and_files_make_names() {
        let guest: IdentityName = "guest-1".parse().unwrap();
        assert_eq!(guest.file_stem(), "identity-guest-1");
        assert_eq!(IdentityName::FIRST.file_stem(), "identity");
        for identity in [guest, IdentityName::FIRST] {
            assert_eq!(IdentityName::of_file_stem(&identity.file_stem()), Some(identity));
        }
        for stem in ["identity-", "identityx", "identity-a b", "guard", "identity-../x"] {
            assert_eq!(IdentityName::of_file_stem(stem), None, "{stem}");
        }
    }

    #[test]
    fn a_name_is_safe_in_a_file_name() {
        for name in ["", "a b", "../a", "a/b", "caf\u{e9}", "a.b", &"x".repeat(33)] {
            assert!(name.parse::<IdentityName>().is_err(), "{name}");
        }
        let error = "pkcs11:object=host".parse::<IdentityName>().unwrap_err();
        assert!(error.ends_with("claviger identity new --name NAME --key URI"), "{error}");
        assert!("x".repeat(32).parse::<IdentityName>().is_ok());
    }
}
