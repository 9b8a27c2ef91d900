//! What can go wrong, and whose fault it is.

use std::fmt;

use claviger_crypto::CryptoError;
use claviger_wire::DecodeError;

use crate::iana::NotifyType;

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
    /// The message was processed before, or is older than the last one.
    Replayed,
    /// The cookies belong to no security association.
    UnknownCookies,
    /// The message id belongs to no exchange in progress.
    UnknownExchange,
}

/// What failed to prove its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// The HASH payload of a message under a registration SA.
    Hash,
    /// The SIG payload of a GROUPKEY-PUSH.
    Signature,
}

/// Which limit was reached; the constants are in [`crate::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Delivery controls under one rekey SA whose signature does not verify.
    Controls,
    /// Messages under one cookie pair whose HASH does not verify.
    Decryptions,
    /// Exchanges in progress under one cookie pair.
    Exchanges,
    /// Exchanges in the life of one cookie pair.
    MessageIds,
    /// Messages 2 in one exchange, each under a nonce of its own.
    Offers,
    /// Repetitions of one stored answer.
    Resends,
}

/// Something that was asserted and is not implemented.
///
/// RFC 6407 sections 5.3.2 and 5.4: an implementation must abort if it meets an attribute or capability that it
/// does not understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIncompatible {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u32,
}

/// Which rule a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerMisbehaved {
    /// A GROUPKEY-PUSH carries an LKH_DOWNLOAD_ARRAY (RFC 6407 section 5.6.3.1).
    DownloadArrayInPush,
    /// A key has not the length of its algorithm.
    KeyLength,
    /// A security association that was asserted gets no key.
    KeyMissing,
    /// A key packet names an SPI that was not asserted.
    KeyWithoutPolicy,
    /// A key is wrapped under one that its node had before the key that is held.
    HandleWentBack,
    /// An LKH key is of another type than the KEK.
    LkhKeyType,
    /// The keys are not of the kind that the KEK management algorithm announces.
    ManagementMismatch,
    /// The message does not fit the state of its exchange.
    OutOfState,
    /// The path of a member does not lead to a root.
    PathContent,
    /// REKEY_FIRST (private use) names a number behind the message that says it.
    RekeyFirst,
    /// A rekey announces a root key that is no successor of the one that is held.
    RootNotNewer,
    /// A message that needs a SEQ payload has none.
    SequenceMissing,
    /// A SEQ payload stands where no KEK is asserted (RFC 6407 section 3.2).
    SequenceWithoutKek,
    /// A GROUPKEY-PUSH carries sender ids (RFC 6407 section 5.6.4).
    SenderIdsInPush,
    /// A GAP payload of the key server requests sender ids (RFC 6407 section 5.4.2).
    SenderIdRequestByServer,
    /// The signing key is of another kind than the SA KEK asserts.
    SigningKeyKind,
    /// A GROUPKEY-PULL carries an LKH_UPDATE_ARRAY.
    UpdateArrayInPull,
    /// A message is of another rekey than those before it.
    UpdateHeadDiffers,
    /// No LKH_UPDATE_ARRAY starts at a key that this member holds: the member is excluded.
    UpdateArrayNotForUs,
    /// An LKH_UPDATE_ARRAY does not decrypt to keys.
    UpdateArrayContent,
}

/// What the caller did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiMisuse {
    /// The registration's cookies are in use, or one of them is zero.
    Cookies,
    /// The keys to download do not fit the policy that was offered.
    DownloadMismatch,
    /// A node, handle or key does not fit the key tree.
    KeyTree,
    /// The message would exceed 65,507 octets, or a part of it its length field.
    MessageTooLong,
    /// The messages are not consecutive ones of one rekey SA, 1 to 65,535 of them.
    NotOneBatch,
    /// Too many exchanges are in progress under this registration.
    TooManyExchanges,
    /// No exchange has this identifier.
    UnknownPull,
    /// No registration has these cookies.
    UnknownRegistration,
    /// The provider lacks an algorithm, or a key does not fit its algorithm.
    UnsupportedAlgorithm,
    /// The exchange is not in a state in which this can be done.
    WrongState,
}

impl Error {
    /// Names the reason for counters, in snake_case.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ApiMisuse(misuse) => misuse.reason(),
            Self::Auth(AuthError::Hash) => "bad_hash",
            Self::Auth(AuthError::Signature) => "bad_signature",
            Self::Crypto(_) => "crypto",
            Self::Decode(_) => "malformed",
            Self::Limit(limit) => limit.reason(),
            Self::PeerIncompatible(_) => "unsupported",
            Self::PeerMisbehaved(rule) => rule.reason(),
            Self::Replayed => "replayed",
            Self::UnknownCookies => "unknown_cookies",
            Self::UnknownExchange => "unknown_exchange",
        }
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
            | Self::Replayed
            | Self::UnknownCookies
            | Self::UnknownExchange => other,
        }
    }
}

impl Limit {
    fn reason(self) -> &'static str {
        match self {
            Self::Controls => "too_many_controls",
            Self::Decryptions => "too_many_decryptions",
            Self::Exchanges => "too_many_exchanges",
            Self::MessageIds => "message_ids_exhausted",
            Self::Offers => "too_many_offers",
            Self::Resends => "too_many_resends",
        }
    }
}

impl PeerMisbehaved {
    fn reason(self) -> &'static str {
        match self {
            Self::DownloadArrayInPush => "download_array_in_push",
            Self::KeyLength => "key_length",
            Self::KeyMissing => "key_missing",
            Self::KeyWithoutPolicy => "key_without_policy",
            Self::HandleWentBack => "handle_went_back",
            Self::LkhKeyType => "lkh_key_type",
            Self::ManagementMismatch => "management_mismatch",
            Self::OutOfState => "out_of_state",
            Self::PathContent => "path_content",
            Self::RekeyFirst => "rekey_first",
            Self::RootNotNewer => "root_not_newer",
            Self::SequenceMissing => "sequence_missing",
            Self::SequenceWithoutKek => "sequence_without_kek",
            Self::SenderIdsInPush => "sender_ids_in_push",
            Self::SenderIdRequestByServer => "sender_id_request_by_server",
            Self::SigningKeyKind => "signing_key_kind",
            Self::UpdateArrayInPull => "update_array_in_pull",
            Self::UpdateHeadDiffers => "update_head_differs",
            Self::UpdateArrayNotForUs => "update_array_not_for_us",
            Self::UpdateArrayContent => "update_array_content",
        }
    }
}

impl ApiMisuse {
    fn reason(self) -> &'static str {
        match self {
            Self::Cookies => "cookies_in_use",
            Self::DownloadMismatch => "download_mismatch",
            Self::KeyTree => "key_tree",
            Self::MessageTooLong => "message_too_long",
            Self::NotOneBatch => "not_one_batch",
            Self::TooManyExchanges => "too_many_own_exchanges",
            Self::UnknownPull => "unknown_pull",
            Self::UnknownRegistration => "unknown_registration",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::WrongState => "wrong_state",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiMisuse(misuse) => misuse.fmt(f),
            Self::Auth(AuthError::Hash) => f.write_str("HASH does not verify"),
            Self::Auth(AuthError::Signature) => f.write_str("signature does not verify"),
            Self::Crypto(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Limit(limit) => limit.fmt(f),
            Self::PeerIncompatible(PeerIncompatible { field, value }) => {
                write!(f, "{field} {value} is not supported")
            }
            Self::PeerMisbehaved(rule) => rule.fmt(f),
            Self::Replayed => f.write_str("message was processed before"),
            Self::UnknownCookies => f.write_str("cookies belong to no security association"),
            Self::UnknownExchange => f.write_str("message belongs to no exchange in progress"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Controls => "too many delivery controls with a wrong signature under these cookies",
            Self::Decryptions => "too many messages with a wrong HASH under these cookies",
            Self::Exchanges => "too many exchanges in progress under these cookies",
            Self::MessageIds => "message ids of this registration are used up",
            Self::Offers => "too many offers in one exchange",
            Self::Resends => "answer was repeated often enough",
        })
    }
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DownloadArrayInPush => "LKH download array in a GROUPKEY-PUSH",
            Self::KeyLength => "key has not the length of its algorithm",
            Self::KeyMissing => "asserted security association gets no key",
            Self::KeyWithoutPolicy => "key packet names an SPI that was not asserted",
            Self::HandleWentBack => "key is wrapped under one that precedes the one held",
            Self::LkhKeyType => "LKH key is of another type than the KEK",
            Self::ManagementMismatch => "keys are not of the announced KEK management algorithm",
            Self::OutOfState => "message does not fit the state of its exchange",
            Self::PathContent => "path does not lead to a root",
            Self::RekeyFirst => "the first number of a rekey is behind one of its messages",
            Self::RootNotNewer => "announced root key is no successor of the one held",
            Self::SequenceMissing => "SEQ payload is missing although a KEK is asserted",
            Self::SequenceWithoutKek => "SEQ payload although no KEK is asserted",
            Self::SenderIdsInPush => "sender ids in a GROUPKEY-PUSH",
            Self::SenderIdRequestByServer => "key server requests sender ids",
            Self::SigningKeyKind => "signing key is of another kind than asserted",
            Self::UpdateArrayInPull => "LKH update array in a GROUPKEY-PULL",
            Self::UpdateHeadDiffers => "message is of another rekey than those before it",
            Self::UpdateArrayNotForUs => "no LKH update array starts at a key that is held here",
            Self::UpdateArrayContent => "LKH update array does not decrypt to keys",
        })
    }
}

impl fmt::Display for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cookies => "cookies are in use or zero",
            Self::DownloadMismatch => "keys do not fit the policy that was offered",
            Self::KeyTree => "node, handle or key does not fit the key tree",
            Self::MessageTooLong => "message exceeds its length field or 65507 octets",
            Self::NotOneBatch => "messages are not consecutive ones of one rekey SA",
            Self::TooManyExchanges => "too many exchanges in progress under this registration",
            Self::UnknownPull => "no exchange has this identifier",
            Self::UnknownRegistration => "no registration has these cookies",
            Self::UnsupportedAlgorithm => "algorithm is not supported, or a key does not fit it",
            Self::WrongState => "exchange is not in a state for this",
        })
    }
}

impl std::error::Error for Error {}

impl std::error::Error for ApiMisuse {}

impl From<ApiMisuse> for Error {
    fn from(misuse: ApiMisuse) -> Self {
        Self::ApiMisuse(misuse)
    }
}

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

impl From<Limit> for Error {
    fn from(limit: Limit) -> Self {
        Self::Limit(limit)
    }
}

impl From<PeerMisbehaved> for Error {
    fn from(rule: PeerMisbehaved) -> Self {
        Self::PeerMisbehaved(rule)
    }
}

/// Makes the error for a value that is not implemented.
pub(crate) fn incompatible(field: &'static str, value: impl Into<u32>) -> Error {
    Error::PeerIncompatible(PeerIncompatible { field, value: value.into() })
}
