//! What the command line asks for.

use clap::{Parser, ValueEnum};
use claviger_keytree::{Degree, KeyLength};

/// The sizes and degrees of a whole run.
const MEMBERS: [u32; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const DEGREES: [u8; 4] = [2, 3, 4, 8];

/// Measures what the key tree costs, from a thousand to ten million members.
///
/// Without options, everything is measured, which takes some minutes. All figures are CPU time of one thread, medians
/// over repetitions; all ratios compare what was measured in the same run. Each goal is printed as PASS or MISS.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p claviger-keytree --bench scale --", disable_version_flag = true)]
pub(crate) struct Options {
    /// Measure groups of up to 100,000 members, degree 4 only, mls-rs at 1,000 only: some seconds.
    #[arg(long, conflicts_with_all = ["members", "degree"])]
    pub(crate) quick: bool,

    /// The sizes of group to measure, separated by commas.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(100..=20_000_000))]
    members: Vec<u32>,

    /// The degrees of tree to measure, separated by commas.
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = degree)]
    degree: Vec<Degree>,

    /// The length of every key in octets: 16 or 32.
    #[arg(long, value_name = "OCTETS", default_value = "32", value_parser = key_length)]
    key_octets: KeyLength,

    /// Measure these sections only, separated by commas.
    #[arg(long, value_name = "SECTION", value_delimiter = ',')]
    only: Vec<Section>,

    /// The same as --only places.
    #[arg(long, conflicts_with = "only")]
    places: bool,

    /// Build a tree of this many members, and print what it occupies: for the section `memory`, in a process of its
    /// own.
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) memory_of: Option<u32>,

    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// One leave, one join, batches of 1 %: keys, octets, CPU.
    Changes,
    /// What a tree occupies, full and after it shrank to a quarter.
    Memory,
    /// One departure in mls-rs, at 1,000 and 10,000 members.
    Mls,
    /// A network of a thousand sites: what crosses its links if the tree follows the sites, and if not.
    Places,
}

impl Options {
    /// Says whether a part of the run is asked for.
    pub(crate) fn has(&self, section: Section) -> bool {
        match self.places {
            true => section == Section::Places,
            false => self.only.is_empty() || self.only.contains(&section),
        }
    }

    /// Returns the sizes of group to measure.
    pub(crate) fn members(&self) -> &[u32] {
        match (self.quick, self.members.is_empty()) {
            (true, _) => &MEMBERS[..3],
            (false, true) => &MEMBERS,
            (false, false) => &self.members,
        }
    }

    /// Returns the degrees to measure.
    pub(crate) fn degrees(&self) -> Vec<Degree> {
        match (self.quick, self.degree.is_empty()) {
            (true, _) => vec![Degree::default()],
            (false, true) => {
                DEGREES.map(|k| Degree::new(k).expect("the degrees of a run are 2 to 8")).to_vec()
            }
            (false, false) => self.degree.clone(),
        }
    }

    /// Returns the length of every key.
    pub(crate) fn key_length(&self) -> KeyLength {
        self.key_octets
    }
}

fn degree(text: &str) -> Result<Degree, String> {
    let k = text.parse().map_err(|_| "a degree is a number from 2 to 8".to_owned())?;
    Degree::new(k).map_err(|error| error.to_string())
}

fn key_length(text: &str) -> Result<KeyLength, String> {
    match text {
        "16" => Ok(KeyLength::Octets16),
        "32" => Ok(KeyLength::Octets32),
        _ => Err("a key has 16 or 32 octets".to_owned()),
    }
}
