//! The guard of a TUN member's group: it stands before the daemon speaks with anybody, and is looked after.

use std::{net::IpAddr, time::Duration};

use claviger_group::GroupId;
use claviger_net::{
    Guard,
    guard::{self, Watch},
};
use claviger_sansio::Time;

use crate::{
    exit::{Exit, Failure, Outcome},
    guard::{Guards, Remembered},
    settings::member::MemberSettings,
};

/// How often the daemon looks whether the guard still stands, if nothing makes it look sooner.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon it looks again after packet filters have changed: who restarts one takes the guard away, and a host may
/// change them without end.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The guard of a daemon's group.
#[derive(Debug)]
pub(super) struct GroupGuard {
    guards: Guards,
    group: GroupId,
    /// Whether there is to be one.
    is_wanted: bool,
    /// The address that the group is to have.
    address: Option<IpAddr>,
    standing: Option<Guard>,
    /// Tells of changes to packet filters, where the kernel does.
    watch: Option<Watch>,
    looked_at: Time,
    look_at: Time,
    /// Whether the last look failed, which is said once.
    is_failing: bool,
}

impl GroupGuard {
    /// Makes the guard of what is remembered, or of the address that was asked for; without either it waits for
    /// [`GroupGuard::agree`].
    pub(super) fn begin(settings: &MemberSettings, now: Time) -> Outcome<Self> {
        let tun = settings.tun.as_ref();
        let mut guard = Self {
            guards: Guards::of(&settings.paths.state_dir),
            group: settings.group.clone(),
            is_wanted: tun.is_some_and(|tun| !tun.fail_open),
            address: tun.and_then(|tun| tun.group_address),
            standing: None,
            watch: None,
            looked_at: now,
            look_at: now,
            is_failing: false,
        };
        if tun.is_none() {
            return Ok(guard);
        }
        let remembered = guard.guards.find(&guard.group)?.map(|remembered| remembered.address);
        if let (false, Some(address)) = (guard.is_wanted, remembered) {
            let message = format!("--fail-open: {address} is guarded on this host for group {}", guard.group);
            return Err(guard.contradiction(message));
        }
        if let (Some(wanted), Some(address)) = (guard.address, remembered)
            && wanted != address
        {
            let message = format!("--address {wanted}: for group {} this host guards {address}", guard.group);
            return Err(guard.contradiction(message));
        }
        if guard.is_wanted {
            guard::available().map_err(|error| without_guard(error.into()))?;
        } else {
            tracing::warn!(group = %guard.group, "no guard: programs send in the clear whenever this daemon does not run");
        }
        guard.address = guard.address.or(remembered);
        guard.hold()?;
        Ok(guard)
    }

    /// Compares the address that the key server says with the one that is expected, and guards it from now on.
    pub(super) fn agree(&mut self, address: IpAddr) -> Outcome {
        let expected = *self.address.get_or_insert(address);
        if expected != address {
            let group = &self.group;
            let message = match self.standing {
                Some(_) => format!(
                    "this host guards {expected} for group {group}, and the key server says {address}"
                ),
                None => {
                    format!("--address {expected}: the key server says that group {group} is at {address}")
                }
            };
            return Err(self.contradiction(message));
        }
        self.hold()
    }

    /// Says when to look next.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.standing.as_ref().map(|_| self.look_at)
    }

    /// Waits until packet filters have changed.
    pub(super) async fn changed(&self) {
        match &self.watch {
            Some(watch) if watch.changed().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Has the next look be soon.
    pub(super) fn hurry(&mut self) {
        self.look_at = self.look_at.min(self.looked_at + PAUSE_MIN);
    }

    /// Looks whether the guard still stands, if it is time to, and makes it again. Says whether its route was taken away:
    /// who did that took others too.
    pub(super) fn look(&mut self, now: Time) -> bool {
        let Some(guard) = self.standing.as_ref().filter(|_| self.look_at <= now) else { return false };
        (self.looked_at, self.look_at) = (now, now + PAUSE);
        let address = guard.address();
        match guard.raise() {
            Ok(before) if before.is_whole() && !self.is_failing => false,
            Ok(before) => {
                let (route, rules) = (before.route, before.rules);
                tracing::warn!(%address, route, rules, "the guard was taken away, and stands again");
                self.is_failing = false;
                !route
            }
            Err(error) => {
                if !self.is_failing {
                    tracing::error!(%address, %error, "the guard was taken away, and cannot be made again");
                }
                self.is_failing = true;
                false
            }
        }
    }

    /// Says, at the end of the daemon, that the guard stays and how it goes.
    pub(super) fn say_that_it_stays(&self) {
        if let Some(guard) = &self.standing {
            let command = claviger_api::command::release(&self.group);
            tracing::info!(address = %guard.address(), release = command, "the guard stays");
        }
    }

    fn hold(&mut self) -> Outcome {
        let Some(address) = self.address.filter(|_| self.is_wanted && self.standing.is_none()) else {
            return Ok(());
        };
        // Without it the daemon looks now and then all the same.
        self.watch =
            Watch::begin().inspect_err(|error| tracing::debug!(%error, "filters are not watched")).ok();
        let wanted = Remembered { group: self.group.clone(), address };
        self.standing = Some(self.guards.hold(&wanted).map_err(without_guard)?);
        tracing::info!(group = %self.group, %address, "guarded: only ESP leaves this host for the group");
        Ok(())
    }

    fn contradiction(&self, message: String) -> Failure {
        Failure::new(Exit::Usage, message).hint(format!(
            "{} to give up the guard, once no program sends to that address",
            claviger_api::command::release(&self.group)
        ))
    }
}

/// Adds the way to go without a guard, which helps where a privilege is not what is missing.
fn without_guard(failure: Failure) -> Failure {
    if failure.exit == Exit::Privilege {
        return failure;
    }
    failure
        .hint("--fail-open goes without a guard: programs send in the clear whenever the daemon does not run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_have_a_guard_is_told_how_to_go_without_unless_a_privilege_is_missing() {
        let hint = |exit| without_guard(Failure::new(exit, "no nf_tables")).hint;
        assert!(hint(Exit::Failed).unwrap().starts_with("--fail-open "));
        assert_eq!(hint(Exit::Privilege), None);
    }
}
