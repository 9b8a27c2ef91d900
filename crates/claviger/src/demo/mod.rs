//! `claviger demo`: shows the whole of it on one host.
//!
//! A key server, four members and a latecomer run as processes of this same binary, on real sockets of the loopback
//! interface. While a file is streamed, one member joins late, one leaves, one is evicted, the keys are replaced by
//! the timer, and the key server is killed and started again. An observer that never registered records every
//! datagram; afterwards each member's keys, all it ever held, are tried against the whole recording. What is
//! printed comes from the recordings, not from what the processes say of themselves.
//!
//! | module | what |
//! |---|---|
//! | [`cast`] | the processes and their parts |
//! | [`play`] | what happens when |
//! | [`child`] | the hidden commands that the processes run |
//! | [`recording`] | what observer and members write down |
//! | [`ledger`] | how a member hands over every key it held |
//! | [`trial`] | every key against every datagram |
//! | [`verdict`] | the claims, checked |
//! | [`report`] | what is printed |

pub(crate) mod child;

mod cast;
mod ledger;
mod play;
mod recording;
mod report;
mod trial;
mod verdict;

use std::path::{Path, PathBuf};

use crate::{
    exit::{Exit, Failure, Outcome},
    settings::demo::DemoSettings,
    start,
};

/// The most octets of the file that are streamed.
const STREAM_OCTETS_MAX: usize = 8 << 20;

/// `claviger demo`.
pub(crate) fn run(settings: &DemoSettings) -> Outcome {
    let executable = std::env::current_exe()?;
    let file = read(settings.file.as_deref().unwrap_or(&executable))?;
    let directory = Workspace::make()?;
    let played = start::block_on(play::play(&executable, &directory.0, &file))?;
    let verdict = verdict::judge(&played, &file, settings.betray)?;
    report::print(&verdict, settings.json)?;
    if verdict.ok() {
        Ok(())
    } else {
        let failed = verdict.failed();
        Err(Failure::new(Exit::Failed, format!("{failed} of the demonstration's claims do not hold")))
    }
}

/// Reads what is streamed.
fn read(path: &Path) -> Outcome<Vec<u8>> {
    use std::io::Read;

    let failed = |error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()));
    let mut octets = Vec::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(STREAM_OCTETS_MAX as u64)
        .read_to_end(&mut octets)
        .map_err(failed)?;
    if octets.len() < play::STREAM_OCTETS_MIN {
        let message =
            format!("{} has less than {} octets to stream", path.display(), play::STREAM_OCTETS_MIN);
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(octets)
}

/// A directory of mode 0700 that goes away with its keys and recordings.
struct Workspace(PathBuf);

impl Workspace {
    fn make() -> Outcome<Self> {
        use std::os::unix::fs::DirBuilderExt;

        let name = format!("claviger-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot make {}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed lies in a directory that only its user can enter.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
