//! A network of a thousand sites, and what crosses its links.
//!
//! ```text
//!   key server ── core ──┬── region ──┬── site (its members)
//!                        │            └── site, 50 a region
//!                        └── region, 20 in all
//! ```

/// The regions, and the sites of each.
pub(crate) const REGIONS: usize = 20;
pub(crate) const SITES_A_REGION: usize = 50;
/// All sites.
pub(crate) const SITES: usize = REGIONS * SITES_A_REGION;

/// A site, 0 to [`SITES`].
pub(crate) type Site = u16;

/// The sites to which something is sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audience([u64; SITES.div_ceil(64)]);

impl Audience {
    /// Returns every site.
    pub(crate) fn everywhere() -> Self {
        (0..SITES as Site).collect()
    }

    fn has(&self, site: usize) -> bool {
        self.0[site / 64] >> (site % 64) & 1 == 1
    }
}

impl FromIterator<Site> for Audience {
    fn from_iter<I: IntoIterator<Item = Site>>(sites: I) -> Self {
        let mut audience = Self::default();
        for site in sites {
            audience.0[usize::from(site) / 64] |= 1 << (site % 64);
        }
        audience
    }
}

/// The octets that crossed each link.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    server: u64,
    regions: [u64; REGIONS],
    sites: [u64; SITES],
}

/// What crossed the links of one class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub(crate) mean: f64,
    pub(crate) most: u64,
    pub(crate) total: u64,
}

impl Links {
    /// Makes links that nothing has crossed.
    pub(crate) fn new() -> Self {
        Self { server: 0, regions: [0; REGIONS], sites: [0; SITES] }
    }

    /// Sends octets to sites: once over each link that leads to one of them.
    pub(crate) fn send(&mut self, audience: &Audience, octets: u64) {
        let mut anybody = false;
        for region in 0..REGIONS {
            let mut somebody = false;
            for site in region * SITES_A_REGION..(region + 1) * SITES_A_REGION {
                if audience.has(site) {
                    self.sites[site] += octets;
                    somebody = true;
                }
            }
            self.regions[region] += if somebody { octets } else { 0 };
            anybody |= somebody;
        }
        self.server += if anybody { octets } else { 0 };
    }

    /// Returns the links by class: from the server to the core, from there to regions, and on to sites.
    pub(crate) fn classes(&self) -> [Class; 3] {
        [Class::of(&[self.server]), Class::of(&self.regions), Class::of(&self.sites)]
    }

    /// Returns what crossed all links together.
    pub(crate) fn total(&self) -> u64 {
        self.classes().iter().map(|class| class.total).sum()
    }
}

impl Class {
    fn of(links: &[u64]) -> Self {
        let total: u64 = links.iter().sum();
        let most = links.iter().max().copied().unwrap_or(0);
        Self { mean: total as f64 / links.len() as f64, most, total }
    }
}
