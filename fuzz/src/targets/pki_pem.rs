//! Files with certificates, lists of revoked ones, and a public key.

use claviger_pki::{Certificate, Crl, crl, public_key};

/// Feeds one input. What is read is written as what is read as the same.
pub(super) fn feed(input: &[u8]) {
    if let Ok(certificates) = Certificate::from_pem(input) {
        let text: String = certificates.iter().map(Certificate::to_pem).collect();
        assert_eq!(Certificate::from_pem(text.as_bytes()), Ok(certificates));
    }
    if let Ok(lists) = Crl::all_of_file(input) {
        assert!(!lists.is_empty());
        // One in DER is the whole file.
        if let Ok(list) = Crl::from_der(input) {
            assert_eq!(lists, std::slice::from_ref(&list));
            assert_eq!(Crl::all_of_file(crl::to_pem(input).as_bytes()), Ok(vec![list]));
        }
    }
    if let Ok(Some(key)) = public_key::from_pem(input)
        && let Some(key) = key.signing()
    {
        let text = public_key::to_pem(key).expect("a key that was read can be written");
        let again = public_key::from_pem(text.as_bytes()).expect("what is written is read");
        assert_eq!(again.as_ref().and_then(|again| again.signing()), Some(key));
    }
}
