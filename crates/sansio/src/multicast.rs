//! What a multicast address says by itself.

use std::net::IpAddr;

/// Says whether an address is reserved to source-specific multicast: 232.0.0.0/8 and ff3x::/32 (RFC 4607 section 1).
pub fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[0] == 232,
        IpAddr::V6(group) => {
            let segments = group.segments();
            segments[0] & 0xfff0 == 0xff30 && segments[1] == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_source_specific_ranges() {
        for group in ["232.0.0.1", "232.255.255.255", "ff30::1", "ff3e::8000:1", "ff35:0:1::"] {
            assert!(is_source_specific(group.parse().unwrap()), "{group}");
        }
        for group in ["231.255.255.255", "233.0.0.0", "ff15::1", "ff35:1::1", "ff40::1"] {
            assert!(!is_source_specific(group.parse().unwrap()), "{group}");
        }
    }
}
