//! Where the fields of an ESP packet stand.
//!
//! ```text
//!  0                   1                   2                   3
//! |               Security Parameters Index (SPI)                 |
//! |                      Sequence Number                          |
//! |        Initialization vector (8 octets GCM, 16 CBC)           |
//! |                  Payload data (encrypted)                     |
//! |          Padding 1, 2, 3, ...  |  Pad Length  |  Next Header  |
//! |              Integrity check value (16 octets)                |
//! ```

use claviger_group::EspTransform;

/// The octets of SPI and sequence number together.
pub const HEADER_LEN: usize = 8;

/// The octets of the integrity check value of every transform here.
pub const ICV_LEN: usize = 16;

/// The octets of pad length and next header together.
pub const TRAILER_LEN: usize = 2;

/// The longest payload in octets: an IPv6 packet's, the longest that tunnel mode can meet without jumbograms.
pub const PAYLOAD_LEN_MAX: usize = 65_535 + 40;

/// The lengths that a transform gives to the parts of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The octets of the initialization vector.
    pub iv_len: usize,
    /// Payload, padding and trailer together are a multiple of this many octets.
    pub block_len: usize,
}

impl Layout {
    /// Says how a transform lays out its packets.
    pub const fn of(transform: EspTransform) -> Self {
        if transform.is_counter_mode() {
            // RFC 4106 section 3.1, and RFC 4303 section 2.4 for the boundary.
            Self { iv_len: 8, block_len: 4 }
        } else {
            Self { iv_len: 16, block_len: 16 }
        }
    }

    /// Says how many octets stand before the encrypted part.
    pub const fn body_start(&self) -> usize {
        HEADER_LEN + self.iv_len
    }

    /// Says how many octets a packet with a payload of `payload_len` octets has, from SPI to integrity check value.
    pub const fn sealed_len(&self, payload_len: usize) -> usize {
        self.body_start() + (payload_len + TRAILER_LEN).next_multiple_of(self.block_len) + ICV_LEN
    }

    /// Says how many octets of payload a packet of at most `sealed_len` octets can hold: what an MTU leaves.
    pub const fn payload_len_max(&self, sealed_len: usize) -> usize {
        let body = sealed_len.saturating_sub(self.body_start() + ICV_LEN);
        (body - body % self.block_len).saturating_sub(TRAILER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_agree_in_both_directions() {
        for transform in EspTransform::ALL {
            let layout = Layout::of(transform);
            for payload_len in 0..200 {
                let sealed_len = layout.sealed_len(payload_len);
                let most = layout.payload_len_max(sealed_len);
                assert!(most >= payload_len && most < payload_len + layout.block_len);
                assert_eq!(layout.sealed_len(most), sealed_len);
                assert!(layout.payload_len_max(sealed_len - 1) < payload_len || payload_len == 0);
            }
        }
        assert_eq!(Layout::of(EspTransform::Aes128Gcm16).sealed_len(1400), 8 + 8 + 1404 + 16);
    }
}
