//! How a host behaves.

use std::{net::IpAddr, sync::Arc, time::Duration};

use claviger_crypto::{CryptoProvider, hash::HashAlgorithm, prf::Prf};
use claviger_identity::{HitSuite, HostIdentity};
use claviger_sansio::RetransmitPolicy;

use crate::{
    certificates::CertificateChain,
    error::{ApiMisuse, Error},
    iana::{CipherId, DhGroup, EspSuite, RegType},
    share::WINDOWS_PER_SECOND,
    verification::Limits,
    wire::{Controls, Lifetime, RegInfo, packet::PACKET_LEN_MAX},
};

/// What a host offers, accepts and tolerates. [`HostConfig::new`] has the defaults.
#[derive(Clone)]
pub struct HostConfig {
    /// Who the host is.
    pub identity: Arc<HostIdentity>,
    /// Whether that identity is anonymous (RFC 7401 section 5.1.2): it is in no directory, and nobody is to link it with
    /// another. R1 and I2 say so by the control A, and the other packets, for which RFC 7401 section 5.3 has none, do not.
    /// Default: no. A peer's anonymous identity is never refused.
    pub anonymous: bool,
    /// Chains of certificates that the host shows when it asks for a registration, and when it answers: inside ENCRYPTED,
    /// in I2, R2 and UPDATE. At most [`CERTS_MAX`](crate::rules::CERTS_MAX) in all, which leave
    /// [`ITEMS_ROOM_MIN`](crate::certificates::ITEMS_ROOM_MIN) octets of a packet to services. Default: none.
    /// [`Host::set_certificates`](crate::Host::set_certificates) replaces them.
    pub certificates: Vec<CertificateChain>,
    /// Where its cryptography comes from.
    pub provider: &'static CryptoProvider,
    /// Diffie-Hellman groups offered and accepted, the best first. Default: P-256, P-384, P-521. The MODP groups, of which
    /// RFC 7401 section 5.2.7 wants the 1536-bit one implemented, are offered where they are named here: an I2 costs the
    /// Responder ten to thirty times as much with them.
    pub dh_groups: Vec<DhGroup>,
    /// Ciphers offered and accepted, the best first. Default: AES-256-CBC, AES-128-CBC. NULL only if named here.
    pub ciphers: Vec<CipherId>,
    /// HIT suites of peers, the best first. Default: all but the SHA-1 one.
    pub hit_suites: Vec<HitSuite>,
    /// #K of the puzzles that the host sets without load: bits of work. Default: 10.
    pub puzzle_difficulty: u8,
    /// #K of the puzzles that the host sets under the heaviest load, if that is more. Default: 16, a fifteenth of a second
    /// of one core on average.
    pub puzzle_difficulty_under_load: u8,
    /// The hardest puzzle that the host solves. Default: 24, some seconds of one core.
    pub puzzle_difficulty_max: u8,
    /// How long a puzzle may be solved, rounded down to a power of two seconds. Default: 64 s.
    pub puzzle_lifetime: Duration,
    /// How long one generation of R1s is handed out; it is accepted as long again. Default: 5 minutes.
    pub r1_lifetime: Duration,
    /// Services offered to others; none by default.
    pub services: Vec<RegType>,
    /// The shortest registration that is offered. Default: 10 s (RFC 8003 section 5).
    pub registration_lifetime_min: Duration,
    /// The longest registration that is offered. Default: one day.
    pub registration_lifetime_max: Duration,
    /// Which payload is negotiated besides registrations. Default: none.
    pub transport: TransportFormats,
    /// This host's addresses, of which calls on IP protocol 139 leave from the first of the peer's family: the HIP
    /// checksum covers it. Not needed on UDP, nor to answer. Default: none.
    pub local_addresses: Vec<IpAddr>,
    /// How I1, I2, UPDATE and CLOSE are sent again.
    pub retransmit: RetransmitPolicy,
    /// After so long without a packet and without a registration an association is closed. Default: 15 minutes.
    pub unused_lifetime: Duration,
    /// How long a CLOSED association can still repeat its CLOSE_ACK. Default: 4 minutes, twice RFC 7401's MSL.
    pub closed_lifetime: Duration,
    /// After so long the keys of an association over which something is registered are renewed, within the last eighth of
    /// the time; at least [`HostConfig::REKEY_AFTER_MIN`]. Default: never, unless the peer begins.
    pub rekey_after: Option<Duration>,
    /// Whether who asks for no registration gets no association: its R2 says REG_REQUIRED (RFC 8003 section 3.2).
    /// Default: no.
    pub requires_registration: bool,
    /// How many peers are remembered, associated or about to be, besides strangers. Default: 1,048,576, some gigabytes.
    pub associations_max: usize,
    /// How many strangers are remembered: hosts that called a registrar and have never been granted anything. The one
    /// that called first makes room. Default: 1,024, some megabytes.
    pub strangers_max: usize,
    /// How many octets of R1s are sent within a second, to addresses that nobody has proven; to those that are proven
    /// as many again. Beyond it, chance decides who gets one. Default: 1,000,000, a thousand R1s: an R1 is ten times an
    /// I1, and a key server has no more newcomers.
    pub r1_octets_per_second_max: u64,
    /// How many NOTIFYs go to one address within a second. Default: 4.
    pub notify_per_second_max: u32,
    /// How many packets that are to find out whether a peer has moved there go to one address within a second.
    /// Default: 16, for hosts behind one NAT move together.
    pub probes_per_second_max: u32,
    /// How many I2s may fail behind one solved puzzle: each costs a Diffie-Hellman computation. Default: 2, for one may be
    /// damaged on its way.
    pub failed_i2_max: u32,
    /// How much public-key work others may bring about. Default: [`Limits::default`].
    pub public_key_limits: Limits,
}

/// Which payload a host negotiates (RFC 7401 section 5.2.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportFormats {
    /// Registrations only: TRANSPORT_FORMAT_LIST is empty.
    RegistrationOnly,
    /// ESP between the two hosts (RFC 7402) with these suites, the best first, at most six. The SPIs and suite
    /// are negotiated; who wants the traffic draws its keys from the association.
    Esp(Vec<EspSuite>),
}

impl HostConfig {
    /// Takes the defaults.
    pub fn new(identity: Arc<HostIdentity>, provider: &'static CryptoProvider) -> Self {
        Self {
            identity,
            anonymous: false,
            certificates: Vec::new(),
            provider,
            dh_groups: vec![DhGroup::NIST_P256, DhGroup::NIST_P384, DhGroup::NIST_P521],
            ciphers: vec![CipherId::AES_256_CBC, CipherId::AES_128_CBC],
            hit_suites: vec![HitSuite::EcdsaSha384, HitSuite::EddsaCshake128, HitSuite::RsaDsaSha256],
            puzzle_difficulty: 10,
            puzzle_difficulty_under_load: 16,
            puzzle_difficulty_max: 24,
            puzzle_lifetime: Duration::from_secs(64),
            r1_lifetime: Duration::from_secs(300),
            services: Vec::new(),
            registration_lifetime_min: Duration::from_secs(10),
            registration_lifetime_max: Duration::from_secs(24 * 60 * 60),
            transport: TransportFormats::RegistrationOnly,
            local_addresses: Vec::new(),
            retransmit: RetransmitPolicy::default(),
            unused_lifetime: Duration::from_secs(15 * 60),
            closed_lifetime: Duration::from_secs(4 * 60),
            rekey_after: None,
            requires_registration: false,
            associations_max: 1 << 20,
            strangers_max: 1 << 10,
            r1_octets_per_second_max: 1_000_000,
            notify_per_second_max: 4,
            probes_per_second_max: 16,
            failed_i2_max: 2,
            public_key_limits: Limits::default(),
        }
    }

    /// The longest life of an R1: the two octets that carry a puzzle's birth count 15 minutes in 64ths of a second.
    pub const R1_LIFETIME_MAX: Duration = Duration::from_secs(15 * 60);

    /// The least time after which keys are renewed: an exchange that is repeated to its end takes half of it.
    pub const REKEY_AFTER_MIN: Duration = Duration::from_secs(60);

    /// The least limit of R1s: one, of whatever length, in each window that the limit is kept in.
    pub const R1_OCTETS_PER_SECOND_MIN: u64 = WINDOWS_PER_SECOND * PACKET_LEN_MAX as u64;

    /// Returns the suite of the host's own HIT.
    pub(crate) fn own_suite(&self) -> HitSuite {
        HitSuite::of_hit(self.identity.hit()).expect("an identity's HIT is made by a known suite")
    }

    /// Returns the prf of that suite.
    pub(crate) fn own_prf(&self) -> &'static dyn Prf {
        let prf = self.provider.prf(self.own_suite().rhash());
        prf.expect("the configuration was checked to know the suite's hash")
    }

    /// Returns the controls of R1 and I2.
    pub(crate) const fn controls(&self) -> Controls {
        if self.anonymous { Controls::ANONYMOUS } else { Controls::NONE }
    }

    /// Announces the services.
    pub(crate) fn reg_info(&self) -> RegInfo {
        RegInfo {
            lifetime_min: Lifetime::at_most(self.registration_lifetime_min),
            lifetime_max: Lifetime::at_most(self.registration_lifetime_max),
            types: self.services.clone(),
        }
    }

    /// Refuses what the host could not work with.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let usable = !self.dh_groups.is_empty()
            && self
                .dh_groups
                .iter()
                .all(|group| group.kx().is_some_and(|algorithm| self.provider.kx_group(algorithm).is_ok()))
            && !self.ciphers.is_empty()
            && self.ciphers.iter().all(|cipher| cipher.key_len().is_some())
            && !self.hit_suites.is_empty()
            && self.r1_lifetime >= Duration::from_secs(1)
            && self.r1_lifetime <= Self::R1_LIFETIME_MAX
            && self.puzzle_lifetime >= Duration::from_secs(1)
            && self.puzzle_lifetime <= self.r1_lifetime
            && self.r1_octets_per_second_max >= Self::R1_OCTETS_PER_SECOND_MIN
            && self.registration_lifetime_min <= self.registration_lifetime_max
            && self.rekey_after.is_none_or(|after| after >= Self::REKEY_AFTER_MIN)
            && self.retransmit.attempts > 0
            && self.public_key_limits.is_usable()
            && self.provider.hash(HashAlgorithm::Sha256).is_ok()
            && self.provider.hash(self.own_suite().rhash()).is_ok()
            && self.provider.prf(self.own_suite().rhash()).is_ok()
            && match &self.transport {
                TransportFormats::RegistrationOnly => true,
                TransportFormats::Esp(suites) => (1..=6).contains(&suites.len()),
            };
        if usable { Ok(()) } else { Err(ApiMisuse::Config.into()) }
    }
}
