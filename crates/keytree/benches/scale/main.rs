//! What the key tree costs from a thousand to ten million members, beside the limits that any key tree has, all
//! measured in the same run: `cargo bench -p claviger-keytree --bench scale`, options after `--`.
//!
//! | module | what |
//! |---|---|
//! | `options` | what the command line asks for |
//! | `clock` | CPU time |
//! | `report` | figures as text; goals, met or missed |
//! | `limits` | what one key and one signature cost on this CPU |
//! | `trees` | trees of a given size |
//! | `changes` | one leave, one join, batches of 1 % |
//! | `memory` | what a tree occupies, grown and shrunk |
//! | `mls` | the same departure in mls-rs |
//! | `places` | what crosses the links of a network of a thousand sites |

mod changes;
mod clock;
mod limits;
mod memory;
mod mls;
mod options;
mod places;
mod report;
mod trees;

use clap::Parser;

use crate::{
    limits::Limits,
    options::{Options, Section},
    report::Goals,
};

fn main() {
    let options = Options::parse();
    if let Some(members) = options.memory_of {
        return memory::measure(members, options.degrees()[0], options.key_length());
    }
    let limits = Limits::measure(options.key_length());
    limits.print();
    let mut goals = Goals::default();
    if options.has(Section::Changes) {
        changes::run(&options, &limits, &mut goals);
    }
    if options.has(Section::Memory) {
        memory::run(&options, &mut goals);
    }
    if options.has(Section::Mls) {
        mls::run(&options, &limits, &mut goals);
    }
    if options.has(Section::Places) {
        places::run(&options, &mut goals);
    }
    goals.print();
}
