//! The base exchange as its Initiator sees it (RFC 7401 sections 6.6, 6.8 and 6.10).
//!
//! ```text
//! I1 { DH_GROUP_LIST, COOKIE }                                                            -->
//!        <--    R1 { R1_COUNTER, PUZZLE, DH_GROUP_LIST, DIFFIE_HELLMAN, HIP_CIPHER, HOST_ID, HIT_SUITE_LIST,
//!                    REG_INFO, TRANSPORT_FORMAT_LIST, HIP_SIGNATURE_2 }
//! I2 { R1_COUNTER, SOLUTION, DIFFIE_HELLMAN, HIP_CIPHER, ENCRYPTED{ HOST_ID, CERTs, items }, REG_REQUEST,
//!      TRANSPORT_FORMAT_LIST, HIP_MAC, HIP_SIGNATURE }                                    -->
//!        <--    R2 { ENCRYPTED{ CERTs, items }, REG_RESPONSE, REG_FAILED, HIP_MAC_2, HIP_SIGNATURE }
//! ```

use claviger_crypto::{CryptoError, random, secret::ct_eq};
use claviger_identity::{Hit, HostId};
use claviger_sansio::{Retransmit, Time, retransmit::Expiry};
use claviger_wire::DecodeError;
use tracing::debug;

use crate::{
    association::{self, Agreed, Association, Contents, EspAgreement, Phase},
    certificates::{self, Certificates},
    error::{AuthError, Error, FailReason, LimitError, PeerIncompatible, PeerMisbehaved},
    exchange::{
        Shared,
        offer::{GenuineR1, Offer, Weighed},
    },
    iana::{NotifyType, PacketType, ParameterType},
    item::Item,
    keys::{Hosts, Keymat, Prk},
    path::Path,
    puzzle::Solver,
    registration::{self, RegistrationAnswer, RegistrationRequest, Side},
    security::Security,
    verification::{Budget, Class},
    wire::{
        Authentic, Cookie, DhGroupList, DiffieHellman, EchoRequestSigned, EchoRequestUnsigned,
        EchoResponseSigned, EchoResponseUnsigned, EspInfo, EspTransform, HipCipher, Notification, Packet,
        PacketBuilder, ParameterBlock, Puzzle, R1Counter, RegInfo, Solution, TransportFormatList,
    },
};

/// Values of #J tried before the host looks at its other work again: some milliseconds.
const SOLVE_STEP: u32 = 1 << 14;

/// R1s that one exchange starts over with: each costs a puzzle. Fewer happen when a Responder restarts.
const RESTARTS_MAX: u32 = 8;

/// I2s sent without an answer before I1 is sent beside them: the Responder may have restarted, and lost the keys of
/// its R1. A later generation tells.
const I2_ALONE: u32 = 2;

/// I2s sent without an answer before another R1 of the same generation is tried: #I and Opaque may have been forged on
/// their way. It must not happen while a registrar merely takes its time.
const I2_BEFORE_SAME_GENERATION: u32 = 5;

/// A base exchange that this host began.
pub(crate) struct Initiation<I> {
    pub(crate) peer: Hit,
    pub(crate) path: Path,
    pub(crate) request: Option<RegistrationRequest<I>>,
    i1: Vec<u8>,
    cookie: Cookie,
    /// Whether a cookie may come: one for each I1 that was sent by the clock, so that hosts whose addresses seem to
    /// change do not call each other in a circle.
    awaits_cookie: bool,
    started: Time,
    step: Step,
    restarts: u32,
    /// What R1s may cost from the address that was called, and from elsewhere.
    r1_budgets: [Budget; 2],
    /// Why the exchange fails if no better R1 comes until the next timeout (RFC 7401 section 6.8 steps 6 and 7).
    doubt: Option<FailReason>,
}

enum Step {
    ExpectR1(Retransmit),
    Solving(Box<Solving>),
    ExpectR2(Box<ExpectR2>),
}

struct Solving {
    offer: Offer,
    solver: Solver,
    deadline: Time,
}

struct ExpectR2 {
    counter: Option<R1Counter>,
    i2: Vec<u8>,
    host_id_parameter: Vec<u8>,
    agreed: Agreed,
    /// The services that R1 announced.
    services: Option<RegInfo>,
    retransmit: Retransmit,
    r2_budget: Budget,
}

/// What an authentic R2 says; [`ExpectR2::read_r2`] makes it.
struct Confirmation<I> {
    answer: Option<(RegistrationAnswer<I>, Certificates)>,
    outbound_spi: Option<u32>,
    services: Option<RegInfo>,
}

/// What a base exchange ends with.
pub(crate) struct Established<I> {
    pub(crate) association: Association<I>,
    /// What the registrar said, if it was asked, and what certificates it showed.
    pub(crate) answer: Option<(RegistrationAnswer<I>, Certificates)>,
}

/// What came of a timeout.
pub(crate) enum Progress {
    /// The exchange goes on.
    Running,
    /// It has come to nothing.
    Failed(FailReason),
}

impl<I: Item> Initiation<I> {
    /// Sends I1.
    pub(crate) fn start(
        shared: &mut Shared<I>,
        now: Time,
        peer: Hit,
        path: Path,
        request: Option<RegistrationRequest<I>>,
    ) -> Result<Self, Error> {
        let cookie = Cookie::asking(random::array(&mut *shared.random));
        let i1 = build_i1(shared, peer, &cookie)?;
        debug!(registers = request.is_some(), "a base exchange begins");
        shared.out.send(&path, &i1);
        let step = Step::ExpectR1(Retransmit::new(shared.config.retransmit, now));
        let r1_budgets = [Class::R1, Class::R1Elsewhere].map(Budget::new);
        Ok(Self {
            peer,
            path,
            request,
            i1,
            cookie,
            awaits_cookie: true,
            started: now,
            step,
            restarts: 0,
            r1_budgets,
            doubt: None,
        })
    }

    /// Whether I2 was sent (RFC 7401's state I2-SENT).
    pub(crate) fn has_sent_i2(&self) -> bool {
        matches!(self.step, Step::ExpectR2(_))
    }

    pub(crate) fn security(&self) -> Option<Security> {
        match &self.step {
            Step::ExpectR1(_) => None,
            Step::Solving(solving) => Some(solving.offer.security),
            Step::ExpectR2(expect) => Some(expect.agreed.security),
        }
    }

    /// Shows the key that the peer has proven to be its own, if an R1 has brought it.
    pub(crate) fn host_id(&self) -> Option<&HostId> {
        match &self.step {
            Step::ExpectR1(_) => None,
            Step::Solving(solving) => Some(&solving.offer.host_id),
            Step::ExpectR2(expect) => Some(&expect.agreed.host_id),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Time {
        match &self.step {
            Step::ExpectR1(retransmit) => retransmit.poll_timeout(),
            // The search goes on at once.
            Step::Solving(_) => Time::EPOCH,
            Step::ExpectR2(expect) => expect.retransmit.poll_timeout(),
        }
    }

    /// Repeats I1 at once with the cookie that the Responder gave, as proof of this host's address (binding section 3.1).
    pub(crate) fn handle_cookie(&mut self, shared: &mut Shared<I>, packet: &Packet<'_>) -> Result<(), Error> {
        let cookie: Cookie = packet.one()?;
        if !self.awaits_cookie || !ct_eq(&cookie.nonce, &self.cookie.nonce) {
            return Err(PeerMisbehaved::R1Unasked.into());
        }
        self.i1 = build_i1(shared, self.peer, &cookie)?;
        self.cookie = cookie;
        self.awaits_cookie = false;
        debug!("the Responder wants proof of this host's address; I1 is sent with its cookie");
        shared.out.send(&self.path, &self.i1);
        Ok(())
    }

    /// Processes R1 (RFC 7401 section 6.8). Only an R1 under the signature of the HIT that was called has any effect.
    pub(crate) fn handle_r1(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        packet: &Packet<'_>,
    ) -> Result<Progress, Error> {
        let counter = packet.find::<R1Counter>()?;
        let puzzle: Puzzle = packet.one()?;
        self.admit(counter, &puzzle)?;
        let [expected, elsewhere] = &mut self.r1_budgets;
        let budget = if back.remote == self.path.remote { expected } else { elsewhere };
        let r1 = GenuineR1::open(&shared.config, now, budget, self.peer, packet)?;
        let offer = match Offer::weigh(&shared.config, self.request.as_ref(), r1, self.peer) {
            Ok(offer) => offer,
            Err(error) => {
                if let (Step::ExpectR1(_), Weighed::Unacceptable(reason)) = (&self.step, error) {
                    self.doubt = Some(reason);
                }
                return Err(error.into());
            }
        };
        let own = shared.config.identity.hit();
        let rhash = shared.config.provider.hash(offer.security.hit_suite.rhash())?;
        let solver = Solver::new(rhash, &puzzle, own, self.peer, &mut *shared.random)
            .map_err(|_| DecodeError::Length { field: "#I" })?;
        if !matches!(self.step, Step::ExpectR1(_)) {
            self.restarts += 1;
        }
        self.doubt = None;
        let Security { cipher, dh_group, .. } = offer.security;
        debug!(difficulty = puzzle.k, %cipher, %dh_group, restarts = self.restarts, "R1 is accepted; its puzzle is solved");
        let deadline = now + offer.puzzle.lifetime();
        self.step = Step::Solving(Box::new(Solving { offer, solver, deadline }));
        self.handle_timeout(shared, now)
    }

    /// Processes R2 (RFC 7401 section 6.10), which ends the exchange. An R2 that does not is an error beside the
    /// exchange, which goes on.
    pub(crate) fn handle_r2(
        self: Box<Self>,
        shared: &Shared<I>,
        now: Time,
        packet: &Packet<'_>,
    ) -> Result<Established<I>, (Box<Self>, Error)> {
        let this = *self;
        match this.step {
            Step::ExpectR2(mut expect) => match expect.read_r2(shared, now, this.request.as_ref(), packet) {
                Ok(confirmation) => Ok(expect.establish(now, confirmation)),
                Err(error) => Err((Box::new(Self { step: Step::ExpectR2(expect), ..this }), error)),
            },
            step @ (Step::ExpectR1(_) | Step::Solving(_)) => {
                Err((Box::new(Self { step, ..this }), PeerMisbehaved::R2Unasked.into()))
            }
        }
    }

    /// Sends again, searches on, or gives up.
    pub(crate) fn handle_timeout(&mut self, shared: &mut Shared<I>, now: Time) -> Result<Progress, Error> {
        match &mut self.step {
            Step::ExpectR1(retransmit) => match retransmit.handle_timeout(now) {
                Expiry::Pending => {}
                // An R1 that excludes an agreement is not contradicted by a better one within this time.
                Expiry::Resend if matches!(self.doubt, Some(FailReason::Incompatible(_))) => {
                    return Ok(self.failed(now));
                }
                Expiry::Resend => {
                    debug!(sent = retransmit.sent(), "no R1 has come; I1 is sent again");
                    self.r1_budgets.iter_mut().for_each(Budget::renew);
                    shared.out.send(&self.path, &self.i1);
                    self.awaits_cookie = true;
                }
                Expiry::GiveUp => return Ok(self.failed(now)),
            },
            Step::Solving(solving) => {
                if now > solving.deadline {
                    return Ok(Progress::Failed(FailReason::Limit(LimitError::Puzzle)));
                }
                if let Some(solution) = solving.solver.step(SOLVE_STEP) {
                    return match self.send_i2(shared, now, &solution) {
                        Ok(()) => Ok(Progress::Running),
                        Err(Error::PeerMisbehaved(error)) => {
                            Ok(Progress::Failed(FailReason::Misbehaved(error)))
                        }
                        Err(Error::Crypto(error)) => Ok(Progress::Failed(FailReason::Crypto(error))),
                        Err(error) => Err(error),
                    };
                }
            }
            Step::ExpectR2(expect) => match expect.retransmit.handle_timeout(now) {
                Expiry::Pending => {}
                // However often it started over, the exchange ends.
                _ if now >= self.started + shared.patience() * 2 => {
                    return Ok(self.failed(now));
                }
                Expiry::Resend => {
                    debug!(sent = expect.retransmit.sent(), "no R2 has come; I2 is sent again");
                    shared.out.send(&self.path, &expect.i2);
                    if expect.retransmit.sent() > I2_ALONE {
                        self.r1_budgets.iter_mut().for_each(Budget::renew);
                        shared.out.send(&self.path, &self.i1);
                        self.awaits_cookie = true;
                    }
                }
                Expiry::GiveUp => return Ok(self.failed(now)),
            },
        }
        Ok(Progress::Running)
    }

    fn failed(&self, now: Time) -> Progress {
        let unanswered = FailReason::Unanswered { after: now.since(self.started) };
        Progress::Failed(self.doubt.unwrap_or(unanswered))
    }

    /// Says whether an R1 may be looked at in this state (RFC 7401 section 6.8 steps 2 and 8): one with a greater
    /// counter replaces the one in use, and so does one with another puzzle once I2 has gone unanswered, because
    /// nothing protects #I and Opaque on their way.
    fn admit(&self, new: Option<R1Counter>, puzzle: &Puzzle) -> Result<(), Error> {
        let (current, again) = match &self.step {
            Step::ExpectR1(_) => return Ok(()),
            Step::Solving(solving) => (solving.offer.counter, false),
            Step::ExpectR2(expect) => (
                expect.counter,
                expect.retransmit.sent() >= I2_BEFORE_SAME_GENERATION && expect.agreed.nonces.0 != puzzle.i,
            ),
        };
        let counter = |r1: Option<R1Counter>| r1.map(|r1| r1.counter);
        let fresher = counter(new) > counter(current);
        let as_fresh = counter(new) == counter(current) && again;
        if !fresher && !as_fresh {
            return Err(PeerMisbehaved::R1Unasked.into());
        }
        if self.restarts >= RESTARTS_MAX {
            return Err(LimitError::BaseExchangeRestarts.into());
        }
        Ok(())
    }

    /// Computes the keys and sends I2 (RFC 7401 section 5.3.3).
    fn send_i2(&mut self, shared: &mut Shared<I>, now: Time, solution: &Solution) -> Result<(), Error> {
        let Step::Solving(solving) = &self.step else {
            return Ok(());
        };
        let offer = &solving.offer;
        let (diffie_hellman, keymat) = derive(shared, self.peer, offer, solution)?;
        let esp = offer.esp.map(|suite| EspAgreement {
            suite,
            inbound_spi: shared.spi(),
            outbound_spi: 0,
            keymat_index: keymat.index(),
        });
        let agreed = Agreed {
            peer: self.peer,
            host_id: offer.host_id.clone(),
            initiator: true,
            anonymous: offer.anonymous,
            path: self.path,
            security: offer.security,
            keymat,
            nonces: (solution.i.clone(), solution.j.clone()),
            esp,
        };
        let i2 = build_i2(shared, offer, solution, &diffie_hellman, &agreed, self.request.as_ref())?;
        shared.out.send(&self.path, &i2);
        let expect = ExpectR2 {
            counter: offer.counter,
            i2,
            host_id_parameter: offer.host_id_parameter.clone(),
            agreed,
            services: offer.services.clone(),
            retransmit: Retransmit::new(shared.config.retransmit, now),
            r2_budget: Budget::new(Class::R2),
        };
        self.step = Step::ExpectR2(Box::new(expect));
        Ok(())
    }
}

impl ExpectR2 {
    /// Verifies R2 and reads what it says; nothing changes by it.
    fn read_r2<I: Item>(
        &mut self,
        shared: &Shared<I>,
        now: Time,
        request: Option<&RegistrationRequest<I>>,
        packet: &Packet<'_>,
    ) -> Result<Confirmation<I>, Error> {
        let r2 = self.authenticate(shared, now, packet)?;
        let mut notifications = r2.all::<Notification>()?.into_iter();
        if notifications.any(|notification| notification.notify_type == NotifyType::REG_REQUIRED) {
            return Err(PeerIncompatible::RegistrationRequired.into());
        }
        let Contents { certificates, items, .. } = Contents::read(shared, &self.agreed.keymat, &r2)?;
        let services = r2.find::<RegInfo>()?;
        let answer = match request {
            Some(request) => {
                let answer = registration::read_answer(&r2, items, request)?;
                Some((answer.unwrap_or_else(|| RegistrationAnswer::nothing(request.reg_type)), certificates))
            }
            None if items.is_empty() => None,
            None => return Err(PeerMisbehaved::AnswerUnasked.into()),
        };
        let esp_info = r2.find::<EspInfo>()?;
        let outbound_spi = match &self.agreed.esp {
            None => None,
            Some(_) => {
                let info = esp_info.ok_or(DecodeError::Missing { what: "ESP_INFO" })?;
                if info.old_spi != 0 || info.new_spi == 0 {
                    return Err(DecodeError::Value { field: "SPI", value: info.old_spi.into() }.into());
                }
                Some(info.new_spi)
            }
        };
        Ok(Confirmation { answer, outbound_spi, services })
    }

    /// Verifies the MAC, which covers the HOST_ID of R1 too, and then the signature of an R2.
    fn authenticate<'p, I: Item>(
        &mut self,
        shared: &Shared<I>,
        now: Time,
        packet: &'p Packet<'p>,
    ) -> Result<Authentic<'p>, Error> {
        let Agreed { keymat, host_id, .. } = &self.agreed;
        let integrity = &keymat.incoming().integrity;
        let packet = packet
            .verify_mac_2(keymat.prf(), integrity, &self.host_id_parameter)
            .map_err(|_| AuthError::Mac)?;
        let permit = self.r2_budget.permit(&shared.config.public_key_limits, now)?;
        packet
            .verify_signature(permit, shared.config.provider, host_id)
            .map_err(|_| AuthError::Signature.into())
    }

    /// Makes the association that R2 confirms.
    fn establish<I: Item>(self, now: Time, confirmation: Confirmation<I>) -> Established<I> {
        let Confirmation { answer, outbound_spi, services } = confirmation;
        let mut association = Association::new(self.agreed, now, Phase::Established);
        if let (Some(esp), Some(spi)) = (&mut association.esp, outbound_spi) {
            esp.outbound_spi = spi;
        }
        association.services = services.or(self.services);
        if let Some((answer, _)) = &answer {
            association.apply(now, Side::Requester, answer);
        }
        Established { association, answer }
    }
}

/// Makes a Diffie-Hellman key pair of the offered group, and derives the keys of the association (RFC 7401 section
/// 6.5).
fn derive<I: Item>(
    shared: &mut Shared<I>,
    peer: Hit,
    offer: &Offer,
    solution: &Solution,
) -> Result<(DiffieHellman, Keymat), Error> {
    let provider = shared.config.provider;
    let group = offer.security.dh_group;
    let algorithm = group.kx().ok_or(CryptoError::Unsupported)?;
    let private = provider.kx_group(algorithm)?.generate(&mut *shared.random)?;
    let shared_secret = private.agree(&offer.public_value)?;
    let rhash = offer.security.hit_suite.rhash();
    let prk = Prk::extract(provider, rhash, &solution.i, &solution.j, &shared_secret)?;
    let hosts = Hosts { local: shared.config.identity.hit(), peer };
    let keymat = Keymat::derive(provider, rhash, offer.security.cipher, prk, hosts)?;
    Ok((DiffieHellman { group, public_value: private.public().to_vec() }, keymat))
}

/// Builds I1 (RFC 7401 section 5.3.1) with room for a cookie, or with the Responder's (binding section 3.1).
fn build_i1<I: Item>(shared: &Shared<I>, peer: Hit, cookie: &Cookie) -> Result<Vec<u8>, Error> {
    let mut builder = PacketBuilder::new(PacketType::I1, shared.config.identity.hit(), peer);
    Ok(builder.add(&DhGroupList(shared.config.dh_groups.clone())).add(cookie).finish()?)
}

/// Builds I2 (RFC 7401 section 5.3.3).
fn build_i2<I: Item>(
    shared: &mut Shared<I>,
    offer: &Offer,
    solution: &Solution,
    diffie_hellman: &DiffieHellman,
    agreed: &Agreed,
    request: Option<&RegistrationRequest<I>>,
) -> Result<Vec<u8>, Error> {
    let identity = shared.config.identity.clone();
    let mut block = ParameterBlock::new();
    block.add(identity.host_id());
    if request.is_some() {
        certificates::add(&mut block, &shared.config.certificates);
    }
    for item in request.iter().flat_map(|request| &request.items) {
        block.add(item);
    }
    let encrypted = association::seal(shared, &agreed.keymat, &block)?;

    let mut builder = PacketBuilder::new(PacketType::I2, identity.hit(), agreed.peer);
    builder.controls(shared.config.controls());
    if let Some(esp) = &agreed.esp {
        builder.add(&EspInfo { keymat_index: esp.keymat_index, old_spi: 0, new_spi: esp.inbound_spi });
    }
    if let Some(counter) = &offer.counter {
        builder.add(counter);
    }
    builder.add(solution).add(diffie_hellman).add(&HipCipher(vec![offer.security.cipher])).add(&encrypted);
    if let Some(request) = request {
        builder.add(&request.parameter());
    }
    if let Some(EchoRequestSigned(echo)) = &offer.echo_signed {
        builder.add(&EchoResponseSigned(echo.clone()));
    }
    match &agreed.esp {
        Some(esp) => {
            builder.add(&TransportFormatList(vec![ParameterType::ESP_TRANSFORM]));
            builder.add(&EspTransform(vec![esp.suite]));
        }
        None => {
            builder.add(&TransportFormatList(vec![]));
        }
    }
    builder.mac(agreed.keymat.prf(), &agreed.keymat.outgoing().integrity).sign(&identity)?;
    for EchoRequestUnsigned(echo) in &offer.echo_unsigned {
        builder.add(&EchoResponseUnsigned(echo.clone()));
    }
    Ok(builder.finish()?)
}
