//! The name of a key in a token.

use claviger_token::{TokenUri, uri::SCHEME};

use crate::claim;

/// Feeds one input, once as it is, and once behind what every such name begins with.
pub(super) fn feed(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for text in [text.to_owned(), format!("{SCHEME}{text}"), format!("{SCHEME}?module-path=/x.so&{text}")] {
        if let Ok(uri) = text.parse::<TokenUri>() {
            claim::survives(
                &uri,
                |uri| uri.to_string().into_bytes(),
                |octets| std::str::from_utf8(octets).expect("it is ASCII").parse::<TokenUri>(),
            );
        }
    }
}
