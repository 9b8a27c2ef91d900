//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// A running sum of 16-bit words in ones' complement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// Starts with nothing summed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with the pseudo-header of an upper-layer packet (RFC 768, RFC 8200 section 8.1).
    pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: u32) -> Self {
        let sum = Self::new().address(source).address(destination);
        sum.octets(&length.to_be_bytes()).octets(&[0, protocol])
    }

    /// Adds octets. An odd last one counts as if a zero followed, so only the last part may be odd.
    #[must_use]
    pub fn octets(mut self, octets: &[u8]) -> Self {
        let words = octets.chunks_exact(2);
        let last = words.remainder().first().map_or(0, |&octet| u64::from(octet) << 8);
        self.0 += words.map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u64>() + last;
        self
    }

    /// Says what belongs into the checksum field; zero if the octets summed hold a checksum that fits.
    pub fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !u16::try_from(sum).expect("the sum was folded into 16 bits")
    }

    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.octets(&address.octets()),
            IpAddr::V6(address) => self.octets(&address.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        // RFC 1071 section 3: the words sum to ddf2.
        let sum = Checksum::new().octets(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }

    #[test]
    fn pads_an_odd_octet_with_zero() {
        assert_eq!(
            Checksum::new().octets(&[1, 2, 3]).finish(),
            Checksum::new().octets(&[1, 2, 3, 0]).finish()
        );
        assert_eq!(Checksum::new().finish(), 0xffff);
    }
}
