//! The guards of a host: those that are remembered, and those that others made.

use std::{net::IpAddr, path::Path};

use claviger_group::GroupId;
use claviger_net::guard::{self, Standing};

use super::{Guards, Remembered};
use crate::exit::{Failure, Outcome};

/// A guard of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The group, unless another state directory knows it.
    pub(crate) group: Option<GroupId>,
    /// The address, if it is known.
    pub(crate) address: Option<IpAddr>,
    /// Whether the unreachable route is there.
    pub(crate) route: bool,
    /// Whether the rules are there, whole.
    pub(crate) rules: bool,
    /// How many packets the rules have dropped.
    pub(crate) dropped: u64,
    /// The state directory, or what another holder says of itself.
    pub(crate) holder: String,
}

/// Lists what a state directory and those in it remember, and what cannot be read there, which is no reason to pass over
/// the rest.
pub(crate) fn remembered_below(state_dir: &Path) -> (Vec<(Guards, Remembered)>, Vec<Failure>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for guards in Guards::below(state_dir) {
        match guards.remembered() {
            Err(failure) => failures.push(failure),
            Ok(remembered) => {
                for one in remembered {
                    match one {
                        Ok(one) => found.push((guards.clone(), one)),
                        Err(failure) => failures.push(failure),
                    }
                }
            }
        }
    }
    (found, failures)
}

/// Looks what there is of guards that are remembered, and finds those that others made.
pub(crate) fn list(remembered: &[(Guards, Remembered)]) -> Outcome<Vec<Listed>> {
    let mut listed = Vec::new();
    let mut names = Vec::new();
    for (guards, remembered) in remembered {
        let Standing { route, rules, dropped } = guards.guard(remembered).standing()?;
        names.push(guards.name(&remembered.group));
        listed.push(Listed {
            group: Some(remembered.group.clone()),
            address: Some(remembered.address),
            route,
            rules,
            dropped,
            holder: guards.state_dir().display().to_string(),
        });
    }
    let others = guard::guards()?.into_iter().filter(|found| !names.contains(&found.name));
    listed.extend(others.map(|other| Listed {
        group: None,
        address: other.address,
        route: other.standing.route,
        rules: other.standing.rules,
        dropped: other.standing.dropped,
        holder: if other.comment.is_empty() { other.name } else { other.comment },
    }));
    Ok(listed)
}
