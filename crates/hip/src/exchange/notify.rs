//! NOTIFY (RFC 7401 sections 5.3.6 and 6.13): it reports, and changes nothing.
//!
//! It has no MAC, so that whoever knows two HITs can have its signature verified. It is looked at only while something is
//! awaited of the peer, and then a few a second in all.

use claviger_identity::{Hit, HostId};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    error::{AuthError, Error, LimitError, PeerIncompatible, PeerMisbehaved},
    event::Event,
    exchange::Shared,
    iana::{NotifyType, PacketType},
    item::Item,
    path::Path,
    wire::{Notification, Packet, PacketBuilder},
};

/// NOTIFYs to all addresses within a second: each is signed, and who forges sources would have many signed.
pub(crate) const NOTIFIES_PER_SECOND_MAX: u32 = 64;

/// Says what a peer is told about an error in what it sent, if RFC 7401 section 5.2.19 has a word for it.
///
/// Nobody is told before its puzzle is solved or its association known, so errors that are found earlier have none.
pub(crate) fn notify_type(error: &Error) -> Option<NotifyType> {
    match error {
        Error::Auth(AuthError::Decryption) => Some(NotifyType::ENCRYPTION_FAILED),
        Error::Auth(AuthError::Mac) => Some(NotifyType::HIP_MAC_FAILED),
        Error::Auth(AuthError::Signature) => Some(NotifyType::AUTHENTICATION_FAILED),
        Error::Limit(LimitError::Associations) => Some(NotifyType::RESPONDER_BUSY_PLEASE_RETRY),
        Error::PeerIncompatible(PeerIncompatible::HitSuite) => Some(NotifyType::UNSUPPORTED_HIT_SUITE),
        Error::PeerMisbehaved(error) => match error {
            PeerMisbehaved::CipherNotOffered => Some(NotifyType::INVALID_HIP_CIPHER_CHOSEN),
            PeerMisbehaved::DhGroupNotOffered => Some(NotifyType::INVALID_DH_CHOSEN),
            PeerMisbehaved::EspSuiteNotOffered => Some(NotifyType::INVALID_ESP_TRANSFORM_CHOSEN),
            PeerMisbehaved::HitMismatch => Some(NotifyType::INVALID_HIT),
            PeerMisbehaved::ItemTypeForeign
            | PeerMisbehaved::AnswerUnasked
            | PeerMisbehaved::LocatorIllegal
            | PeerMisbehaved::RequestInAnswer
            | PeerMisbehaved::SpiForeign
            | PeerMisbehaved::TransportNotOffered => Some(NotifyType::INVALID_SYNTAX),
            // No word fits.
            PeerMisbehaved::DhDowngrade
            | PeerMisbehaved::EchoElsewhere
            | PeerMisbehaved::EchoForeign
            | PeerMisbehaved::PublicValue
            | PeerMisbehaved::RequestOutstanding => None,
            // A packet that was sent twice or came late, as the network may make it.
            PeerMisbehaved::AckUnasked
            | PeerMisbehaved::CloseAckForeign
            | PeerMisbehaved::CloseAckUnasked
            | PeerMisbehaved::NotifyUnasked
            | PeerMisbehaved::PuzzleExpired
            | PeerMisbehaved::PuzzleStale
            | PeerMisbehaved::R1Unasked
            | PeerMisbehaved::R2Unasked
            | PeerMisbehaved::UpdateAhead
            | PeerMisbehaved::UpdateOld => None,
            // Found before anything was proven.
            PeerMisbehaved::Checksum
            | PeerMisbehaved::NotForUs
            | PeerMisbehaved::OwnHit
            | PeerMisbehaved::PuzzleForeign
            | PeerMisbehaved::PuzzleUnsolved
            | PeerMisbehaved::Unassociated => None,
        },
        Error::PeerIncompatible(
            PeerIncompatible::Cipher
            | PeerIncompatible::CriticalParameter
            | PeerIncompatible::DhGroup
            | PeerIncompatible::EspSuite
            | PeerIncompatible::OwnHitSuite
            | PeerIncompatible::PacketType
            | PeerIncompatible::RegistrationRequired
            | PeerIncompatible::Rekeying
            | PeerIncompatible::Service
            | PeerIncompatible::TransportFormat
            | PeerIncompatible::TooWeak
            | PeerIncompatible::Version,
        ) => None,
        Error::Limit(
            LimitError::BaseExchangeRestarts
            | LimitError::CloseSignatures
            | LimitError::I1Repeated
            | LimitError::I2Work
            | LimitError::NotifySignatures
            | LimitError::PacketLength
            | LimitError::Puzzle
            | LimitError::PuzzleWorn
            | LimitError::R1Share
            | LimitError::R1Signatures
            | LimitError::R2Signatures
            | LimitError::Rekeys
            | LimitError::Repetitions
            | LimitError::UnregisteredSignatures
            | LimitError::UpdateQueue
            | LimitError::UpdateSignatures,
        ) => None,
        Error::Decode(_) | Error::Crypto(_) | Error::ApiMisuse(_) => None,
    }
}

/// Reports an error to who sent a packet, unless it was told enough within this second.
pub(crate) fn send<I: Item>(
    shared: &mut Shared<I>,
    now: Time,
    back: &Path,
    packet: &Packet<'_>,
    error: &Error,
) {
    if let Some(notify_type) = notify_type(error) {
        report(shared, now, back, packet.sender(), &Notification::new(notify_type));
    }
}

/// Reports something to a peer, unless it was told enough within this second.
pub(crate) fn report<I: Item>(
    shared: &mut Shared<I>,
    now: Time,
    back: &Path,
    peer: Hit,
    notification: &Notification,
) {
    if !shared.notifies.allow(now, back.remote.ip()) {
        debug!(notify_type = %notification.notify_type, "enough NOTIFYs were sent within this second");
        return;
    }
    debug!(notify_type = %notification.notify_type, "the peer is told of an error");
    let identity = shared.config.identity.clone();
    let mut builder = PacketBuilder::new(PacketType::NOTIFY, identity.hit(), peer);
    builder.add(notification);
    // A report that cannot be signed is not sent.
    let signed = builder.sign(&identity).ok().and_then(|builder| builder.finish().ok());
    if let Some(octets) = signed {
        shared.out.send(back, &octets);
    }
}

/// Verifies a received NOTIFY with the key of its sender, and shows the program what it says.
pub(crate) fn handle<I: Item>(
    shared: &mut Shared<I>,
    now: Time,
    host_id: &HostId,
    packet: &Packet<'_>,
) -> Result<(), Error> {
    if let Some(claimed) = packet.find::<HostId>()?
        && claimed.hit(shared.config.provider)? != packet.sender()
    {
        return Err(PeerMisbehaved::HitMismatch.into());
    }
    let permit = shared.budgets.notify.permit(&shared.config.public_key_limits, now)?;
    let packet =
        packet.verify_signature(permit, shared.config.provider, host_id).map_err(|_| AuthError::Signature)?;
    for notification in packet.all::<Notification>()? {
        let message = notification.notify_type;
        debug!(notify_type = %message, "the peer reports");
        shared.out.tell(Event::Notified { peer: packet.sender(), message });
    }
    Ok(())
}
