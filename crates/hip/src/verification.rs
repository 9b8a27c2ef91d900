//! How much public-key work others can bring about.
//!
//! A signature costs ten times what a packet without one costs, and a Diffie-Hellman computation as much. So each class of
//! packets has a [`Budget`] of its own: what strangers can send at will never uses up what an awaited packet needs. A budget
//! hands out [`Permit`]s, each good for one verification, and without one nothing verifies:
//!
//! ```compile_fail
//! use claviger_crypto::provider;
//! use claviger_hip::{verification::Permit, wire::Packet};
//! use claviger_identity::HostId;
//!
//! fn verify_at_will(packet: &Packet<'_>, host_id: &HostId) {
//!     let _ = packet.verify_signature(Permit(()), provider(), host_id);
//! }
//! ```
//!
//! | class | who can send it | whose budget |
//! |---|---|---|
//! | [`Class::R1`], [`Class::R1Elsewhere`] | whoever knows both HITs, while R1 is awaited | the exchange's; each I1 that is sent opens it anew |
//! | [`Class::R2`] | who has the keys of the exchange, while R2 is awaited | the exchange's |
//! | [`Class::I2OfPeer`], [`Class::I2OfStranger`] | who has solved a puzzle | the host's |
//! | [`Class::Update`], [`Class::Close`] | who has the keys of the association | the association's |
//! | [`Class::Unregistered`] | the same, without a registration: anybody can have that association | the host's, besides |
//! | [`Class::Notify`] | whoever knows both HITs | the host's |
//!
//! What is not held back: who sees I1 leave, or forges R1s in the name of the Responder's address all the time, can use up
//! the budget of R1s before the genuine one comes. R1 has neither a MAC nor anything of the I1 but its HITs.

use std::{fmt, time::Duration};

use claviger_crypto::kx::KxAlgorithm;
use claviger_sansio::Time;

/// Leave to verify one signature, and to compute one Diffie-Hellman secret before it. Only [`Budget::permit`] makes it.
#[derive(Debug)]
pub struct Permit(());

/// What brings about public-key work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// CLOSE and CLOSE_ACK under the MAC of an association.
    Close,
    /// I2 behind a solved puzzle, in the name of a host that has a registration.
    I2OfPeer,
    /// I2 behind a solved puzzle, in any other name.
    I2OfStranger,
    /// NOTIFY, which has no MAC.
    Notify,
    /// R1 from the address that was called.
    R1,
    /// R1 from another address.
    R1Elsewhere,
    /// R2 under the MAC of an exchange.
    R2,
    /// UPDATE and CLOSE under the MAC of an association without a registration.
    Unregistered,
    /// UPDATE under the MAC of an association.
    Update,
}

/// The budget of this class is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp(pub Class);

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "budget of {:?} is used up", self.0)
    }
}

impl std::error::Error for UsedUp {}

/// How fast a budget is used and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units that come back within a second; not 0.
    pub per_second: u32,
    /// Units that can be used at once.
    pub burst: u32,
}

impl Rate {
    /// No limit at all.
    pub const UNLIMITED: Self = Self { per_second: u32::MAX, burst: u32::MAX };

    /// Says how long it takes until so many units are back.
    const fn time_of(self, units: u32) -> Duration {
        Duration::from_micros(units as u64 * 1_000_000 / self.per_second as u64)
    }
}

/// How much work each class may bring about. The unit is a signature, but for I2: there it is a microsecond of one core.
/// [`Limits::default`] has the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one association. Default: as for UPDATE, for an honest peer closes once.
    pub close: Rate,
    /// Of the host. Default: a tenth of a core: whoever knows who is registered can send I2s in that name.
    pub i2_of_peers: Rate,
    /// Of the host. Default: four tenths of a core, which leaves half of it to all else.
    pub i2_of_strangers: Rate,
    /// Of the host. Default: 4, 8 at once. NOTIFY may be ignored (RFC 7401 section 6.13), and whoever sent something wrong
    /// is told at most 4 times a second.
    pub notify: Rate,
    /// Of one exchange. Default: 1,000, and 1,024 behind each I1: the flood that comes before the genuine R1, within 17 ms
    /// at 60,000 a second.
    pub r1: Rate,
    /// Of one exchange. Default: 4, 8 at once; a Responder that answers from elsewhere than where it was called is rare.
    pub r1_elsewhere: Rate,
    /// Of one exchange. Default: as for UPDATE.
    pub r2: Rate,
    /// Of the host. Default: 64, 256 at once, a hundredth of a core: who has no registration has little to say.
    pub unregistered: Rate,
    /// Of one association. Default: 8, 64 at once, as many as a host queues, or as are damaged on a bad way.
    pub update: Rate,
}

impl Limits {
    /// Lets everything be verified.
    pub const UNLIMITED: Self = Self {
        close: Rate::UNLIMITED,
        i2_of_peers: Rate::UNLIMITED,
        i2_of_strangers: Rate::UNLIMITED,
        notify: Rate::UNLIMITED,
        r1: Rate::UNLIMITED,
        r1_elsewhere: Rate::UNLIMITED,
        r2: Rate::UNLIMITED,
        unregistered: Rate::UNLIMITED,
        update: Rate::UNLIMITED,
    };

    const fn of(&self, class: Class) -> Rate {
        match class {
            Class::Close => self.close,
            Class::I2OfPeer => self.i2_of_peers,
            Class::I2OfStranger => self.i2_of_strangers,
            Class::Notify => self.notify,
            Class::R1 => self.r1,
            Class::R1Elsewhere => self.r1_elsewhere,
            Class::R2 => self.r2,
            Class::Unregistered => self.unregistered,
            Class::Update => self.update,
        }
    }

    /// Says whether every budget comes back.
    pub(crate) fn is_usable(&self) -> bool {
        let Self { close, i2_of_peers, i2_of_strangers, notify, r1, r1_elsewhere, r2, unregistered, update } =
            self;
        [close, i2_of_peers, i2_of_strangers, notify, r1, r1_elsewhere, r2, unregistered, update]
            .iter()
            .all(|rate| rate.per_second > 0)
    }
}

/// What one peer may have verified of what its MAC covers: two thousandths of a core, if its key is a P-384 one.
const UNDER_MAC: Rate = Rate { per_second: 8, burst: 64 };

impl Default for Limits {
    fn default() -> Self {
        Self {
            close: UNDER_MAC,
            i2_of_peers: Rate { per_second: 100_000, burst: 100_000 },
            i2_of_strangers: Rate { per_second: 400_000, burst: 400_000 },
            notify: Rate { per_second: 4, burst: 8 },
            r1: Rate { per_second: 1_000, burst: 1_024 },
            r1_elsewhere: Rate { per_second: 4, burst: 8 },
            r2: UNDER_MAC,
            unregistered: Rate { per_second: 64, burst: 256 },
            update: UNDER_MAC,
        }
    }
}

/// What one class may still bring about: it is used by each permit, and comes back with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    class: Class,
    /// When all of it is back.
    whole_at: Time,
}

impl Budget {
    /// Starts whole.
    pub const fn new(class: Class) -> Self {
        Self { class, whole_at: Time::EPOCH }
    }

    /// Permits one verification.
    ///
    /// # Errors
    ///
    /// [`UsedUp`] until time brings some of it back.
    pub fn permit(&mut self, limits: &Limits, now: Time) -> Result<Permit, UsedUp> {
        self.permit_for(limits, now, 1)
    }

    /// Permits what costs so many units.
    pub(crate) fn permit_for(&mut self, limits: &Limits, now: Time, units: u32) -> Result<Permit, UsedUp> {
        match use_up(&mut self.whole_at, limits.of(self.class), now, units) {
            true => Ok(Permit(())),
            false => Err(UsedUp(self.class)),
        }
    }

    /// Makes the budget whole again.
    pub(crate) fn renew(&mut self) {
        self.whole_at = Time::EPOCH;
    }
}

/// Uses up some units of what is whole again at `whole_at`, unless fewer are left than one.
fn use_up(whole_at: &mut Time, rate: Rate, now: Time, units: u32) -> bool {
    if whole_at.since(now) + rate.time_of(1) > rate.time_of(rate.burst) {
        return false;
    }
    *whole_at = now.max(*whole_at) + rate.time_of(units);
    true
}

/// How often a peer's UPDATE or CLOSE is answered anew that is repeated, within a second and at once: an honest peer repeats
/// itself twice a second at most, and whoever recorded a packet would have the peer answered as fast as it sends.
const REPETITIONS: Rate = Rate { per_second: 4, burst: 16 };

/// The budgets of one association.
#[derive(Debug)]
pub(crate) struct OfAssociation {
    pub(crate) close: Budget,
    pub(crate) update: Budget,
    repetitions_whole_at: Time,
}

impl Default for OfAssociation {
    fn default() -> Self {
        Self {
            close: Budget::new(Class::Close),
            update: Budget::new(Class::Update),
            repetitions_whole_at: Time::EPOCH,
        }
    }
}

impl OfAssociation {
    /// Says whether an answer may be sent once more, and counts it if so.
    pub(crate) fn may_repeat(&mut self, now: Time) -> bool {
        use_up(&mut self.repetitions_whole_at, REPETITIONS, now, 1)
    }
}

/// The budgets of a host.
#[derive(Debug)]
pub(crate) struct OfHost {
    pub(crate) i2_of_peers: Budget,
    pub(crate) i2_of_strangers: Budget,
    pub(crate) notify: Budget,
    pub(crate) unregistered: Budget,
}

impl Default for OfHost {
    fn default() -> Self {
        Self {
            i2_of_peers: Budget::new(Class::I2OfPeer),
            i2_of_strangers: Budget::new(Class::I2OfStranger),
            notify: Budget::new(Class::Notify),
            unregistered: Budget::new(Class::Unregistered),
        }
    }
}

/// What an I2 may cost, in microseconds of one core: the Diffie-Hellman computation as it was measured, and 190 more, which
/// the verification of a P-384 signature takes.
pub(crate) const fn i2_cost(group: KxAlgorithm) -> u32 {
    match group {
        KxAlgorithm::P256 => 260,
        KxAlgorithm::P384 => 370,
        KxAlgorithm::P521 => 480,
        KxAlgorithm::Modp1536 => 500,
        KxAlgorithm::Modp2048 => 900,
        KxAlgorithm::Modp3072 => 2_200,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Leave to verify one signature: a test verifies as often as it likes.
    pub(crate) fn permit() -> Permit {
        Budget::new(Class::R1).permit(&Limits::UNLIMITED, Time::EPOCH).unwrap()
    }

    #[test]
    fn a_budget_that_is_used_up_comes_back_with_time() {
        let limits = Limits { notify: Rate { per_second: 4, burst: 8 }, ..Limits::default() };
        let mut budget = Budget::new(Class::Notify);
        let now = Time::from_secs(1_000);
        let permits =
            |budget: &mut Budget, now: Time| (0..100).filter(|_| budget.permit(&limits, now).is_ok()).count();
        assert_eq!(permits(&mut budget, now), 8);
        let quarter = Duration::from_millis(250);
        assert_eq!(permits(&mut budget, now + quarter), 1);
        assert_eq!(permits(&mut budget, now + quarter * 100), 8);
        assert_eq!(budget.permit(&limits, now).unwrap_err(), UsedUp(Class::Notify));
        budget.renew();
        assert_eq!(permits(&mut budget, now), 8);
    }

    #[test]
    fn what_costs_more_is_permitted_less_often() {
        let limits = Limits::default();
        let permits = |group| {
            let (mut budget, now) = (Budget::new(Class::I2OfStranger), Time::from_secs(1_000));
            (0..10_000).filter(|_| budget.permit_for(&limits, now, i2_cost(group)).is_ok()).count()
        };
        assert_eq!(permits(KxAlgorithm::P256), 1_539);
        assert_eq!(permits(KxAlgorithm::Modp3072), 182);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut budget = Budget::new(Class::R1);
        for _ in 0..100_000 {
            budget.permit(&Limits::UNLIMITED, Time::EPOCH).unwrap();
        }
    }
}
