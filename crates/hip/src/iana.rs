//! Code points (<https://www.iana.org/assignments/hip-parameters>).
//!
//! Unknown values are kept, so that a list with tomorrow's algorithms in it can still be read.

use std::fmt;

use claviger_crypto::{cipher::CipherAlgorithm, kx::KxAlgorithm};

/// The IP protocol number of HIP.
pub const IP_PROTOCOL: u8 = 139;

/// The UDP port of HIP behind NATs (RFC 5770 section 5.1).
pub const UDP_PORT: u16 = 10500;

/// Declares constants of a code point type, and the names that logs show.
macro_rules! code_points {
    ($type:ident { $($(#[$meta:meta])* $name:ident = $value:literal,)* }) => {
        impl $type {
            $($(#[$meta])* pub const $name: Self = Self($value);)*

            /// Returns the registry's name of the value, if this implementation knows it.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => self.0.fmt(f),
                }
            }
        }
    };
}

/// A HIP packet type: seven bits (RFC 7401 section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketType(pub u8);

code_points!(PacketType {
    /// The Initiator's first packet.
    I1 = 1,
    /// The Responder's puzzle and public value.
    R1 = 2,
    /// The Initiator's solution and public value.
    I2 = 3,
    /// The Responder's confirmation.
    R2 = 4,
    /// A change to an association.
    UPDATE = 16,
    /// A report.
    NOTIFY = 17,
    /// The end of an association.
    CLOSE = 18,
    /// The answer to CLOSE.
    CLOSE_ACK = 19,
});

/// A HIP parameter type. Odd types are critical (RFC 7401 section 5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterType(pub u16);

code_points!(ParameterType {
    /// SPIs of an ESP SA (RFC 7402 section 5.1.1).
    ESP_INFO = 65,
    /// The generation of valid puzzles.
    R1_COUNTER = 129,
    /// Where a mobile host is reached (RFC 8046 section 4).
    LOCATOR_SET = 193,
    /// A puzzle.
    PUZZLE = 257,
    /// Its solution.
    SOLUTION = 321,
    /// The number of an UPDATE.
    SEQ = 385,
    /// The numbers of UPDATEs received.
    ACK = 449,
    /// Supported groups.
    DH_GROUP_LIST = 511,
    /// A public value.
    DIFFIE_HELLMAN = 513,
    /// Supported or chosen ciphers.
    HIP_CIPHER = 579,
    /// Encrypted parameters.
    ENCRYPTED = 641,
    /// A public key.
    HOST_ID = 705,
    /// Supported HIT suites.
    HIT_SUITE_LIST = 715,
    /// A certificate (RFC 8002 section 2).
    CERT = 768,
    /// A notification.
    NOTIFICATION = 832,
    /// Data to be echoed under the signature.
    ECHO_REQUEST_SIGNED = 897,
    /// Services offered (RFC 8003 section 4.2).
    REG_INFO = 930,
    /// Services asked for (RFC 8003 section 4.3).
    REG_REQUEST = 932,
    /// Services granted (RFC 8003 section 4.4).
    REG_RESPONSE = 934,
    /// Services refused (RFC 8003 section 4.5).
    REG_FAILED = 936,
    /// Data echoed under the signature.
    ECHO_RESPONSE_SIGNED = 961,
    /// Supported or chosen transport formats.
    TRANSPORT_FORMAT_LIST = 2049,
    /// Supported or chosen ESP suites (RFC 7402 section 5.1.2).
    ESP_TRANSFORM = 4095,
    /// A proof of the Initiator's address (binding section 3.1; private use).
    COOKIE = 38420,
    /// A MAC.
    HIP_MAC = 61505,
    /// A MAC that covers the Responder's HOST_ID too.
    HIP_MAC_2 = 61569,
    /// A signature that leaves room for a precomputed R1's puzzle and receiver.
    HIP_SIGNATURE_2 = 61633,
    /// A signature.
    HIP_SIGNATURE = 61697,
    /// Data echoed outside the signature.
    ECHO_RESPONSE_UNSIGNED = 63425,
    /// Data to be echoed outside the signature.
    ECHO_REQUEST_UNSIGNED = 63661,
});

impl ParameterType {
    /// Says whether a recipient that does not know the type must drop the packet.
    pub const fn is_critical(self) -> bool {
        self.0 & 1 == 1
    }

    /// Says whether this implementation knows the type.
    pub fn is_known(self) -> bool {
        self.name().is_some()
    }
}

/// A Notify Message Type (RFC 7401 section 5.2.19). Below 16384 are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotifyType(pub u16);

code_points!(NotifyType {
    /// A critical parameter is unknown; data is its two-octet type.
    UNSUPPORTED_CRITICAL_PARAMETER_TYPE = 1,
    /// The message is malformed.
    INVALID_SYNTAX = 7,
    /// No group of the list is acceptable.
    NO_DH_PROPOSAL_CHOSEN = 14,
    /// The group was not offered.
    INVALID_DH_CHOSEN = 15,
    /// No HIT suite or cipher of the list is acceptable.
    NO_HIP_PROPOSAL_CHOSEN = 16,
    /// The cipher was not offered.
    INVALID_HIP_CIPHER_CHOSEN = 17,
    /// No ESP suite of the list is acceptable (RFC 7402 section 5.1.3).
    NO_ESP_PROPOSAL_CHOSEN = 18,
    /// The ESP suite was not offered (RFC 7402 section 5.1.3).
    INVALID_ESP_TRANSFORM_CHOSEN = 19,
    /// The HIT suite is not supported.
    UNSUPPORTED_HIT_SUITE = 20,
    /// A signature failed.
    AUTHENTICATION_FAILED = 24,
    /// A checksum failed.
    CHECKSUM_FAILED = 26,
    /// A MAC failed.
    HIP_MAC_FAILED = 28,
    /// ENCRYPTED could not be decrypted.
    ENCRYPTION_FAILED = 32,
    /// The HIT does not belong to the HOST_ID.
    INVALID_HIT = 40,
    /// Policy forbids an association.
    BLOCKED_BY_POLICY = 42,
    /// The Responder sheds load.
    RESPONDER_BUSY_PLEASE_RETRY = 44,
    /// A preferred locator is of an unknown type; data is the locators (RFC 8046 section 5.3).
    LOCATOR_TYPE_UNSUPPORTED = 46,
    /// A certificate is asked for (RFC 8002 section 6).
    CREDENTIALS_REQUIRED = 48,
    /// A certificate is refused (RFC 8002 section 6).
    INVALID_CERTIFICATE = 50,
    /// The registrar wants a REG_REQUEST (RFC 8003 section 3.2).
    REG_REQUIRED = 51,
    /// The I2 waits in a queue.
    I2_ACKNOWLEDGEMENT = 16384,
});

impl NotifyType {
    /// Says whether the value is in the range of errors.
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }
}

/// What may be sent to a locator (RFC 8046 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrafficType(pub u8);

code_points!(TrafficType {
    /// Signalling and data.
    BOTH = 0,
    /// HIP packets only.
    SIGNALLING = 1,
    /// Data only.
    DATA = 2,
});

/// What stands in a locator (RFC 8046 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocatorType(pub u8);

code_points!(LocatorType {
    /// An address.
    ADDRESS = 0,
    /// An SPI and an address.
    ESP = 1,
});

/// A DH Group ID (RFC 7401 section 5.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhGroup(pub u8);

code_points!(DhGroup {
    /// 1536-bit MODP; only where configured for old peers.
    MODP_1536 = 3,
    /// 3072-bit MODP.
    MODP_3072 = 4,
    /// NIST P-256.
    NIST_P256 = 7,
    /// NIST P-384.
    NIST_P384 = 8,
    /// NIST P-521.
    NIST_P521 = 9,
    /// SECP160R1; never used here.
    SECP160R1 = 10,
    /// 2048-bit MODP.
    MODP_2048 = 11,
});

impl DhGroup {
    /// Returns the key exchange behind the number, if this implementation has it.
    pub const fn kx(self) -> Option<KxAlgorithm> {
        match self {
            Self::MODP_1536 => Some(KxAlgorithm::Modp1536),
            Self::MODP_3072 => Some(KxAlgorithm::Modp3072),
            Self::NIST_P256 => Some(KxAlgorithm::P256),
            Self::NIST_P384 => Some(KxAlgorithm::P384),
            Self::NIST_P521 => Some(KxAlgorithm::P521),
            Self::MODP_2048 => Some(KxAlgorithm::Modp2048),
            _ => None,
        }
    }
}

/// A Cipher ID of HIP_CIPHER (RFC 7401 section 5.2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CipherId(pub u16);

code_points!(CipherId {
    /// No encryption; only where configured for debugging.
    NULL_ENCRYPT = 1,
    /// AES-128 in CBC mode.
    AES_128_CBC = 2,
    /// AES-256 in CBC mode.
    AES_256_CBC = 4,
});

impl CipherId {
    /// Returns the cipher behind the number; NULL and unknown numbers have none.
    pub const fn algorithm(self) -> Option<CipherAlgorithm> {
        match self {
            Self::AES_128_CBC => Some(CipherAlgorithm::Aes128Cbc),
            Self::AES_256_CBC => Some(CipherAlgorithm::Aes256Cbc),
            _ => None,
        }
    }

    /// Says how many octets a key has; NULL has none, and unknown ciphers have no answer.
    pub const fn key_len(self) -> Option<usize> {
        match (self, self.algorithm()) {
            (_, Some(algorithm)) => Some(algorithm.key_len()),
            (Self::NULL_ENCRYPT, None) => Some(0),
            _ => None,
        }
    }
}

/// A registration type (RFC 8003 section 7, RFC 8004, RFC 5770); 201 to 255 are private use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegType(pub u8);

code_points!(RegType {
    /// Rendezvous (RFC 8004).
    RENDEZVOUS = 1,
    /// Relay of HIP through UDP (RFC 5770).
    RELAY_UDP_HIP = 2,
});

/// A registration failure type (RFC 8003 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegFailure(pub u8);

code_points!(RegFailure {
    /// Further credentials are needed.
    ADDITIONAL_CREDENTIALS = 0,
    /// The service is not offered.
    TYPE_UNAVAILABLE = 1,
    /// The registrar has no room.
    INSUFFICIENT_RESOURCES = 2,
    /// The certificate could not be validated.
    INVALID_CERTIFICATE = 3,
    /// The certificate is corrupt.
    BAD_CERTIFICATE = 4,
    /// The certificate is of a type that the registrar does not support.
    UNSUPPORTED_CERTIFICATE = 5,
    /// The certificate is no longer valid.
    CERTIFICATE_EXPIRED = 6,
    /// The certificate is refused for another reason.
    CERTIFICATE_OTHER = 7,
    /// The certificate's issuer is unknown.
    UNKNOWN_CA = 8,
});

impl RegFailure {
    /// Says whether the value is for private use (RFC 8003 section 7).
    pub const fn is_private(self) -> bool {
        self.0 > 200
    }
}

/// The type of a certificate in CERT (RFC 8002 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertType(pub u8);

code_points!(CertType {
    /// An X.509 v3 certificate in DER.
    X509_V3 = 1,
    /// A hash and a URL; never fetched here.
    X509_HASH_AND_URL = 3,
    /// An LDAP URL; never fetched here.
    X509_LDAP_URL = 5,
    /// A distinguished name; never fetched here.
    X509_DISTINGUISHED_NAME = 7,
});

/// A Suite ID of ESP_TRANSFORM (RFC 7402 section 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EspSuite(pub u16);

code_points!(EspSuite {
    /// AES-128-CBC with HMAC-SHA1.
    AES_128_CBC_HMAC_SHA1 = 1,
    /// No encryption, HMAC-SHA-256.
    NULL_HMAC_SHA_256 = 7,
    /// AES-128-CBC with HMAC-SHA-256: mandatory.
    AES_128_CBC_HMAC_SHA_256 = 8,
    /// AES-256-CBC with HMAC-SHA-256.
    AES_256_CBC_HMAC_SHA_256 = 9,
    /// AES-CCM with an 8-octet ICV.
    AES_CCM_8 = 10,
    /// AES-CCM with a 16-octet ICV.
    AES_CCM_16 = 11,
    /// AES-GCM with an 8-octet ICV.
    AES_GCM_8 = 12,
    /// AES-GCM with a 16-octet ICV.
    AES_GCM_16 = 13,
    /// AES-CMAC-96.
    AES_CMAC_96 = 14,
    /// AES-GMAC.
    AES_GMAC = 15,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_parameter_types_are_critical() {
        assert!(ParameterType::PUZZLE.is_critical());
        assert!(!ParameterType::REG_INFO.is_critical());
        assert!(!ParameterType(4097).is_known());
    }

    #[test]
    fn known_values_show_their_name_and_others_their_number() {
        assert_eq!(PacketType::CLOSE_ACK.to_string(), "CLOSE_ACK");
        assert_eq!(PacketType(99).to_string(), "99");
    }

    #[test]
    fn ciphers_know_their_key_sizes() {
        assert_eq!(CipherId::NULL_ENCRYPT.key_len(), Some(0));
        assert_eq!(CipherId::AES_256_CBC.key_len(), Some(32));
        assert_eq!(CipherId(3).key_len(), None);
    }
}
