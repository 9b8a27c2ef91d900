//! `claviger guard` and `claviger release`: what keeps groups' packets from leaving in the clear.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};
use claviger_group::GroupId;
use serde::Serialize;

use crate::{
    cli::globals::Globals,
    exit::{Exit, Failure, Outcome},
    guard::{Guards, Release, listing},
    identity_file,
    lock::{self, IdentityLock},
    output,
    settings::identity::IdentityName,
};

/// Shows and restores guards: they keep what is for the address of a group with a TUN device from leaving this host in
/// the clear. `claviger join` makes them, `claviger release` takes one down.
#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Lists the guards of the state directory and of the directories in it, and those of others on this host.
    List(ListArgs),
    /// Makes the guards again that the state directory and the directories in it remember, as after a start of the host.
    Restore(RestoreArgs),
}

/// Lists guards.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Restores guards.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Takes down the guard of a group: from then on programs that send to the group's address may send in the clear. The
/// group's member daemon must have ended.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    group: GroupId,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// A guard as it is shown.
#[derive(Debug, Serialize)]
struct GuardView {
    /// The group, unless another state directory knows it.
    group: Option<String>,
    address: Option<IpAddr>,
    /// Whether the unreachable route is there.
    route: bool,
    /// Whether the rules are there, whole.
    rules: bool,
    /// How many packets the rules have dropped.
    dropped: u64,
    /// Where it is remembered, or what its holder says of itself.
    holder: String,
}

/// A guard that was restored.
#[derive(Debug, Serialize)]
struct RestoredView {
    group: String,
    address: IpAddr,
    state_dir: PathBuf,
    /// Whether anything was missing of it.
    was_missing: bool,
}

/// A guard that was taken down, or was not there.
#[derive(Debug, Serialize)]
struct ReleasedView {
    group: String,
    /// The address that was guarded.
    address: Option<IpAddr>,
    /// Who guards the same address still.
    others: Vec<String>,
}

impl From<listing::Listed> for GuardView {
    fn from(listed: listing::Listed) -> Self {
        let listing::Listed { group, address, route, rules, dropped, holder } = listed;
        Self { group: group.map(|group| group.to_string()), address, route, rules, dropped, holder }
    }
}

pub(crate) fn run(globals: &Globals, command: GuardCommand) -> Outcome {
    match command {
        GuardCommand::List(args) => list(globals, args.json),
        GuardCommand::Restore(args) => restore(globals, args.json),
    }
}

pub(crate) fn release(globals: &Globals, args: &ReleaseArgs) -> Outcome {
    let paths = globals.paths()?;
    let guards = Guards::of(&paths.state_dir);
    // Where nobody ever ran, and nothing is remembered, no lock is left behind either.
    let first = IdentityName::FIRST;
    let was_used = lock::path(&paths.state_dir, &first).exists() || guards.find(&args.group)?.is_some();
    // A daemon under any of the identities may have made it.
    let mut identities = identity_file::all(&paths.state_dir)?;
    if was_used && !identities.contains(&first) {
        identities.push(first);
    }
    let hint = "stop it first: a guard is not taken from under its daemon";
    let lock = |name| {
        let lock = IdentityLock::acquire(&paths.state_dir, name, "claviger release");
        lock.map_err(|failure| if failure.exit == Exit::InUse { failure.hint(hint) } else { failure })
    };
    let _locks = identities.iter().map(lock).collect::<Outcome<Vec<_>>>()?;
    let released = match guards.release(&args.group)? {
        Release::Nothing => ReleasedView { group: args.group.to_string(), address: None, others: vec![] },
        Release::Done { address, others } => {
            ReleasedView { group: args.group.to_string(), address: Some(address), others }
        }
    };
    output::print(args.json, &released, |released| {
        released_text(released, &paths.state_dir.display().to_string())
    })
}

fn list(globals: &Globals, json: bool) -> Outcome {
    let (remembered, failures) = listing::remembered_below(&globals.paths()?.state_dir);
    let views: Vec<GuardView> = listing::list(&remembered)?.into_iter().map(GuardView::from).collect();
    output::print(json, &views, |views| list_text(views))?;
    first(failures)
}

fn restore(globals: &Globals, json: bool) -> Outcome {
    let (remembered, mut failures) = listing::remembered_below(&globals.paths()?.state_dir);
    let mut restored = Vec::new();
    for (guards, remembered) in remembered {
        match guards.restore(&remembered) {
            Ok(Some(was_missing)) => restored.push(RestoredView {
                group: remembered.group.to_string(),
                address: remembered.address,
                state_dir: guards.state_dir().into(),
                was_missing,
            }),
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    output::print(json, &restored, |restored| restored_text(restored))?;
    first(failures)
}

/// Ends with the first failure after all of the others were said.
fn first(mut failures: Vec<Failure>) -> Outcome {
    let Some(last) = failures.pop() else { return Ok(()) };
    for failure in failures {
        eprintln!("{failure}");
    }
    Err(last)
}

fn list_text(views: &[GuardView]) -> String {
    let is_there = |there: bool| if there { "yes" } else { "MISSING" }.to_owned();
    let rows = views.iter().map(|view| {
        [
            output::or_dash(view.group.as_ref()),
            output::or_dash(view.address),
            is_there(view.route),
            is_there(view.rules),
            view.dropped.to_string(),
            view.holder.clone(),
        ]
    });
    let header = ["GROUP", "ADDRESS", "ROUTE", "RULES", "DROPPED", "REMEMBERED IN"];
    let mut text = output::table(header, rows.collect(), "no guards");
    if views.iter().any(|view| !(view.route && view.rules)) {
        text.push_str("\n\nmake what is missing with:\n  claviger guard restore");
    }
    text
}

fn restored_text(restored: &[RestoredView]) -> String {
    let line = |view: &RestoredView| {
        let what = if view.was_missing { "guarded again" } else { "is guarded" };
        format!("{} of group {} {what}", view.address, view.group)
    };
    match restored {
        [] => "no guards are remembered".to_owned(),
        _ => restored.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

fn released_text(released: &ReleasedView, state_dir: &str) -> String {
    let ReleasedView { group, address, others } = released;
    match address {
        None => format!("group {group} has no guard by {state_dir}"),
        Some(address) if others.is_empty() => {
            format!("released {address}: programs that send to group {group} may send in the clear")
        }
        Some(address) => {
            format!("released {address} of group {group}; it stays guarded by: {}", others.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(route: bool, rules: bool) -> GuardView {
        let (group, address) = (Some("radio".to_owned()), Some("239.192.7.7".parse().unwrap()));
        GuardView { group, address, route, rules, dropped: 3, holder: "/var/lib/claviger".into() }
    }

    #[test]
    fn a_list_shows_what_is_missing_and_how_to_make_it() {
        assert_eq!(list_text(&[]), "no guards");
        assert_eq!(
            list_text(&[view(true, true)]),
            "GROUP  ADDRESS      ROUTE  RULES  DROPPED  REMEMBERED IN\n\
             radio  239.192.7.7  yes    yes    3        /var/lib/claviger"
        );
        let text = list_text(&[view(true, false)]);
        assert!(text.contains("yes    MISSING"), "{text}");
        assert!(text.ends_with("  claviger guard restore"), "{text}");
    }

    #[test]
    fn a_release_says_what_holds_from_then_on() {
        let released = |address: Option<&str>, others: &[&str]| {
            let others = others.iter().map(|other| other.to_string()).collect();
            let address = address.map(|address| address.parse().unwrap());
            released_text(&ReleasedView { group: "radio".into(), address, others }, "/s")
        };
        assert_eq!(released(None, &[]), "group radio has no guard by /s");
        assert_eq!(
            released(Some("239.192.7.7"), &[]),
            "released 239.192.7.7: programs that send to group radio may send in the clear"
        );
        assert_eq!(
            released(Some("239.192.7.7"), &["tv in /t"]),
            "released 239.192.7.7 of group radio; it stays guarded by: tv in /t"
        );
    }
}
