//! What can go wrong, named by whose fault it is.

use std::{fmt, time::Duration};

use claviger_crypto::CryptoError;
use claviger_identity::IdentityError;
use claviger_sansio::{Counted, reasons};
use claviger_wire::DecodeError;

use crate::{
    counter::Counter,
    verification::{Class, UsedUp},
    wire::{PacketError, PacketTooLong},
};

/// Why a datagram was dropped, or a host could not be made. Nothing changed because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The octets are no HIP packet of their type.
    Decode(DecodeError),
    /// The peer, or somebody who speaks in its name, broke a rule.
    PeerMisbehaved(PeerMisbehaved),
    /// The peer keeps the rules, but there is nothing that both sides accept.
    PeerIncompatible(PeerIncompatible),
    /// A MAC, signature or ciphertext is not the peer's.
    Auth(AuthError),
    /// The cryptography refused.
    Crypto(CryptoError),
    /// A limit of this host was met.
    Limit(LimitError),
    /// The program asked for something that makes no sense.
    ApiMisuse(ApiMisuse),
}

impl Error {
    /// Names the reason in `snake_case`, as its counter is named.
    pub fn reason(&self) -> &'static str {
        Counter::from(self).name()
    }
}

reasons! {
    /// A rule that a received packet breaks.
    pub enum PeerMisbehaved in PeerMisbehaved {
        /// An ACK acknowledges no UPDATE that is outstanding (RFC 7401 section 6.12.2).
        AckUnasked => "ack_unasked", "acknowledges an update that is not outstanding";
        /// A registration is answered that was not asked for, or with types or groups that were not.
        AnswerUnasked => "answer_unasked", "answers a registration that was not asked for";
        /// An MCAST_CHANNEL names a type that its REG_REQUEST or answer does not.
        ItemTypeForeign => "channel_type_foreign", "names a group of a registration type that is not requested";
        /// The checksum is wrong, or not zero on UDP (RFC 7401 section 5.1.1, RFC 5770 section 5.1).
        Checksum => "checksum", "checksum does not fit";
        /// I2 chooses a cipher that R1 did not offer, or more than one (RFC 7401 section 6.9 step 9).
        CipherNotOffered => "cipher_not_offered", "chooses a cipher that was not offered";
        /// The echoed data of a CLOSE_ACK is not that of the CLOSE (RFC 7401 section 6.15).
        CloseAckForeign => "close_ack_foreign", "acknowledges another close";
        /// A CLOSE_ACK arrives where no CLOSE was sent (RFC 7401 section 6.15).
        CloseAckUnasked => "close_ack_unasked", "acknowledges a close that was not sent";
        /// R1's group is not the Responder's best that both sides have (RFC 7401 section 4.1.7).
        DhDowngrade => "dh_downgrade", "chooses a weaker diffie-hellman group than both sides have";
        /// I2 uses a group that R1 did not carry (RFC 7401 section 6.9 step 10), or a renewal of keys another group than the
        /// base exchange (RFC 7402 section 6.9).
        DhGroupNotOffered => "dh_group_not_offered", "uses a diffie-hellman group that was not offered";
        /// The nonce of an address verification is echoed from another address than it was sent to (RFC 8046 section
        /// 5.4).
        EchoElsewhere => "echo_elsewhere", "echoes from another address than the one to be verified";
        /// The UPDATE of an address verification is acknowledged without its nonce (RFC 8046 section 5.4).
        EchoForeign => "echo_foreign", "does not echo the nonce of its update";
        /// The ESP suite chosen was not offered, or there is more than one (RFC 7402 section 6.5).
        EspSuiteNotOffered => "esp_suite_not_offered", "chooses an esp suite that was not offered";
        /// HOST_ID does not hash to the HIT in the header (RFC 7401 section 6.8 step 10 and section 6.9 step 12).
        HitMismatch => "hit_mismatch", "host identity does not hash to its hit";
        /// A locator is no unicast address, or a loopback address from afar (RFC 8046 section 5.3).
        LocatorIllegal => "locator_illegal", "announces an address that no host can be reached at";
        /// A packet claims to come from this host itself.
        OwnHit => "own_hit", "comes from this host's own hit";
        /// The receiver's HIT is not this host's.
        NotForUs => "not_for_us", "is meant for another host";
        /// A Diffie-Hellman public value is no member of its group (RFC 7401 section 5.3.2).
        PublicValue => "public_value", "diffie-hellman value is not in its group";
        /// The solution comes after the puzzle's lifetime (RFC 7401 section 5.2.4).
        PuzzleExpired => "puzzle_expired", "solves a puzzle that has expired";
        /// #I is none that this host gave to this peer at this address (RFC 7401 section 4.1.2).
        PuzzleForeign => "puzzle_foreign", "solves a puzzle that this host did not set";
        /// The R1 generation is none that is accepted (RFC 7401 section 6.9 step 7).
        PuzzleStale => "puzzle_stale", "answers an r1 that is no longer accepted";
        /// #J does not solve the puzzle (RFC 7401 section 6.9 step 8).
        PuzzleUnsolved => "puzzle_unsolved", "does not solve the puzzle";
        /// R1 was not asked for, or is older than the one in use (RFC 7401 section 6.8).
        R1Unasked => "r1_unasked", "answers an i1 that is not outstanding";
        /// R2 was not asked for (RFC 7401 section 6.10).
        R2Unasked => "r2_unasked", "answers an i2 that is not outstanding";
        /// A new registration is asked for while one is being decided.
        RequestOutstanding => "request_outstanding", "asks again before the answer";
        /// One UPDATE both asks for and answers a registration.
        RequestInAnswer => "request_in_answer", "asks and answers at once";
        /// NOTIFY comes while nothing is awaited of the peer that it could report on (RFC 7401 section 6.13).
        NotifyUnasked => "notify_unasked", "reports while nothing is awaited of the peer";
        /// ESP_INFO or a locator names an SPI that is not the peer's (RFC 8046 section 5.3).
        SpiForeign => "spi_foreign", "names an spi that is not its own";
        /// The transport format was not offered (RFC 7401 section 6.9 step 13).
        TransportNotOffered => "transport_not_offered", "chooses a transport format that was not offered";
        /// No association with the peer exists, or none in a state that takes this packet.
        Unassociated => "unassociated", "belongs to no association";
        /// The Update ID lies ahead of the next one (RFC 7401 section 6.12.1).
        UpdateAhead => "update_ahead", "update is ahead of its turn";
        /// The Update ID was processed before (RFC 7401 section 6.12.1).
        UpdateOld => "update_old", "update was processed before";
    }
}

reasons! {
    /// What two sides do not have in common.
    pub enum PeerIncompatible in PeerIncompatible {
        /// No HIP_CIPHER that both sides accept.
        Cipher => "no_common_cipher", "no cipher in common";
        /// A critical parameter of an unknown type (RFC 7401 section 5.2.1).
        CriticalParameter => "unknown_critical_parameter", "packet has a critical parameter of an unknown type";
        /// No Diffie-Hellman group that both sides accept.
        DhGroup => "no_common_dh_group", "no diffie-hellman group in common";
        /// No ESP suite that both sides accept.
        EspSuite => "no_common_esp_suite", "no esp suite in common";
        /// The peer's HIT suite is not accepted here.
        HitSuite => "peer_hit_suite", "hit suite of the peer is not accepted";
        /// This host's HIT suite is not accepted by the peer.
        OwnHitSuite => "own_hit_suite", "hit suite of this host is not accepted by the peer";
        /// A packet type that this implementation does not know.
        PacketType => "unknown_packet_type", "packet is of an unknown type";
        /// A move that also rekeys the ESP SAs (RFC 8046 section 3.2.2).
        Rekeying => "rekeying", "esp is to be rekeyed, which this implementation does not do";
        /// The peer makes no association for who asks for no registration (RFC 8003 section 3.2).
        RegistrationRequired => "registration_required", "peer wants a registration to be asked for";
        /// The peer does not offer the service that is wanted.
        Service => "service_not_available", "peer does not offer the service";
        /// No transport format that both sides accept.
        TransportFormat => "no_common_transport", "no transport format in common";
        /// The cipher, group or suite is too weak to protect group keys.
        TooWeak => "too_weak_for_keys", "association would be too weak for group keys";
        /// Another version of HIP.
        Version => "unknown_version", "packet is of another version of hip";
    }
}

reasons! {
    /// What did not prove to be the peer's.
    pub enum AuthError in Auth {
        /// ENCRYPTED does not decrypt to parameters.
        Decryption => "decryption", "encrypted part does not decrypt";
        /// HIP_MAC or HIP_MAC_2 is wrong.
        Mac => "mac", "mac is not the peer's";
        /// HIP_SIGNATURE or HIP_SIGNATURE_2 is wrong.
        Signature => "signature", "signature is not the peer's";
    }
}

reasons! {
    /// Which limit was met.
    pub enum LimitError in Limit {
        /// As many associations exist as are allowed.
        Associations => "associations", "too many associations";
        /// One exchange was restarted by R1 too often.
        BaseExchangeRestarts => "base_exchange_restarts", "base exchange was restarted too often";
        /// Too many CLOSE packets were verified for the peer.
        CloseSignatures => "close_signatures", "too many close packets to verify";
        /// The same I1 was answered a moment ago.
        I1Repeated => "i1_repeated", "i1 was answered a moment ago";
        /// I2 packets take all of the time that they may.
        I2Work => "i2_work", "too much work for i2 packets";
        /// Too many NOTIFY packets were verified within a second.
        NotifySignatures => "notify_signatures", "too many notify packets to verify";
        /// What is to be said does not fit into one packet.
        PacketLength => "packet_length", "packet would be too long";
        /// The puzzle is harder than this host is willing to solve, or was not solved in its lifetime.
        Puzzle => "puzzle_too_hard", "puzzle is too hard";
        /// Too many I2 packets failed behind one solved puzzle.
        PuzzleWorn => "puzzle_worn", "too many i2 packets failed behind one solved puzzle";
        /// More octets of R1 packets are asked for than are sent within a second, and chance gave this I1 none.
        R1Share => "r1_share", "more r1 packets are asked for than are sent";
        /// Too many R1 packets were verified in one exchange.
        R1Signatures => "r1_signatures", "too many r1 packets to verify";
        /// Too many R2 packets were verified in one exchange.
        R2Signatures => "r2_signatures", "too many r2 packets to verify";
        /// The peer renews the keys of its association too often.
        Rekeys => "rekeys", "keys are renewed too often";
        /// The peer repeats itself too often to be answered each time.
        Repetitions => "repetitions", "repeated too often";
        /// Too many packets were verified within a second for hosts without a registration.
        UnregisteredSignatures => "unregistered_signatures", "too many packets to verify of hosts without a registration";
        /// Too many UPDATE packets wait for their turn.
        UpdateQueue => "update_queue", "too many updates wait for acknowledgement";
        /// Too many UPDATE packets were verified for the peer.
        UpdateSignatures => "update_signatures", "too many update packets to verify";
    }
}

reasons! {
    /// What the program did wrong.
    pub enum ApiMisuse in ApiMisuse {
        /// The answer is not for the type and the groups that were requested.
        AnswerMismatch => "answer_mismatch", "answer does not fit its request";
        /// HIP travels on IP protocol 139 or in UDP, and no other way.
        Socket => "carriage", "hip does not travel that way";
        /// The groups contradict each other, or are of another registration type.
        Items => "channels", "groups of the request contradict each other";
        /// The host's own certificates are more than four or none in a chain, or leave too little of a packet to services.
        Certificates => "certificates", "certificates are too many or too long";
        /// The configuration holds a value that this host cannot work with.
        Config => "config", "configuration is unusable";
        /// ESP was agreed on beside the association, and its keys are renewed with those of ESP or not at all.
        EspAgreed => "esp_agreed", "keys of an association beside esp are not renewed";
        /// A base exchange with the peer is running, or a renewal of keys.
        ExchangeRunning => "exchange_running", "an exchange with this peer is running";
        /// On IP protocol 139, and to announce a move, the host must know a unicast address of its own in the peer's
        /// family.
        LocalAddress => "local_address", "no usable local address of the peer's address family";
        /// There is no association with the peer.
        NoAssociation => "no_association", "no association with this peer";
        /// The peer's HIT is the NULL HIT, no ORCHID, or this host's own.
        PeerHit => "peer_hit", "cannot associate with this hit";
        /// A registration with the peer is already asked for.
        RequestOutstanding => "own_request_outstanding", "a registration is already asked for";
        /// The groups do not fit into one packet.
        TooLarge => "too_large", "groups do not fit into one packet";
        /// The association is too weak for this registration type.
        TooWeak => "association_too_weak", "association is too weak for group keys";
        /// The ticket was answered already, or its association is gone.
        UnknownTicket => "unknown_ticket", "ticket is not outstanding";
        /// The peer does not offer the service.
        UnknownService => "unknown_service", "peer does not offer this service";
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::PeerMisbehaved(error) => write!(f, "packet {error}"),
            Self::PeerIncompatible(error) => error.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::Crypto(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::ApiMisuse(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<PacketError> for Error {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Decode(error) => Self::Decode(error),
            PacketError::Order(_) => Self::Decode(DecodeError::Unexpected { what: "order of parameters" }),
            PacketError::UnknownCriticalParameter(_) => PeerIncompatible::CriticalParameter.into(),
            PacketError::UnknownPacketType(_) => PeerIncompatible::PacketType.into(),
            PacketError::Version(_) => PeerIncompatible::Version.into(),
        }
    }
}

impl From<PacketTooLong> for Error {
    fn from(_: PacketTooLong) -> Self {
        Self::ApiMisuse(ApiMisuse::TooLarge)
    }
}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::PublicValue => Self::PeerMisbehaved(PeerMisbehaved::PublicValue),
            CryptoError::Authentication
            | CryptoError::Key
            | CryptoError::Length
            | CryptoError::Random
            | CryptoError::Signer
            | CryptoError::Unsupported => Self::Crypto(error),
        }
    }
}

impl From<UsedUp> for LimitError {
    fn from(UsedUp(class): UsedUp) -> Self {
        match class {
            Class::Close => Self::CloseSignatures,
            Class::I2OfPeer | Class::I2OfStranger => Self::I2Work,
            Class::Notify => Self::NotifySignatures,
            Class::R1 | Class::R1Elsewhere => Self::R1Signatures,
            Class::R2 => Self::R2Signatures,
            Class::Unregistered => Self::UnregisteredSignatures,
            Class::Update => Self::UpdateSignatures,
        }
    }
}

impl From<UsedUp> for Error {
    fn from(used_up: UsedUp) -> Self {
        Self::Limit(used_up.into())
    }
}

impl From<FailReason> for Error {
    fn from(reason: FailReason) -> Self {
        match reason {
            FailReason::Incompatible(error) => error.into(),
            FailReason::Misbehaved(error) => error.into(),
            FailReason::Limit(error) => error.into(),
            FailReason::Crypto(error) => error.into(),
            FailReason::Unanswered { .. } => PeerMisbehaved::R2Unasked.into(),
        }
    }
}

impl From<IdentityError> for Error {
    /// An identity that cannot be used is one of an unknown algorithm; a signature that fails is no one's.
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Crypto(CryptoError::Authentication) | IdentityError::SignatureAlgorithm => {
                Self::Auth(AuthError::Signature)
            }
            IdentityError::Crypto(error) => Self::Crypto(error),
            IdentityError::Algorithm
            | IdentityError::DomainIdentifier
            | IdentityError::Pem
            | IdentityError::PublicKey => Self::PeerIncompatible(PeerIncompatible::HitSuite),
        }
    }
}

/// Why a base exchange came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailReason {
    /// There is nothing that both sides accept.
    Incompatible(PeerIncompatible),
    /// The peer's R1 or R2, though properly signed, breaks a rule.
    Misbehaved(PeerMisbehaved),
    /// The peer sent R1s, but too hard a puzzle.
    Limit(LimitError),
    /// The cryptography refused.
    Crypto(CryptoError),
    /// No answer came within this time.
    Unanswered {
        /// How long the host tried.
        after: Duration,
    },
}

impl FailReason {
    /// Names the reason in `snake_case`, for counters.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Incompatible(reason) => reason.reason(),
            Self::Misbehaved(reason) => reason.reason(),
            Self::Limit(reason) => reason.reason(),
            Self::Crypto(_) => "crypto",
            Self::Unanswered { .. } => "unanswered",
        }
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incompatible(reason) => reason.fmt(f),
            Self::Misbehaved(reason) => write!(f, "peer's answer {reason}"),
            Self::Limit(reason) => reason.fmt(f),
            Self::Crypto(error) => error.fmt(f),
            Self::Unanswered { after } => write!(f, "no answer within {} s", after.as_secs()),
        }
    }
}
