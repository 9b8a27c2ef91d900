//! What a daemon counts outside its cores, and how all of it is shown.
//!
//! The cores count what they do and refuse themselves. What never reaches them, or is lost behind them, is counted here,
//! so that `status` accounts for every packet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_api::status::CountsView;
use claviger_sansio::{
    Counts,
    counter::{Figure, Kind},
    counters,
};

counters! {
    /// What is lost between network and loop.
    pub(crate) enum Counter of "carrier" {
        /// HIP on UDP without the four zero octets that stand in front of it (RFC 5770 section 5.1).
        HipWithoutMarker => "hip_without_marker": Drop, Datagrams;
        /// No socket is of the address family of the datagram's destination.
        NoSocketOfFamily => "no_socket_of_family": Drop, Datagrams;
        /// A socket could not be read.
        ReceiveFailed => "receive_failed": Drop, Attempts;
        /// The system refused to send a protocol message.
        SendFailed => "send_failed": Drop, Datagrams;
    }
}

/// What the sockets of one daemon count; its clones count together, because each socket is read by a task of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct CarrierCounts(Arc<Mutex<Counts<Counter>>>);

impl CarrierCounts {
    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        self.counts().count(counter);
    }

    /// Shows every counter with its count.
    pub(crate) fn figures(&self) -> impl Iterator<Item = Figure> + use<> {
        self.counts().figures()
    }

    fn counts(&self) -> MutexGuard<'_, Counts<Counter>> {
        // A task that panicked while it counted left whole numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows counts as the control interface does: what was dropped, and what was done.
pub(crate) fn views(figures: impl Iterator<Item = Figure>) -> (CountsView, CountsView) {
    let (drops, done): (Vec<_>, Vec<_>) = figures.partition(|figure| figure.kind == Kind::Drop);
    (drops.into_iter().collect(), done.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fmt::Write,
    };

    use super::*;
    use crate::member::counter::Counter as DataCounter;

    fn of_a_server() -> Vec<Figure> {
        let core = claviger_gcks::Counters::default();
        core.figures().chain(CarrierCounts::default().figures()).collect()
    }

    fn of_a_member() -> Vec<Figure> {
        let core = claviger_member::Counters::default();
        let plane = Counts::<claviger_esp::Counter>::default();
        let data = Counts::<DataCounter>::default();
        core.figures()
            .chain(plane.figures())
            .chain(data.figures())
            .chain(CarrierCounts::default().figures())
            .collect()
    }

    /// Every counter that a daemon can show, once.
    fn all() -> BTreeMap<(&'static str, &'static str), Figure> {
        let all = of_a_server().into_iter().chain(of_a_member());
        all.map(|figure| ((figure.machine, figure.name), figure)).collect()
    }

    fn page() -> String {
        let mut page = INTRODUCTION.to_owned();
        let mut machine = "";
        for figure in all().values() {
            if figure.machine != machine {
                machine = figure.machine;
                let about = MACHINES.iter().find(|(name, _)| *name == machine).unwrap().1;
                write!(
                    page,
                    "\n## {machine}\n\n{about}\n\n| counter | of | unit | what |\n|---|---|---|---|\n"
                )
                .unwrap();
            }
            let kind = match figure.kind {
                Kind::Done => "work",
                Kind::Drop => "drops",
            };
            writeln!(page, "| `{}` | {kind} | {} | {} |", figure.name, figure.unit, figure.help).unwrap();
        }
        page
    }

    const INTRODUCTION: &str = "\
# Counters

`claviger status` shows what a daemon has counted since it started: work under COUNTERS, losses under DROPS BY REASON, each
as `machine/counter`; with `--json` as `counters` and `drops`, by machine and counter. What was never counted is not shown. At
losses the sentence says why something was dropped. Counters of two machines never meet, even where their names are equal.
This page is compared with the program by a test.
";

    const MACHINES: &[(&str, &str)] = &[
        ("carrier", "The sockets of a daemon."),
        ("data", "A member's data, between the group's sockets and this host's programs."),
        (
            "delivery",
            "Long rekeys, which are repaired on request: at the key server what is sent, at either side what is refused.",
        ),
        ("esp", "A member's data plane."),
        ("gcks", "The key server."),
        ("gdoi", "GDOI, at either side."),
        ("hip", "HIP, at either side."),
        ("isakmp", "What came to an ISAKMP port, at either side, for a protocol that is not spoken there."),
        ("member", "The member."),
    ];

    #[test]
    fn every_counter_is_explained_in_docs_counters() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/counters.md");
        let found = std::fs::read_to_string(path).unwrap_or_default();
        let page = page();
        if found != page {
            let made = std::env::temp_dir().join("counters.md");
            std::fs::write(&made, &page).unwrap();
            panic!("docs/counters.md differs from the counters; what it should be is in {}", made.display());
        }
    }

    #[test]
    fn names_are_in_snake_case_and_help_is_a_sentence() {
        let snake =
            |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        for ((machine, name), figure) in all() {
            assert!(snake(machine) && snake(name), "{machine}/{name}");
            assert!(
                figure.help.ends_with('.') && !figure.help.contains("[`"),
                "{machine}/{name}: {}",
                figure.help
            );
        }
    }

    #[test]
    fn no_two_counters_of_a_machine_share_a_name() {
        for figures in [of_a_server(), of_a_member()] {
            let names: BTreeSet<_> = figures.iter().map(|f| (f.machine, f.name)).collect();
            assert_eq!(names.len(), figures.len());
        }
    }

    #[test]
    fn clones_count_together_and_equal_names_of_two_machines_are_two_counters() {
        let counts = CarrierCounts::default();
        let clone = counts.clone();
        counts.count(Counter::ReceiveFailed);
        clone.count(Counter::ReceiveFailed);
        let mut core = claviger_gcks::Counters::default();
        core.hip.add(claviger_hip::Counter::Crypto, 5);
        core.gdoi.add(claviger_gdoi::Counter::Crypto, 7);
        core.gcks.count(claviger_gcks::Counter::Rekeys);
        let (drops, done) = views(counts.figures().chain(core.figures()));
        let rows: Vec<_> = drops.iter().collect();
        assert_eq!(rows, [("carrier", "receive_failed", 2), ("gdoi", "crypto", 7), ("hip", "crypto", 5)]);
        assert_eq!(done.iter().collect::<Vec<_>>(), [("gcks", "rekeys", 1)]);
    }
}
