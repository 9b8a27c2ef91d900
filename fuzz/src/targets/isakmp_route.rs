//! For which machine a datagram is, and the payloads that every protocol under ISAKMP has, by their form alone.

use claviger_isakmp::{
    Header, Route, route,
    wire::{Delete, Identification, Nonce, Notification},
};
use claviger_wire::{Decode, Encode, Reader};

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    match route(input) {
        Route::DeliveryControl(cookies)
        | Route::DeliveryReport(cookies)
        | Route::GroupkeyPull(cookies)
        | Route::GroupkeyPush(cookies)
        | Route::Informational(cookies)
        | Route::Lease(cookies)
        | Route::Phase1(cookies) => {
            let header = Header::decode(&mut Reader::new(input)).expect("what has cookies has a header");
            assert_eq!(header.cookies, cookies);
        }
        Route::Marked(message) => {
            assert_eq!(input, [&[0; 4], message].concat());
            let _ = route(message);
        }
        Route::Ikev2 => assert_eq!(input[17] >> 4, 2),
        Route::Unknown => {}
    }
    if let Ok(delete) = Delete::from_octets(input) {
        assert_eq!(delete.to_octets(), input);
        assert_eq!(delete.spis().remaining(), usize::from(delete.count()) * usize::from(delete.spi_size()));
    }
    if let Ok(id) = Identification::from_octets(input) {
        assert_eq!(id.to_octets(), input);
    }
    if let Ok(nonce) = Nonce::from_octets(input) {
        assert_eq!(nonce.to_octets(), input);
    }
    if let Ok(notification) = Notification::from_octets(input) {
        assert_eq!(notification.to_octets(), input);
    }
}
