//! A distinguished name, as text and as DER.

use claviger_pki::Name;

/// Feeds one input. A name that is read from text is written as what is read as the same name; one from DER is written as
/// an equal one, or as none.
pub(super) fn feed(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(name) = Name::from_rfc4514(text)
    {
        let again = Name::from_rfc4514(&name.to_string()).expect("what is written is read");
        assert_eq!(again.der(), name.der());
        assert!(!name.is_empty());
    }
    if let Ok(name) = Name::from_der(input) {
        assert_eq!(name.der(), input);
        assert!(name.to_string().bytes().all(|octet| octet.is_ascii_graphic() || octet == b' '));
        if let Ok(again) = Name::from_rfc4514(&name.to_string())
            && !name.is_empty()
        {
            assert_eq!(again, name);
        }
    }
}
