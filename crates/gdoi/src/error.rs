//! What can go wrong, and whose fault it is.

use std::fmt;

use claviger_crypto::CryptoError;
use claviger_isakmp::{error as isakmp, iana::NotifyType};
use claviger_sansio::{Counted, reasons};
use claviger_wire::DecodeError;

use crate::{counter::Counter, extensions::Extension, iana::kek};

/// Why a message was not accepted, or not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The caller asked for something impossible.
    ApiMisuse(ApiMisuse),
    /// A HASH or a signature does not fit.
    Auth(AuthError),
    /// A cryptographic operation failed.
    Crypto(CryptoError),
    /// The octets are not the message that they claim to be.
    Decode(DecodeError),
    /// A limit was reached.
    Limit(Limit),
    /// The peer speaks of something that this implementation does not know.
    PeerIncompatible(PeerIncompatible),
    /// The peer broke a rule.
    PeerMisbehaved(PeerMisbehaved),
    /// A message was repeated from another address than it came from first, and its answer goes only there.
    RepeatedElsewhere,
    /// The message was processed before, or is older than the last one.
    Replayed,
    /// The cookies belong to no security association.
    UnknownCookies,
    /// The message id belongs to no exchange in progress.
    UnknownExchange,
}

impl Error {
    /// Names the reason in `snake_case`, as its counter is named.
    pub fn reason(&self) -> &'static str {
        Counter::from(self).name()
    }

    /// Says which notification tells an authenticated peer of the error (RFC 2408 section 3.14.1).
    pub fn notify(&self) -> Option<NotifyType> {
        match self {
            Self::Decode(_) => Some(NotifyType::PAYLOAD_MALFORMED),
            Self::PeerIncompatible(_) => Some(NotifyType::ATTRIBUTES_NOT_SUPPORTED),
            Self::PeerMisbehaved(
                PeerMisbehaved::KeyLength
                | PeerMisbehaved::KeyMissing
                | PeerMisbehaved::KeyWithoutPolicy
                | PeerMisbehaved::LkhKeyType
                | PeerMisbehaved::ManagementMismatch
                | PeerMisbehaved::PathContent
                | PeerMisbehaved::SigningKeyKind,
            ) => Some(NotifyType::INVALID_KEY_INFORMATION),
            Self::PeerMisbehaved(_) => Some(NotifyType::INVALID_PAYLOAD_TYPE),
            // Not authentic, not new, or not the peer's fault.
            Self::Auth(_)
            | Self::RepeatedElsewhere
            | Self::Replayed
            | Self::UnknownCookies
            | Self::UnknownExchange
            | Self::ApiMisuse(_)
            | Self::Crypto(_)
            | Self::Limit(_) => None,
        }
    }

    /// Says what a failed command means to its caller, to whom everything but a misuse of its own is `other`.
    pub(crate) fn misuse_or(self, other: ApiMisuse) -> ApiMisuse {
        match self {
            Self::ApiMisuse(misuse) => misuse,
            Self::Auth(_)
            | Self::Crypto(_)
            | Self::Decode(_)
            | Self::Limit(_)
            | Self::PeerIncompatible(_)
            | Self::PeerMisbehaved(_)
            | Self::RepeatedElsewhere
            | Self::Replayed
            | Self::UnknownCookies
            | Self::UnknownExchange => other,
        }
    }
}

reasons! {
    /// What the caller did wrong.
    pub enum ApiMisuse in ApiMisuse {
        /// The registration's cookies are in use, or one of them is zero.
        Cookies => "cookies_in_use", "cookies are in use or zero";
        /// The keys to download do not fit the policy that was offered.
        DownloadMismatch => "download_mismatch", "keys do not fit the policy that was offered";
        /// A node, handle or key does not fit the key tree.
        KeyTree => "key_tree", "node, handle or key does not fit the key tree";
        /// The message would exceed 65,507 octets, or a part of it its length field.
        MessageTooLong => "message_too_long", "message exceeds its length field or 65507 octets";
        /// The messages are not consecutive ones of one rekey SA, 1 to 65,535 of them.
        NotOneBatch => "not_one_batch", "messages are not consecutive ones of one rekey SA";
        /// Too many exchanges are in progress under this registration.
        TooManyExchanges => "too_many_own_exchanges", "too many exchanges in progress under this registration";
        /// No exchange has this identifier.
        UnknownPull => "unknown_pull", "no exchange has this identifier";
        /// No registration has these cookies.
        UnknownRegistration => "unknown_registration", "no registration has these cookies";
        /// The provider lacks an algorithm, or a key does not fit its algorithm.
        UnsupportedAlgorithm => "unsupported_algorithm", "algorithm is not supported, or a key does not fit it";
        /// The exchange is not in a state in which this can be done.
        WrongState => "wrong_state", "exchange is not in a state for this";
    }
}

reasons! {
    /// What failed to prove its origin.
    pub enum AuthError in Auth {
        /// The HASH payload of a message under a registration SA does not verify.
        Hash => "bad_hash", "HASH does not verify";
        /// The SIG payload of a GROUPKEY-PUSH does not verify.
        Signature => "bad_signature", "signature does not verify";
    }
}

reasons! {
    /// Which limit was reached; the constants are in [`crate::limits`].
    pub enum Limit in Limit {
        /// There are too many delivery controls under one rekey SA whose signature does not verify.
        Controls => "too_many_controls", "too many delivery controls with a wrong signature under these cookies";
        /// There are too many long messages under one cookie pair whose HASH does not verify.
        Decryptions => "too_many_decryptions", "too many long messages with a wrong HASH under these cookies";
        /// There are too many exchanges in progress under one cookie pair.
        Exchanges => "too_many_exchanges", "too many exchanges in progress under these cookies";
        /// There were too many exchanges in the life of one cookie pair.
        MessageIds => "message_ids_exhausted", "message ids of this registration are used up";
        /// There are too many messages 2 in one exchange, each under a nonce of its own.
        Offers => "too_many_offers", "too many offers in one exchange";
        /// There are too many rekey messages under a group's KEK whose signature does not verify.
        Pushes => "too_many_pushes", "too many rekey messages with a wrong signature in this group";
        /// One stored answer was repeated often enough.
        Resends => "too_many_resends", "answer was repeated often enough";
    }
}

reasons! {
    /// Which rule a peer broke.
    pub enum PeerMisbehaved in PeerMisbehaved {
        /// A GROUPKEY-PUSH carries an LKH_DOWNLOAD_ARRAY (RFC 6407 section 5.6.3.1).
        DownloadArrayInPush => "download_array_in_push", "LKH download array in a GROUPKEY-PUSH";
        /// A key has not the length of its algorithm.
        KeyLength => "key_length", "key has not the length of its algorithm";
        /// A security association that was asserted gets no key.
        KeyMissing => "key_missing", "asserted security association gets no key";
        /// A key packet names an SPI that was not asserted.
        KeyWithoutPolicy => "key_without_policy", "key packet names an SPI that was not asserted";
        /// A key is wrapped under one that its node had before the key that is held.
        HandleWentBack => "handle_went_back", "key is wrapped under one that precedes the one held";
        /// A GROUPKEY-PUSH carries a LEASE_TIME (private use), which is one member's.
        LeaseTimeInPush => "lease_time_in_push", "LEASE_TIME in a GROUPKEY-PUSH";
        /// An LKH key is of another type than the KEK.
        LkhKeyType => "lkh_key_type", "LKH key is of another type than the KEK";
        /// The keys are not of the kind that the KEK management algorithm announces.
        ManagementMismatch => "management_mismatch", "keys are not of the announced KEK management algorithm";
        /// The message does not fit the state of its exchange.
        OutOfState => "out_of_state", "message does not fit the state of its exchange";
        /// The path of a member does not lead to a root.
        PathContent => "path_content", "path does not lead to a root";
        /// REKEY_FIRST (private use) names a number behind the message that says it.
        RekeyFirst => "rekey_first", "the first number of a rekey is behind one of its messages";
        /// A rekey announces a root key that is no successor of the one that is held.
        RootNotNewer => "root_not_newer", "announced root key is no successor of the one held";
        /// A message that needs a SEQ payload has none.
        SequenceMissing => "sequence_missing", "SEQ payload is missing although a KEK is asserted";
        /// A SEQ payload stands where no KEK is asserted (RFC 6407 section 3.2).
        SequenceWithoutKek => "sequence_without_kek", "SEQ payload although no KEK is asserted";
        /// A GROUPKEY-PUSH carries sender ids (RFC 6407 section 5.6.4).
        SenderIdsInPush => "sender_ids_in_push", "sender ids in a GROUPKEY-PUSH";
        /// A GAP payload of the key server requests sender ids (RFC 6407 section 5.4.2).
        SenderIdRequestByServer => "sender_id_request_by_server", "key server requests sender ids";
        /// The signing key is of another kind than the SA KEK asserts.
        SigningKeyKind => "signing_key_kind", "signing key is of another kind than asserted";
        /// A GROUPKEY-PULL carries an LKH_UPDATE_ARRAY.
        UpdateArrayInPull => "update_array_in_pull", "LKH update array in a GROUPKEY-PULL";
        /// A message is of another rekey than those before it.
        UpdateHeadDiffers => "update_head_differs", "message is of another rekey than those before it";
        /// No LKH_UPDATE_ARRAY starts at a key that this member holds: the member is excluded.
        UpdateArrayNotForUs => "update_array_not_for_us", "no LKH update array starts at a key that is held here";
        /// An LKH_UPDATE_ARRAY does not decrypt to keys.
        UpdateArrayContent => "update_array_content", "LKH update array does not decrypt to keys";
    }
}

/// Declares [`PeerIncompatible`] with the name of each field.
macro_rules! incompatibilities {
    ($($(#[doc = $doc:literal])+ $field:ident($number:ty) => $name:literal;)+) => {
        /// Something that was asserted and is not implemented, with the value that the peer gave.
        ///
        /// RFC 6407 sections 5.3.2 and 5.4: an implementation must abort if it meets an attribute or capability that it
        /// does not understand.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PeerIncompatible {
            $($(#[doc = $doc])+ $field($number),)+
        }

        impl PeerIncompatible {
            /// Names the field, in the words of its document.
            pub const fn field(&self) -> &'static str {
                match self {
                    $(Self::$field(_) => $name,)+
                }
            }

            /// Shows the value that the peer gave.
            pub const fn value(&self) -> u64 {
                match self {
                    $(Self::$field(value) => *value as u64,)+
                }
            }
        }
    };
}

incompatibilities! {
    /// An address preservation (RFC 6407 section 5.5.1.1.1).
    AddressPreservation(u16) => "address preservation";
    /// An authentication algorithm of a data SA (RFC 2407 section 4.5).
    AuthenticationAlgorithm(u16) => "authentication algorithm";
    /// The protocol of the SAs that a DELETE payload names.
    DeleteProtocol(u8) => "delete protocol";
    /// An encapsulation mode (RFC 2407 section 4.5).
    EncapsulationMode(u16) => "encapsulation mode";
    /// An ESP transform (RFC 2407 section 4.4.4).
    EspTransform(u8) => "ESP transform";
    /// An attribute of a GAP payload (RFC 6407 section 5.4).
    GapAttribute(u16) => "GAP attribute";
    /// The type of an identification (RFC 2407 section 4.6.2.1).
    IdentificationType(u8) => "identification type";
    /// The type of a key packet (RFC 6407 section 5.6).
    KdType(u8) => "KD type";
    /// A cipher of the KEK (RFC 6407 section 5.3.2).
    KekAlgorithm(u16) => "KEK_ALGORITHM";
    /// An attribute of an SA KEK payload (RFC 6407 section 5.3).
    KekAttribute(u16) => "KEK attribute";
    /// An attribute of a key packet for the KEK (RFC 6407 section 5.6.2).
    KekKeyAttribute(u16) => "KEK key packet attribute";
    /// A length of the KEK in bits (RFC 6407 section 5.3.3).
    KekKeyLength(u16) => "KEK_KEY_LENGTH";
    /// A KEK management algorithm, or one that this member was told to refuse (RFC 6407 section 5.3.1).
    KekManagement(u16) => "KEK_MANAGEMENT_ALGORITHM";
    /// The protocol of rekey messages (RFC 6407 section 5.3).
    KekProtocol(u8) => "KEK protocol";
    /// A length of the key of a data SA in bits (RFC 2407 section 4.5).
    KeyLength(u16) => "key length";
    /// The unit of an SA's life (RFC 2407 section 4.5).
    LifeType(u16) => "SA life type";
    /// Leases, for private use, by the attribute that says how long one lasts: this member was told to refuse them.
    LeaseTime(u16) => "LEASE_TIME";
    /// A version of the LKH-32 arrays, for private use.
    Lkh32Version(u8) => "LKH-32 version";
    /// An attribute of a key packet for LKH (RFC 6407 section 5.6.3).
    LkhAttribute(u16) => "LKH attribute";
    /// A version of the LKH arrays (RFC 6407 section 5.6.3).
    LkhVersion(u8) => "LKH version";
    /// A place with an address of its own, for private use, by the attribute that says it: this member was told to
    /// refuse it.
    PlaceDestination(u16) => "PLACE_DESTINATION";
    /// An algorithm of a public key, of so many octets (RFC 5280 section 4.1.2.7).
    PublicKeyAlgorithm(usize) => "public key algorithm of octets";
    /// A rekey with gaps for places, for private use, by the attribute that says it: this member was told to refuse
    /// it.
    RekeyFirst(u16) => "REKEY_FIRST";
    /// An attribute of a data SA (RFC 2407 section 4.5).
    SaAttribute(u16) => "SA attribute";
    /// A payload behind the SA (RFC 6407 section 5.2).
    SaAttributePayload(u8) => "SA attribute payload";
    /// A direction of a data SA (RFC 6407 section 5.5.1.1.2).
    SaDirection(u16) => "SA direction";
    /// A domain of interpretation (RFC 6407 section 5.2).
    SaDoi(u32) => "SA DOI";
    /// A protocol of the packets that a data SA is for (RFC 6407 section 5.5.1).
    SelectorProtocol(u8) => "TEK selector protocol";
    /// An attribute of a key packet for sender ids (RFC 6407 section 5.6.4).
    SidAttribute(u16) => "SID attribute";
    /// A signature of rekey messages, or one that this member was told to refuse (RFC 6407 section 5.3.6).
    Signature(u16) => "SIG_ALGORITHM";
    /// A hash of that signature (RFC 6407 section 5.3.5).
    SignatureHash(u16) => "SIG_HASH_ALGORITHM";
    /// A source port of the packets that a data SA is for (RFC 6407 section 5.5.1).
    SourcePort(u16) => "TEK SRC ID port";
    /// An attribute of a key packet for a TEK (RFC 6407 section 5.6.1).
    TekAttribute(u16) => "TEK attribute";
    /// A protocol of data SAs (RFC 6407 section 5.5).
    TekProtocol(u8) => "TEK protocol";
}

impl PeerIncompatible {
    /// Says which private extension the peer asks for, if it is one that this implementation knows.
    pub const fn extension(&self) -> Option<Extension> {
        match *self {
            Self::KekManagement(kek::MANAGEMENT_LKH_32) => Some(Extension::Lkh32),
            Self::Signature(
                kek::SIG_BATCH_RSA
                | kek::SIG_BATCH_ECDSA_256
                | kek::SIG_BATCH_ECDSA_384
                | kek::SIG_BATCH_ED25519,
            ) => Some(Extension::BatchSignatures),
            Self::PlaceDestination(_) | Self::RekeyFirst(_) => Some(Extension::Places),
            Self::LeaseTime(_) => Some(Extension::Leases),
            Self::AddressPreservation(_)
            | Self::AuthenticationAlgorithm(_)
            | Self::DeleteProtocol(_)
            | Self::EncapsulationMode(_)
            | Self::EspTransform(_)
            | Self::GapAttribute(_)
            | Self::IdentificationType(_)
            | Self::KdType(_)
            | Self::KekAlgorithm(_)
            | Self::KekAttribute(_)
            | Self::KekKeyAttribute(_)
            | Self::KekKeyLength(_)
            | Self::KekManagement(_)
            | Self::KekProtocol(_)
            | Self::KeyLength(_)
            | Self::LifeType(_)
            | Self::Lkh32Version(_)
            | Self::LkhAttribute(_)
            | Self::LkhVersion(_)
            | Self::PublicKeyAlgorithm(_)
            | Self::SaAttribute(_)
            | Self::SaAttributePayload(_)
            | Self::SaDirection(_)
            | Self::SaDoi(_)
            | Self::SelectorProtocol(_)
            | Self::SidAttribute(_)
            | Self::Signature(_)
            | Self::SignatureHash(_)
            | Self::SourcePort(_)
            | Self::TekAttribute(_)
            | Self::TekProtocol(_) => None,
        }
    }
}

impl fmt::Display for PeerIncompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} is not supported", self.field(), self.value())
    }
}

impl std::error::Error for PeerIncompatible {}

impl From<PeerIncompatible> for Error {
    fn from(error: PeerIncompatible) -> Self {
        Self::PeerIncompatible(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiMisuse(misuse) => misuse.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::Crypto(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Limit(limit) => limit.fmt(f),
            Self::PeerIncompatible(error) => error.fmt(f),
            Self::PeerMisbehaved(rule) => rule.fmt(f),
            Self::RepeatedElsewhere => f.write_str("message was repeated from another address"),
            Self::Replayed => f.write_str("message was processed before"),
            Self::UnknownCookies => f.write_str("cookies belong to no security association"),
            Self::UnknownExchange => f.write_str("message belongs to no exchange in progress"),
        }
    }
}

impl std::error::Error for Error {}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// What fails in what GDOI builds on is named and counted as GDOI's.
impl From<isakmp::Error> for Error {
    fn from(error: isakmp::Error) -> Self {
        match error {
            isakmp::Error::ApiMisuse(misuse) => Self::ApiMisuse(misuse.into()),
            isakmp::Error::Auth(isakmp::AuthError::Hash) => Self::Auth(AuthError::Hash),
            isakmp::Error::Crypto(error) => Self::Crypto(error),
            isakmp::Error::Decode(error) => Self::Decode(error),
            isakmp::Error::Limit(isakmp::Limit::Decryptions) => Self::Limit(Limit::Decryptions),
            isakmp::Error::Limit(isakmp::Limit::MessageIds) => Self::Limit(Limit::MessageIds),
            isakmp::Error::Replayed => Self::Replayed,
        }
    }
}

impl From<isakmp::ApiMisuse> for ApiMisuse {
    fn from(misuse: isakmp::ApiMisuse) -> Self {
        match misuse {
            isakmp::ApiMisuse::Cookies => Self::Cookies,
            isakmp::ApiMisuse::MessageTooLong | isakmp::ApiMisuse::Spis => Self::MessageTooLong,
            isakmp::ApiMisuse::UnsupportedAlgorithm => Self::UnsupportedAlgorithm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that docs/counters.md has for GDOI, and peers' notifications, do not depend on which crate finds a fault.
    #[test]
    fn what_fails_in_isakmp_keeps_its_name() {
        let of_isakmp = isakmp::Limit::ALL.iter().map(|limit| (isakmp::Error::from(*limit), limit.reason()));
        let of_isakmp =
            of_isakmp.chain(isakmp::AuthError::ALL.iter().map(|e| (isakmp::Error::from(*e), e.reason())));
        for (error, reason) in of_isakmp {
            assert_eq!((Error::from(error).reason(), Error::from(error).notify()), (reason, None));
        }
        for misuse in isakmp::ApiMisuse::ALL {
            let reason =
                if *misuse == isakmp::ApiMisuse::Spis { "message_too_long" } else { misuse.reason() };
            assert_eq!(ApiMisuse::from(*misuse).reason(), reason);
        }
        let malformed = Error::from(isakmp::Error::Decode(DecodeError::Missing { what: "HASH" }));
        assert_eq!(
            (malformed.reason(), malformed.notify()),
            ("malformed", Some(NotifyType::PAYLOAD_MALFORMED))
        );
    }
}
