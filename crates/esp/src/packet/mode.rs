//! Transport mode (RFC 4303 section 3.1.1) and tunnel mode with address preservation (RFC 5374 section 3.1).

use std::net::IpAddr;

use claviger_group::Encapsulation;

use super::{
    IpHeader, IpPacket, PROTOCOL_ESP, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_UDP, PacketError, UdpDatagram,
};
use crate::Opened;

/// How much of an IP packet ESP protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What stands behind the IP header.
    Transport,
    /// The whole packet; the header in front of ESP repeats its addresses.
    Tunnel,
}

impl From<Encapsulation> for Mode {
    /// Forgets whether UDP stands in front of ESP.
    fn from(encapsulation: Encapsulation) -> Self {
        if encapsulation.is_tunnel() { Self::Tunnel } else { Self::Transport }
    }
}

impl Mode {
    /// Says what of a packet goes into ESP, and as which protocol; `octets` are those that `packet` was read from.
    ///
    /// # Errors
    ///
    /// [`PacketError::Fragment`] in transport mode.
    pub fn inside<'a>(self, octets: &'a [u8], packet: &IpPacket<'a>) -> Result<(u8, &'a [u8]), PacketError> {
        match self {
            //= rfc4303#section-3.3.4
            //# Thus, transport mode ESP is applied only to whole IP datagrams (not to IP fragments).
            Self::Transport if packet.is_fragment => Err(PacketError::Fragment),
            Self::Transport => Ok((packet.next_header, packet.payload)),
            Self::Tunnel => Ok((tunnelled_protocol(packet.header.destination), octets)),
        }
    }
}

/// Puts an IP header in front of an ESP packet that [`Mode::inside`] of `original` was sealed into.
///
/// In transport mode it is the original one with its options; in tunnel mode a new one with the addresses, hops,
/// traffic class and "don't fragment" of the original (RFC 4301 section 5.1.2, RFC 5374 section 5.1). The hops
/// are the original's, so that a group's scope by hop limit stays what the application chose.
///
/// # Errors
///
/// [`PacketError::TooLong`].
pub fn wrap(original: &IpPacket<'_>, mode: Mode, esp: &[u8]) -> Result<Vec<u8>, PacketError> {
    match mode {
        Mode::Transport => original.with_payload(PROTOCOL_ESP, esp),
        Mode::Tunnel => original.header.write(PROTOCOL_ESP, esp),
    }
}

/// Restores the packet that was protected out of what `outer` held, if its addresses are those that it was sent with: in
/// tunnel mode they stand inside too, in transport mode UDP's checksum covers them.
///
/// # Errors
///
/// In tunnel mode [`PacketError::NotTunnelled`], [`PacketError::AddressMismatch`], or why the packet inside is
/// none; in transport mode [`PacketError::TooLong`], or those of [`UdpDatagram::parse`].
pub fn unwrap(outer: &IpPacket<'_>, mode: Mode, opened: &Opened) -> Result<Vec<u8>, PacketError> {
    match mode {
        Mode::Transport => {
            check_datagram(&outer.header, opened)?;
            outer.with_payload(opened.next_header, &opened.payload)
        }
        Mode::Tunnel => inner_packet(&outer.header, opened),
    }
}

/// Does what [`unwrap`] does where the outer header is known by its fields only, as from an IPv6 raw socket.
///
/// # Errors
///
/// Those of [`unwrap`], and [`PacketError::Family`].
pub fn unwrap_bare(outer: &IpHeader, mode: Mode, opened: &Opened) -> Result<Vec<u8>, PacketError> {
    match mode {
        Mode::Transport => {
            check_datagram(outer, opened)?;
            outer.write(opened.next_header, &opened.payload)
        }
        Mode::Tunnel => inner_packet(outer, opened),
    }
}

/// Says whether what came in transport mode, if it is UDP, was sent between the addresses outside. The checksums of other
/// protocols are left to those who speak them.
fn check_datagram(outer: &IpHeader, opened: &Opened) -> Result<(), PacketError> {
    if opened.next_header == PROTOCOL_UDP {
        UdpDatagram::parse(outer.source, outer.destination, &opened.payload)?;
    }
    Ok(())
}

fn inner_packet(outer: &IpHeader, opened: &Opened) -> Result<Vec<u8>, PacketError> {
    if opened.next_header != tunnelled_protocol(outer.destination) {
        return Err(PacketError::NotTunnelled(opened.next_header));
    }
    let inner = IpPacket::parse(&opened.payload)?;
    //= rfc5374#section-5.2
    //# If an IPsec SA is marked as supporting tunnel mode with address preservation (as described in Section 3.1),
    //# the marked address(es) (i.e., source and/or destination address(es)) in the outer IP header MUST be verified
    //# to be the same value(s) as in the inner IP header.
    if (inner.header.source, inner.header.destination) != (outer.source, outer.destination) {
        return Err(PacketError::AddressMismatch);
    }
    let length = inner.unprotected.len() + inner.payload.len();
    Ok(opened.payload[..length].to_vec())
}

const fn tunnelled_protocol(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => PROTOCOL_IPV4,
        IpAddr::V6(_) => PROTOCOL_IPV6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SenderKey, packet::udp};

    fn headers() -> [IpHeader; 2] {
        [
            IpHeader {
                hop_limit: 3,
                traffic_class: 0xb8,
                dont_fragment: true,
                ..IpHeader::new([192, 0, 2, 1].into(), [239, 192, 0, 1].into())
            },
            IpHeader {
                hop_limit: 3,
                traffic_class: 0xb8,
                ..IpHeader::new("2001:db8::1".parse().unwrap(), "ff15::1".parse().unwrap())
            },
        ]
    }

    /// A UDP datagram between the addresses of a header.
    fn datagram(header: &IpHeader) -> Vec<u8> {
        let (source, destination) = ((header.source, 9).into(), (header.destination, 9).into());
        [&udp::header(source, destination, b"payload").unwrap()[..], b"payload"].concat()
    }

    fn opened(source: IpAddr, next_header: u8, payload: &[u8]) -> Opened {
        Opened { next_header, payload: payload.to_vec(), sender: SenderKey::Address(source) }
    }

    #[test]
    fn modes_do_not_depend_on_udp() {
        let modes = [1, 2, 3, 4].map(|value| Mode::from(Encapsulation::from_value(value).unwrap()));
        assert_eq!(modes, [Mode::Tunnel, Mode::Transport, Mode::Tunnel, Mode::Transport]);
    }

    #[test]
    fn restores_what_was_wrapped() {
        for header in headers() {
            for mode in [Mode::Transport, Mode::Tunnel] {
                let octets = header.write(17, &datagram(&header)).unwrap();
                let original = IpPacket::parse(&octets).unwrap();
                let (next_header, inside) = mode.inside(&octets, &original).unwrap();
                let sent = wrap(&original, mode, b"an ESP packet").unwrap();

                let outer = IpPacket::parse(&sent).unwrap();
                assert_eq!(outer.header, header, "addresses, hops and class are the original's");
                assert_eq!(outer.esp(), Ok(&b"an ESP packet"[..]));
                let opened = opened(header.source, next_header, inside);
                assert_eq!(unwrap(&outer, mode, &opened).unwrap(), octets);
                assert_eq!(unwrap_bare(&outer.header, mode, &opened).unwrap(), octets);
            }
        }
    }

    #[test]
    fn a_tunnel_refuses_other_addresses_inside_than_outside() {
        for header in headers() {
            let other: IpAddr =
                if header.source.is_ipv4() { [192, 0, 2, 2].into() } else { "2001:db8::2".parse().unwrap() };
            let forged = IpHeader { source: other, ..header };
            let inside = forged.write(17, b"payload").unwrap();
            let opened = opened(header.source, tunnelled_protocol(header.source), &inside);
            assert_eq!(unwrap_bare(&header, Mode::Tunnel, &opened), Err(PacketError::AddressMismatch));
            assert!(unwrap_bare(&forged, Mode::Tunnel, &opened).is_ok());
        }
    }

    #[test]
    fn transport_mode_refuses_a_datagram_that_was_sent_from_another_address() {
        for header in headers() {
            let other: IpAddr =
                if header.source.is_ipv4() { [192, 0, 2, 2].into() } else { "2001:db8::2".parse().unwrap() };
            let opened = opened(header.source, 17, &datagram(&header));
            let forged = IpHeader { source: other, ..header };
            assert_eq!(unwrap_bare(&forged, Mode::Transport, &opened), Err(PacketError::Checksum));
            let octets = forged.write(PROTOCOL_ESP, b"an ESP packet").unwrap();
            let outer = IpPacket::parse(&octets).unwrap();
            assert_eq!(unwrap(&outer, Mode::Transport, &opened), Err(PacketError::Checksum));
            assert!(unwrap_bare(&header, Mode::Transport, &opened).is_ok());
        }
    }

    #[test]
    fn a_tunnel_refuses_what_is_no_packet_of_its_version() {
        let [v4, v6] = headers();
        let inside = v6.write(17, b"payload").unwrap();
        let (four, six) = (opened(v4.source, 4, &inside), opened(v4.source, 41, &inside));
        assert_eq!(unwrap_bare(&v4, Mode::Tunnel, &six), Err(PacketError::NotTunnelled(41)));
        assert_eq!(unwrap_bare(&v4, Mode::Tunnel, &four), Err(PacketError::AddressMismatch));
        assert!(matches!(
            unwrap_bare(&v4, Mode::Tunnel, &opened(v4.source, 4, b"")),
            Err(PacketError::Decode(_))
        ));
    }

    #[test]
    fn a_tunnel_cuts_traffic_flow_padding_off() {
        for header in headers() {
            let inside = header.write(17, b"payload").unwrap();
            let padded = [&inside[..], &[0; 100]].concat();
            let opened = opened(header.source, tunnelled_protocol(header.source), &padded);
            assert_eq!(unwrap_bare(&header, Mode::Tunnel, &opened).unwrap(), inside);
        }
    }

    #[test]
    fn transport_mode_refuses_fragments_and_tunnel_mode_carries_them() {
        let [_, v6] = headers();
        let octets = v6.write(44, &[17, 0, 0, 8, 0, 0, 0, 1, 5, 5]).unwrap();
        let packet = IpPacket::parse(&octets).unwrap();
        assert_eq!(Mode::Transport.inside(&octets, &packet), Err(PacketError::Fragment));
        assert_eq!(Mode::Tunnel.inside(&octets, &packet), Ok((41, &octets[..])));
    }
}
