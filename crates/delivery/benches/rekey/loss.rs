//! Networks that lose.

/// A small fast generator: a hundred million draws are part of the measurement's cost, not of what is measured.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// Says yes with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

impl claviger_crypto::Random for Dice {
    fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

/// How datagrams are lost on their way to the members.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Each by itself.
    Independent,
    /// In bursts of so many datagrams on average: two states, in the bad one everything is lost (Gilbert).
    Bursty(f64),
    /// Half of the loss in bursts on links that a thousand members share each, the other half in bursts behind them.
    Shared(f64),
}

const MEMBERS_A_SITE: usize = 1_000;

/// One link with two states.
#[derive(Clone, Copy)]
struct Link {
    loss: f64,
    /// Probability of leaving the good state, and the bad one.
    worsens: f64,
    heals: f64,
}

impl Link {
    fn new(loss: f64, burst: f64) -> Self {
        let heals = 1.0 / burst.max(1.0 / (1.0 - loss));
        Self { loss, worsens: heals * loss / (1.0 - loss), heals }
    }

    /// Sends one datagram: says whether it is lost.
    fn step(&self, bad: &mut bool, dice: &mut Dice) -> bool {
        *bad = if *bad { !dice.chance(self.heals) } else { dice.chance(self.worsens) };
        *bad
    }
}

/// The way to every member.
pub(crate) struct Network {
    loss: f64,
    last: Link,
    site: Option<Link>,
    bad: Vec<bool>,
    sites_bad: Vec<bool>,
    site_loses: Vec<bool>,
    pub(crate) dice: Dice,
}

impl Network {
    pub(crate) fn new(kind: Kind, loss: f64, members: usize, seed: u64) -> Self {
        let half = 1.0 - (1.0 - loss).sqrt();
        let (last, site) = match kind {
            // Without memory: the state is good or bad afresh each time.
            Kind::Independent => (Link { loss, worsens: loss, heals: 1.0 - loss }, None),
            Kind::Bursty(burst) => (Link::new(loss, burst), None),
            Kind::Shared(burst) => (Link::new(half, burst), Some(Link::new(half, burst))),
        };
        let sites = members.div_ceil(MEMBERS_A_SITE);
        let mut network = Self {
            loss,
            last,
            site,
            bad: vec![false; members],
            sites_bad: vec![false; sites],
            site_loses: vec![false; sites],
            dice: Dice::new(seed),
        };
        network.settle();
        network
    }

    /// Lets time pass, after which every link is in a state of its own.
    pub(crate) fn settle(&mut self) {
        for bad in &mut self.bad {
            *bad = self.dice.chance(self.last.loss);
        }
        if let Some(site) = self.site {
            for bad in &mut self.sites_bad {
                *bad = self.dice.chance(site.loss);
            }
        }
    }

    /// Sends one datagram to the group; [`Network::loses`] then says who does not get it.
    pub(crate) fn send(&mut self) {
        if let Some(site) = self.site {
            for (loses, bad) in self.site_loses.iter_mut().zip(&mut self.sites_bad) {
                *loses = site.step(bad, &mut self.dice);
            }
        }
    }

    /// Says whether the datagram that was just sent is lost for a member. To be asked once for each.
    pub(crate) fn loses(&mut self, member: usize) -> bool {
        self.last.step(&mut self.bad[member], &mut self.dice) | self.site_loses[member / MEMBERS_A_SITE]
    }

    /// Says whether a single datagram to or from one member is lost.
    pub(crate) fn loses_alone(&mut self) -> bool {
        self.dice.chance(self.loss)
    }
}
