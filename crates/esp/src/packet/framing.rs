//! ESP among the other things that arrive on a UDP port (RFC 3948 section 2).
//!
//! To send, an ESP packet is a datagram as it is: no octet stands before its SPI.

/// What a datagram on the ESP port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed<'a> {
    /// An ESP packet.
    Esp(&'a [u8]),
    /// A NAT-keepalive (RFC 3948 section 2.3): nothing to do.
    Keepalive,
    /// Something behind the non-ESP marker (RFC 3948 section 2.2): not for the data plane.
    NonEsp,
    /// Too short to be any of these.
    Runt,
}

/// Says what a datagram is.
pub fn read(datagram: &[u8]) -> Framed<'_> {
    match datagram {
        [0xff] => Framed::Keepalive,
        [0, 0, 0, 0, ..] => Framed::NonEsp,
        [_, _, _, _, ..] => Framed::Esp(datagram),
        _ => Framed::Runt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_esp_from_keepalives_and_marked_messages() {
        assert_eq!(read(&[0xff]), Framed::Keepalive);
        assert_eq!(read(&[0, 0, 0, 0, 1]), Framed::NonEsp);
        assert_eq!(read(&[0, 0, 1, 0, 1]), Framed::Esp(&[0, 0, 1, 0, 1]));
        for runt in [&[][..], &[0xfe], &[0xff, 0xff], &[0, 0, 0]] {
            assert_eq!(read(runt), Framed::Runt);
        }
    }
}
