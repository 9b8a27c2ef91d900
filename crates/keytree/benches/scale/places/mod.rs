//! What crosses the links of a network of a thousand sites, if the tree follows the sites and if it does not.
//!
//! Both trees live through the same history. A wrap counts once on each link that leads to a site where a member
//! needs it: the best that routing could do. That takes a way to send to some sites only; without one, a wrap crosses
//! every link, which is shown as well. The headers of datagrams, which hold several wraps each, are not counted. A move
//! is a departure and a join in both trees; a blind tree that left movers their keys would send nothing for it.
//!
//! | module | what |
//! |---|---|
//! | `network` | sites, links, and what crosses them |
//! | `group` | one group, keyed by two trees at once |

mod group;
mod network;

use self::{
    group::{Change, Group, Traffic},
    network::{Links, REGIONS, SITES, Site},
};
use crate::{
    options::Options,
    report::{self, Aim, Goals},
    trees::Dice,
};

/// Members at each site.
const MEMBERS_A_SITE: u32 = 100;
/// Changes in each history.
const SINGLE_CHANGES: u32 = 200;
const BATCHES: u32 = 10;
/// Members that come and go at once, where one site changes much.
const CHURN_AT_ONCE: u32 = 10;

/// Prints what crosses the links in each kind of history.
pub(crate) fn run(options: &Options, goals: &mut Goals) {
    let members = MEMBERS_A_SITE * SITES as u32;
    println!(
        "\n{} members at {} sites in {REGIONS} regions, k = 4: octets that cross links for each change, mean link and\n\
         busiest link of a class. bound: the tree follows sites, wraps go where they are needed; blind: it does not,\n\
         wraps go where they are needed; everywhere: blind, wraps cross every link. A move rekeys both paths in each.\n",
        report::number(members),
        report::number(SITES as u64),
    );
    println!(
        "  {:<22} {:<10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>7}",
        "change", "tree", "keys", "server", "region", "busiest", "site", "busiest", "all links", "/ bound"
    );
    let mut dice = Dice::new(6);
    let mut group = Group::new(MEMBERS_A_SITE, options.key_length(), &mut dice);
    for history in HISTORIES {
        let mut traffic = Traffic::new();
        for _ in 0..history.changes {
            let change = (history.next)(&group, &mut dice);
            group.change(&change, &mut traffic);
            // The group stays as large as it was, and nobody counts what that takes.
            let joins: Vec<Site> = change.leaves.iter().map(|_| dice.below(SITES as u32) as Site).collect();
            let missing = joins.len().saturating_sub(change.joins.len());
            let refill = Change { joins: joins[..missing].to_vec(), ..Change::default() };
            group.change(&refill, &mut Traffic::new());
        }
        history.print(&traffic);
        let ratio = traffic.blind.total() as f64 / traffic.bound.total() as f64;
        goals.note(history.goal, format!("{} members", report::number(members)), Aim::ShownLeast, ratio);
    }
}

/// One kind of change, several times.
struct History {
    what: &'static str,
    goal: &'static str,
    changes: u32,
    next: fn(&Group, &mut Dice) -> Change,
}

/// The site at which much changes, where one does.
const BUSY_SITE: Site = 321;

const HISTORIES: [History; 4] = [
    History {
        what: "one leave",
        goal: "octets on all links, one leave: blind / bound",
        changes: SINGLE_CHANGES,
        next: |group, dice| Change { leaves: group.pick(1, dice), ..Change::default() },
    },
    History {
        what: "one move",
        goal: "octets on all links, one move: blind / bound",
        changes: SINGLE_CHANGES,
        next: |group, dice| {
            let moves =
                group.pick(1, dice).into_iter().map(|number| (number, dice.below(SITES as u32) as Site));
            Change { moves: moves.collect(), ..Change::default() }
        },
    },
    History {
        what: "1 % leave and join",
        goal: "octets on all links, 1 % leave and join: blind / bound",
        changes: BATCHES,
        next: |group, dice| {
            let count = MEMBERS_A_SITE * SITES as u32 / 100;
            let joins = (0..count).map(|_| dice.below(SITES as u32) as Site).collect();
            Change { joins, leaves: group.pick(count, dice), ..Change::default() }
        },
    },
    History {
        what: "10 come and go, 1 site",
        goal: "octets on all links, churn at one site: blind / bound",
        changes: SINGLE_CHANGES,
        next: |group, dice| {
            let leaves = group.pick_at(BUSY_SITE, CHURN_AT_ONCE, dice);
            Change { joins: vec![BUSY_SITE; leaves.len()], leaves, ..Change::default() }
        },
    },
];

impl History {
    fn print(&self, traffic: &Traffic) {
        let bound = traffic.bound.total() as f64;
        let mut what = self.what;
        let lines: [(&str, &Links, usize); 3] = [
            ("bound", &traffic.bound, traffic.keys[0]),
            ("blind", &traffic.blind, traffic.keys[1]),
            ("everywhere", &traffic.everywhere, traffic.keys[1]),
        ];
        for (tree, links, keys) in lines {
            let each = |octets: f64| report::octets(octets / f64::from(self.changes));
            let [server, regions, sites] = links.classes();
            println!(
                "  {what:<22} {tree:<10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>7.1}",
                report::mean(keys as f64 / f64::from(self.changes)),
                each(server.mean),
                each(regions.mean),
                each(regions.most as f64),
                each(sites.mean),
                each(sites.most as f64),
                each(links.total() as f64),
                links.total() as f64 / bound,
            );
            what = "";
        }
    }
}
