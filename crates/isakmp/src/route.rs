//! For which machine a datagram is.

use std::fmt;

use claviger_group::CookiePair;
use claviger_sansio::Counted;
use claviger_wire::{Decode, Reader};

use crate::{counter::Counter, iana::ExchangeType, wire::Header};

/// For which machine a datagram is, with the cookies by which that machine finds the security association.
///
/// Nothing is authentic yet. A message of one of these exchanges whose header is not as theirs must be is
/// [`Route::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// A repair or an announcement of a rekey, under a rekey SA (private use).
    DeliveryControl(CookiePair),
    /// What a member misses of a rekey, under a registration SA (private use).
    DeliveryReport(CookiePair),
    /// A GROUPKEY-PULL, under a registration SA (RFC 6407 section 3).
    GroupkeyPull(CookiePair),
    /// A GROUPKEY-PUSH, under a rekey SA (RFC 6407 section 4).
    GroupkeyPush(CookiePair),
    /// A message of IKEv2, by its major version (RFC 7296 section 3.1).
    Ikev2,
    /// An encrypted Informational exchange: it belongs to a security association that exists (RFC 2409 section 5.7).
    Informational(CookiePair),
    /// A request for leases, or its answer, under a registration SA (private use).
    Lease(CookiePair),
    /// What stands behind the non-ESP marker of UDP port 4500 (RFC 3948 section 2.2); to be routed by itself.
    Marked(&'a [u8]),
    /// Phase 1 of IKEv1: Main Mode, Aggressive Mode, or an Informational exchange that is not encrypted, as it is before
    /// there is a security association (RFC 2409 section 5.7).
    Phase1(CookiePair),
    /// No message that is known here.
    Unknown,
}

/// Says for which machine a datagram of an ISAKMP port is.
///
/// On port 4500, what has no non-ESP marker is ESP and does not come here.
pub fn route(datagram: &[u8]) -> Route<'_> {
    match datagram.strip_prefix(&NON_ESP_MARKER) {
        // An initiator's cookie may begin with zeros too; but a message that begins here says how long it is.
        Some(message) if !is_measured(datagram) => return Route::Marked(message),
        Some(_) | None => {}
    }
    if is_ikev2(datagram) {
        return Route::Ikev2;
    }
    let Ok(Header { cookies, exchange, encrypted, .. }) = Header::decode(&mut Reader::new(datagram)) else {
        return Route::Unknown;
    };
    match exchange {
        ExchangeType::MAIN_MODE | ExchangeType::AGGRESSIVE_MODE => Route::Phase1(cookies),
        ExchangeType::INFORMATIONAL if encrypted => Route::Informational(cookies),
        ExchangeType::INFORMATIONAL => Route::Phase1(cookies),
        ExchangeType::GROUPKEY_PULL => Route::GroupkeyPull(cookies),
        ExchangeType::GROUPKEY_PUSH => Route::GroupkeyPush(cookies),
        ExchangeType::DELIVERY_CONTROL => Route::DeliveryControl(cookies),
        ExchangeType::DELIVERY_REPORT => Route::DeliveryReport(cookies),
        ExchangeType::LEASE => Route::Lease(cookies),
        ExchangeType(_) => Route::Unknown,
    }
}

/// What stands before ISAKMP on UDP port 4500, where ESP has a SPI (RFC 3948 section 2.2).
const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// Where the version stands in a header, major above minor, in ISAKMP and in IKEv2.
const VERSION_AT: usize = 17;

/// The major version of IKEv2.
const MAJOR_IKEV2: u8 = 2;

/// Says whether a header of ISAKMP or IKEv2 begins here whose Length is the datagram's.
fn is_measured(datagram: &[u8]) -> bool {
    let length = datagram.get(Header::LENGTH_AT..Header::LEN).and_then(|field| field.first_chunk());
    length.is_some_and(|length| usize::try_from(u32::from_be_bytes(*length)) == Ok(datagram.len()))
}

fn is_ikev2(datagram: &[u8]) -> bool {
    datagram.len() >= Header::LEN && datagram[VERSION_AT] >> 4 == MAJOR_IKEV2
}

/// Why no machine reads a datagram: it is what it should be, and for something that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is IKEv2's.
    Ikev2,
    /// It has a non-ESP marker, and came to a port without ESP.
    Marked,
    /// It is Phase 1's.
    Phase1,
}

impl Unread {
    /// Names the reason in `snake_case`, as its counter is named.
    pub fn reason(self) -> &'static str {
        Counter::from(self).name()
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ikev2 => "no machine here speaks IKEv2",
            Self::Marked => "non-ESP marker on a port without ESP",
            Self::Phase1 => "no machine here speaks Phase 1 of IKEv1",
        })
    }
}

impl std::error::Error for Unread {}

#[cfg(test)]
mod tests {
    use claviger_wire::Encode;

    use super::*;
    use crate::iana::PayloadType;

    const COOKIES: CookiePair = CookiePair([7; 16]);

    fn message(cookies: CookiePair, exchange: ExchangeType, encrypted: bool) -> Vec<u8> {
        let next_payload = PayloadType::HASH;
        let header = Header { cookies, next_payload, exchange, encrypted, message_id: 9, length: 44 };
        [header.to_octets(), vec![0; 16]].concat()
    }

    #[test]
    fn exchanges_are_told_apart() {
        for (exchange, encrypted, route_of_it) in [
            (ExchangeType::MAIN_MODE, false, Route::Phase1(COOKIES)),
            (ExchangeType::MAIN_MODE, true, Route::Phase1(COOKIES)),
            (ExchangeType::AGGRESSIVE_MODE, false, Route::Phase1(COOKIES)),
            (ExchangeType::INFORMATIONAL, false, Route::Phase1(COOKIES)),
            (ExchangeType::INFORMATIONAL, true, Route::Informational(COOKIES)),
            (ExchangeType::GROUPKEY_PULL, true, Route::GroupkeyPull(COOKIES)),
            (ExchangeType::GROUPKEY_PUSH, true, Route::GroupkeyPush(COOKIES)),
            (ExchangeType::DELIVERY_CONTROL, false, Route::DeliveryControl(COOKIES)),
            (ExchangeType::DELIVERY_REPORT, false, Route::DeliveryReport(COOKIES)),
            (ExchangeType::LEASE, false, Route::Lease(COOKIES)),
            (ExchangeType::LEASE, true, Route::Unknown),
            (ExchangeType::GROUPKEY_PULL, false, Route::Unknown),
            (ExchangeType::GROUPKEY_PUSH, false, Route::Unknown),
            (ExchangeType::DELIVERY_CONTROL, true, Route::Unknown),
            (ExchangeType::BASE, false, Route::Unknown),
            (ExchangeType(34), true, Route::Unknown),
        ] {
            assert_eq!(route(&message(COOKIES, exchange, encrypted)), route_of_it, "{exchange}, {encrypted}");
        }
    }

    #[test]
    fn ikev2_is_known_by_its_major_version() {
        let mut octets = message(COOKIES, ExchangeType(34), true);
        for (version, is_ikev2) in [(0x20, true), (0x2f, true), (0x10, false), (0x11, false), (0x30, false)] {
            octets[17] = version;
            assert_eq!(route(&octets) == Route::Ikev2, is_ikev2, "{version:#x}");
        }
        octets.truncate(27);
        octets[17] = 0x20;
        assert_eq!(route(&octets), Route::Unknown, "a cut header");
    }

    #[test]
    fn what_has_a_marker_is_routed_behind_it() {
        for inner in [
            message(COOKIES, ExchangeType::MAIN_MODE, false),
            message(COOKIES, ExchangeType::GROUPKEY_PULL, true),
            b"junk".to_vec(),
            Vec::new(),
        ] {
            let marked = [&[0; 4][..], &inner].concat();
            assert_eq!(route(&marked), Route::Marked(&inner));
        }
    }

    #[test]
    fn a_cookie_that_begins_with_zeros_is_no_marker() {
        let mut cookies = COOKIES;
        cookies.0[..4].fill(0);
        let pull = message(cookies, ExchangeType::GROUPKEY_PULL, true);
        assert_eq!(route(&pull), Route::GroupkeyPull(cookies));
        let marked = [&[0; 4][..], &pull].concat();
        assert_eq!(route(&marked), Route::Marked(&pull));
        assert_eq!(route(&pull), Route::GroupkeyPull(cookies));
    }

    #[test]
    fn every_cut_of_a_header_is_no_message() {
        let octets = message(COOKIES, ExchangeType::GROUPKEY_PUSH, true);
        for length in 0..Header::LEN {
            assert_eq!(route(&octets[..length]), Route::Unknown, "cut at {length}");
        }
    }
}
