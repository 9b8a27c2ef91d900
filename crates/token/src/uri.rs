//! The name of a key in a token: a PKCS #11 URI (RFC 7512).
//!
//! ```text
//! pkcs11:token=hosts;object=host-1;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/claviger/pin
//! ```
//!
//! What a URI does not name may be anything, but must then be the only one of its kind. Attributes that this crate does
//! not go by are refused: a URI that says more than is looked at would name another key than its author means.

use std::{
    ffi::OsString,
    fmt::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
};

/// What every PKCS #11 URI begins with.
pub const SCHEME: &str = "pkcs11:";

/// The octets of a URI at most: several times what the longest names of a token and two paths need.
pub const URI_LEN_MAX: usize = 4096;

/// Names a private key in a token, the library that speaks with the token, and the file with the PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUri {
    token: Option<String>,
    manufacturer: Option<String>,
    serial: Option<String>,
    model: Option<String>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module_path: PathBuf,
    pin_source: Option<PathBuf>,
}

/// What is wrong with a URI. It shows names of attributes only, for a value might be a PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriError {
    /// This attribute is none of RFC 7512.
    Attribute(String),
    /// The value of this attribute has a character that RFC 7512 allows there only as %XX.
    Character(&'static str),
    /// The value of this attribute is empty.
    Empty(&'static str),
    /// The URI has more than [`URI_LEN_MAX`] octets.
    Length,
    /// The path of the library or of the PIN's file is not an absolute one.
    Path(&'static str),
    /// The value of this attribute has a % without two hexadecimal digits.
    Percent(&'static str),
    /// The PIN itself stands in the URI.
    PinInUri,
    /// The PIN's source is something else than a file.
    PinSource,
    /// This attribute stands there twice.
    Repeated(&'static str),
    /// The URI does not begin with `pkcs11:`.
    Scheme,
    /// There is no module-path.
    NoModule,
    /// Something between two separators is no attribute: it has no `=`.
    NoValue,
    /// The object is something else than a private key.
    Type,
    /// This attribute is one of RFC 7512, and keys are not found by it here.
    Unused(&'static str),
    /// The value of this attribute is no UTF-8.
    Utf8(&'static str),
}

impl TokenUri {
    /// Says whether a text is meant to be such a URI.
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// The label of the token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The manufacturer of the token.
    pub fn manufacturer(&self) -> Option<&str> {
        self.manufacturer.as_deref()
    }

    /// The serial number of the token.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// The model of the token.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The label of the private key.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// The identifier of the private key.
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// The library that speaks with the token.
    pub fn module_path(&self) -> &Path {
        &self.module_path
    }

    /// The file with the PIN; `None` for a token that asks for none.
    pub fn pin_source(&self) -> Option<&Path> {
        self.pin_source.as_deref()
    }
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > URI_LEN_MAX {
            return Err(UriError::Length);
        }
        if !Self::is_meant(text) {
            return Err(UriError::Scheme);
        }
        let attributes = &text[SCHEME.len()..];
        let (path, query) = attributes.split_once('?').unwrap_or((attributes, ""));
        let path = Attributes::read(path, ';', PATH_ATTRIBUTES, PATH_CHARACTERS)?;
        let query = Attributes::read(query, '&', QUERY_ATTRIBUTES, QUERY_CHARACTERS)?;
        if path.octets("type").is_some_and(|kind| kind != b"private") {
            return Err(UriError::Type);
        }
        Ok(Self {
            token: path.text("token")?,
            manufacturer: path.text("manufacturer")?,
            serial: path.text("serial")?,
            model: path.text("model")?,
            object: path.text("object")?,
            id: path.octets("id").map(<[u8]>::to_vec),
            module_path: query
                .octets("module-path")
                .map_or(Err(UriError::NoModule), |octets| absolute("module-path", octets.to_vec()))?,
            pin_source: query.octets("pin-source").map(file_of).transpose()?,
        })
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("serial", &self.serial),
            ("model", &self.model),
            ("object", &self.object),
        ];
        let texts = texts.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes())));
        let attributes = texts.chain(self.id.as_deref().map(|id| ("id", id)));
        f.write_str(SCHEME)?;
        for (number, (name, value)) in attributes.enumerate() {
            let separator = if number == 0 { "" } else { ";" };
            write!(f, "{separator}{name}={}", Escaped { octets: value, slashes: false })?;
        }
        let escaped = |octets| Escaped { octets, slashes: true };
        write!(f, "?module-path={}", escaped(self.module_path.as_os_str().as_bytes()))?;
        if let Some(path) = &self.pin_source {
            // The file's URI escapes its path, and this one escapes that URI.
            let path = path.as_os_str().as_bytes();
            let file = escaped(path).to_string();
            // Two slashes in front would be read as those of a host's name, which then stands there empty.
            let host = if path.starts_with(b"//") { "//" } else { "" };
            write!(f, "&pin-source=file:{host}{}", escaped(file.as_bytes()))?;
        }
        Ok(())
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "attribute {name} is none of RFC 7512"),
            Self::Character(name) => write!(f, "the value of {name} has a character that must be written as %XX"),
            Self::Empty(name) => write!(f, "the value of {name} is empty"),
            Self::Length => write!(f, "the URI has more than {URI_LEN_MAX} octets"),
            Self::Path(name) => write!(f, "{name} is no absolute path"),
            Self::Percent(name) => write!(f, "the value of {name} has a % without two hexadecimal digits behind it"),
            Self::PinInUri => f.write_str(
                "pin-value is refused: what stands on a command line or in a settings file, others can read; write the PIN \
                 into a file of mode 0600 and name it by pin-source=file:/PATH",
            ),
            Self::PinSource => f.write_str("pin-source is no file: write pin-source=file:/PATH"),
            Self::Repeated(name) => write!(f, "attribute {name} stands there twice"),
            Self::Scheme => write!(f, "a PKCS #11 URI begins with {SCHEME}"),
            Self::NoModule => f.write_str("module-path is missing: the library that speaks with the token"),
            Self::NoValue => f.write_str("an attribute is written as NAME=VALUE"),
            Self::Type => f.write_str("type is not private: what signs is a private key"),
            Self::Unused(name) => write!(f, "keys are not found by {name}: leave it out"),
            Self::Utf8(name) => write!(f, "the value of {name} is no UTF-8"),
        }
    }
}

impl std::error::Error for UriError {}

/// Whether an attribute is gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is.
    Used,
    /// It is not, and a URI with it is refused.
    Unused,
    /// It would be the PIN.
    Pin,
}

/// The attributes before the question mark (RFC 7512 section 2.3).
const PATH_ATTRIBUTES: &[(&str, Use)] = &[
    ("token", Use::Used),
    ("manufacturer", Use::Used),
    ("serial", Use::Used),
    ("model", Use::Used),
    ("object", Use::Used),
    ("type", Use::Used),
    ("id", Use::Used),
    ("library-description", Use::Unused),
    ("library-manufacturer", Use::Unused),
    ("library-version", Use::Unused),
    ("slot-description", Use::Unused),
    ("slot-id", Use::Unused),
    ("slot-manufacturer", Use::Unused),
    // Where it does not belong it is a PIN nevertheless.
    ("pin-value", Use::Pin),
];

/// The attributes behind the question mark.
const QUERY_ATTRIBUTES: &[(&str, Use)] = &[
    ("module-path", Use::Used),
    ("pin-source", Use::Used),
    ("module-name", Use::Unused),
    ("pin-value", Use::Pin),
];

/// What may stand in a value as it is, beside letters, digits and `-._~`.
const PATH_CHARACTERS: &[u8] = b":[]@!$'()*+,=&";
const QUERY_CHARACTERS: &[u8] = b":[]@!$'()*+,=/?|";

/// The attributes of one half of a URI, by name.
struct Attributes(Vec<(&'static str, Vec<u8>)>);

impl Attributes {
    fn read(
        half: &str,
        separator: char,
        known: &'static [(&'static str, Use)],
        allowed: &[u8],
    ) -> Result<Self, UriError> {
        let mut attributes = Self(Vec::new());
        if half.is_empty() {
            return Ok(attributes);
        }
        for attribute in half.split(separator) {
            let (name, value) = attribute.split_once('=').ok_or(UriError::NoValue)?;
            let name = match known.iter().find(|(known, _)| *known == name) {
                Some((name, Use::Used)) => *name,
                Some((name, Use::Unused)) => return Err(UriError::Unused(name)),
                Some((_, Use::Pin)) => return Err(UriError::PinInUri),
                None => return Err(UriError::Attribute(name.escape_default().to_string())),
            };
            if attributes.octets(name).is_some() {
                return Err(UriError::Repeated(name));
            }
            if !value.bytes().all(|octet| is_unreserved(octet) || octet == b'%' || allowed.contains(&octet)) {
                return Err(UriError::Character(name));
            }
            let value = unescape(value.as_bytes()).ok_or(UriError::Percent(name))?;
            if value.is_empty() {
                return Err(UriError::Empty(name));
            }
            attributes.0.push((name, value));
        }
        Ok(attributes)
    }

    fn octets(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| &value[..])
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, UriError> {
        let Some(octets) = self.octets(name) else { return Ok(None) };
        String::from_utf8(octets.to_vec()).map(Some).map_err(|_| UriError::Utf8(name))
    }
}

/// Reads the URI of a file (RFC 8089): `file:/PATH` or `file:///PATH`.
fn file_of(uri: &[u8]) -> Result<PathBuf, UriError> {
    let rest = uri.strip_prefix(b"file:").ok_or(UriError::PinSource)?;
    let path = match rest.strip_prefix(b"//") {
        // A name of a host would stand here.
        Some(path) if !path.starts_with(b"/") => return Err(UriError::PinSource),
        Some(path) => path,
        None => rest,
    };
    absolute("pin-source", unescape(path).ok_or(UriError::Percent("pin-source"))?)
}

fn absolute(name: &'static str, octets: Vec<u8>) -> Result<PathBuf, UriError> {
    let path = PathBuf::from(OsString::from_vec(octets));
    // The system takes no path with a zero octet.
    if path.is_absolute() && !path.as_os_str().as_bytes().contains(&0) {
        Ok(path)
    } else {
        Err(UriError::Path(name))
    }
}

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~".contains(&octet)
}

/// Undoes percent-encoding (RFC 3986 section 2.1); `None` if a % has no two hexadecimal digits behind it.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        octets.push(u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?);
        rest = behind;
    }
    Some(octets)
}

/// Octets as they stand in a URI. Slashes can stay where paths are.
struct Escaped<'a> {
    octets: &'a [u8],
    slashes: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.octets.iter().try_for_each(|octet| {
            if is_unreserved(*octet) || (self.slashes && *octet == b'/') {
                f.write_char(char::from(*octet))
            } else {
                write!(f, "%{octet:02X}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    const WHOLE: &str = "pkcs11:token=my%20hosts;object=host-1;id=%01%ff;type=private\
                         ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/claviger/pin";

    fn parse(text: &str) -> Result<TokenUri, UriError> {
        text.parse()
    }

    #[test]
    fn a_file_of_the_pin_with_two_slashes_in_front_is_read_back() {
        let uri = parse("pkcs11:object=9?module-path=/x.so&pin-source=file:////a/pin").unwrap();
        assert_eq!(uri.to_string().parse(), Ok(uri));
    }

    #[test]
    fn a_uri_names_token_object_library_and_file_of_the_pin() {
        let uri = parse(WHOLE).unwrap();
        assert_eq!(
            (uri.token(), uri.object(), uri.id()),
            (Some("my hosts"), Some("host-1"), Some(&[1, 255][..]))
        );
        assert_eq!(uri.module_path(), Path::new("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(uri.pin_source(), Some(Path::new("/etc/claviger/pin")));
        assert_eq!((uri.manufacturer(), uri.serial(), uri.model()), (None, None, None));
    }

    #[test]
    fn what_is_not_named_may_be_anything_but_for_the_library() {
        let uri = parse("pkcs11:?module-path=/x.so").unwrap();
        assert_eq!((uri.token(), uri.object(), uri.id(), uri.pin_source()), (None, None, None, None));
        for text in ["pkcs11:", "pkcs11:?", "pkcs11:token=x", "pkcs11:token=x?pin-source=file:/pin"] {
            assert_eq!(parse(text), Err(UriError::NoModule), "{text}");
        }
        let named = parse("pkcs11:manufacturer=a%2fb;serial=2;model=c?module-path=/x.so").unwrap();
        assert_eq!(
            (named.manufacturer(), named.serial(), named.model()),
            (Some("a/b"), Some("2"), Some("c"))
        );
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert!(parse("PKCS11:?module-path=/x.so").is_ok());
        for text in [
            "",
            "pkcs11",
            "pkcs12:?module-path=/x.so",
            "host-1",
            "pkcs11\u{ff1a}",
            "\u{20ac}\u{20ac}\u{20ac}",
        ] {
            assert_eq!(parse(text), Err(UriError::Scheme), "{text}");
            assert!(!TokenUri::is_meant(text), "{text}");
        }
    }

    #[test]
    fn a_pin_in_the_uri_is_refused_with_the_reason_and_not_shown() {
        for text in [
            "pkcs11:token=x?module-path=/x.so&pin-value=471100",
            "pkcs11:token=x?pin-value=471100",
            "pkcs11:pin-value=471100?module-path=/x.so",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, UriError::PinInUri);
            assert!(
                error.to_string().starts_with("pin-value is refused: what stands on a command line"),
                "{error}"
            );
        }
        for text in [
            "pkcs11:token=x?module-path=/x.so&pin-source=471100",
            "pkcs11:token=x?module-path=/x.so&471100",
            "pkcs11:token=x?module-path=/x.so&pin-source=%47%11%0",
            "pkcs11:token=x?module-path=/x.so&pin-source=file:471100",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("471100"), "{error:?}");
        }
    }

    #[test]
    fn a_pin_comes_from_a_file_only() {
        let source = |value: &str| parse(&format!("pkcs11:?module-path=/x.so&pin-source={value}"));
        for value in ["file:/etc/pin", "file:///etc/pin", "file:%2Fetc%2fpin"] {
            assert_eq!(source(value).unwrap().pin_source(), Some(Path::new("/etc/pin")), "{value}");
        }
        for value in ["/etc/pin", "|/usr/bin/ask", "file://host/etc/pin", "env:PIN", "http://host/pin"] {
            assert_eq!(source(value), Err(UriError::PinSource), "{value}");
        }
        for value in ["file:", "file:pin", "file:/etc/pin%00", "file:/etc/pin%2500"] {
            assert_eq!(source(value), Err(UriError::Path("pin-source")), "{value}");
        }
        // The file's own URI is escaped once more.
        assert_eq!(source("file:/100%2525").unwrap().pin_source(), Some(Path::new("/100%")));
        assert_eq!(source("file:/100%25"), Err(UriError::Percent("pin-source")));
    }

    #[test]
    fn what_is_not_gone_by_is_refused() {
        for name in [
            "library-description",
            "library-manufacturer",
            "library-version",
            "slot-description",
            "slot-id",
            "slot-manufacturer",
        ] {
            assert_eq!(parse(&format!("pkcs11:{name}=1?module-path=/x")), Err(UriError::Unused(name)));
        }
        assert_eq!(parse("pkcs11:?module-name=x"), Err(UriError::Unused("module-name")));
        for (text, name) in [
            ("pkcs11:Token=x?module-path=/x", "Token"),
            ("pkcs11:x-token=x?module-path=/x", "x-token"),
            ("pkcs11:module-path=/x", "module-path"),
            ("pkcs11:?token=x", "token"),
            ("pkcs11:=x", ""),
            ("pkcs11:%74oken=x", "%74oken"),
            ("pkcs11:to\nken=x", "to\\nken"),
        ] {
            assert_eq!(parse(text), Err(UriError::Attribute(name.to_owned())), "{text}");
        }
        for kind in ["public", "cert", "secret-key", "data", "Private"] {
            assert_eq!(parse(&format!("pkcs11:type={kind}?module-path=/x")), Err(UriError::Type));
        }
    }

    #[test]
    fn malformed_attributes_are_refused_by_what_is_wrong() {
        for (text, error) in [
            ("pkcs11:token=x;token=y?module-path=/x", UriError::Repeated("token")),
            ("pkcs11:token=x;token=x?module-path=/x", UriError::Repeated("token")),
            ("pkcs11:?module-path=/x&module-path=/y", UriError::Repeated("module-path")),
            ("pkcs11:token=?module-path=/x", UriError::Empty("token")),
            ("pkcs11:token=x;?module-path=/x", UriError::NoValue),
            ("pkcs11:;token=x?module-path=/x", UriError::NoValue),
            ("pkcs11:token?module-path=/x", UriError::NoValue),
            ("pkcs11:token=x?module-path=/x&", UriError::NoValue),
            ("pkcs11:token=%f?module-path=/x", UriError::Percent("token")),
            ("pkcs11:token=%?module-path=/x", UriError::Percent("token")),
            ("pkcs11:token=%+1?module-path=/x", UriError::Percent("token")),
            ("pkcs11:token=%zz?module-path=/x", UriError::Percent("token")),
            ("pkcs11:token=%c3%28?module-path=/x", UriError::Utf8("token")),
            ("pkcs11:object=%ff?module-path=/x", UriError::Utf8("object")),
            ("pkcs11:token=a b?module-path=/x", UriError::Character("token")),
            ("pkcs11:token=a/b?module-path=/x", UriError::Character("token")),
            ("pkcs11:token=caf\u{e9}?module-path=/x", UriError::Character("token")),
            ("pkcs11:token=a#b?module-path=/x", UriError::Character("token")),
            ("pkcs11:?module-path=/x#y", UriError::Character("module-path")),
            ("pkcs11:?module-path=x.so", UriError::Path("module-path")),
            ("pkcs11:?module-path=/x%00.so", UriError::Path("module-path")),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        let long = format!("pkcs11:token={}?module-path=/x", "a".repeat(URI_LEN_MAX));
        assert_eq!(parse(&long), Err(UriError::Length));
    }

    #[test]
    fn a_uri_is_written_as_it_is_read() {
        let written = parse(WHOLE).unwrap().to_string();
        assert_eq!(
            written,
            "pkcs11:token=my%20hosts;object=host-1;id=%01%FF\
             ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/claviger/pin"
        );
    }

    fn path() -> impl Strategy<Value = PathBuf> {
        vec(1..=255_u8, 0..20).prop_map(|name| OsString::from_vec([b"/", &name[..]].concat()).into())
    }

    proptest! {
        #[test]
        fn every_uri_reads_back_as_it_is_written(
            texts in [option::of(".{1,20}"), option::of(".{1,20}"), option::of(".{1,20}")],
            others in [option::of("[ -~]{1,20}"), option::of("[ -~]{1,20}")],
            id in option::of(vec(any::<u8>(), 1..20)),
            module_path in path(),
            pin_source in option::of(path()),
        ) {
            let [token, object, manufacturer] = texts;
            let [serial, model] = others;
            let uri = TokenUri { token, manufacturer, serial, model, object, id, module_path, pin_source };
            prop_assert_eq!(parse(&uri.to_string()), Ok(uri));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(pkcs11:)?.{0,80}") {
            if let Ok(uri) = parse(&text) {
                prop_assert_eq!(parse(&uri.to_string()), Ok(uri));
            }
        }
    }
}
