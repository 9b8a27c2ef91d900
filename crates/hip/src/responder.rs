//! What a host hands out to anybody who calls: precomputed R1s, and puzzles that it need not remember.
//!
//! An I1 leaves nothing behind. #I is a MAC under the generation's secret over both HITs, the caller's address, the
//! time and the difficulty, of which the last two come back in I2: whoever brings an #I that computes so was given
//! it, there and then.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use claviger_crypto::{Random, SecretBytes, hash::Digest, kx::KxPrivate};
use claviger_identity::Hit;
use claviger_sansio::Time;

use crate::{
    accepted::Accepted,
    calls::{Call, Calls, Reply},
    config::{HostConfig, TransportFormats},
    difficulty::Difficulty,
    error::{ApiMisuse, Error, LimitError, PeerMisbehaved},
    iana::{DhGroup, PacketType, ParameterType},
    path::address_octets,
    puzzle,
    verification::{Budget, Permit, i2_cost},
    wire::{
        DhGroupList, DiffieHellman, EspTransform, HipCipher, HitSuiteList, Packet, PacketBuilder, Puzzle,
        R1Counter, R1Template, Solution, TransportFormatList,
    },
};

/// Generations whose puzzles are accepted: the one handed out, and the one before (RFC 7401 section 6.9 step 7).
const GENERATIONS: usize = 2;

/// Puzzles behind which I2s failed that one generation counts. Each cost its sender a solved puzzle; a flood of
/// more starts the count anew.
const FAILED_MAX: usize = 1 << 16;

/// The unit of a puzzle's Opaque field: a 64th of a second since the generation's birth.
const OPAQUE_PER_SECOND: u128 = 64;

/// The R1s of a host, and what it remembers of the I2s that came back.
pub(crate) struct Responder {
    generations: VecDeque<Generation>,
    difficulty: Difficulty,
    calls: Calls,
}

/// R1s under one counter, one secret, one difficulty and one Diffie-Hellman key for each group.
struct Generation {
    counter: u64,
    born: Time,
    /// #K.
    k: u8,
    secret: SecretBytes,
    offers: Vec<Offer>,
    accepted: Accepted,
    /// How many I2s failed behind a solved puzzle, by #I.
    failed: BTreeMap<Vec<u8>, u32>,
}

struct Offer {
    group: DhGroup,
    private: Box<dyn KxPrivate>,
    template: R1Template,
}

/// An I2 whose puzzle is solved: public-key work may begin.
pub(crate) struct SolvedPuzzle {
    generation: u64,
    digest: [u8; 32],
    pub(crate) i: Vec<u8>,
    pub(crate) j: Vec<u8>,
}

/// What a responder knows of an I2 before any public-key work.
pub(crate) enum Recognised {
    /// The puzzle is solved and the I2 is new.
    New(SolvedPuzzle),
    /// The I2 was accepted before; the R2 is to be sent again, unless a later one has replaced it.
    Repeated(Option<Vec<u8>>),
}

impl Responder {
    pub(crate) fn new(config: &HostConfig, random: &mut dyn Random, now: Time) -> Result<Self, Error> {
        let lowest = config.puzzle_difficulty.min(puzzle::K_MAX);
        let highest = config.puzzle_difficulty_under_load.min(puzzle::K_MAX);
        let mut responder = Self {
            generations: VecDeque::new(),
            difficulty: Difficulty::new(lowest, highest, now),
            calls: Calls::new(config),
        };
        responder.rotate(config, random, now)?;
        Ok(responder)
    }

    /// Begins a new generation when it is time or the load wants other puzzles, and destroys the keys of those that are
    /// accepted no longer.
    pub(crate) fn handle_timeout(&mut self, config: &HostConfig, random: &mut dyn Random, now: Time) {
        self.difficulty.handle_timeout(now);
        if now < self.poll_timeout(config) {
            return;
        }
        let alive = |generation: &Generation| {
            now < generation.born + config.r1_lifetime * 2 && !generation.accepted.is_full()
        };
        self.generations.retain(alive);
        // The configuration made one generation already; if the random source or the signer now fails, R1s stop.
        let _ = self.rotate(config, random, now);
    }

    /// Says when the next generation begins: at once, if one can remember no more I2s.
    pub(crate) fn poll_timeout(&self, config: &HostConfig) -> Time {
        if self.generations.iter().any(|generation| generation.accepted.is_full()) {
            return Time::EPOCH;
        }
        let Some(current) = self.generations.front().filter(|current| current.k == self.difficulty.k())
        else {
            return Time::EPOCH;
        };
        let end = current.born + config.r1_lifetime;
        self.difficulty.poll_timeout().map_or(end, |easier| easier.min(end))
    }

    /// Answers an I1 (RFC 7401 section 6.7), by R1 or by a cookie, and forgets it.
    pub(crate) fn answer_i1(
        &mut self,
        config: &HostConfig,
        random: &mut dyn Random,
        now: Time,
        call: &Call<'_>,
        wanted: &[DhGroup],
    ) -> Result<Vec<u8>, Error> {
        let generation = self.generations.front().ok_or(LimitError::R1Share)?;
        // RFC 7401 section 6.7 step 4: the Responder's most preferred group that is in the list; any if there is none.
        let offers = &generation.offers;
        let offer = offers.iter().find(|offer| wanted.contains(&offer.group)).unwrap_or(&offers[0]);
        let r1_len = offer.template.octets().len();
        match self.calls.decide(config, random, now, call, r1_len)? {
            Reply::R1 => {
                let opaque = generation.opaque(now);
                let address = call.source.ip();
                let i = generation.random_i(config, call.initiator, address, opaque, generation.k);
                Ok(offer.template.fill(call.initiator, opaque, &i))
            }
            Reply::Cookie(cookie) => {
                let mut r1 = PacketBuilder::new(PacketType::R1, config.identity.hit(), call.initiator);
                Ok(r1.controls(config.controls()).add(&cookie).finish()?)
            }
        }
    }

    /// Recognises an I2 by its puzzle, in the order of RFC 7401 section 6.9, steps 7 and 8. The only computations are
    /// three digests, whatever the I2 holds.
    pub(crate) fn recognise(
        &self,
        config: &HostConfig,
        now: Time,
        address: IpAddr,
        i2: &Packet<'_>,
    ) -> Result<Recognised, Error> {
        let initiator = i2.sender();
        let counter = i2.find::<R1Counter>()?.ok_or(PeerMisbehaved::PuzzleStale)?.counter;
        let solution: Solution = i2.one()?;
        let generation = self.generation(counter).ok_or(PeerMisbehaved::PuzzleStale)?;
        let i = generation.random_i(config, initiator, address, solution.opaque, solution.k);
        if !i.ct_eq(&solution.i) {
            return Err(PeerMisbehaved::PuzzleForeign.into());
        }
        let digest = i2.digest_covered(config.provider)?;
        if generation.accepted.contains(&digest) {
            let answer = generation.accepted.answer(&initiator, &digest);
            return Ok(Recognised::Repeated(answer.map(<[u8]>::to_vec)));
        }
        let lifetime = puzzle(config, generation.k).lifetime();
        if now > generation.issued(solution.opaque) + lifetime {
            return Err(PeerMisbehaved::PuzzleExpired.into());
        }
        let rhash = config.provider.hash(config.own_suite().rhash())?;
        if !puzzle::verify(rhash, &solution, initiator, config.identity.hit()) {
            return Err(PeerMisbehaved::PuzzleUnsolved.into());
        }
        Ok(Recognised::New(SolvedPuzzle { generation: counter, digest, i: solution.i, j: solution.j }))
    }

    /// Permits public-key work behind a solved puzzle, and counts it: for the puzzle, for the budget of whoever solved it,
    /// and for the difficulty of the next ones. The order is such that nobody pays who is refused.
    pub(crate) fn spend(
        &mut self,
        config: &HostConfig,
        now: Time,
        puzzle: &SolvedPuzzle,
        group: DhGroup,
        budget: &mut Budget,
    ) -> Result<Permit, Error> {
        let algorithm = group.kx().ok_or(PeerMisbehaved::DhGroupNotOffered)?;
        let generation = self.generation_mut(puzzle.generation).ok_or(PeerMisbehaved::PuzzleStale)?;
        if generation.failed.len() >= FAILED_MAX {
            generation.failed.clear();
        }
        let failed = generation.failed.entry(puzzle.i.clone()).or_default();
        if *failed >= config.failed_i2_max {
            return Err(LimitError::PuzzleWorn.into());
        }
        let permit = budget.permit_for(&config.public_key_limits, now, i2_cost(algorithm))?;
        *failed += 1;
        self.difficulty.count(now);
        Ok(permit)
    }

    /// Finds the private key behind an I2's group. The computation with it costs what the permit was given for.
    pub(crate) fn private(
        &self,
        _permit: &Permit,
        puzzle: &SolvedPuzzle,
        group: DhGroup,
    ) -> Result<&dyn KxPrivate, Error> {
        self.generation(puzzle.generation)
            .and_then(|generation| generation.offers.iter().find(|offer| offer.group == group))
            .map(|offer| &*offer.private)
            .ok_or_else(|| PeerMisbehaved::DhGroupNotOffered.into())
    }

    /// Remembers an I2 that was accepted, with its R2, until the keys behind its R1 are destroyed.
    pub(crate) fn accept(&mut self, puzzle: &SolvedPuzzle, initiator: Hit, r2: &[u8], is_stranger: bool) {
        if let Some(generation) = self.generation_mut(puzzle.generation) {
            generation.accepted.note(puzzle.digest, initiator, r2, is_stranger);
        }
    }

    fn generation(&self, counter: u64) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.counter == counter)
    }

    fn generation_mut(&mut self, counter: u64) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|generation| generation.counter == counter)
    }

    fn rotate(&mut self, config: &HostConfig, random: &mut dyn Random, now: Time) -> Result<(), Error> {
        // Time never goes back, also across restarts, and a generation lasts longer than a microsecond: so the
        // counter grows over restarts without being stored (RFC 7401 section 4.1.4).
        let last = self.generations.front().map_or(0, |generation| generation.counter);
        let counter = now.as_micros().max(last + 1);
        let k = self.difficulty.k();
        let mut offers = Vec::with_capacity(config.dh_groups.len());
        for &group in &config.dh_groups {
            let Some(algorithm) = group.kx() else { continue };
            let private = config.provider.kx_group(algorithm)?.generate(random)?;
            let template = r1(config, counter, k, group, private.public())?;
            offers.push(Offer { group, private, template });
        }
        self.generations.push_front(Generation {
            counter,
            born: now,
            k,
            secret: SecretBytes::with(32, |octets| random.fill(octets)),
            offers,
            accepted: Accepted::default(),
            failed: BTreeMap::new(),
        });
        self.generations.truncate(GENERATIONS);
        Ok(())
    }
}

impl SolvedPuzzle {
    /// Says whether two I2s are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Generation {
    /// Returns #I (RFC 7401 section 4.1.2).
    fn random_i(
        &self,
        config: &HostConfig,
        initiator: Hit,
        address: IpAddr,
        opaque: [u8; 2],
        k: u8,
    ) -> Digest {
        let prf = config.own_prf();
        let address = address_octets(address);
        let own = config.identity.hit();
        prf.prf(self.secret.expose(), &[initiator.octets(), own.octets(), &address, &opaque, &[k]])
    }

    fn opaque(&self, now: Time) -> [u8; 2] {
        let age = now.since(self.born).as_micros() * OPAQUE_PER_SECOND / 1_000_000;
        u16::try_from(age).unwrap_or(u16::MAX).to_be_bytes()
    }

    /// Says when a puzzle with this Opaque was set, up to its unit.
    fn issued(&self, opaque: [u8; 2]) -> Time {
        let units = u64::from(u16::from_be_bytes(opaque)) + 1;
        self.born + Duration::from_micros(units * 1_000_000 / OPAQUE_PER_SECOND as u64)
    }
}

/// A puzzle before its variables are filled in.
fn puzzle(config: &HostConfig, difficulty: u8) -> Puzzle {
    let seconds = config.puzzle_lifetime.as_secs().min(u32::MAX.into()) as u32;
    Puzzle {
        k: difficulty,
        lifetime: Puzzle::lifetime_code(seconds),
        opaque: [0; 2],
        i: vec![0; config.own_suite().rhash_len()],
    }
}

/// Signs an R1 for anybody (RFC 7401 section 5.3.2).
fn r1(
    config: &HostConfig,
    counter: u64,
    difficulty: u8,
    group: DhGroup,
    public: &[u8],
) -> Result<R1Template, Error> {
    let identity = &config.identity;
    let mut builder = PacketBuilder::new(PacketType::R1, identity.hit(), Hit::NULL);
    builder
        .controls(config.controls())
        .add(&R1Counter::new(counter))
        .add(&puzzle(config, difficulty))
        .add(&DhGroupList(config.dh_groups.clone()))
        .add(&DiffieHellman { group, public_value: public.to_vec() })
        .add(&HipCipher(config.ciphers.clone()))
        .add(identity.host_id())
        .add(&HitSuiteList::of(&config.hit_suites));
    if !config.services.is_empty() {
        builder.add(&config.reg_info());
    }
    match &config.transport {
        TransportFormats::RegistrationOnly => {
            builder.add(&TransportFormatList(vec![]));
        }
        TransportFormats::Esp(suites) => {
            builder.add(&TransportFormatList(vec![ParameterType::ESP_TRANSFORM]));
            builder.add(&EspTransform(suites.clone()));
        }
    }
    builder.sign_2(identity)?;
    let octets = builder.finish().map_err(|_| ApiMisuse::Config)?;
    Ok(R1Template::new(octets).expect("an R1 that was just built has its puzzle"))
}
