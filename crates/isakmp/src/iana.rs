//! Code points of ISAKMP's registries.
//!
//! Payload types and exchange types are one registry each, whatever protocol added them, so that they are one table here: a
//! port is shared out by them, and a payload that is out of place has a name before anybody knows whose it is. What a
//! DOI numbers for itself is in the crate of its protocol.

use std::fmt;

use claviger_wire::rules::Element;

/// Declares a newtype over a code point with its named values; unknown values are kept.
macro_rules! code_points {
    ($(#[$meta:meta])* $name:ident($int:ty) { $($(#[$doc:meta])* $constant:ident = $value:expr;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($value);)*
        }
    };
}

/// The Domain of Interpretation of ISAKMP itself (RFC 2408 section 3.4).
pub const DOI_ISAKMP: u32 = 0;

/// The Domain of Interpretation of IPsec (RFC 2407 section 4.1).
pub const DOI_IPSEC: u32 = 1;

// https://www.iana.org/assignments/isakmp-registry/isakmp-registry.xhtml#isakmp-registry-15
code_points! {
    /// What follows a payload (RFC 2408 section 3.1, RFC 6407 section 5).
    PayloadType(u8) {
        /// Nothing follows.
        NONE = 0;
        /// Security Association.
        SA = 1;
        /// Proposal, inside an SA payload.
        PROPOSAL = 2;
        /// Transform, inside a Proposal payload.
        TRANSFORM = 3;
        /// Key Exchange.
        KEY_EXCHANGE = 4;
        /// Identification.
        ID = 5;
        /// Certificate.
        CERTIFICATE = 6;
        /// Certificate Request.
        CERTIFICATE_REQUEST = 7;
        /// Hash.
        HASH = 8;
        /// Signature.
        SIG = 9;
        /// Nonce.
        NONCE = 10;
        /// Notification.
        NOTIFICATION = 11;
        /// Delete.
        DELETE = 12;
        /// Vendor ID.
        VENDOR_ID = 13;
        /// SA KEK of GDOI, inside an SA payload.
        SA_KEK = 15;
        /// SA TEK of GDOI, inside an SA payload.
        SA_TEK = 16;
        /// Key Download of GDOI.
        KEY_DOWNLOAD = 17;
        /// Sequence Number of GDOI.
        SEQUENCE_NUMBER = 18;
        /// Group Associated Policy of GDOI.
        GROUP_ASSOCIATED_POLICY = 22;
        /// A message of the delivery of a batch of GDOI; private use.
        DELIVERY = 128;
        /// What a member asks about its leases in GDOI, and what it is answered; private use.
        LEASE = 129;
    }
}

impl Element for PayloadType {
    fn name(self) -> &'static str {
        match self {
            Self::SA => "SA",
            Self::PROPOSAL => "P",
            Self::TRANSFORM => "T",
            Self::KEY_EXCHANGE => "KE",
            Self::ID => "ID",
            Self::CERTIFICATE => "CERT",
            Self::CERTIFICATE_REQUEST => "CR",
            Self::HASH => "HASH",
            Self::SIG => "SIG",
            Self::NONCE => "nonce",
            Self::NOTIFICATION => "N",
            Self::DELETE => "D",
            Self::VENDOR_ID => "VID",
            Self::SA_KEK => "SA KEK",
            Self::SA_TEK => "SA TEK",
            Self::KEY_DOWNLOAD => "KD",
            Self::SEQUENCE_NUMBER => "SEQ",
            Self::GROUP_ASSOCIATED_POLICY => "GAP",
            Self::DELIVERY => "delivery",
            Self::LEASE => "lease",
            Self(_) => "payload",
        }
    }
}

// https://www.iana.org/assignments/isakmp-registry/isakmp-registry.xhtml#isakmp-registry-14
code_points! {
    /// What an ISAKMP message belongs to.
    ///
    /// From 32 on a number is the DOI's own: under that of IPsec, 32 is Quick Mode and 33 is New Group Mode (RFC 2409
    /// appendix A), which have other ports than GDOI.
    ExchangeType(u8) {
        /// Base (RFC 2408 section 4.4), which IKE does not use.
        BASE = 1;
        /// Main Mode (RFC 2409 section 5), the Identity Protection exchange of RFC 2408 section 4.5.
        MAIN_MODE = 2;
        /// Authentication Only (RFC 2408 section 4.6), which IKE does not use.
        AUTHENTICATION_ONLY = 3;
        /// Aggressive Mode (RFC 2409 section 5), the Aggressive exchange of RFC 2408 section 4.7.
        AGGRESSIVE_MODE = 4;
        /// Informational (RFC 2409 section 5.7).
        INFORMATIONAL = 5;
        /// GROUPKEY-PULL (RFC 6407 section 3.2.1).
        GROUPKEY_PULL = 32;
        /// GROUPKEY-PUSH (RFC 6407 section 4.2).
        GROUPKEY_PUSH = 33;
        /// Repairs and announcements of a batch, from the key server to the group; private use.
        DELIVERY_CONTROL = 240;
        /// What a member misses of a batch, from it to the key server; private use.
        DELIVERY_REPORT = 241;
        /// What a member asks its key server about its leases, and the answer; private use.
        LEASE = 242;
    }
}

/// When the messages of an exchange are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Every message is.
    Always,
    /// No message is.
    Never,
    /// It depends on the message: how far a Phase 1 has come, or whether there is a security association yet.
    Sometimes,
}

impl ExchangeType {
    /// Says when messages of this exchange are encrypted. What serves the delivery of ciphertext is not, and what says
    /// nothing that PUSHes do not show.
    pub const fn encryption(self) -> Encryption {
        match self {
            Self::BASE
            | Self::MAIN_MODE
            | Self::AUTHENTICATION_ONLY
            | Self::AGGRESSIVE_MODE
            | Self::INFORMATIONAL => Encryption::Sometimes,
            Self::DELIVERY_CONTROL | Self::DELIVERY_REPORT | Self::LEASE => Encryption::Never,
            Self(_) => Encryption::Always,
        }
    }
}

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BASE => f.write_str("Base"),
            Self::MAIN_MODE => f.write_str("Main Mode"),
            Self::AUTHENTICATION_ONLY => f.write_str("Authentication Only"),
            Self::AGGRESSIVE_MODE => f.write_str("Aggressive Mode"),
            Self::INFORMATIONAL => f.write_str("Informational"),
            Self::GROUPKEY_PULL => f.write_str("GROUPKEY-PULL"),
            Self::GROUPKEY_PUSH => f.write_str("GROUPKEY-PUSH"),
            Self::DELIVERY_CONTROL => f.write_str("delivery control"),
            Self::DELIVERY_REPORT => f.write_str("delivery report"),
            Self::LEASE => f.write_str("lease"),
            Self(other) => other.fmt(f),
        }
    }
}

// RFC 2408 section 3.14.1
code_points! {
    /// The type of a notification.
    NotifyType(u16) {
        /// A payload's type is not understood, or out of place.
        INVALID_PAYLOAD_TYPE = 1;
        /// A protocol is not understood.
        INVALID_PROTOCOL_ID = 10;
        /// A security association is not, or no longer, known.
        INVALID_SPI = 11;
        /// An attribute is not understood.
        ATTRIBUTES_NOT_SUPPORTED = 13;
        /// The policy is not acceptable.
        NO_PROPOSAL_CHOSEN = 14;
        /// A payload has a wrong form.
        PAYLOAD_MALFORMED = 16;
        /// The keys do not fit the policy.
        INVALID_KEY_INFORMATION = 17;
        /// The group is not known, or not open to the peer.
        INVALID_ID_INFORMATION = 18;
    }
}

// https://www.iana.org/assignments/isakmp-registry/isakmp-registry.xhtml, IPSEC Identification Type
code_points! {
    /// The type of an identification (RFC 2407 section 4.6.2.1).
    IdentificationType(u8) {
        /// ID_IPV4_ADDR.
        IPV4_ADDR = 1;
        /// ID_FQDN.
        FQDN = 2;
        /// ID_USER_FQDN.
        USER_FQDN = 3;
        /// ID_IPV4_ADDR_SUBNET.
        IPV4_ADDR_SUBNET = 4;
        /// ID_IPV6_ADDR.
        IPV6_ADDR = 5;
        /// ID_IPV6_ADDR_SUBNET.
        IPV6_ADDR_SUBNET = 6;
        /// ID_IPV4_ADDR_RANGE.
        IPV4_ADDR_RANGE = 7;
        /// ID_IPV6_ADDR_RANGE.
        IPV6_ADDR_RANGE = 8;
        /// ID_DER_ASN1_DN.
        DER_ASN1_DN = 9;
        /// ID_DER_ASN1_GN.
        DER_ASN1_GN = 10;
        /// ID_KEY_ID.
        KEY_ID = 11;
    }
}

/// The first notification that tells of a status, not of an error (RFC 2408 section 3.14.1).
const FIRST_STATUS: u16 = 16_384;

impl NotifyType {
    /// Says whether the notification tells of an error.
    pub const fn is_error(self) -> bool {
        self.0 < FIRST_STATUS
    }
}
