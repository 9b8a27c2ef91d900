//! Packets and parameters, octet by octet.
//!
//! A received packet is split by [`Packet::parse`], checked against [`crate::rules`], authenticated on its original
//! octets, and only then interpreted, parameter by parameter. A packet to send grows in a [`PacketBuilder`].
//!
//! | module | what |
//! |---|---|
//! | [`packet`], [`parameter`] | header; type, length, contents |
//! | [`builder`], [`r1_template`] | packets to send; a precomputed R1 |
//! | [`coverage`], [`checksum`] | what MACs, signatures and the checksum are computed over |
//! | the others | one parameter, or one family of parameters, each |

pub mod builder;
pub mod cert;
pub mod checksum;
pub mod cookie;
pub mod coverage;
pub mod dh_group_list;
pub mod diffie_hellman;
pub mod echo;
pub mod encrypted;
pub mod esp;
pub mod hip_cipher;
pub mod hip_mac;
pub mod hip_signature;
pub mod hit_suite_list;
pub mod host_id;
pub mod lifetime;
pub mod locator_set;
pub mod notification;
pub mod packet;
pub mod parameter;
pub mod puzzle;
pub mod r1_counter;
pub mod r1_template;
pub mod registration;
pub mod solution;
pub mod transport_format_list;
pub mod update_id;

pub use builder::{PacketBuilder, PacketTooLong, ParameterBlock};
pub use cert::Cert;
pub use cookie::Cookie;
pub use coverage::{Authentic, Maced, Presigned, Signed};
pub use dh_group_list::DhGroupList;
pub use diffie_hellman::DiffieHellman;
pub use echo::{EchoRequestSigned, EchoRequestUnsigned, EchoResponseSigned, EchoResponseUnsigned};
pub use encrypted::Encrypted;
pub use esp::{EspInfo, EspTransform};
pub use hip_cipher::HipCipher;
pub use hip_mac::{HipMac, HipMac2};
pub use hip_signature::{HipSignature, HipSignature2};
pub use hit_suite_list::HitSuiteList;
pub use lifetime::Lifetime;
pub use locator_set::{Locator, LocatorSet, LocatorValue};
pub use notification::Notification;
pub use packet::{Controls, Packet, PacketError};
pub use parameter::{Parameter, Parameters, RawParameter};
pub use puzzle::Puzzle;
pub use r1_counter::R1Counter;
pub use r1_template::R1Template;
pub use registration::{RegFailed, RegInfo, RegRequest, RegResponse};
pub use solution::Solution;
pub use transport_format_list::TransportFormatList;
pub use update_id::{Ack, Seq};

#[cfg(test)]
pub(crate) mod test {
    use claviger_wire::DecodeError;

    use super::Parameter;

    /// Checks that a parameter survives its octets, and that no prefix of them is another valid one of the same
    /// value.
    pub(crate) fn survives<P: Parameter + PartialEq + std::fmt::Debug>(parameter: &P) {
        let octets = parameter.to_octets();
        let again: Result<P, DecodeError> = P::from_octets(&octets);
        assert_eq!(again.as_ref(), Ok(parameter));
        for length in 0..octets.len() {
            assert_ne!(P::from_octets(&octets[..length]).as_ref(), Ok(parameter), "cut at {length}");
        }
    }
}
