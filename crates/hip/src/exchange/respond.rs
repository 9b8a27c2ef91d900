//! The base exchange as its Responder sees it (RFC 7401 sections 6.7 and 6.9).
//!
//! I1 is answered by [`Responder`](crate::responder::Responder) and forgotten. I2 is verified here, cheapest checks
//! first, and becomes an [`Acceptance`], which waits for the registrar's decision; R2 and the new association come
//! with that, and not before.

use claviger_identity::HitSuite;
use claviger_sansio::Time;
use claviger_wire::DecodeError;
use tracing::debug;

use crate::{
    association::{Agreed, Association, Contents, EspAgreement, Phase},
    config::TransportFormats,
    error::{AuthError, Error, PeerIncompatible, PeerMisbehaved},
    event::Ticket,
    exchange::{
        Shared,
        deciding::{Asker, Deciding},
    },
    iana::{NotifyType, PacketType, ParameterType},
    item::Item,
    keys::{Hosts, Keymat, Prk},
    path::Path,
    registration::{self, AnswerParameters, RegistrationAnswer, RegistrationRequest, Side},
    responder::{Responder, SolvedPuzzle},
    security::Security,
    verification::Permit,
    wire::{
        Authentic, DiffieHellman, EspInfo, EspTransform, HipCipher, Notification, Packet, PacketBuilder,
        TransportFormatList,
    },
};

/// An I2 that has passed every check, and waits for the registrar's decision.
pub(crate) struct Acceptance<I> {
    pub(crate) puzzle: SolvedPuzzle,
    agreed: Agreed,
    deciding: Deciding<I>,
    /// When the Initiator has stopped repeating the I2.
    pub(crate) until: Time,
    /// An own request that the peer has not seen, because both called at once and it was this host's I1 that lost.
    pub(crate) own_request: Option<RegistrationRequest<I>>,
}

/// What an I2 comes to.
pub(crate) enum Outcome<I> {
    /// An association.
    Associated(Box<Association<I>>),
    /// Nothing: this registrar wants a registration to be asked for (RFC 8003 section 3.2).
    RegistrationRequired,
}

impl<I: Item> Acceptance<I> {
    /// Verifies an I2 whose puzzle is solved (RFC 7401 section 6.9, steps 9 to 15; the MAC before what it covers is
    /// read).
    pub(crate) fn verify(
        shared: &mut Shared<I>,
        responder: &Responder,
        now: Time,
        path: Path,
        puzzle: SolvedPuzzle,
        permit: Permit,
        packet: &Packet<'_>,
    ) -> Result<Self, Error> {
        let provider = shared.config.provider;
        let peer = packet.sender();
        let hosts = Hosts { local: shared.config.identity.hit(), peer };
        let peer_hit_suite = accepted_suite(shared, packet)?;
        let cipher = packet.one::<HipCipher>()?.chosen();
        let cipher = cipher.filter(|cipher| shared.config.ciphers.contains(cipher));
        let cipher = cipher.ok_or(PeerMisbehaved::CipherNotOffered)?;
        let DiffieHellman { group, public_value } = packet.one()?;
        let hit_suite = shared.config.own_suite();
        let security = Security { cipher, dh_group: group, hit_suite, peer_hit_suite };

        let shared_secret = responder.private(&permit, &puzzle, group)?.agree(&public_value)?;
        let rhash = hit_suite.rhash();
        let prk = Prk::extract(provider, rhash, &puzzle.i, &puzzle.j, &shared_secret)?;
        let keymat = Keymat::derive(provider, rhash, cipher, prk, hosts)?;
        let packet =
            packet.verify_mac(keymat.prf(), &keymat.incoming().integrity).map_err(|_| AuthError::Mac)?;

        let Contents { host_id, certificates, items } = Contents::read(shared, &keymat, &packet)?;
        let host_id = packet.find()?.or(host_id).ok_or(DecodeError::Missing { what: "HOST_ID" })?;
        if host_id.hit(provider)? != peer {
            return Err(PeerMisbehaved::HitMismatch.into());
        }
        let packet = packet.verify_signature(permit, provider, &host_id).map_err(|_| AuthError::Signature)?;

        let esp = transport(shared, &packet)?;
        let requests = registration::read_requests(&shared.config, &packet, items)?;
        debug!(%cipher, dh_group = %group, requests = requests.len(), "I2 is accepted");
        let nonces = (puzzle.i.clone(), puzzle.j.clone());
        // RFC 7401 section 6.9 step 17: an anonymous HIT may be refused, which this host does not do, and should not be stored
        // permanently: no stranger's is stored, and a registered host's goes with its association.
        let anonymous = packet.controls().is_anonymous();
        Ok(Self {
            agreed: Agreed {
                peer,
                host_id,
                initiator: false,
                anonymous,
                path,
                security,
                keymat,
                nonces,
                esp,
            },
            puzzle,
            deciding: Deciding::new(requests, certificates),
            until: now + shared.patience(),
            own_request: None,
        })
    }

    /// Lets the program decide; returns whether all is decided.
    pub(crate) fn decide(&mut self, shared: &mut Shared<I>) -> bool {
        let Agreed { peer, host_id, anonymous, security, .. } = &self.agreed;
        let asker = Asker { peer: *peer, host_id, anonymous: *anonymous, security: *security, fresh: true };
        self.deciding.advance(shared, &asker)
    }

    /// Whether the program holds this ticket.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        self.deciding.awaits(ticket)
    }

    /// Takes the program's answer to the outstanding request.
    pub(crate) fn answer(&mut self, answer: RegistrationAnswer<I>) -> Result<(), Error> {
        Ok(self.deciding.answer(answer)?)
    }

    /// Builds R2 (RFC 7401 section 5.3.4) and gives the association away. `wanted` says that this host has itself called
    /// the peer.
    pub(crate) fn complete(
        mut self,
        shared: &mut Shared<I>,
        now: Time,
        wanted: bool,
    ) -> Result<(Outcome<I>, SolvedPuzzle, Vec<u8>), Error> {
        let answers = self.deciding.take_answers();
        let phase = Phase::R2Sent { until: now + shared.patience() };
        let mut association = Association::new(self.agreed, now, phase);
        let identity = shared.config.identity.clone();
        let mut builder = PacketBuilder::new(PacketType::R2, identity.hit(), association.peer);
        if shared.config.requires_registration && answers.is_empty() && !wanted {
            builder.add(&Notification::new(NotifyType::REG_REQUIRED));
            let r2 = finish_r2(&association, &mut builder, shared)?;
            return Ok((Outcome::RegistrationRequired, self.puzzle, r2));
        }
        association.is_stranger = !shared.config.services.is_empty() && !wanted;
        if let Some(esp) = &association.esp {
            builder.add(&EspInfo { keymat_index: esp.keymat_index, old_spi: 0, new_spi: esp.inbound_spi });
        }
        let AnswerParameters { items, responses, failed } = AnswerParameters::of(&answers);
        let encrypted = match answers.is_empty() {
            true => None,
            false => association.encrypt_with_certificates(shared, &items)?,
        };
        if let Some(encrypted) = &encrypted {
            builder.add(encrypted);
        }
        for response in &responses {
            builder.add(response);
        }
        for failed in &failed {
            builder.add(failed);
        }
        let r2 = finish_r2(&association, &mut builder, shared)?;
        for answer in &answers {
            association.apply(now, Side::Registrar, answer);
        }
        Ok((Outcome::Associated(Box::new(association)), self.puzzle, r2))
    }
}

/// Adds MAC and signature to an R2, and sends it.
fn finish_r2<I: Item>(
    association: &Association<I>,
    builder: &mut PacketBuilder,
    shared: &mut Shared<I>,
) -> Result<Vec<u8>, Error> {
    let identity = &shared.config.identity;
    let prf = association.keymat.prf();
    builder.mac_2(prf, &association.keymat.outgoing().integrity, identity.host_id()).sign(identity)?;
    let r2 = builder.finish()?;
    shared.out.send(&association.path, &r2);
    Ok(r2)
}

/// Returns the suite of an Initiator's HIT, if it is accepted (RFC 7401 section 6.9 step 3).
pub(crate) fn accepted_suite<I: Item>(shared: &Shared<I>, packet: &Packet<'_>) -> Result<HitSuite, Error> {
    HitSuite::of_hit(packet.sender())
        .filter(|suite| shared.config.hit_suites.contains(suite))
        .ok_or_else(|| PeerIncompatible::HitSuite.into())
}

/// Agrees on the transport (RFC 7401 section 6.9 step 13, RFC 7402 section 6.5). A peer that only registers names none.
fn transport<I: Item>(shared: &mut Shared<I>, packet: &Authentic<'_>) -> Result<Option<EspAgreement>, Error> {
    let TransportFormatList(formats) = packet.one()?;
    if formats.is_empty() {
        return Ok(None);
    }
    let TransportFormats::Esp(suites) = &shared.config.transport else {
        return Err(PeerMisbehaved::TransportNotOffered.into());
    };
    if formats[..] != [ParameterType::ESP_TRANSFORM] {
        return Err(PeerMisbehaved::TransportNotOffered.into());
    }
    let EspTransform(chosen) = packet.one()?;
    let suite = match chosen[..] {
        [suite] if suites.contains(&suite) => suite,
        _ => return Err(PeerMisbehaved::EspSuiteNotOffered.into()),
    };
    let info: EspInfo = packet.one()?;
    if info.old_spi != 0 || info.new_spi == 0 {
        return Err(DecodeError::Value { field: "SPI", value: info.old_spi.into() }.into());
    }
    Ok(Some(EspAgreement {
        suite,
        inbound_spi: shared.spi(),
        outbound_spi: info.new_spi,
        keymat_index: info.keymat_index,
    }))
}
