//! A distinguished name, as text and as DER.

use claviger_pki::Name;

/// Feeds one input. What is shown of a name is graphic, and if it is read again it is an equal name.
pub(super) fn feed(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(name) = Name::from_rfc4514(text)
    {
        assert!(!name.is_empty());
        let again = Name::from_der(name.der()).expect("what is written is read");
        assert_eq!(again.der(), name.der());
        check(&name);
    }
    if let Ok(name) = Name::from_der(input) {
        assert_eq!(name.der(), input);
        check(&name);
    }
}

fn check(name: &Name) {
    let shown = name.to_string();
    assert!(shown.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' '));
    if let Ok(again) = Name::from_rfc4514(&shown) {
        assert_eq!(again, *name);
    }
}
