//! What is lost of a group's data outside the data plane.

use claviger_sansio::counters;

counters! {
    /// Why packets did not get through between the group's sockets and this host's programs.
    pub(crate) enum Counter of "data" {
        /// The packet could not be given to this host's programs.
        DeliveryFailed => "delivery_failed": Drop, Packets;
        /// What came on the group's port stands behind the non-ESP marker (RFC 3948 section 2.2).
        NonEspMarker => "non_esp_marker": Drop, Datagrams;
        /// There are no keys or no sockets of the group yet, or no more.
        NotKeyed => "not_keyed": Drop, Packets;
        /// A program sent the packet through the TUN device, but not to the group.
        OtherDestination => "other_destination": Drop, Packets;
        /// The packet inside is for a UDP port that the group does not protect.
        OtherPort => "other_port": Drop, Packets;
        /// Another protocol than UDP is inside.
        OtherProtocol => "other_protocol": Drop, Packets;
        /// The addresses outside and inside a tunnel differ (RFC 5374 section 5.2).
        PacketAddressMismatch => "packet_address_mismatch": Drop, Packets;
        /// A checksum outside or inside ESP does not fit.
        PacketChecksum => "packet_checksum": Drop, Packets;
        /// The two addresses are of different families.
        PacketFamily => "packet_family": Drop, Packets;
        /// The packet is a fragment, which transport mode cannot carry (RFC 4303 section 3.3.4).
        PacketFragment => "packet_fragment": Drop, Packets;
        /// A header outside or inside ESP is malformed.
        PacketMalformed => "packet_malformed": Drop, Packets;
        /// The packet's protocol is another one than ESP.
        PacketNotEsp => "packet_not_esp": Drop, Packets;
        /// What is inside tunnel mode is no IP packet of the outer packet's version.
        PacketNotTunnelled => "packet_not_tunnelled": Drop, Packets;
        /// The packet would be longer than its length field can say.
        PacketTooLong => "packet_too_long": Drop, Packets;
        /// The kernel dropped the packet because the receive buffer was full.
        ReceiveBufferFull => "receive_buffer_full": Drop, Packets;
        /// A program that receives by `recv` does not keep up.
        ReceiverTooSlow => "receiver_too_slow": Drop, Payloads;
        /// What came on the group's port is too short to be ESP.
        Runt => "runt": Drop, Datagrams;
        /// The system refused to send the packet to the group.
        SendFailed => "send_failed": Drop, Packets;
    }
}
